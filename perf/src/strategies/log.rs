//! `perf log`: ways to make queue records durable, one writer, one write at a time.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fdatasync};

use super::{Row, process_cpu_seconds};
use crate::failure::{Doing, Result};
use crate::floor::batch::{BLOCK_BYTES, Batch, Token};
use crate::floor::log::{Log, zero_written};
use crate::interrupt::Interrupt;
use crate::loop_device::LoopDevice;
use crate::results::Output;
use crate::{progress, units};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Directory on the file system to measure; what is made in it is removed again.
    directory: PathBuf,
    /// Measure a fresh journaled ext4 of this size instead, in a loop device made in DIRECTORY
    /// (needs root).
    #[arg(long, value_parser = units::bytes)]
    journal: Option<u64>,
    /// How long each strategy runs.
    #[arg(short, long, value_parser = units::duration, default_value = "2s")]
    duration: Duration,
    /// 4 KiB records in one write.
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    batches: Vec<usize>,
    /// Size of the preallocated segment.
    #[arg(long, default_value = "64m", value_parser = units::bytes)]
    segment: u64,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    AppendFdatasync,
    AppendDsync,
    FallocatedDirect,
    ZeroedDirect,
    ZeroedDirectRing,
}

const STRATEGIES: [Strategy; 5] = [
    Strategy::AppendFdatasync,
    Strategy::AppendDsync,
    Strategy::FallocatedDirect,
    Strategy::ZeroedDirect,
    Strategy::ZeroedDirectRing,
];

impl Strategy {
    fn name(self) -> &'static str {
        match self {
            Self::AppendFdatasync => "append, fdatasync",
            Self::AppendDsync => "append to O_DSYNC",
            Self::FallocatedDirect => "O_DIRECT, O_DSYNC, fallocated",
            Self::ZeroedDirect => "O_DIRECT, O_DSYNC, zero-written",
            Self::ZeroedDirectRing => "the same through io_uring",
        }
    }
}

/// `perf log`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let interrupt = Interrupt::watch()?;
    let device = match options.journal {
        Some(bytes) => Some(LoopDevice::make(&options.directory, bytes)?),
        None => None,
    };
    let base = device.as_ref().map_or(options.directory.as_path(), LoopDevice::mount_point);
    let path = base.join("perf-log");
    let bar = progress::spinner("log strategies");
    let mut rows = Vec::new();
    for strategy in STRATEGIES {
        for batch in &options.batches {
            bar.set_message(format!("{}, batch {batch}", strategy.name()));
            interrupt.check()?;
            rows.push(measure(&path, strategy, (*batch).max(1), options)?);
            std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        }
    }
    bar.finish_and_clear();
    drop(device);
    super::output(&rows, "records", options.json)
}

fn measure(path: &Path, strategy: Strategy, batch: usize, options: &Options) -> Result<Row> {
    let mut writer = Writer::open(path, strategy, batch, options.segment)?;
    for _ in 0..8 {
        writer.write()?;
    }
    let mut latencies = super::latencies()?;
    let (started, cpu_before) = (Instant::now(), process_cpu_seconds());
    while started.elapsed() < options.duration {
        let write_started = Instant::now();
        writer.write()?;
        latencies.saturating_record(write_started.elapsed().as_micros() as u64);
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), process_cpu_seconds() - cpu_before);
    let records = (latencies.len() * batch as u64) as f64;
    Ok(Row {
        strategy: strategy.name().to_owned(),
        batch,
        per_second: records / seconds,
        cpu_us_each: cpu * 1e6 / records,
        p50_us_per_batch: latencies.value_at_quantile(0.5),
        p99_us_per_batch: latencies.value_at_quantile(0.99),
    })
}

enum Writer {
    Append { file: OwnedFd, bytes: Vec<u8>, sync: bool },
    At { file: OwnedFd, batch: Batch, position: u64, segment: u64, is_fallocated: bool },
    Ring { log: Box<Log>, batch: Option<Batch> },
}

impl Writer {
    fn open(path: &Path, strategy: Strategy, records: usize, segment: u64) -> Result<Self> {
        let open = |flags: OFlags| {
            let flags = flags | OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
                .doing(|| format!("creating {}", path.display()))
        };
        let bytes = vec![b'r'; records * BLOCK_BYTES];
        Ok(match strategy {
            Strategy::AppendFdatasync => {
                Self::Append { file: open(OFlags::APPEND)?, bytes, sync: true }
            }
            Strategy::AppendDsync => {
                let file = open(OFlags::APPEND | OFlags::DSYNC)?;
                Self::Append { file, bytes, sync: false }
            }
            Strategy::FallocatedDirect => {
                let file = open(OFlags::DIRECT | OFlags::DSYNC)?;
                fallocate(&file, FallocateFlags::empty(), 0, segment)
                    .doing(|| format!("allocating {}", path.display()))?;
                Self::At { file, batch: batch(records), position: 0, segment, is_fallocated: true }
            }
            Strategy::ZeroedDirect => {
                let file = zero_written(path, segment)?;
                Self::At { file, batch: batch(records), position: 0, segment, is_fallocated: false }
            }
            Strategy::ZeroedDirectRing => {
                let log = Box::new(Log::create(path, segment)?);
                Self::Ring { log, batch: Some(batch(records)) }
            }
        })
    }

    /// Makes one batch durable.
    fn write(&mut self) -> Result<()> {
        match self {
            Self::Append { file, bytes, sync } => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let written = rustix::io::write(&*file, rest).doing(|| "appending")?;
                    rest = &rest[written..];
                }
                if *sync { fdatasync(&*file).doing(|| "syncing") } else { Ok(()) }
            }
            Self::At { file, batch, position, segment, is_fallocated } => {
                let blocks = batch.blocks();
                if *position + blocks.len() as u64 > *segment {
                    *position = 0;
                    if *is_fallocated {
                        // Only the first round pays for converting extents: allocate them anew.
                        fallocate(&*file, FallocateFlags::ZERO_RANGE, 0, *segment)
                            .doing(|| "allocating the segment anew")?;
                    }
                }
                let written = rustix::io::pwrite(&*file, blocks, *position).doing(|| "writing")?;
                *position += written as u64;
                Ok(())
            }
            Self::Ring { log, batch } => {
                if let Some(full) = batch.take() {
                    log.write(full)?;
                }
                *batch = log.finish()?;
                Ok(())
            }
        }
    }
}

/// `records` records of one block each.
fn batch(records: usize) -> Batch {
    let mut batch = Batch::new();
    let token = Token { key: 0, serial: 0 };
    batch.message(token, 0, Vec::new(), |out| {
        out.resize(out.len() + records * BLOCK_BYTES - Batch::ENVELOPE_BYTES, b'r');
    });
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_writes_past_the_end_of_its_segment_and_keeps_its_batch_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for strategy in STRATEGIES {
            for records in [1, 3] {
                let segment = 8 * BLOCK_BYTES as u64;
                let mut writer = Writer::open(&path, strategy, records, segment).unwrap();
                for _ in 0..9 {
                    writer.write().unwrap_or_else(|e| panic!("{strategy:?} {records}: {e}"));
                }
                drop(writer);
                let written = std::fs::read(&path).unwrap();
                assert!(written.len() >= records * BLOCK_BYTES);
                let first = &written[..records * BLOCK_BYTES];
                assert!(!first.contains(&0), "{strategy:?} {records}");
            }
        }
    }
}
