//! `perf steady`: the most one core can do. The server has one processor, the generator another.

use std::time::{Duration, Instant};

use clap::Args;

use crate::failure::{Failure, Result};
use crate::load::{self, Plan};
use crate::progress;
use crate::results::Output;
use crate::runtimes::separate_cores;
use crate::subject::{self, Subject};
use crate::units::grouped;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Parallel sessions, connections kept.
    #[arg(short, long, default_value_t = 200)]
    sessions: usize,
    /// Messages.
    #[arg(short, long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Send MAIL, RCPT and DATA as one group.
    #[arg(short, long)]
    pipelining: bool,
    /// Do not wait for the Maildirs. The floor then delivers nothing; tell ringpost so with
    /// --ringpost-option.
    #[arg(long)]
    queue_only: bool,
    #[command(flatten)]
    subject: subject::Options,
}

/// Mail that stays out for this long is not coming.
const STALLED_MAX: Duration = Duration::from_secs(20);

/// `perf steady`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let Some(core) = separate_cores()? else {
        return Err(Failure::new("this needs two processors, one for the server alone"));
    };
    let mut subject_options = options.subject.clone();
    subject_options.shards.get_or_insert(1);
    let subject = Subject::start(&subject_options, Some(core), options.queue_only)?;
    let plan = |messages| {
        let plan = Plan::standard(subject.address, options.sessions, messages).kept();
        let plan = plan.until(&subject.interrupt);
        if options.pipelining { plan.pipelined() } else { plan }
    };
    let warm_up = (options.messages / 20).max(1);
    load::run(&plan(warm_up), "warming up")?;
    arrival(&subject, warm_up, options.queue_only)?;

    let (started, cpu_before) = (Instant::now(), subject.account().cpu());
    let report = load::run(&plan(options.messages), "sending")?;
    arrival(&subject, warm_up + options.messages, options.queue_only)?;
    let took = started.elapsed().as_secs_f64();
    let cpu = (subject.account().cpu() - cpu_before).total();
    if report.accepted != options.messages {
        return Err(Failure::new(format!("messages were lost: {:?}", report.refusals)));
    }
    let arrived = match subject.mailboxes() {
        Some(mailboxes) if !options.queue_only => {
            let arrived = mailboxes.count() as u64;
            if arrived != warm_up + options.messages {
                return Err(Failure::new(format!(
                    "{arrived} files for {} messages",
                    warm_up + options.messages
                )));
            }
            format!("{}/s into the Maildirs", grouped(options.messages as f64 / took))
        }
        _ => "Maildirs not looked at".to_owned(),
    };
    let text = format!(
        "{} on one core, {} kept sessions{}, {} messages of 4 KiB: **{} accepted/s**, {arrived}; \
         {:.1} us of CPU per message, the core {:.0} % busy; end of data to 250: p50 {} us, p99 {} \
         us. The generator was {:.0} % busy.\n",
        subject.name,
        options.sessions,
        if options.pipelining { ", pipelined" } else { "" },
        grouped(options.messages as f64),
        grouped(report.messages_per_second),
        cpu * 1e6 / options.messages as f64,
        cpu / took * 100.0,
        report.end_of_data_to_reply.p50_us,
        report.end_of_data_to_reply.p99_us,
        report.generator_busy * 100.0,
    );
    subject.stop()?;
    Ok(Output::Markdown(text))
}

/// Waits until so many files are in the Maildirs, or none has come for a while.
fn arrival(subject: &Subject, messages: u64, queue_only: bool) -> Result<()> {
    let Some(mailboxes) = subject.mailboxes().filter(|_| !queue_only) else { return Ok(()) };
    let bar = progress::spinner("waiting for the Maildirs");
    let (mut seen, mut moved) = (0, Instant::now());
    loop {
        let count = mailboxes.count() as u64;
        if count >= messages || moved.elapsed() > STALLED_MAX {
            break;
        }
        subject.interrupt.check()?;
        if count != seen {
            (seen, moved) = (count, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bar.finish_and_clear();
    Ok(())
}
