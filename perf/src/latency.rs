//! `perf latency`: one message at a time on a host that has nothing else to do.
//!
//! Messages come at a fixed, slow rate, so that each finds the server asleep and the disk idle;
//! what it waits for is the commit, not other messages.

use clap::Args;

use crate::failure::{Failure, Result};
use crate::load::record::Latency;
use crate::load::{self, Plan};
use crate::results::Output;
use crate::subject::{self, Subject};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Messages.
    #[arg(short, long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Messages per second; each must be over before the next begins.
    #[arg(short, long, default_value_t = 20.0)]
    rate: f64,
    #[command(flatten)]
    subject: subject::Options,
}

/// Messages before it counts.
const WARM_UP_MESSAGES: u64 = 50;

/// `perf latency`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    if !options.rate.is_finite() || options.rate <= 0.0 {
        return Err(Failure::new("--rate must be more than nothing"));
    }
    let subject = Subject::start(&options.subject, None, false)?;
    let plan = |messages| Plan::standard(subject.address, 1, messages).until(&subject.interrupt);
    load::run(&plan(WARM_UP_MESSAGES).kept(), "warming up")?;
    let mut text = format!(
        "{}, one message of 4 KiB alone, {} per second, microseconds.\n\n\
         | | p50 | p90 | p99 | max |\n|---|---:|---:|---:|---:|\n",
        subject.name, options.rate
    );
    for (style, plan) in [
        ("kept connection", plan(options.messages).kept()),
        ("fresh connection", plan(options.messages)),
    ] {
        let plan = Plan { rate: Some(options.rate), ..plan };
        let report = load::run(&plan, style)?;
        if report.accepted != options.messages {
            return Err(Failure::new(format!("messages were lost: {:?}", report.refusals)));
        }
        text.push_str(&row("end of data to 250", style, report.end_of_data_to_reply));
        text.push_str(&row("whole message", style, report.whole));
    }
    subject.stop()?;
    Ok(Output::Markdown(text))
}

fn row(what: &str, style: &str, latency: Latency) -> String {
    format!(
        "| {what}, {style} | {} | {} | {} | {} |\n",
        latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us
    )
}
