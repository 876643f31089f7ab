//! What a session has to tell the log. Values here, lines at the edge.

use std::fmt::Write as _;

/// One log line about a session, less the client's name.
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
    /// `smtpd_hard_error_limit`
    TooManyErrors {
        /// The last command.
        stage: &'static str,
    },
    /// `smtpd_timeout`
    Timeout {
        /// Where the client fell silent.
        stage: &'static str,
        /// How much of a message had come, within one.
        content_bytes: Option<u64>,
    },
    /// The client went away.
    LostConnection {
        /// Where it did.
        stage: &'static str,
        /// How much of a message had come, within one.
        content_bytes: Option<u64>,
    },
    /// HTTP, a message header, TLS on a plain port: not a mail client.
    NonSmtpCommand {
        /// Its start, escaped.
        line: Box<str>,
    },
    /// MAIL, RCPT or VRFY with something that is not an address.
    IllegalAddress {
        /// The command.
        stage: &'static str,
        /// Its start, escaped.
        address: Box<str>,
    },
    /// A command longer than `line_length_limit`.
    LineTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// A command line that never ends, or chunks far beyond the message size limit.
    InputDisabled,
    /// BDAT that cannot be followed.
    MalformedBdat {
        /// Its start, escaped.
        line: Box<str>,
    },
    /// A message or chunk beyond `message_size_limit`.
    MessageTooBig,
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
    pub helo: Option<Box<str>>,
}

impl Note {
    /// The log line's body, as Postfix words it; `client` is `name[address]`.
    pub fn line(&self, client: &str) -> String {
        match self {
            Self::Reject { stage, reply, context } => {
                let mut line = format!("NOQUEUE: reject: {stage} from {client}: {reply};");
                context.write(&mut line);
                line
            }
            Self::ImproperPipelining { stage, early } => {
                format!("improper command pipelining after {stage} from {client}: {early}")
            }
            Self::TooManyErrors { stage } => {
                format!("NOQUEUE: too many errors after {stage} from {client}")
            }
            Self::Timeout { stage, content_bytes } => {
                format!("NOQUEUE: timeout after {}", ended(stage, *content_bytes, client))
            }
            Self::LostConnection { stage, content_bytes } => {
                format!("NOQUEUE: lost connection after {}", ended(stage, *content_bytes, client))
            }
            Self::NonSmtpCommand { line } => {
                format!("warning: non-SMTP command from {client}: {line}")
            }
            Self::IllegalAddress { stage, address } => {
                format!(
                    "warning: Illegal address syntax from {client} in {stage} command: {address}"
                )
            }
            Self::LineTooLong { limit_bytes } => {
                format!("warning: {client}: request longer than {limit_bytes}")
            }
            Self::InputDisabled => format!("warning: disabling input from {client}"),
            Self::MalformedBdat { line } => {
                format!("warning: NOQUEUE: malformed BDAT command syntax from {client}: {line}")
            }
            Self::MessageTooBig => {
                format!("warning: NOQUEUE: message from {client} exceeds message size limit")
            }
        }
    }
}

impl Context {
    fn write(&self, line: &mut String) {
        if let Some(from) = &self.from {
            let _ = write!(line, " from=<{}>", escaped(from.as_bytes()));
        }
        if let Some(to) = &self.to {
            let _ = write!(line, " to=<{}>", escaped(to.as_bytes()));
        }
        let _ = write!(line, " proto={}", self.protocol);
        if let Some(helo) = &self.helo {
            let _ = write!(line, " helo=<{helo}>");
        }
    }
}

fn ended(stage: &str, content_bytes: Option<u64>, client: &str) -> String {
    match content_bytes {
        Some(bytes) => format!("{stage} ({bytes} bytes) from {client}"),
        None => format!("{stage} from {client}"),
    }
}

/// How much of a stranger's text a log line quotes.
const QUOTED_BYTES_MAX: usize = 100;

/// The start of `text` as one line of printable characters.
pub(crate) fn quoted(text: &[u8]) -> Box<str> {
    escaped(&text[..text.len().min(QUOTED_BYTES_MAX)]).into()
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

/// `text` without a character that could end or forge a log line.
fn escaped(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c })
        .collect()
}
