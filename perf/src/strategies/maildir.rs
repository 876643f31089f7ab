//! `perf maildir`: ways to put files durably into Maildirs.
//!
//! Every strategy ends with the files in `new/` and durable, name and content. What differs is how
//! often the disk is waited for and who does the work: this thread, or io_uring's workers.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use rustix::fs::{Mode, OFlags, fsync, openat, renameat, syncfs};

use super::ring_chain::RingChain;
use super::{Row, process_cpu_seconds};
use crate::failure::{Doing, Result};
use crate::floor::delivery::{link_nameless, nameless};
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
    /// Files for each strategy with batches; those synced one by one get a quarter.
    #[arg(short, long, default_value_t = 8192)]
    files: usize,
    /// Size of a file.
    #[arg(short = 'l', long, default_value = "4k", value_parser = units::bytes)]
    size: u64,
    /// Maildirs the files are spread over.
    #[arg(long, default_value_t = 1000)]
    mailboxes: usize,
    /// Batch sizes.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    batches: Vec<usize>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// tmp/, fsync, rename, fsync of the directory: what Postfix does, and a little more.
    FileSync,
    /// tmp/ for the batch, syncfs, rename all, syncfs.
    RenameSyncfs,
    /// O_TMPFILE for the batch, syncfs, linkat all, syncfs.
    TmpfileSyncfs,
    /// As RenameSyncfs, open-write-close and rename as linked io_uring requests.
    RingSyncfs,
    /// open-write-fsync-close-rename linked in one io_uring chain for each file.
    RingFileSync,
}

const STRATEGIES: [Strategy; 5] = [
    Strategy::FileSync,
    Strategy::RenameSyncfs,
    Strategy::TmpfileSyncfs,
    Strategy::RingSyncfs,
    Strategy::RingFileSync,
];

impl Strategy {
    fn name(self) -> &'static str {
        match self {
            Self::FileSync => "tmp, fsync, rename, fsync dir",
            Self::RenameSyncfs => "tmp, syncfs, rename, syncfs",
            Self::TmpfileSyncfs => "O_TMPFILE, syncfs, linkat, syncfs",
            Self::RingSyncfs => "io_uring chains, two syncfs",
            Self::RingFileSync => "io_uring chains with fsync, fsync dir",
        }
    }

    fn syncs_each_file(self) -> bool {
        matches!(self, Self::FileSync | Self::RingFileSync)
    }
}

/// A Maildir's directories, held open.
pub(crate) struct Mailbox {
    pub(crate) tmp: OwnedFd,
    pub(crate) new: OwnedFd,
}

/// `perf maildir`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let interrupt = Interrupt::watch()?;
    let device = match options.journal {
        Some(bytes) => Some(LoopDevice::make(&options.directory, bytes)?),
        None => None,
    };
    let base = device.as_ref().map_or(options.directory.as_path(), LoopDevice::mount_point);
    let mut rows = Vec::new();
    let bar = progress::spinner("Maildir strategies");
    for strategy in STRATEGIES {
        for batch in &options.batches {
            if strategy == Strategy::FileSync && *batch != options.batches[0] {
                continue; // it knows no batches
            }
            bar.set_message(format!("{}, batch {batch}", strategy.name()));
            interrupt.check()?;
            rows.push(measure(base, strategy, (*batch).max(1), options)?);
        }
    }
    bar.finish_and_clear();
    drop(device);
    super::output(&rows, "files", options.json)
}

fn measure(base: &Path, strategy: Strategy, batch: usize, options: &Options) -> Result<Row> {
    let directory = base.join("perf-maildir");
    let mailboxes = make_mailboxes(&directory, options.mailboxes.max(1))?;
    let content = vec![b'm'; usize::try_from(options.size).doing(|| "reading the size")?];
    let files =
        if strategy.syncs_each_file() || batch == 1 { options.files / 4 } else { options.files };
    let mut ring = RingChain::new(batch)?;
    rustix::fs::sync();

    let mut latencies = super::latencies()?;
    let (started, cpu_before) = (Instant::now(), process_cpu_seconds());
    let mut number = 0;
    while number < files {
        let numbers: Vec<usize> = (number..files.min(number + batch)).collect();
        let batch_started = Instant::now();
        match strategy {
            Strategy::FileSync => file_sync(&mailboxes, &numbers, &content)?,
            Strategy::RenameSyncfs => rename_syncfs(&mailboxes, &numbers, &content)?,
            Strategy::TmpfileSyncfs => tmpfile_syncfs(&mailboxes, &numbers, &content)?,
            Strategy::RingSyncfs => ring.syncfs(&mailboxes, &numbers, &content)?,
            Strategy::RingFileSync => ring.file_sync(&mailboxes, &numbers, &content)?,
        }
        latencies.saturating_record(batch_started.elapsed().as_micros() as u64);
        number += numbers.len();
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), process_cpu_seconds() - cpu_before);
    drop(mailboxes);
    std::fs::remove_dir_all(&directory).doing(|| format!("removing {}", directory.display()))?;
    Ok(Row {
        strategy: strategy.name().to_owned(),
        batch,
        per_second: files as f64 / seconds,
        cpu_us_each: cpu * 1e6 / files.max(1) as f64,
        p50_us_per_batch: latencies.value_at_quantile(0.5),
        p99_us_per_batch: latencies.value_at_quantile(0.99),
    })
}

pub(crate) fn make_mailboxes(directory: &Path, count: usize) -> Result<Vec<Mailbox>> {
    (0..count)
        .map(|number| {
            let open = |part: &str| {
                let path = directory.join(format!("u{number}/{part}"));
                std::fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
                rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .doing(|| format!("opening {}", path.display()))
            };
            Ok(Mailbox { tmp: open("tmp")?, new: open("new")? })
        })
        .collect()
}

pub(crate) fn file_name(number: usize) -> String {
    format!("{number}.perf")
}

fn write_tmp(mailbox: &Mailbox, name: &str, content: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(&mailbox.tmp, name, flags, Mode::RUSR | Mode::WUSR)
        .doing(|| format!("creating tmp/{name}"))?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest).doing(|| format!("writing tmp/{name}"))?;
        rest = &rest[written..];
    }
    Ok(file)
}

fn publish(mailbox: &Mailbox, name: &str) -> Result<()> {
    renameat(&mailbox.tmp, name, &mailbox.new, name).doing(|| format!("renaming {name}"))
}

fn file_sync(mailboxes: &[Mailbox], numbers: &[usize], content: &[u8]) -> Result<()> {
    for number in numbers {
        let (mailbox, name) = (&mailboxes[number % mailboxes.len()], file_name(*number));
        let file = write_tmp(mailbox, &name, content)?;
        fsync(&file).doing(|| "syncing a file")?;
        publish(mailbox, &name)?;
        fsync(&mailbox.new).doing(|| "syncing a directory")?;
    }
    Ok(())
}

fn rename_syncfs(mailboxes: &[Mailbox], numbers: &[usize], content: &[u8]) -> Result<()> {
    for number in numbers {
        write_tmp(&mailboxes[number % mailboxes.len()], &file_name(*number), content)?;
    }
    syncfs(&mailboxes[0].new).doing(|| "syncing the file system")?;
    for number in numbers {
        publish(&mailboxes[number % mailboxes.len()], &file_name(*number))?;
    }
    syncfs(&mailboxes[0].new).doing(|| "syncing the file system")
}

fn tmpfile_syncfs(mailboxes: &[Mailbox], numbers: &[usize], content: &[u8]) -> Result<()> {
    let mut files = Vec::with_capacity(numbers.len());
    for number in numbers {
        files.push(nameless(&mailboxes[number % mailboxes.len()].new, content)?);
    }
    syncfs(&mailboxes[0].new).doing(|| "syncing the file system")?;
    for (number, file) in numbers.iter().zip(&files) {
        link_nameless(file, &mailboxes[number % mailboxes.len()].new, &file_name(*number))?;
    }
    syncfs(&mailboxes[0].new).doing(|| "syncing the file system")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_leaves_every_file_whole_in_new_and_nothing_in_tmp() {
        for strategy in STRATEGIES {
            let directory = tempfile::tempdir().unwrap();
            let mailboxes = make_mailboxes(directory.path(), 3).unwrap();
            let numbers: Vec<usize> = (0..8).collect();
            let content = vec![b'x'; 5000];
            let mut ring = RingChain::new(8).unwrap();
            match strategy {
                Strategy::FileSync => file_sync(&mailboxes, &numbers, &content),
                Strategy::RenameSyncfs => rename_syncfs(&mailboxes, &numbers, &content),
                Strategy::TmpfileSyncfs => tmpfile_syncfs(&mailboxes, &numbers, &content),
                Strategy::RingSyncfs => ring.syncfs(&mailboxes, &numbers, &content),
                Strategy::RingFileSync => ring.file_sync(&mailboxes, &numbers, &content),
            }
            .unwrap();
            for number in numbers {
                let mailbox = directory.path().join(format!("u{}", number % 3));
                let file = mailbox.join("new").join(file_name(number));
                assert_eq!(std::fs::read(file).unwrap(), content, "{strategy:?} {number}");
                let left = std::fs::read_dir(mailbox.join("tmp")).unwrap().count();
                assert_eq!(left, 0, "{strategy:?}");
            }
        }
    }
}
