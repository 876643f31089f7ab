//! What a lookup in a compiled table costs: `cargo run --release -p table --example lookup_cost -- 1000000`.
//!
//! The keys are drawn beforehand and lie one behind the other, so that fetching them costs next to nothing
//! and what is measured is the table.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use table::compiled::Builder;
use table::{Answer, AtHand, Disk, Format, Response, Table};

/// Lookups of one round, and how many rounds; the least disturbed one counts.
const LOOKUPS: usize = 1_000_000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let keys = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let directory = tempfile::tempdir_in("/var/tmp")?;
    let source = directory.path().join("t");
    let begun = Instant::now();
    let mut builder = Builder::new(Format::Native, &source);
    for n in 0..keys {
        let value = format!("example{}.com/user{n:07}/", n % 5000);
        builder.add(&address("user", n), &value, 1)?;
    }
    let built = builder.finish()?;
    println!("{keys} keys: {} bytes, built in {:.2?}", built.bytes, begun.elapsed());
    // As a shard does.
    let _at_hand = AtHand::new();
    let begun = Instant::now();
    let table = Table::open(&format!("hash:{}", source.display()), &Disk);
    println!("opened in {:.2?}", begun.elapsed());
    for (what, form, found) in [("there", "user", LOOKUPS), ("not there", "none", 0)] {
        let asked = Asked::draw(form, keys);
        let rounds = (0..ROUNDS).map(|_| asked.nanoseconds(&table, found));
        println!("{what:9}: {:6.1} ns", rounds.fold(f64::MAX, f64::min));
    }
    Ok(())
}

fn address(form: &str, n: u64) -> String {
    format!("{form}{n:07}@example{}.com", n % 5000)
}

/// Keys, one behind the other, and where each ends.
#[derive(Default)]
struct Asked {
    text: String,
    ends: Vec<usize>,
}

impl Asked {
    fn draw(form: &str, keys: u64) -> Self {
        let mut asked = Self::default();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..LOOKUPS {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            asked.text.push_str(&address(form, state % keys));
            asked.ends.push(asked.text.len());
        }
        asked
    }

    fn nanoseconds(&self, table: &Table, wanted: usize) -> f64 {
        let begun = Instant::now();
        let (mut found, mut start) = (0, 0);
        for &end in &self.ends {
            if let Response::Ready(Answer::Found(value)) = table.lookup(&self.text[start..end]) {
                found += usize::from(!black_box(value).is_empty());
            }
            start = end;
        }
        let taken = begun.elapsed();
        assert_eq!(found, wanted, "keys that were found");
        taken.as_nanos() as f64 / self.ends.len() as f64
    }
}
