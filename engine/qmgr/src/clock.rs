//! A clock that is set wrong, or set right, must not cost anyone mail.
//!
//! Lifetimes are measured from the arrival that the queue has stored, so a clock that jumps ahead
//! would give up mail long before its time. The scheduler is polled at the latest every queue run;
//! a longer silence is taken for a jump, and the time jumped over ages no mail. (A host that slept
//! looks the same: its mail is then tried longer, which is no harm.)

use std::time::Duration;

use mail::Time;

/// Jumps remembered; older ones are merged in the direction that keeps mail longer.
const JUMPS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<Time>,
    /// In order and apart: a jump begins at the last reading, and no jump ends after that.
    jumps: Vec<Jump>,
}

/// A span that the clock showed as past without living through it.
#[derive(Debug)]
struct Jump {
    from: Time,
    to: Time,
}

/// What a reading of the clock tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Onward,
    /// It shows less than it did: what was set to happen later may now lie too far away.
    Back,
}

impl Clock {
    /// Takes a reading; more than `gap_max` since the last one is a jump.
    pub(crate) fn read(&mut self, now: Time, gap_max: Duration) -> Reading {
        let Some(last) = self.last.replace(now) else {
            return Reading::Onward;
        };
        if now < last {
            // What lies ahead again will be lived through after all.
            for jump in &mut self.jumps {
                jump.to = jump.to.min(now);
            }
            self.jumps.retain(|jump| jump.from < jump.to);
            return Reading::Back;
        }
        if now.since(last) > gap_max {
            if self.jumps.len() == JUMPS_MAX {
                let oldest = self.jumps.remove(0);
                self.jumps[0].from = oldest.from;
            }
            self.jumps.push(Jump { from: last, to: now });
        }
        Reading::Onward
    }

    /// How long a message has been here.
    pub(crate) fn age(&self, arrival: Time, now: Time) -> Duration {
        let jumped = self.jumps.iter().map(|jump| jump.to.since(jump.from.max(arrival)));
        now.since(arrival).saturating_sub(jumped.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(360);

    fn clock(readings: &[u64]) -> Clock {
        let mut clock = Clock::default();
        for &secs in readings {
            clock.read(Time::from_secs(secs), GAP);
        }
        clock
    }

    #[test]
    fn mail_does_not_age_by_a_jump_and_mail_after_it_ages_as_ever() {
        let clock = clock(&[1_000, 1_300, 90_000, 90_300]);
        let age =
            |arrival, now| clock.age(Time::from_secs(arrival), Time::from_secs(now)).as_secs();
        assert_eq!(age(1_000, 90_300), 600);
        assert_eq!(age(90_000, 90_300), 300);
    }

    #[test]
    fn a_jump_that_is_taken_back_is_forgotten() {
        let clock = clock(&[1_000, 90_000, 1_100, 1_400, 1_700]);
        let age = clock.age(Time::from_secs(1_000), Time::from_secs(1_700));
        assert_eq!(age.as_secs(), 600, "one hundred seconds passed unseen, the rest was seen");
    }

    #[test]
    fn mail_that_came_before_the_clock_was_set_back_does_not_age_by_the_jump_onward() {
        let clock = clock(&[100_000, 20_000, 200_000, 200_300]);
        let age = clock.age(Time::from_secs(100_000), Time::from_secs(200_300));
        assert_eq!(age.as_secs(), 300);
    }

    #[test]
    fn a_clock_that_keeps_jumping_takes_no_more_memory_and_ages_nothing() {
        let readings: Vec<u64> = (0..1_000).map(|n| n * 100_000).collect();
        let clock = clock(&readings);
        assert!(clock.jumps.len() <= JUMPS_MAX);
        assert_eq!(clock.age(Time(0), Time::from_secs(99_900_000)), Duration::ZERO);
    }
}
