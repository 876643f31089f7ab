//! When the open batch is written.
//!
//! The log clocks itself: while one batch is being written the next one fills. But a write takes a tenth
//! of a millisecond, in which few of a hundred sessions get to their end of data, and each would pay
//! for a write almost of its own. So a batch waits for company where company is to be expected (as
//! PostgreSQL's `commit_siblings` does), and only there: a message that is alone is written at once.

use std::time::Duration;

/// Fewer open transactions than this are not worth waiting for.
pub const SIBLINGS_MIN: u32 = 5;
/// How long a finished message waits for others at most: sessions may be open and silent.
pub const GROUP_DELAY: Duration = Duration::from_millis(2);
/// How long a record waits that nobody waits for (a delivery's outcome): if it is lost in a crash, the
/// delivery is tried again, and the agent finds it done.
pub const LAZY_DELAY: Duration = Duration::from_millis(20);

/// What there is to decide by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Messages in the batch whose sessions wait for it.
    pub waiting: u32,
    /// Transactions between MAIL and the end of data: they may join.
    pub open: u32,
    /// How long the first one has been waiting; where none is, how long the oldest record has.
    pub age: Duration,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Write it now.
    Write,
    /// Ask again after this time, or when something changes.
    Wait(Duration),
}

/// Decides about a batch that holds at least one record.
pub(crate) fn decide(group: Group) -> Decision {
    let limit = if group.waiting == 0 { LAZY_DELAY } else { GROUP_DELAY };
    // Half of those who could have joined have: the rest will have the next batch for themselves.
    let enough = group.waiting > 0 && (group.open < SIBLINGS_MIN || group.waiting >= group.open);
    if enough || group.age >= limit { Decision::Write } else { Decision::Wait(limit - group.age) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(waiting: u32, open: u32) -> bool {
        decide(Group { waiting, open, age: Duration::ZERO }) == Decision::Write
    }

    #[test]
    fn a_message_alone_is_written_at_once() {
        assert!(at_once(1, 0));
        assert!(at_once(1, SIBLINGS_MIN - 1));
    }

    #[test]
    fn among_many_it_waits_until_half_have_joined() {
        assert!(!at_once(1, 99));
        assert!(!at_once(49, 51));
        assert!(at_once(50, 50));
        assert!(at_once(80, 20));
    }

    #[test]
    fn silent_sessions_delay_nobody_for_longer_than_the_limit() {
        let mut group = Group { waiting: 1, open: 1000, age: Duration::from_micros(1500) };
        assert_eq!(decide(group), Decision::Wait(Duration::from_micros(500)));
        group.age = GROUP_DELAY;
        assert_eq!(decide(group), Decision::Write);
    }

    #[test]
    fn outcomes_wait_for_a_message_to_share_the_write_with_but_not_for_long() {
        let group = Group { waiting: 0, open: 0, age: Duration::ZERO };
        assert_eq!(decide(group), Decision::Wait(LAZY_DELAY));
        assert_eq!(decide(Group { age: LAZY_DELAY, ..group }), Decision::Write);
    }
}
