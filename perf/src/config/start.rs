//! From exec to the line that says that it listens, and the library's share of it.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use super::Figure;
use super::place::Place;
use crate::failure::{Failure, Result};
use crate::interrupt::Interrupt;
use crate::server::{Counting, Server};

/// What a start may take, in milliseconds.
const START_MS: f64 = 100.0;

pub(super) fn figures(
    ringpost: &Path,
    place: &Place,
    starts: u32,
    interrupt: &Interrupt,
) -> Result<Vec<Figure>> {
    let mut took = Vec::new();
    for _ in 0..starts {
        let begun = Instant::now();
        let server =
            Server::start(&place.command(ringpost), Counting::Tree, None, Some(&place.stderr()))?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        if server.address != place.listen {
            return Err(Failure::new(format!("it listens on {} first", server.address)));
        }
        server.stop()?;
        interrupt.check()?;
    }
    let mut built = Vec::new();
    for _ in 0..starts {
        let begun = Instant::now();
        black_box(place.build()?);
        built.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let slowest = took.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        Figure::new("start, from exec to \"listening on\", median", median(took), "ms")
            .most(START_MS),
        Figure::new("the slowest start", slowest, "ms").most(START_MS),
        Figure::new("of it, `Configuration::build` with its tables, median", median(built), "ms"),
    ])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
