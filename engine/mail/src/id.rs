//! Queue ids.
//!
//! An id is the arrival time in microseconds since 2020-01-01, then one byte that names the slice.
//! Printed as upper-case hex (14 digits until 2028, 15 after), it passes every pattern that log
//! tools use for Postfix's short ids, it sorts by arrival, and it never comes back: not after a
//! restart, and not after the queue directory was emptied, which the names of Maildir files rely on.

use std::fmt;
use std::str::FromStr;

use crate::Time;

/// 2020-01-01 00:00 UTC, in microseconds since 1970.
const EPOCH_MICROS: u64 = 1_577_836_800_000_000;

/// Names one message from the moment it is accepted until its last recipient is done with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u64);

impl QueueId {
    /// The id as the queue stores it.
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// The id as the queue stores it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Which slice of the queue holds the message.
    pub const fn slice(self) -> u8 {
        self.0 as u8
    }

    /// When the id was given out, give or take what [`IdSource`] had to add to keep it unique.
    pub const fn time(self) -> Time {
        Time((self.0 >> 8) + EPOCH_MICROS)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012X}", self.0)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was given is not a queue id: 6 to 16 upper-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueIdError;

impl fmt::Display for QueueIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a queue id (6 to 16 upper-case hexadecimal digits)")
    }
}

impl std::error::Error for QueueIdError {}

impl FromStr for QueueId {
    type Err = QueueIdError;

    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        let digits = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if !(6..=16).contains(&text.len()) || !text.bytes().all(digits) {
            return Err(QueueIdError);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| QueueIdError)
    }
}

/// Gives out the ids of one slice, each greater than the last whatever the clock does.
#[derive(Debug)]
pub struct IdSource {
    last_micros: u64,
    slice: u8,
}

impl IdSource {
    /// `last` is the greatest id that the slice is known to have given out.
    pub fn new(slice: u8, last: Option<QueueId>) -> Self {
        Self { last_micros: last.map_or(0, |id| id.0 >> 8), slice }
    }

    /// The id for a message that arrives `now`.
    pub fn next(&mut self, now: Time) -> QueueId {
        let micros = now.0.saturating_sub(EPOCH_MICROS).max(self.last_micros + 1);
        self.last_micros = micros;
        QueueId(micros << 8 | u64::from(self.slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_goes_back() {
        let mut ids = IdSource::new(3, None);
        let now = Time(EPOCH_MICROS + 1_000_000);
        let first = ids.next(now);
        let second = ids.next(Time(now.0 - 500_000));
        assert!(second > first);
        assert_eq!(first.slice(), 3);
        assert_eq!(first.time(), now);
        let after_restart = IdSource::new(3, Some(second)).next(Time(0));
        assert!(after_restart > second);
    }

    #[test]
    fn an_id_reads_back_as_it_was_printed() {
        let id = IdSource::new(7, None).next(Time(EPOCH_MICROS + 218_000_000_000_000));
        assert_eq!(id.to_string().len(), 14);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in
            ["", "ABC", "../../etc/passwd", "0f5383d", "123456789ABCDEF01", "ALL", "+123456"]
        {
            assert_eq!(text.parse::<QueueId>(), Err(QueueIdError), "{text}");
        }
    }
}
