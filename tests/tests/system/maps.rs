//! `cdb:` and `lmdb:` tables across the border: what Postfix wrote is read by ringpost, and what ringpost
//! wrote by Postfix.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tests::peer::{Ran, run_with_input};

const THEIRS: &str = "/usr/sbin/postmap";
const KINDS: [&str; 2] = ["cdb", "lmdb"];
/// Enough for a tree of three levels.
const ENTRIES: usize = 3000;

/// A directory with a source `t`, and both postmaps.
struct Place(TempDir, BTreeMap<String, String>);

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let etc = directory.path().join("etc");
        fs::create_dir(&etc).expect("a directory");
        fs::write(etc.join("main.cf"), "compatibility_level = 3.6\n").expect("main.cf");
        let program = std::env::var("RINGPOST_BIN").expect("RINGPOST_BIN; tests/run sets it");
        symlink(program, etc.join("postmap")).expect("a link");
        let mut entries = BTreeMap::new();
        let mut text = String::new();
        for n in 0..ENTRIES {
            let (key, value) = (format!("User{n}@Example{}.com", n % 7), value(n));
            text.push_str(&format!("{key}\t{value}\n"));
            entries.insert(key.to_lowercase(), value);
        }
        fs::write(directory.path().join("t"), text).expect("a source");
        Self(directory, entries)
    }

    fn ours(&self) -> String {
        self.0.path().join("etc/postmap").to_string_lossy().into_owned()
    }

    /// The name of the table of this kind.
    fn table(&self, kind: &str) -> String {
        format!("{kind}:{}", self.0.path().join("t").display())
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Ran {
        let etc = self.0.path().join("etc").to_string_lossy().into_owned();
        run_with_input(program, [&["-c", &*etc], arguments].concat(), input)
    }

    /// What a postmap lists.
    fn listed(&self, program: &str, table: &str) -> BTreeMap<String, String> {
        let listing = self.run(program, &["-s", table], "").expect_ok();
        let pairs = listing.lines().filter_map(|line| line.split_once('\t'));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// What a postmap answers to all keys in upper case, and to as many that are not there.
    fn asked(&self, program: &str, table: &str) -> String {
        let keys = self.1.keys();
        let keys: Vec<String> =
            keys.flat_map(|key| [key.to_uppercase(), format!("x{key}")]).collect();
        // So few at a time that the answers fit into a pipe: the input is written first.
        keys.chunks(200)
            .map(|keys| self.run(program, &["-q", "-", table], &keys.join("\n")).expect_ok())
            .collect()
    }
}

fn value(n: usize) -> String {
    match n % 500 {
        // On pages of its own in LMDB.
        3 => format!("{n} {}", "long".repeat(3000)),
        7 => format!("zwölf {n}, mit Umläuten"),
        _ => format!("value of {n}"),
    }
}

#[test]
fn what_postfix_wrote_is_read() {
    let place = Place::new();
    for kind in KINDS {
        let table = &place.table(kind);
        place.run(THEIRS, &[table], "").expect_ok();
        assert_eq!(place.listed(&place.ours(), table), place.1, "{kind}");
        assert_eq!(place.asked(&place.ours(), table), place.asked(THEIRS, table), "{kind}");
    }
}

#[test]
fn what_ringpost_wrote_is_read_by_postfix() {
    let place = Place::new();
    for kind in KINDS {
        let table = &place.table(kind);
        place.run(&place.ours(), &[table], "").expect_ok();
        // Postfix lists no constant databases.
        if kind == "lmdb" {
            assert_eq!(place.listed(THEIRS, table), place.1);
        }
        assert_eq!(place.asked(THEIRS, table), place.asked(&place.ours(), table), "{kind}");
    }
}

#[test]
fn an_lmdb_table_that_both_change_is_whole_for_both() {
    let mut place = Place::new();
    let (ours, table) = (&*place.ours(), &*place.table("lmdb"));
    place.run(ours, &[table], "").expect_ok();
    for round in 0..4 {
        let (writer, reader) = if round % 2 == 0 { (THEIRS, ours) } else { (ours, THEIRS) };
        let new: Vec<String> = (0..50).map(|n| format!("new{round}-{n}@example.com")).collect();
        let text: String = new.iter().map(|key| format!("{key} {round}\n")).collect();
        place.run(writer, &["-i", table], &text).expect_ok();
        place.1.extend(new.into_iter().map(|key| (key, round.to_string())));
        let gone: Vec<String> = place.1.keys().step_by(97).cloned().collect();
        place.run(writer, &["-d", "-", table], &gone.join("\n")).expect_ok();
        place.1.retain(|key, _| !gone.contains(key));
        assert_eq!(place.listed(reader, table), place.1, "round {round}");
        assert_eq!(place.listed(writer, table), place.1, "round {round}");
    }
}

#[test]
fn what_berkeley_db_wrote_is_refused_with_the_command_that_rebuilds_it() {
    let place = Place::new();
    for kind in ["hash", "btree"] {
        let table = &place.table(kind);
        place.run(THEIRS, &[table], "").expect_ok();
        let refused = place.run(&place.ours(), &["-q", "user1@example1.com", table], "");
        assert!(!refused.ok, "{refused:?}");
        assert!(refused.err.contains("Berkeley DB"), "{refused:?}");
        assert!(refused.err.contains(&format!("postmap {table}")), "{refused:?}");
        // And that command does.
        place.run(&place.ours(), &[table], "").expect_ok();
        assert_eq!(place.listed(&place.ours(), table), place.1);
    }
}
