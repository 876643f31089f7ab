//! `perf load`: an SMTP load generator.
//!
//! Closed loop (every session sends its next message when the last one is answered) or open loop
//! (a fixed rate, latencies from the intended start). It counts what the server answered, never
//! what it hoped for, and prints its own CPU use beside the server's figures: a generator that is
//! the bottleneck must say so.

pub(crate) mod dialogue;
pub(crate) mod engine;
pub(crate) mod message;
pub(crate) mod pace;
pub(crate) mod record;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use self::engine::{Engine, Shared};
use self::message::{Recipients, Sizes};
use self::pace::{Pace, Until};
use self::record::{Latency, Record};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt::Interrupt;
use crate::{progress, units};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The server.
    #[arg(default_value = "127.0.0.1:2525")]
    target: SocketAddr,
    /// Parallel sessions.
    #[arg(short, long, default_value_t = 20)]
    sessions: usize,
    /// Messages to send.
    #[arg(short, long, default_value_t = 10_000, conflicts_with = "duration")]
    messages: u64,
    /// Send for this long instead (30s, 5m).
    #[arg(short, long, value_parser = units::duration)]
    duration: Option<Duration>,
    /// Open loop: messages per second, latencies from the intended start.
    #[arg(short, long)]
    rate: Option<f64>,
    /// Messages sent before anything is counted.
    #[arg(long, default_value_t = 0)]
    warmup: u64,
    /// Message size with header: 4k, 1k..64k (every order of magnitude alike), 4k:80,64k:19,1m:1.
    #[arg(short = 'l', long, default_value = "4k")]
    size: Sizes,
    /// Recipients per message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    recipients: u32,
    /// Recipient addresses; {n} counts through the mailboxes.
    #[arg(short = 't', long, default_value = "u{n}@test.example")]
    to: String,
    /// How many mailboxes {n} counts through.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    mailboxes: u64,
    /// Keep the connection for the next message; the default is a fresh one for every message.
    #[arg(short, long)]
    keep: bool,
    /// With --keep: reconnect after this many messages.
    #[arg(long, requires = "keep", value_parser = clap::value_parser!(u64).range(1..))]
    messages_per_connection: Option<u64>,
    /// Send MAIL, RCPT and DATA as one group (RFC 2920).
    #[arg(short, long)]
    pipelining: bool,
    /// Generator threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Loopback source addresses (127.0.0.1 and up) to connect from.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=250))]
    source_addresses: u32,
    /// Write the result as JSON to this file (- is standard output, without the table).
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A load, without the command line it came from: `compare` and the others build it themselves.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) sessions: usize,
    pub(crate) until: Until,
    pub(crate) rate: Option<f64>,
    pub(crate) sizes: Sizes,
    pub(crate) recipients_per_message: u32,
    pub(crate) recipients: Recipients,
    pub(crate) messages_per_connection: u64,
    pub(crate) pipelining: bool,
    pub(crate) threads: usize,
    pub(crate) source_addresses: u32,
    /// Ends the run early, as a failure.
    pub(crate) interrupt: Interrupt,
}

impl Plan {
    /// 4 KiB to 1,000 mailboxes, closed loop, lock-step: what every comparison sends.
    pub(crate) fn standard(target: SocketAddr, sessions: usize, messages: u64) -> Self {
        Self {
            target,
            sessions,
            until: Until::Messages(messages),
            rate: None,
            sizes: Sizes::Fixed(4096),
            recipients_per_message: 1,
            recipients: Recipients::new("u{n}@test.example", 1000),
            messages_per_connection: 1,
            pipelining: false,
            threads: 1,
            source_addresses: 1,
            interrupt: Interrupt::default(),
        }
    }

    pub(crate) fn until(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    pub(crate) fn kept(mut self) -> Self {
        self.messages_per_connection = u64::MAX;
        self
    }

    pub(crate) fn pipelined(mut self) -> Self {
        self.pipelining = true;
        self
    }

    fn source(&self, session: usize) -> Option<Ipv4Addr> {
        source_address(session, self.source_addresses)
    }
}

/// A loopback address for session `session` when connections come from `count` addresses: one
/// address has some 28,000 ports for one server.
pub(crate) fn source_address(session: usize, count: u32) -> Option<Ipv4Addr> {
    if count <= 1 {
        return None;
    }
    Some(Ipv4Addr::from(0x7f00_0001 + (session as u32) % count))
}

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) sessions: usize,
    pub(crate) rate_wanted: Option<f64>,
    pub(crate) fresh_connections: bool,
    pub(crate) pipelining: bool,
    pub(crate) seconds: f64,
    pub(crate) accepted: u64,
    pub(crate) messages_per_second: f64,
    pub(crate) recipients_accepted: u64,
    pub(crate) content_mib_per_second: f64,
    pub(crate) refused_later: u64,
    pub(crate) refused_forever: u64,
    pub(crate) unanswered: u64,
    pub(crate) connections: u64,
    pub(crate) connect_failures: u64,
    pub(crate) sessions_broken: u64,
    /// The first kinds of refusals and faults, with their counts.
    pub(crate) refusals: Vec<(String, u64)>,
    pub(crate) connect_to_banner: Latency,
    pub(crate) end_of_data_to_reply: Latency,
    pub(crate) whole: Latency,
    pub(crate) generator_cpu_us_per_message: f64,
    /// CPU of the busiest generator thread over the time of the run: near 1, the generator was
    /// the limit.
    pub(crate) generator_busy: f64,
}

impl Report {
    pub(crate) fn lost(&self) -> u64 {
        self.refused_later + self.refused_forever + self.unanswered
    }

    fn print(&self) {
        println!(
            "{} accepted in {:.3} s: {} messages/s, {} recipients, {:.1} MiB/s of content",
            units::grouped(self.accepted as f64),
            self.seconds,
            units::grouped(self.messages_per_second),
            units::grouped(self.recipients_accepted as f64),
            self.content_mib_per_second,
        );
        println!(
            "{} connections ({} failed), {} sessions broken, {} refused for now, {} for good, {} unanswered",
            self.connections,
            self.connect_failures,
            self.sessions_broken,
            self.refused_later,
            self.refused_forever,
            self.unanswered,
        );
        for (text, count) in &self.refusals {
            println!("  {count:>8} x {text}");
        }
        println!(
            "\n{:<24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "latency, us", "count", "mean", "p50", "p90", "p99", "p99.9", "max"
        );
        for (name, latency) in [
            ("connect to banner", self.connect_to_banner),
            ("end of data to 250", self.end_of_data_to_reply),
            ("whole message", self.whole),
        ] {
            println!(
                "{name:<24} {:>9} {:>9.0} {:>9} {:>9} {:>9} {:>9} {:>9}",
                latency.count,
                latency.mean_us,
                latency.p50_us,
                latency.p90_us,
                latency.p99_us,
                latency.p999_us,
                latency.max_us,
            );
        }
        println!(
            "\ngenerator: {:.1} us of CPU per message, its busiest thread {:.0} % busy",
            self.generator_cpu_us_per_message,
            self.generator_busy * 100.0,
        );
        if self.generator_busy > 0.95 {
            println!(
                "the generator was the limit: more --threads, or read the server's CPU instead"
            );
        }
    }
}

/// `perf load`.
pub(crate) fn main(options: &Options) -> Result<()> {
    let plan = Plan {
        target: options.target,
        sessions: options.sessions.max(1),
        until: options.duration.map_or(Until::Messages(options.messages), Until::Elapsed),
        rate: options.rate,
        sizes: options.size.clone(),
        recipients_per_message: options.recipients,
        recipients: Recipients::new(&options.to, options.mailboxes),
        messages_per_connection: match (options.keep, options.messages_per_connection) {
            (false, _) => 1,
            (true, limit) => limit.unwrap_or(u64::MAX),
        },
        pipelining: options.pipelining,
        threads: options.threads.max(1),
        source_addresses: options.source_addresses,
        interrupt: Interrupt::default(),
    };
    if plan.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        return Err(Failure::new("--rate must be more than nothing"));
    }
    if options.warmup > 0 {
        let until = Until::Messages(options.warmup);
        run(&Plan { until, rate: None, ..plan.clone() }, "warming up")?;
    }
    let report = run(&plan, "sending")?;
    let to_stdout = options.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if !to_stdout {
        report.print();
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report).doing(|| "writing the result as JSON")?;
        if to_stdout {
            println!("{json}");
        } else {
            std::fs::write(path, json + "\n").doing(|| format!("writing {}", path.display()))?;
        }
    }
    if report.accepted == 0 {
        return Err(Failure::new(format!("{} accepted no message", plan.target)));
    }
    Ok(())
}

/// Sends the load and waits for the last answer.
pub(crate) fn run(plan: &Plan, label: &str) -> Result<Report> {
    let shared = Shared::default();
    let threads = plan.threads.min(plan.sessions).max(1);
    // A few milliseconds ahead, so that every thread starts an open loop from the same moment.
    let started = Instant::now() + Duration::from_millis(2);
    let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let finished = AtomicU64::new(0);
    let results: Vec<Result<(engine::Outcome, f64)>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (shared, finished) = (&shared, &finished);
                scope.spawn(move || {
                    let sessions = share(plan.sessions, threads, thread);
                    let pace = pace(plan, shared, started, threads, thread);
                    std::thread::sleep(started.saturating_duration_since(Instant::now()));
                    let result = Engine::new(plan, shared, pace, sessions, run)
                        .and_then(Engine::run)
                        .map(|outcome| (outcome, thread_cpu_seconds()));
                    finished.fetch_add(1, Ordering::Release);
                    result
                })
            })
            .collect();
        progress::follow(label, plan.until, started, &shared.done, || {
            if plan.interrupt.check().is_err() {
                shared.stop.store(true, Ordering::Relaxed);
            }
            finished.load(Ordering::Acquire) == threads as u64
        });
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Failure::new("a generator thread panicked")))
            })
            .collect()
    });

    plan.interrupt.check()?;
    let mut record = Record::new();
    let (mut last_answer, mut cpu, mut busiest) = (started, 0.0, 0.0f64);
    for result in results {
        let (outcome, thread_cpu) = result?;
        record.merge(&outcome.record);
        last_answer = last_answer.max(outcome.last_answer);
        cpu += thread_cpu;
        busiest = busiest.max(thread_cpu);
    }
    Ok(report(plan, &record, last_answer - started, cpu, busiest))
}

fn report(plan: &Plan, record: &Record, took: Duration, cpu: f64, busiest: f64) -> Report {
    let seconds = took.as_secs_f64().max(1e-6);
    Report {
        sessions: plan.sessions,
        rate_wanted: plan.rate,
        fresh_connections: plan.messages_per_connection == 1,
        pipelining: plan.pipelining,
        seconds,
        accepted: record.accepted,
        messages_per_second: record.accepted as f64 / seconds,
        recipients_accepted: record.recipients_accepted,
        content_mib_per_second: record.content_bytes as f64 / seconds / f64::from(1 << 20),
        refused_later: record.refused_later,
        refused_forever: record.refused_forever,
        unanswered: record.unanswered,
        connections: record.connections,
        connect_failures: record.connect_failures,
        sessions_broken: record.sessions_broken,
        refusals: record.refusals.iter().map(|(text, count)| (text.clone(), *count)).collect(),
        connect_to_banner: Latency::from(&record.banner),
        end_of_data_to_reply: Latency::from(&record.commit),
        whole: Latency::from(&record.whole),
        generator_cpu_us_per_message: cpu * 1e6 / record.messages().max(1) as f64,
        generator_busy: busiest / seconds,
    }
}

fn pace<'a>(
    plan: &Plan,
    shared: &'a Shared,
    started: Instant,
    threads: usize,
    thread: usize,
) -> Pace<'a> {
    match plan.rate {
        None => Pace::Closed { issued: &shared.issued, started, until: plan.until },
        Some(rate) => Pace::Open {
            next: thread as u64,
            threads: threads as u64,
            rate,
            started,
            until: plan.until,
        },
    }
}

/// How many of `total` sessions thread `thread` of `threads` has.
fn share(total: usize, threads: usize, thread: usize) -> usize {
    total / threads + usize::from(thread < total % threads)
}

/// CPU time of the calling thread so far.
fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink;

    #[test]
    fn sessions_are_shared_out_completely() {
        let shares: Vec<_> = (0..3).map(|thread| share(20, 3, thread)).collect();
        assert_eq!(shares, [7, 7, 6]);
    }

    #[test]
    fn every_message_of_a_run_is_answered_and_counted_once() {
        for kept in [false, true] {
            for pipelined in [false, true] {
                let sink = sink::in_background(sink::Answers::default()).unwrap();
                let mut plan = Plan::standard(sink.address, 5, 200);
                if kept {
                    plan = plan.kept();
                }
                plan.pipelining = pipelined;
                plan.threads = 2;
                let report = run(&plan, "test").unwrap();
                assert_eq!(report.accepted, 200, "kept {kept}, pipelined {pipelined}");
                assert_eq!(report.lost(), 0);
                assert_eq!(report.whole.count, 200);
                assert_eq!(report.connections, if kept { 5 } else { 200 });
                assert_eq!(sink.counts.messages(), 200);
            }
        }
    }

    #[test]
    fn an_open_loop_sends_what_the_rate_asks_for() {
        let sink = sink::in_background(sink::Answers::default()).unwrap();
        let mut plan = Plan::standard(sink.address, 4, 50);
        plan.rate = Some(500.0);
        let report = run(&plan, "test").unwrap();
        assert_eq!(report.accepted, 50);
        // The last message is due 98 ms after the first, however fast the server is.
        assert!(report.seconds >= 0.098, "{} s", report.seconds);
    }

    #[test]
    fn refusals_are_reported_with_their_text() {
        let answers = sink::Answers { refused_forever: 1.0, ..sink::Answers::default() };
        let sink = sink::in_background(answers).unwrap();
        let report = run(&Plan::standard(sink.address, 2, 10).kept(), "test").unwrap();
        assert_eq!((report.accepted, report.refused_forever), (0, 10));
        assert_eq!(report.refusals.len(), 1);
    }

    #[test]
    fn a_server_that_is_not_there_ends_the_run_with_its_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        let failure = run(&Plan::standard(nobody, 2, 1_000_000), "test").unwrap_err();
        assert!(failure.to_string().contains(&nobody.to_string()), "{failure}");
    }

    #[test]
    fn large_messages_arrive_whole_through_full_socket_buffers() {
        let sink = sink::in_background(sink::Answers::default()).unwrap();
        let mut plan = Plan::standard(sink.address, 2, 6).kept();
        plan.sizes = Sizes::Fixed(8 << 20);
        let report = run(&plan, "test").unwrap();
        assert_eq!(report.accepted, 6);
        assert!(sink.counts.bytes() >= 6 * (8 << 20) - 64);
    }
}
