//! `perf floor`: the work no durable mail server can avoid, and nothing else.
//!
//! Accept the connection, answer the dialogue, append the message to a log with one
//! group-committed O_DIRECT|O_DSYNC write, answer 250, make the Maildir file (O_TMPFILE, syncfs,
//! linkat, syncfs in batches, in a thread of its own), note the delivery in the log. The process
//! layout is ringpost's: a shard for each core, delivery beside them.
//!
//! What it leaves out is what a server adds: parsing and checking, policy, headers, lookups, an
//! index, logging, recovery, other people's credentials. The distance between the two is the price
//! of being a mail server.

pub(crate) mod batch;
pub(crate) mod delivery;
pub(crate) mod log;
mod shard;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Args;
use rustix::event::{EventfdFlags, eventfd};

use crate::failure::{Doing, Failure, Result};
use crate::minimal::listen;
use crate::units;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:2527")]
    listen: SocketAddr,
    /// Directory for the log and the Maildirs (mail/test.example/u0/ and on).
    #[arg(long, default_value = "floor-data")]
    data: PathBuf,
    /// Shards, each pinned to a core; the default is one for each core this process may use.
    #[arg(long)]
    shards: Option<usize>,
    /// Delivery threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    agents: u16,
    /// Mailboxes; recipient u1003 of 1,000 gets the mail of u3.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    mailboxes: u32,
    /// Size of a shard's log segment, written over in a circle.
    #[arg(long, default_value = "64m", value_parser = units::bytes)]
    segment: u64,
    /// Stop at the durable queue: no Maildir files.
    #[arg(long)]
    queue_only: bool,
}

/// What the floor did, printed when it stops.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    messages: AtomicU64,
    log_writes: AtomicU64,
    log_bytes: AtomicU64,
    files: AtomicU64,
    file_syncs: AtomicU64,
}

impl Counts {
    fn print(&self) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let messages = get(&self.messages);
        let share = |count| count as f64 / messages.max(1) as f64;
        println!(
            "{messages} messages; {} log writes ({:.4} per message, {} bytes); {} files, \
             {} syncs of them ({:.4} per message)",
            get(&self.log_writes),
            share(get(&self.log_writes)),
            get(&self.log_bytes),
            get(&self.files),
            get(&self.file_syncs),
            share(get(&self.file_syncs)),
        );
    }
}

/// Batches that may wait for a delivery thread before the shards wait for it.
const BATCHES_QUEUED_MAX: usize = 64;

/// `perf floor`.
pub(crate) fn main(options: &Options) -> Result<()> {
    let cores = available_cores();
    let shards = options.shards.unwrap_or(cores.len()).max(1);
    let mailboxes = make_mailboxes(&options.data, options.mailboxes)?;
    let (address, listeners) = listen::group(options.listen, shards)?;
    let counts = Arc::new(Counts::default());
    let stop = Arc::new(AtomicBool::new(false));

    let (jobs, work) = crossbeam::channel::bounded(BATCHES_QUEUED_MAX);
    let mut agents = Vec::new();
    for _ in 0..options.agents {
        let agent = delivery::Agent::new(&mailboxes, work.clone(), counts.clone())?;
        agents.push(std::thread::spawn(move || agent.run()));
    }
    drop(work);

    let mut threads = Vec::new();
    let mut wakes = Vec::new();
    let (ready, readiness) = std::sync::mpsc::channel();
    for (number, listener) in listeners.into_iter().enumerate() {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .doing(|| "making an eventfd")?;
        let wake = Arc::new(wake);
        wakes.push(wake.clone());
        let setup = shard::Setup {
            listener,
            log_path: options.data.join(format!("log.{number}")),
            segment_bytes: options.segment,
            mailboxes: options.mailboxes,
            jobs: (!options.queue_only).then(|| jobs.clone()),
            wake,
            stop: stop.clone(),
            counts: counts.clone(),
        };
        let core = cores.get(number % cores.len().max(1)).copied().filter(|_| shards > 1);
        let ready = ready.clone();
        threads.push(std::thread::spawn(move || -> Result<()> {
            if let Some(core) = core {
                pin(core)?;
            }
            // The ring belongs to the thread that makes it (SINGLE_ISSUER).
            let shard = shard::Shard::new(setup);
            let _ = ready.send(shard.as_ref().map(drop).map_err(Clone::clone));
            shard?.run()
        }));
    }
    drop((jobs, ready));
    for _ in 0..shards {
        readiness.recv().map_err(|_| Failure::new("a shard ended while starting"))??;
    }
    listen::announce(address)?;
    wait_for_signal()?;

    stop.store(true, Ordering::Relaxed);
    for wake in &wakes {
        rustix::io::write(wake, &1u64.to_ne_bytes()).doing(|| "waking a shard")?;
    }
    for thread in threads {
        thread.join().map_err(|_| Failure::new("a shard panicked"))??;
    }
    // The shards held the senders; without them the agents finish what they have and end.
    for agent in agents {
        agent.join().map_err(|_| Failure::new("a delivery thread panicked"))??;
    }
    counts.print();
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
pub(crate) fn wait_for_signal() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting the signal handler")?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).doing(|| "listening for SIGTERM")?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// The processors this process may run on.
pub(crate) fn available_cores() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return vec![0] };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Ties the calling thread to one processor.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).doing(|| format!("pinning to processor {core}"))
}

fn make_mailboxes(data: &Path, count: u32) -> Result<Vec<PathBuf>> {
    let domain = data.join("mail/test.example");
    let mut directories = Vec::with_capacity(count as usize);
    for number in 0..count {
        let mailbox = domain.join(format!("u{number}"));
        for part in ["tmp", "cur", "new"] {
            let path = mailbox.join(part);
            std::fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
        }
        directories.push(mailbox.join("new"));
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    /// The parts put together without the process around them.
    #[test]
    fn every_message_answered_250_is_in_its_mailbox_when_the_floor_has_stopped() {
        let data = tempfile::tempdir().unwrap();
        let mailboxes = make_mailboxes(data.path(), 7).unwrap();
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (jobs, work) = crossbeam::channel::bounded(4);
        let agent = delivery::Agent::new(&mailboxes, work, counts.clone()).unwrap();
        let agent = std::thread::spawn(move || agent.run());
        let (address, mut listeners) = listen::group("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let setup = shard::Setup {
            listener: listeners.remove(0),
            log_path: data.path().join("log"),
            segment_bytes: 1 << 20,
            mailboxes: 7,
            jobs: Some(jobs),
            wake: wake.clone(),
            stop: stop.clone(),
            counts: counts.clone(),
        };
        let shard = std::thread::spawn(move || shard::Shard::new(setup)?.run());

        let report = load::run(&load::Plan::standard(address, 10, 300).kept(), "test");
        stop.store(true, Ordering::Relaxed);
        rustix::io::write(&wake, &1u64.to_ne_bytes()).unwrap();
        shard.join().unwrap().unwrap();
        agent.join().unwrap().unwrap();

        let report = report.unwrap();
        assert_eq!((report.accepted, report.lost()), (300, 0));
        let files: Vec<_> = mailboxes
            .iter()
            .flat_map(|new| std::fs::read_dir(new).unwrap())
            .map(|file| file.unwrap().path())
            .collect();
        assert_eq!(files.len(), 300);
        let subjects: std::collections::HashSet<_> = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap())
            .map(|text| text.lines().nth(3).unwrap().to_owned())
            .collect();
        assert_eq!(subjects.len(), 300, "a message is there twice");
        assert!(counts.log_writes.load(Ordering::Relaxed) < 300, "commits were not grouped");
    }
}
