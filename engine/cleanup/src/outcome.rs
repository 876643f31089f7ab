//! What becomes of a message, and what there is to log about it.

use mail::{Address, Envelope, Protocol, QueueId, Status, log};

use crate::action::{Part, Refusal};
use crate::mime::MimeError;

/// Lines that one message may write to the log, so that a rule that warns about each line of a large
/// message does not fill memory. How many more there were is in the last one.
pub const EVENTS_MAX: usize = 1000;

/// Recipients that checks may add to one message.
pub const BCC_MAX: usize = 100;

/// Bytes of a header or line that go to the log (postfix `cleanup_message.c`).
pub(crate) const LOGGED_CONTENT_BYTES_MAX: usize = 200;

/// The same for what is wrong with MIME.
pub(crate) const LOGGED_MIME_BYTES_MAX: usize = 100;

/// What became known of a message on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// `message-id=` of the log line: the header's value, or the one that was added; empty where
    /// there is none. Printable, and one line.
    pub message_id: Box<str>,
    /// `resent-message-id=`, likewise, where there is such a header.
    pub resent_message_id: Option<Box<str>>,
    /// `Received:` headers, ours among them.
    pub hops: u32,
    /// `hopcount_limit` is reached: the message is not to be accepted.
    pub too_many_hops: bool,
    /// There is a `Delivered-To:`, so an agent has to look for its own name in them.
    pub has_delivered_to: bool,
    /// A header was longer than `header_size_limit`.
    pub header_cut: bool,
    /// A Content-Transfer-Encoding said 8bit or binary (`detect_8bit_encoding_header`), so that the next
    /// hop has to be told, or the content converted, whatever the client said.
    pub says_8bit: bool,
    /// A header of the message's own head has bytes beyond ASCII, where that is looked for.
    pub has_utf8_header: bool,
    /// What went into the sink.
    pub size_bytes: u64,
    /// Whether it is accepted.
    pub verdict: Verdict,
    /// The pass ended early: what went into the sink is not all of the message.
    pub is_cut: bool,
    /// What checks want done with it.
    pub orders: Orders,
    /// What there is to log, in order.
    pub events: Vec<Event>,
}

/// Whether a message is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    #[default]
    Accept,
    /// The sender is told so, and it is thrown away. What the sink has is not all of it.
    Discard,
    /// No. What the sink has is not all of it, unless the message is one to be returned.
    Refuse(Refusal),
}

impl Verdict {
    /// `hopcount_limit` was reached.
    pub(crate) fn too_many_hops() -> Self {
        Self::Refuse(Refusal::new(554, Status(5, 4, 6), "Error: too many hops"))
    }

    pub(crate) fn broken_mime(error: MimeError) -> Self {
        Self::Refuse(Refusal::new(550, Status(5, 6, 0), error.as_str()))
    }
}

/// What checks want done with a message that is accepted; [`crate::apply_orders`] does it to its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// HOLD
    pub hold: bool,
    /// FILTER: the last one counts.
    pub filter: Option<Box<str>>,
    /// REDIRECT: the last one counts.
    pub redirect: Option<Address>,
    /// BCC
    pub bcc: Vec<Address>,
    /// DELAY
    pub delay_secs: Option<u64>,
    /// PASS, REDIRECT and DISCARD keep milters from seeing it, too.
    pub no_milters: bool,
}

impl Orders {
    /// Whether the envelope stays as it is.
    pub fn change_nothing(&self) -> bool {
        self.filter.is_none()
            && self.redirect.is_none()
            && self.bcc.is_empty()
            && self.delay_secs.is_none()
    }
}

/// One line for the log, see [`Event::line`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A check did something.
    Acted {
        /// `reject`, `warning`, `hold`, `prepend` and so on.
        action: &'static str,
        /// What was looked up.
        part: Part,
        /// Its beginning.
        content: Box<str>,
        /// What the action says.
        text: Box<str>,
    },
    /// A rule about MIME was broken that is kept here.
    Mime {
        /// Which.
        error: MimeError,
        /// Where.
        content: Box<str>,
    },
    /// Something is wrong, mostly in a table.
    Warning {
        /// Whether the message's id goes before it.
        about_message: bool,
        /// In one line.
        text: Box<str>,
    },
}

impl Event {
    /// Gives the line for the log to `take`: of what did not come over the network the client is local, as
    /// Postfix's log has it.
    pub fn line(&self, id: QueueId, envelope: &Envelope, take: impl FnOnce(log::Event<'_>)) {
        let client = &envelope.client;
        let to = envelope.recipients.last().map(|it| it.address.as_str());
        let over_network = client.protocol != Protocol::Local;
        let check = log::Check {
            id,
            action: "reject",
            what: "",
            content: "",
            client: over_network.then(|| log::Peer::from(client)),
            from: envelope.sender.as_ref().map_or("", Address::as_str),
            to,
            protocol: None,
            helo: None,
            text: "",
        };
        match self {
            Self::Acted { action, part, content, text } => take(log::Event::Check(log::Check {
                action,
                what: part.as_str(),
                content,
                protocol: over_network.then(|| client.protocol.as_str()),
                helo: (over_network && !client.helo.is_empty()).then_some(&*client.helo),
                text,
                ..check
            })),
            Self::Mime { error, content } => take(log::Event::Check(log::Check {
                what: &format!("mime-error {}", error.as_str()),
                content,
                to: Some(to.unwrap_or("unknown")),
                ..check
            })),
            Self::Warning { about_message: false, text } => {
                take(log::Event::Warning { text });
            }
            Self::Warning { about_message: true, text } => {
                take(log::Event::Warning { text: &format!("{id}: {text}") });
            }
        }
    }
}

/// The beginning of a header or line, for the log, which makes it harmless when it prints it.
pub(crate) fn beginning(content: &[u8], bytes_max: usize) -> Box<str> {
    String::from_utf8_lossy(&content[..content.len().min(bytes_max)]).into()
}
