//! `perf config`: what a large configuration costs, at the start, at a reload, and for each message.
//!
//! The start and the reloads are of the program, with files in a directory of their own; recipients and
//! checks are of the code that the program runs, in this process.

mod content;
mod place;
mod recipient;
mod reload;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::contender;
use crate::failure::{Doing, Result};
use crate::interrupt::Interrupt;
use crate::results::Output;
use crate::units;
use place::Place;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Starts of the program; the median counts.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Kept sessions that send mail while it is reloaded.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// Messages per second of all of them.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long they send, once without reloads and once with.
    #[arg(long, value_parser = units::duration, default_value = "15s")]
    duration: Duration,
    /// Time between two reloads.
    #[arg(long, value_parser = units::duration, default_value = "200ms")]
    every: Duration,
    /// Where the configuration and the mail are made.
    #[arg(long, default_value = "/var/tmp/perf-config")]
    directory: PathBuf,
    /// The ringpost to measure; the one beside this program by default.
    #[arg(long)]
    ringpost: Option<PathBuf>,
}

/// One figure, and what is wanted of it.
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// No more than this.
    target: Option<f64>,
}

impl Figure {
    fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, target: None }
    }

    /// The value is to be no more than this.
    fn most(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    fn line(&self) -> String {
        let number = |value: f64| match value.fract() == 0.0 {
            true => units::grouped(value),
            false => format!("{value:.2}"),
        };
        let (target, met) = match self.target {
            Some(target) if self.value <= target => (number(target), "met"),
            Some(target) => (number(target), "missed"),
            None => Default::default(),
        };
        let Self { what, value, unit, .. } = self;
        format!("| {what} | {} | {target} | {unit} | {met} |\n", number(*value))
    }
}

/// `perf config`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let interrupt = Interrupt::watch()?;
    let ringpost = contender::ringpost(options.ringpost.as_deref())?;
    let parent = &options.directory;
    std::fs::create_dir_all(parent).doing(|| format!("making {}", parent.display()))?;
    let parent = parent.canonicalize().doing(|| format!("finding {}", parent.display()))?;
    let place = Place::make(parent.join(std::process::id().to_string()))?;
    let mut figures = start::figures(&ringpost, &place, options.starts, &interrupt)?;
    figures.extend(reload::figures(&ringpost, &place, options, &interrupt)?);
    figures.extend(recipient::figures(place.path())?);
    interrupt.check()?;
    figures.extend(content::figures()?);
    let mut text = format!(
        "main.cf of {} lines, {} tables, {} services in master.cf; {} kept sessions and {} messages/s while \
         it is reloaded every {} ms.\n\n| | figure | target | unit | |\n|---|---:|---:|---|---|\n",
        place::LINES,
        place::TABLES,
        place::SERVICES,
        options.sessions,
        options.rate,
        options.every.as_millis(),
    );
    text.extend(figures.iter().map(Figure::line));
    Ok(Output::Markdown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_its_target_is_met() {
        let line = |value| Figure::new("start", value, "ms").most(100.0).line();
        assert_eq!(line(99.5), "| start | 99.50 | 100 | ms | met |\n");
        assert_eq!(line(1000.0), "| start | 1,000 | 100 | ms | missed |\n");
        assert_eq!(Figure::new("x", 0.5, "us").line(), "| x | 0.50 |  | us |  |\n");
    }
}
