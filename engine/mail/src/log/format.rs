//! The start of each line, and the choice of what follows.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Record, json, line, push};
use crate::Time;

/// What lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// `Nov 20 09:00:00 host postfix/smtpd[7]: connect from ...`
    #[default]
    Postfix,
    /// One JSON object each.
    Json,
    /// `<22>Nov 20 09:00:00 postfix/smtpd[7]: connect from ...`, as a program writes to the syslog daemon of its
    /// host (RFC 3164 section 4.1, without the host, which the daemon adds).
    Syslog {
        /// Who it is from, 0 to 23: mail is 2.
        facility: u8,
    },
}

/// Writes records as lines. One for each thread: it remembers the text of the last second.
#[derive(Clone, Debug)]
pub struct Formatter {
    style: Style,
    host: Box<str>,
    name: Box<str>,
    zone: TimeZone,
    decimals_max: u8,
    second: Option<u64>,
    /// The text of `second` and all that never changes after it.
    stamp: Vec<u8>,
}

impl Formatter {
    /// `host` is the machine's name up to its first dot as syslog has it, `name` is `syslog_name`,
    /// `decimals_max` is `delay_logging_resolution_limit`.
    pub fn new(style: Style, host: &str, name: &str, zone: TimeZone, decimals_max: u8) -> Self {
        let host = host.split('.').next().unwrap_or(host).into();
        Self { style, host, name: name.into(), zone, decimals_max, second: None, stamp: Vec::new() }
    }

    /// Appends one line and its line end.
    pub fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        if self.second != Some(record.time.secs()) {
            self.second = Some(record.time.secs());
            self.stamp_second(record.time);
        }
        if let Style::Syslog { facility } = self.style {
            out.push(b'<');
            push::number(out, u64::from(facility) * 8 + record.event.severity() as u64);
            out.push(b'>');
        }
        out.extend_from_slice(&self.stamp);
        match self.style {
            Style::Postfix | Style::Syslog { .. } => {
                push::outside(out, record.name.unwrap_or(&self.name));
                out.push(b'/');
                push::own(out, record.service);
                out.push(b'[');
                push::number(out, record.session);
                push::own(out, "]: ");
                line::push(out, &record.event, &self.zone, self.decimals_max);
            }
            Style::Json => {
                let micros = u64::from(record.time.micros());
                for place in [100_000, 10_000, 1_000, 100, 10, 1] {
                    out.push(b'0' + (micros / place % 10) as u8);
                }
                push::own(out, "Z\",\"host\":");
                json::string(out, &self.host);
                push::own(out, ",\"name\":");
                json::string(out, record.name.unwrap_or(&self.name));
                push::own(out, ",\"service\":");
                json::string(out, record.service);
                push::own(out, ",\"session\":");
                push::number(out, record.session);
                json::push(out, &record.event);
                out.push(b'}');
            }
        }
        out.push(b'\n');
    }

    fn stamp_second(&mut self, time: Time) {
        self.stamp.clear();
        match self.style {
            Style::Postfix => {
                date(&mut self.stamp, time, &self.zone);
                self.stamp.push(b' ');
                push::outside(&mut self.stamp, &self.host);
                self.stamp.push(b' ');
            }
            Style::Json => {
                let utc = timestamp(time).strftime("{\"time\":\"%Y-%m-%dT%H:%M:%S.").to_string();
                push::own(&mut self.stamp, &utc);
            }
            Style::Syslog { .. } => {
                date(&mut self.stamp, time, &self.zone);
                self.stamp.push(b' ');
            }
        }
    }
}

/// Appends `Nov 20 09:00:00`, the day padded with a blank (RFC 3164 section 4.1.2).
pub(super) fn date(out: &mut Vec<u8>, time: Time, zone: &TimeZone) {
    let local = timestamp(time).to_zoned(zone.clone());
    push::own(out, &local.strftime("%b %e %H:%M:%S").to_string());
}

/// Times that no calendar has are printed as the first second of 1970.
fn timestamp(time: Time) -> Timestamp {
    i64::try_from(time.secs()).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default()
}
