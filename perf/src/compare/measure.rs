//! One run: send, wait until all of it is in the Maildirs, verify, and account for the CPU.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::workload::{Sent, SmtpSource, Workload};
use crate::accounting::{Account, Memory, machine, process};
use crate::contender::Contender;
use crate::failure::Result;
use crate::floor::available_cores;
use crate::interrupt::Interrupt;
use crate::load::record::Latency;
use crate::loop_device::LoopDevice;
use crate::mailboxes::Mailboxes;
use crate::server::Server;

/// Mail that stays out for this long is not coming.
const STALLED_MAX: Duration = Duration::from_secs(20);

/// How often the mailboxes are counted while mail is arriving. Counting uses the machine too.
const COUNT_EVERY: Duration = Duration::from_millis(100);

/// How often memory is looked at; reading it costs the kernel work for every process.
const MEMORY_EVERY: Duration = Duration::from_secs(1);

/// What the servers do after the last message: QUITs, log lines, the last queue records.
const SETTLE: Duration = Duration::from_millis(300);

/// One contender under one workload, once.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) contender: Contender,
    pub(crate) workload: Workload,
    pub(crate) run: u32,
    pub(crate) messages: u64,
    pub(crate) accepted_per_second: f64,
    pub(crate) end_to_end_per_second: f64,
    pub(crate) cpu_us_per_message: f64,
    pub(crate) cpu_user_us_per_message: f64,
    pub(crate) cpu_counted_by: &'static str,
    /// All processors' busy time without the server's and this process's: the kernel's threads for
    /// journal and loop device, interrupts, and whoever else was there.
    pub(crate) other_cpu_us_per_message: f64,
    pub(crate) client_cpu_us_per_message: f64,
    /// How busy the machine was just before.
    pub(crate) busy_before: f64,
    pub(crate) flushes_per_message: Option<f64>,
    pub(crate) writes_per_message: Option<f64>,
    pub(crate) kib_written_per_message: Option<f64>,
    pub(crate) peak: Memory,
    pub(crate) end_of_data_to_reply: Option<Latency>,
    pub(crate) files: usize,
    pub(crate) distinct: usize,
    /// Why this row is not to be trusted, if it is not.
    pub(crate) fault: Option<String>,
}

pub(crate) struct Bench<'a> {
    pub(crate) contender: Contender,
    pub(crate) server: &'a Server,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) device: Option<&'a LoopDevice>,
    pub(crate) smtp_source: &'a SmtpSource,
    pub(crate) interrupt: &'a Interrupt,
}

impl Bench<'_> {
    /// A short run that is not counted: processes start, caches fill, mailboxes come to be.
    pub(crate) fn warm_up(&self, workload: Workload, messages: u64) -> Result<()> {
        // Or the mail of the run before would be taken for this.
        self.mailboxes.clear()?;
        self.send(workload, messages)?;
        self.wait_for(messages)?;
        self.mailboxes.clear()
    }

    pub(crate) fn run(&self, workload: Workload, messages: u64, run: u32) -> Result<Row> {
        self.mailboxes.clear()?;
        rustix::fs::sync();
        let busy_before = quietness();

        let cpu_before = self.server.cpu();
        let own_before = own_cpu();
        let busy_start = machine::busy_seconds();
        let device_before = self.device.map(LoopDevice::counts);
        let (started, started_at) = (Instant::now(), SystemTime::now());

        let (sent, peak) = sampled(self.server.account(), || {
            let sent = self.send(workload, messages)?;
            self.wait_for(sent.accepted)?;
            std::thread::sleep(SETTLE);
            Ok(sent)
        })?;

        let cpu = self.server.cpu() - cpu_before;
        let client = own_cpu() - own_before;
        let busy = machine::busy_seconds() - busy_start;
        let device = self.device.map(LoopDevice::counts).zip(device_before).map(|(a, b)| a - b);
        let took = started.elapsed();

        let arrived = self.mailboxes.verify();
        let end_to_end = arrived
            .last
            .and_then(|last| last.duration_since(started_at).ok())
            .map_or(took.as_secs_f64(), |last| last.as_secs_f64().max(sent.seconds));
        let per_message = |seconds: f64| seconds * 1e6 / messages as f64;
        let mut faults: Vec<String> = sent.fault.into_iter().collect();
        if arrived.files as u64 != messages || arrived.distinct != arrived.files {
            faults.push(format!(
                "{} files, {} of them distinct, for {messages} messages",
                arrived.files, arrived.distinct
            ));
        }
        if arrived.unfinished > 0 {
            faults.push(format!("{} files left in tmp/", arrived.unfinished));
        }
        Ok(Row {
            contender: self.contender,
            workload,
            run,
            messages,
            accepted_per_second: sent.accepted as f64 / sent.seconds,
            end_to_end_per_second: arrived.files as f64 / end_to_end,
            cpu_us_per_message: per_message(cpu.total()),
            cpu_user_us_per_message: per_message(cpu.user),
            cpu_counted_by: self.server.account().method(),
            other_cpu_us_per_message: per_message((busy - cpu.total() - client).max(0.0)),
            client_cpu_us_per_message: per_message(client),
            busy_before,
            flushes_per_message: device.map(|d| d.flushes as f64 / messages as f64),
            writes_per_message: device.map(|d| d.writes as f64 / messages as f64),
            kib_written_per_message: device
                .map(|d| d.sectors_written as f64 / 2.0 / messages as f64),
            peak,
            end_of_data_to_reply: sent.end_of_data_to_reply,
            files: arrived.files,
            distinct: arrived.distinct,
            fault: (!faults.is_empty()).then(|| faults.join("; ")),
        })
    }

    fn send(&self, workload: Workload, messages: u64) -> Result<Sent> {
        workload.send(self.server.address, messages, self.smtp_source, self.interrupt)
    }

    /// Waits until so many files are there, or none has come for a while.
    fn wait_for(&self, messages: u64) -> Result<()> {
        let (mut seen, mut moved) = (0, Instant::now());
        loop {
            let count = self.mailboxes.count();
            if count as u64 >= messages || moved.elapsed() > STALLED_MAX {
                return Ok(());
            }
            self.interrupt.check()?;
            if count != seen {
                (seen, moved) = (count, Instant::now());
            }
            std::thread::sleep(COUNT_EVERY);
        }
    }
}

/// CPU seconds of this process, with smtp-source and the like when they have ended.
fn own_cpu() -> f64 {
    process::cpu_with_waited_children(std::process::id()).unwrap_or_default().total()
}

/// The share of the machine that is busy while nothing of ours should be.
fn quietness() -> f64 {
    let (before, started) = (machine::busy_seconds(), Instant::now());
    std::thread::sleep(SETTLE);
    let cores = available_cores().len() as f64;
    (machine::busy_seconds() - before) / started.elapsed().as_secs_f64() / cores
}

/// Does the work while a thread watches the memory of the server; returns the peaks.
fn sampled<T: Send>(account: &Account, work: impl FnOnce() -> Result<T>) -> Result<(T, Memory)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = Memory::default();
            loop {
                let now = account.memory();
                peak.rss_kib = peak.rss_kib.max(now.rss_kib);
                peak.pss_kib = peak.pss_kib.max(now.pss_kib);
                peak.processes = peak.processes.max(now.processes);
                let looked = Instant::now();
                while looked.elapsed() < MEMORY_EVERY {
                    if done.load(Ordering::Relaxed) {
                        return peak;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        let peak = watcher.join().unwrap_or_default();
        result.map(|result| (result, peak))
    })
}
