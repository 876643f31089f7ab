//! Mail through kept sessions while the configuration is read again and again.
//!
//! Messages come at a fixed rate, and each is counted from when it was due: a stall is in the figure of every
//! message that should have been sent during it. What a message waits for is the disk more than anything
//! else; one more session says NOOP all the time, and that waits for nothing but the server.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::place::Place;
use super::{Figure, Options};
use crate::failure::{Doing, Failure, Result};
use crate::idle;
use crate::interrupt::Interrupt;
use crate::load::pace::Until;
use crate::load::{self, Plan, Report};
use crate::mailboxes::Mailboxes;
use crate::server::{Counting, Server};

/// By how much a reload may make a session wait longer, in milliseconds.
const STALL_MS: f64 = 10.0;
/// Time between two NOOPs.
const BEAT: Duration = Duration::from_micros(500);
/// Messages before it counts: they make the mailboxes.
const WARM_UP_MESSAGES: u64 = 2_000;
/// How long mail may take from the queue to its mailbox.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// What one round found.
struct Round {
    report: Report,
    /// The longest answer to NOOP, in milliseconds.
    stall_ms: f64,
    asked: u64,
    lost: u64,
}

pub(super) fn figures(
    ringpost: &Path,
    place: &Place,
    options: &Options,
    interrupt: &Interrupt,
) -> Result<Vec<Figure>> {
    let log = place.stderr();
    let server = Server::start(&place.command(ringpost), Counting::Tree, None, Some(&log))?;
    let mailboxes = Mailboxes::of(place.path());
    let plan = Plan::standard(server.address, options.sessions.max(1), WARM_UP_MESSAGES);
    let plan = plan.kept().until(interrupt);
    load::run(&plan, "warming up")?;
    wait_for(&mailboxes, WARM_UP_MESSAGES)?;
    let plan = Plan { until: Until::Elapsed(options.duration), rate: Some(options.rate), ..plan };
    let calm = round(&server, &mailboxes, &plan, None)?;
    let reloaded = round(&server, &mailboxes, &plan, Some(options.every))?;
    server.stop()?;
    let text = std::fs::read_to_string(&log).doing(|| format!("reading {}", log.display()))?;
    let done = text.lines().filter(|line| line.contains("reload -- version")).count();
    if done == 0 {
        return Err(Failure::new(format!("no reload of {} was done", reloaded.asked)));
    }
    let ms = |us: u64| us as f64 / 1e3;
    let errors = |it: &Report| {
        it.refused_later
            + it.refused_forever
            + it.unanswered
            + it.connect_failures
            + it.sessions_broken
    };
    Ok(vec![
        Figure::new(format!("reloads done, of {} asked for", reloaded.asked), done as f64, ""),
        Figure::new("messages accepted meanwhile", reloaded.report.accepted as f64, ""),
        Figure::new("of them lost", reloaded.lost as f64, "").most(0.0),
        Figure::new("refusals and broken sessions", errors(&reloaded.report) as f64, "").most(0.0),
        Figure::new("longest answer to NOOP, no reloads", calm.stall_ms, "ms"),
        Figure::new("longest answer to NOOP, reloads", reloaded.stall_ms, "ms").most(STALL_MS),
        Figure::new("slowest message, no reloads", ms(calm.report.whole.max_us), "ms"),
        Figure::new("slowest message, reloads", ms(reloaded.report.whole.max_us), "ms")
            .most(ms(calm.report.whole.max_us) + STALL_MS),
        Figure::new("message p99, no reloads", ms(calm.report.whole.p99_us), "ms"),
        Figure::new("message p99, reloads", ms(reloaded.report.whole.p99_us), "ms"),
    ])
}

/// Sends the mail of one round, with reloads or without, and sees it arrive.
fn round(
    server: &Server,
    mailboxes: &Mailboxes,
    plan: &Plan,
    every: Option<Duration>,
) -> Result<Round> {
    mailboxes.clear()?;
    let mut session = idle::open_one(plan.target, 0, 1).doing(|| "opening the session of NOOPs")?;
    let over = AtomicBool::new(false);
    let (report, stall_ms, asked) = thread::scope(|scope| {
        let over = &over;
        let beats = scope.spawn(move || {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                if !idle::answers_noop(&mut session) {
                    return Err(Failure::new("the session of NOOPs has ended"));
                }
                longest = longest.max(begun.elapsed());
                thread::sleep(BEAT);
            }
            Ok(longest.as_secs_f64() * 1e3)
        });
        let reloads = scope.spawn(move || {
            let mut asked = 0;
            while let Some(every) = every {
                thread::sleep(every);
                if over.load(Ordering::Relaxed) {
                    break;
                }
                server.reload()?;
                asked += 1;
            }
            Ok::<u64, Failure>(asked)
        });
        let report = load::run(plan, if every.is_some() { "reloading" } else { "sending" });
        over.store(true, Ordering::Relaxed);
        let panicked = || Failure::new("a thread of the measurement has panicked");
        let stall_ms = beats.join().map_err(|_| panicked())??;
        let asked = reloads.join().map_err(|_| panicked())??;
        Ok::<_, Failure>((report?, stall_ms, asked))
    })?;
    wait_for(mailboxes, report.accepted)?;
    let lost = report.accepted.saturating_sub(mailboxes.verify().distinct as u64);
    Ok(Round { report, stall_ms, asked, lost })
}

/// Waits for so many messages, and no longer than mail may take: what is missing then is lost.
fn wait_for(mailboxes: &Mailboxes, messages: u64) -> Result<()> {
    let begun = Instant::now();
    while (mailboxes.count() as u64) < messages && begun.elapsed() < ARRIVAL_MAX {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
