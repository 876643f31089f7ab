//! Progress of long runs, on standard error and only when a person is looking at it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::pace::Until;

/// How often the bar is drawn and the end is looked for.
const REFRESH: Duration = Duration::from_millis(20);

/// A bar over a known number of steps.
pub(crate) fn steps(label: &str, count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_message(label.to_owned())
}

/// A sign of life for work of unknown length.
pub(crate) fn spinner(label: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(label.into());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows how far a load is until `is_finished`.
pub(crate) fn follow(
    label: &str,
    until: Until,
    started: Instant,
    done: &AtomicU64,
    is_finished: impl Fn() -> bool,
) {
    let total = match until {
        Until::Messages(messages) => messages,
        Until::Elapsed(duration) => duration.as_secs(),
    };
    let bar = steps(label, total);
    let mut drawn = Instant::now();
    while !is_finished() {
        std::thread::sleep(REFRESH);
        if drawn.elapsed() < Duration::from_millis(200) {
            continue;
        }
        drawn = Instant::now();
        bar.set_position(match until {
            Until::Messages(_) => done.load(Ordering::Relaxed),
            Until::Elapsed(_) => started.elapsed().as_secs().min(total),
        });
    }
    bar.finish_and_clear();
}
