//! Ways to write mail durably, measured on the file system they are pointed at.

pub(crate) mod log;
pub(crate) mod maildir;
mod ring_chain;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::failure::{Doing, Result};
use crate::results::Output;

/// One strategy at one batch size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) strategy: String,
    pub(crate) batch: usize,
    /// Files or records per second.
    pub(crate) per_second: f64,
    pub(crate) cpu_us_each: f64,
    pub(crate) p50_us_per_batch: u64,
    pub(crate) p99_us_per_batch: u64,
}

/// CPU time of this process, all its threads and the kernel's io_uring workers for it.
fn process_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Up to a minute, in microseconds.
fn latencies() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000, 3).doing(|| "making a histogram")
}

fn output(rows: &[Row], what: &str, json: bool) -> Result<Output> {
    if json {
        let json = serde_json::to_string_pretty(rows).doing(|| "writing JSON")?;
        return Ok(Output::Json(json));
    }
    let mut text = format!(
        "| strategy | batch | {what}/s | CPU us each | p50 us per batch | p99 |\n\
         |---|---:|---:|---:|---:|---:|\n"
    );
    for row in rows {
        text.push_str(&format!(
            "| {} | {} | {:.0} | {:.1} | {} | {} |\n",
            row.strategy,
            row.batch,
            row.per_second,
            row.cpu_us_each,
            row.p50_us_per_batch,
            row.p99_us_per_batch,
        ));
    }
    Ok(Output::Markdown(text))
}
