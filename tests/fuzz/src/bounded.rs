//! A short run of a target, the same each time: its seeds, and mutations of them.

use std::path::Path;
use std::thread;

use tests::random::Random;

use crate::Target;
use crate::mutation::mutant;

/// Tries a target; where it panics, prints the input that made it.
pub(crate) fn try_out(name: &str) {
    let found = crate::TARGETS.iter().find(|target| target.name == name);
    let target = *found.expect("each test is made from the list");
    let mut seeds = seeds(target.name);
    seeds.push(Vec::new());
    let rounds = number("FUZZ_ROUNDS").unwrap_or(target.rounds);
    let mut random = Random::new(number("FUZZ_SEED").unwrap_or(1));
    for seed in &seeds {
        run(target, seed);
    }
    for _ in 0..rounds {
        run(target, &mutant(&seeds, &mut random));
    }
}

fn run(target: Target, input: &[u8]) {
    let _told = Told(target, input);
    (target.run)(input);
}

/// Tells which input it was if the test ends here.
struct Told<'a>(Target, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} failed on b\"{}\"", self.0.name, self.1.escape_ascii());
        }
    }
}

/// The committed inputs of a target.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a seed").path()).collect();
    // The order of a directory is not the same everywhere.
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn every_folder_of_seeds_belongs_to_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for entry in std::fs::read_dir(folder).expect("seeds/") {
        let name = entry.expect("a folder").file_name();
        assert!(crate::TARGETS.iter().any(|target| name == target.name), "{name:?}");
        assert!(!seeds(&name.to_string_lossy()).is_empty(), "{name:?} is empty");
    }
}
