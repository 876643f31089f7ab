//! The envelope: who sent it, to whom, and what was promised about it (RFC 5321 section 2.3.1).

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Address, Time};

/// Everything about a message that is not in its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `None` is the null reverse-path `<>`.
    pub sender: Option<Address>,
    /// In the order they were given; a recipient's place here is its number in the queue.
    pub recipients: Vec<Recipient>,
    /// When it arrived: end of data, or the moment `sendmail` was called.
    pub arrival: Time,
    /// Where it came from.
    pub client: Client,
    /// `BODY=` of MAIL (RFC 6152, RFC 3030).
    pub body: Body,
    /// The next hop has to offer `SMTPUTF8` (RFC 6531): it was given with MAIL, or the message was found to need it.
    pub smtputf8: bool,
    /// `RET=` of MAIL (RFC 3461 section 4.3).
    pub ret: Option<Ret>,
    /// `ENVID=` of MAIL, still in xtext as it was received (RFC 3461 section 4.4).
    pub envid: Option<Box<str>>,
    /// `transport:nexthop` that takes the message whoever its recipients are: `content_filter`, or the
    /// FILTER of an access table or a header check.
    pub filter: Option<Box<str>>,
    /// Not tried before then: the DELAY of a header check.
    pub not_before: Option<Time>,
}

impl Envelope {
    /// Whether an address in it is one of those that ASCII cannot express.
    pub fn has_utf8_address(&self) -> bool {
        let recipients = self.recipients.iter().map(|it| &it.address);
        self.sender.iter().chain(recipients).any(Address::needs_smtputf8)
    }
}

/// One recipient and what its sender wants to hear about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Where it goes.
    pub address: Address,
    /// What it was before rewriting, where that differs (`orig_to=`).
    pub original: Option<Address>,
    /// `ORCPT=`, as it was received: address type, `;`, xtext (RFC 3461 section 4.2).
    pub orcpt: Option<Box<str>>,
    /// `NOTIFY=` (RFC 3461 section 4.1); `None` where it was not given.
    pub notify: Option<Notify>,
}

impl Recipient {
    /// A recipient without DSN parameters.
    pub fn new(address: Address) -> Self {
        Self { address, original: None, orcpt: None, notify: None }
    }
}

/// `NOTIFY=`: never, or any of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `NEVER`
    pub never: bool,
    /// `SUCCESS`
    pub success: bool,
    /// `FAILURE`
    pub failure: bool,
    /// `DELAY`
    pub delay: bool,
}

/// `RET=`: how much of the message a failure notice returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its headers.
    Headers,
}

/// `BODY=`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing said, or `7BIT`.
    #[default]
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
    /// `BINARYMIME`; not offered, kept for what other hosts may have stored.
    BinaryMime,
}

/// The peer that a message came from, as the log and the `Received:` header name it. Its names are shared
/// by all messages of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its verified host name, or `unknown`.
    pub name: Arc<str>,
    /// `None` for mail that did not come over the network.
    pub address: Option<SocketAddr>,
    /// What it called itself in HELO or EHLO.
    pub helo: Arc<str>,
    /// SMTP or ESMTP.
    pub protocol: Protocol,
}

/// The `with` clause of `Received:` (RFC 3848, RFC 6531 section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HELO
    #[default]
    Smtp,
    /// EHLO
    Esmtp,
    /// EHLO and `SMTPUTF8`
    Utf8Smtp,
    /// `sendmail`
    Local,
}

impl Protocol {
    /// As the log has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp | Self::Local => "SMTP",
            Self::Esmtp | Self::Utf8Smtp => "ESMTP",
        }
    }
}
