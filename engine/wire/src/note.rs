//! What a session has to tell the log: kept until the shell has time for it, and written as the events
//! of [`mail::log`].

use std::fmt::Write as _;
use std::sync::Arc;

use mail::QueueId;
use mail::log::{EndCause, Event, Peer, Policy};

/// One log line about a session, less the client and the message, which the shell knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Something was refused by policy.
    Reject {
        /// The command, or `CONNECT`, or `END-OF-MESSAGE`.
        stage: &'static str,
        /// As it was said.
        reply: Box<str>,
        /// Who, from where, to whom.
        context: Context,
    },
    /// The client did not wait for an answer that it has to wait for (RFC 2920 section 3.1).
    ImproperPipelining {
        /// The command that should have been the last.
        stage: &'static str,
        /// The start of what came too early, escaped.
        early: Box<str>,
    },
    /// The session ends before QUIT.
    Ended {
        /// Why.
        cause: EndCause,
        /// The last command, or `END-OF-MESSAGE`.
        stage: &'static str,
        /// How much of a message had come, within one.
        content_bytes: Option<u64>,
    },
    /// The client did something that no mail client does.
    Warning(Box<str>),
}

/// The end of a reject line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// `Some("")` is the null sender; `None` where there was no MAIL yet.
    pub from: Option<Box<str>>,
    /// The recipient in question, or the first one.
    pub to: Option<Box<str>>,
    /// `SMTP` or `ESMTP`
    pub protocol: &'static str,
    /// `None` before HELO.
    pub helo: Option<Arc<str>>,
}

impl Note {
    /// The event for the log; `id` is that of the message under way.
    pub fn event<'a>(&'a self, client: Peer<'a>, id: Option<QueueId>) -> Event<'a> {
        match self {
            Self::Reject { stage, reply, context } => Event::Policy(Policy {
                action: "reject",
                id,
                stage,
                client,
                reply,
                from: context.from.as_deref(),
                to: context.to.as_deref(),
                protocol: context.protocol,
                helo: context.helo.as_deref(),
                sasl_username: None,
            }),
            Self::ImproperPipelining { stage, early } => Event::Pipelining { stage, client, early },
            &Self::Ended { cause, stage, content_bytes } => {
                Event::Ended { cause, id, stage, content_bytes, client }
            }
            Self::Warning(text) => Event::Warning { text },
        }
    }
}

/// How much of a stranger's text a log line quotes.
const QUOTED_BYTES_MAX: usize = 100;

/// The start of `text`. What cannot be printed is left to the log and to the reply.
pub fn quoted(text: &[u8]) -> String {
    let start = &text[..text.len().min(QUOTED_BYTES_MAX)];
    String::from_utf8_lossy(start).replace(char::REPLACEMENT_CHARACTER, "?")
}

/// The start of `text`, with the backslashes that C uses for what cannot be printed.
pub(crate) fn escape_start(text: &[u8]) -> Box<str> {
    let mut escaped = String::new();
    for &byte in &text[..text.len().min(QUOTED_BYTES_MAX)] {
        match byte {
            b'\n' => escaped.push_str("\\n"),
            b'\r' => escaped.push_str("\\r"),
            b'\t' => escaped.push_str("\\t"),
            b'\\' => escaped.push_str("\\\\"),
            b' '..=b'~' => escaped.push(byte.into()),
            _ => {
                let _ = write!(escaped, "\\{byte:03o}");
            }
        }
    }
    escaped.into()
}
