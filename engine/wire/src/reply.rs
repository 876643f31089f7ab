//! Replies: how they are written, and what a refusal is made of.

use std::fmt::{self, Write as _};
use std::time::Duration;

use mail::Status;

use crate::note::Note;

/// A reply other than success that somebody else decided on: access tables, the queue, cleanup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 4xx or 5xx (RFC 5321 section 4.2.1); 421 and 521 end the session.
    pub code: u16,
    /// RFC 3463; its class is that of `code`.
    pub status: Status,
    /// `<user@example.com>: Relay access denied`. Control characters are replaced when it is sent.
    pub text: Box<str>,
    /// Whoever decided has logged it in words of their own: there is no `reject:` line about it.
    pub logged: bool,
}

impl Refusal {
    /// A refusal from its three parts.
    pub fn new(code: u16, status: Status, text: impl Into<Box<str>>) -> Self {
        Self { code, status, text: text.into(), logged: false }
    }

    /// 450 4.7.1: a client does something too often, as the log has said.
    pub fn too_often(text: impl Into<Box<str>>) -> Self {
        Self { logged: true, ..Self::new(450, Status(4, 7, 1), text) }
    }

    /// 451 4.3.0: a table could not be asked. `about` is the address or name in question.
    pub fn unavailable(about: &str) -> Self {
        Self::new(451, Status(4, 3, 0), format!("<{about}>: Temporary lookup failure"))
    }

    /// 452 4.3.1: the queue has no room.
    pub fn no_space() -> Self {
        Self::new(452, Status(4, 3, 1), "Insufficient system storage")
    }

    /// 451 4.3.0: the message could not be made durable.
    pub fn not_queued() -> Self {
        Self::new(451, Status(4, 3, 0), "Error: queue file write error")
    }

    /// 554 5.4.6: `hopcount_limit` was reached.
    pub fn too_many_hops() -> Self {
        Self::new(554, Status(5, 4, 6), "Error: too many hops")
    }

    pub(crate) fn message_too_big() -> Self {
        Self::new(552, Status(5, 3, 4), "Error: message file too big")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.status, self.text)
    }
}

/// The answer to a question about an address, a client or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Accept,
    /// Say this instead.
    Refuse(Refusal),
    /// Nobody knows: a table did not answer. The client is told to come back.
    Unavailable,
}

/// What one or more steps want done: bytes to send, lines to log, time to wait.
///
/// The shell keeps one for the session and flushes it when it has no further complete line, or has
/// to wait: so a pipelined group of commands is answered with one send (RFC 2920 section 3.2).
#[derive(Debug, Default)]
pub struct Turn {
    /// To be sent.
    pub replies: Vec<u8>,
    /// To be logged.
    pub notes: Vec<Note>,
    /// To be waited before `replies` are sent and the next line is read: `smtpd_error_sleep_time`,
    /// for a client past `smtpd_soft_error_limit`.
    pub pause: Option<Duration>,
    /// Applied to every reply.
    soft_bounce: bool,
    /// The last step said 421 or 521.
    pub(crate) hangs_up: bool,
}

impl Turn {
    /// At the start of every step.
    pub(crate) fn begin(&mut self, soft_bounce: bool) {
        self.soft_bounce = soft_bounce;
        self.hangs_up = false;
    }

    /// Has a warning logged.
    pub(crate) fn warn(&mut self, text: String) {
        self.notes.push(Note::Warning(text.into()));
    }

    /// Appends one line. 421 and 521 are the last words of a session (RFC 5321 section 3.8).
    pub(crate) fn reply(&mut self, line: fmt::Arguments<'_>) {
        let start = self.replies.len();
        let written = Printable(&mut self.replies).write_fmt(line);
        debug_assert!(written.is_ok(), "a Vec takes everything");
        let line = &mut self.replies[start..];
        // RFC 3463 section 2: the class of the status agrees with the code.
        if self.soft_bounce && line[0] == b'5' {
            line[0] = b'4';
            if line.len() > 5 && line[4] == b'5' && line[5] == b'.' {
                line[4] = b'4';
            }
        }
        self.hangs_up |= line.starts_with(b"421") || line.starts_with(b"521");
        self.replies.extend_from_slice(b"\r\n");
    }
}

/// Lets no control character through: a reply is one line whatever it quotes.
struct Printable<'a>(&'a mut Vec<u8>);

impl fmt::Write for Printable<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|b| b >= b' ' && b != 0x7f && b < 0x80) {
            self.0.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let mut utf8 = [0; 4];
        for c in text.chars() {
            let c = if c.is_control() { '?' } else { c };
            self.0.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        }
        Ok(())
    }
}
