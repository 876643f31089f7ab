//! Log lines as values.
//!
//! A [`Record`] says what happened, to whom and when; a [`Formatter`] writes it as the line that
//! Postfix would log, so that pflogsumm, fail2ban and logwatch read it, or as a JSON object. Lines are
//! written into a buffer that the caller keeps: no allocation, and everything that came from outside
//! is made harmless on the way in, so no caller can forget it.
//!
//! The number in brackets is the session's, not a process id: the tools tell sessions apart by it.

mod delay;
mod format;
mod json;
mod line;
mod push;
#[cfg(test)]
mod tests;

pub use delay::Delays;
pub use format::{Formatter, Style};

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::{Address, Client, QueueId, Status, Time};

/// One line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it happened.
    pub time: Time,
    /// `syslog_name` of a service that has one of its own; `None` is the formatter's.
    pub name: Option<&'a str>,
    /// The room, by its name in Postfix: `smtpd`, `cleanup`, `qmgr`, `virtual`, `master`.
    pub service: &'a str,
    /// Unique among the sessions that are open; 0 where there is none.
    pub session: u64,
    /// What happened.
    pub event: Event<'a>,
}

/// What can happen. Each variant is a line that somebody's tool looks for.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A client has connected.
    Connect {
        /// Who.
        client: Peer<'a>,
    },
    /// A session is over.
    Disconnect {
        /// Whose.
        client: Peer<'a>,
        /// What it asked for, in Postfix's order: helo ehlo starttls auth mail rcpt data bdat rset
        /// noop vrfy etrn quit help unknown; verbs that were not used may be there or not.
        tally: &'a [Count],
    },
    /// A message has got its queue id.
    Accepted {
        /// The message.
        id: QueueId,
        /// Whose it is.
        client: Peer<'a>,
        /// Who had signed in.
        sasl: Option<Sasl<'a>>,
    },
    /// A message from `sendmail` has got its queue id.
    PickedUp {
        /// The message.
        id: QueueId,
        /// Whose it is.
        uid: u32,
        /// The sender as given.
        from: &'a str,
    },
    /// Policy did something to a command or a message.
    Policy(Policy<'a>),
    /// A session ended before QUIT.
    Ended {
        /// Why.
        cause: EndCause,
        /// The message under way, where it has an id already.
        id: Option<QueueId>,
        /// The last command, or `END-OF-MESSAGE`.
        stage: &'a str,
        /// How much of a message had come, within DATA or BDAT.
        content_bytes: Option<u64>,
        /// Whose session.
        client: Peer<'a>,
    },
    /// The client did not wait where it has to.
    Pipelining {
        /// The command that should have been the last.
        stage: &'a str,
        /// Who.
        client: Peer<'a>,
        /// The start of what came too early, already escaped.
        early: &'a str,
    },
    /// A client went over a limit that holds per client.
    RateLimit {
        /// `Connection concurrency`, `Connection rate` and so on.
        what: &'a str,
        /// How many there were.
        count: u64,
        /// Who.
        client: Peer<'a>,
        /// The service's name in master.cf: `smtp`.
        service: &'a str,
    },
    /// The message's own name for itself.
    MessageId {
        /// The message.
        id: QueueId,
        /// With its angle brackets, as the header has it.
        message_id: &'a str,
    },
    /// A check of content did something, or a rule about MIME was broken.
    Check(Check<'a>),
    /// A message has become active.
    Active {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<&'a Address>,
        /// Of its content, in bytes.
        size: u64,
        /// Recipients to be tried.
        recipients: u32,
    },
    /// What became of a recipient.
    Delivery(Delivery<'a>),
    /// A message has left the queue.
    Removed {
        /// The message.
        id: QueueId,
    },
    /// A message is not tried any more.
    GivenUp {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<&'a Address>,
        /// `expired`, `force-expired` or `undeliverable`.
        status: &'a str,
        /// What is done with it: `returned to sender`, `placed on hold`.
        action: &'a str,
    },
    /// Largest figures of a while.
    Statistics {
        /// `max connection rate`, `max connection count`, `max cache size` and so on.
        what: &'a str,
        /// `31/60s`, or a plain number.
        value: &'a str,
        /// `smtp:192.0.2.1`, where it is somebody's.
        whose: Option<&'a str>,
        /// When it was reached.
        at: Time,
    },
    /// The daemon has begun its work.
    Started {
        /// Of the program.
        version: &'a str,
        /// The configuration directory.
        configuration: &'a str,
    },
    /// It has a new configuration.
    Reloaded {
        /// Of the program.
        version: &'a str,
        /// The configuration directory.
        configuration: &'a str,
    },
    /// It ends.
    Terminating {
        /// The signal that said so.
        signal: i32,
    },
    /// Something the admin should know; no line of Postfix's.
    Info {
        /// In one line.
        text: &'a str,
    },
    /// Something is wrong, and mail goes on.
    Warning {
        /// In one line.
        text: &'a str,
    },
    /// Something is wrong, and a part of the service has ended.
    Fatal {
        /// In one line.
        text: &'a str,
    },
}

/// How bad it is (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A part of the service has ended.
    Critical = 2,
    /// Something is wrong, and mail goes on.
    Warning = 4,
    /// As it should be.
    Info = 6,
}

impl Event<'_> {
    /// As Postfix has it: what begins with "fatal: " or "warning: ". What checks of a message say is no warning of
    /// the service.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Fatal { .. } => Severity::Critical,
            Self::Warning { .. } | Self::RateLimit { .. } => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// A client as lines name it: `name[address]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its verified name, or `unknown`.
    pub name: &'a str,
    /// `None` for what did not come over the network.
    pub address: Option<IpAddr>,
    /// Where `smtpd_client_port_logging` wants it.
    pub port: Option<u16>,
}

impl<'a> Peer<'a> {
    /// A client without its port.
    pub fn new(name: &'a str, address: SocketAddr) -> Self {
        Self { name, address: Some(address.ip()), port: None }
    }
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        line::peer(&mut text, *self);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl<'a> From<&'a Client> for Peer<'a> {
    fn from(client: &'a Client) -> Self {
        Self { name: &client.name, address: client.address.map(|at| at.ip()), port: None }
    }
}

/// How often a verb was used, and how often with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// In lower case; `unknown` for all that there is not.
    pub verb: &'static str,
    /// Answered with success.
    pub succeeded: u32,
    /// All.
    pub tried: u32,
}

/// Who had signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sasl<'a> {
    /// `PLAIN`
    pub method: &'a str,
    /// `user@example.com`
    pub username: &'a str,
}

/// What policy did, and the transaction it did it to.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// `reject`, `reject_warning`, `hold`, `discard`, `filter`, `redirect`, `warn`, `info`,
    /// `milter-reject` and so on.
    pub action: &'a str,
    /// `None` is NOQUEUE.
    pub id: Option<QueueId>,
    /// The command, or `CONNECT`, or `END-OF-MESSAGE`.
    pub stage: &'a str,
    /// Who.
    pub client: Peer<'a>,
    /// The reply with its codes, or the reason.
    pub reply: &'a str,
    /// `Some("")` is the null sender; `None` where there was no MAIL yet.
    pub from: Option<&'a str>,
    /// The recipient in question.
    pub to: Option<&'a str>,
    /// `SMTP` or `ESMTP`
    pub protocol: &'a str,
    /// `None` before HELO.
    pub helo: Option<&'a str>,
    /// Who had signed in.
    pub sasl_username: Option<&'a str>,
}

/// What a check of a message's content did.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The message.
    pub id: QueueId,
    /// `reject`, `warning`, `hold`, `prepend` and so on.
    pub action: &'a str,
    /// `header`, `body` or `content`; for MIME `mime-error` and which.
    pub what: &'a str,
    /// The header or line, or its beginning.
    pub content: &'a str,
    /// `None` for what did not come over the network.
    pub client: Option<Peer<'a>>,
    /// `""` is the null sender.
    pub from: &'a str,
    /// The last recipient, if there is one yet.
    pub to: Option<&'a str>,
    /// `SMTP` or `ESMTP`; `None` where the line is not to say.
    pub protocol: Option<&'a str>,
    /// `None` before HELO, or where the line is not to say.
    pub helo: Option<&'a str>,
    /// What the action says; may be empty.
    pub text: &'a str,
}

/// Why a session ended before QUIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The client went away.
    LostConnection,
    /// `smtpd_timeout`
    Timeout,
    /// `smtpd_hard_error_limit`
    TooManyErrors,
}

impl EndCause {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LostConnection => "lost connection",
            Self::Timeout => "timeout",
            Self::TooManyErrors => "too many errors",
        }
    }
}

/// What became of a recipient.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The message.
    pub id: QueueId,
    /// The recipient.
    pub to: &'a Address,
    /// What it was before rewriting; left out of the line where only the case differs.
    pub orig_to: Option<&'a Address>,
    /// `virtual`, `host[address]:port`, or `none`.
    pub relay: &'a str,
    /// How many messages this connection has carried; from 2 on it is in the line.
    pub connection_use: u32,
    /// Where the time went.
    pub delays: Delays,
    /// RFC 3463
    pub dsn: Status,
    /// `sent`, `deferred`, `bounced`, `expired`
    pub status: &'a str,
    /// What stands in the parentheses.
    pub text: &'a str,
}
