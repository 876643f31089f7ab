//! When the next message starts.
//!
//! Closed loop: as soon as a session is free; the server sets the pace, and a slow answer makes
//! fewer questions. Open loop: message `k` is due at `k / rate`, whether or not a session is free
//! for it; the latency is counted from that moment, so a server that stalls for a second is
//! charged for every message that should have been sent in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Messages(u64),
    Elapsed(Duration),
}

/// What a free session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Start { number: u64, intended: Instant },
    NotYet,
    Over,
}

/// One thread's view of the pace.
#[derive(Debug)]
pub(crate) enum Pace<'a> {
    Closed {
        issued: &'a AtomicU64,
        started: Instant,
        until: Until,
    },
    /// The messages `next`, `next + threads`, ... of a run at `rate` per second.
    Open {
        next: u64,
        threads: u64,
        rate: f64,
        started: Instant,
        until: Until,
    },
}

impl Pace<'_> {
    pub(crate) fn next(&mut self, now: Instant) -> Turn {
        match self {
            Self::Closed { issued, started, until } => match until {
                Until::Messages(messages) => {
                    let number = issued.fetch_add(1, Ordering::Relaxed);
                    if number < *messages {
                        Turn::Start { number, intended: now }
                    } else {
                        Turn::Over
                    }
                }
                Until::Elapsed(duration) => {
                    if now.saturating_duration_since(*started) < *duration {
                        let number = issued.fetch_add(1, Ordering::Relaxed);
                        Turn::Start { number, intended: now }
                    } else {
                        Turn::Over
                    }
                }
            },
            Self::Open { next, threads, rate, started, until } => {
                let due = Duration::from_secs_f64(*next as f64 / *rate);
                if finished(*until, *next, due) {
                    return Turn::Over;
                }
                let intended = *started + due;
                if intended > now {
                    return Turn::NotYet;
                }
                let number = *next;
                *next += *threads;
                Turn::Start { number, intended }
            }
        }
    }

    /// No message will start any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Closed { issued, started, until } => match until {
                Until::Messages(messages) => issued.load(Ordering::Relaxed) >= *messages,
                Until::Elapsed(duration) => now.saturating_duration_since(*started) >= *duration,
            },
            Self::Open { next, rate, until, .. } => {
                finished(*until, *next, Duration::from_secs_f64(*next as f64 / *rate))
            }
        }
    }

    /// How long until a message falls due.
    pub(crate) fn until_next(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Closed { .. } => Some(Duration::ZERO),
            Self::Open { next, rate, started, .. } => {
                let due = *started + Duration::from_secs_f64(*next as f64 / *rate);
                Some(due.saturating_duration_since(now))
            }
        }
    }
}

fn finished(until: Until, number: u64, due: Duration) -> bool {
    match until {
        Until::Messages(messages) => number >= messages,
        Until::Elapsed(duration) => due >= duration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_charges_a_late_start_to_the_server() {
        let started = Instant::now();
        let until = Until::Messages(3);
        let mut pace = Pace::Open { next: 0, threads: 1, rate: 10.0, started, until };
        assert_eq!(pace.next(started), Turn::Start { number: 0, intended: started });
        assert_eq!(pace.next(started + Duration::from_millis(99)), Turn::NotYet);
        // Nobody was free for a second: the intended starts stay where they were.
        let late = started + Duration::from_secs(1);
        let intended = started + Duration::from_millis(100);
        assert_eq!(pace.next(late), Turn::Start { number: 1, intended });
        let intended = started + Duration::from_millis(200);
        assert_eq!(pace.next(late), Turn::Start { number: 2, intended });
        assert_eq!(pace.next(late), Turn::Over);
        assert!(pace.is_over(late));
    }

    #[test]
    fn threads_of_an_open_loop_share_the_messages_without_overlap() {
        let started = Instant::now();
        let late = started + Duration::from_secs(60);
        let mut numbers = Vec::new();
        for thread in 0..3 {
            let until = Until::Elapsed(Duration::from_secs(1));
            let mut pace = Pace::Open { next: thread, threads: 3, rate: 10.0, started, until };
            while let Turn::Start { number, .. } = pace.next(late) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_closed_loop_issues_exactly_the_planned_messages() {
        let issued = AtomicU64::new(0);
        let started = Instant::now();
        let until = Until::Messages(2);
        let mut pace = Pace::Closed { issued: &issued, started, until };
        assert_eq!(pace.next(started), Turn::Start { number: 0, intended: started });
        assert!(!pace.is_over(started));
        assert_eq!(pace.next(started), Turn::Start { number: 1, intended: started });
        assert_eq!(pace.next(started), Turn::Over);
    }
}
