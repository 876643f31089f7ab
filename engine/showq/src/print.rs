//! What the listings have in common.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::{Address, Time};

/// The part of the queue that a message is in, by the name that Postfix has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// New, and not yet active.
    Incoming,
    /// Being delivered.
    Active,
    /// Waiting for its next attempt.
    Deferred,
    /// Waiting for someone to release it.
    Hold,
    /// Damaged.
    Corrupt,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Corrupt => "corrupt",
        })
    }
}

/// What the configuration and the environment decide about a listing.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The reader's time zone.
    pub time_zone: &'a TimeZone,
    /// `empty_address_recipient`: what stands for the sender `<>`.
    pub null_sender: &'a str,
}

impl<'a> Names<'a> {
    pub(crate) fn sender(&self, sender: Option<&'a Address>) -> &'a str {
        sender.map_or(self.null_sender, Address::as_str)
    }

    /// A time as asctime(3) gives it, less the year: `Mon Oct  3 15:29:39`.
    pub(crate) fn day_and_time(&self, time: Time) -> String {
        self.time(time, "%a %b %e %H:%M:%S")
    }

    /// A time as asctime(3) gives it: `Mon Oct  3 15:29:39 2025`.
    pub(crate) fn full_time(&self, time: Time) -> String {
        self.time(time, "%a %b %e %H:%M:%S %Y")
    }

    fn time(&self, time: Time, format: &str) -> String {
        // A time that no calendar knows comes from a damaged record; the listing goes on.
        i64::try_from(time.secs())
            .ok()
            .and_then(|secs| Timestamp::from_second(secs).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned(self.time_zone.clone())
            .strftime(format)
            .to_string()
    }
}

/// Text from elsewhere, with `?` for what could move the reader's cursor or start another line.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(char::is_control) {
            f.write_str(&rest[..at])?;
            f.write_str("?")?;
            let width = rest[at..].chars().next().map_or(1, char::len_utf8);
            rest = &rest[at + width..];
        }
        f.write_str(rest)
    }
}
