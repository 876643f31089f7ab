//! `syslog_facility`.

use super::FromText;
use crate::row::Row;

/// Who log lines are from, for the syslog daemon that sorts them (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility {
    /// 0 to 23.
    pub code: u8,
}

/// The names of `<syslog.h>`.
const NAMES: [(&str, u8); 21] = [
    ("auth", 4),
    ("authpriv", 10),
    ("cron", 9),
    ("daemon", 3),
    ("ftp", 11),
    ("kern", 0),
    ("lpr", 6),
    ("mail", 2),
    ("news", 7),
    ("security", 4),
    ("syslog", 5),
    ("user", 1),
    ("uucp", 8),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl FromText for Facility {
    const KIND: &'static str = "syslog facility";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        match NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some(&(_, code)) => Ok(Self { code }),
            None => Err(NAMES.map(|(name, _)| name).join(" or ")),
        }
    }
}
