//! What cleanup is told: by the configuration, and about one message.

use mail::{Envelope, QueueId, Time};

use crate::date::Zone;

/// The parameters, with Postfix's names and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `myhostname`
    pub hostname: Box<str>,
    /// `mail_name`
    pub mail_name: Box<str>,
    /// `header_size_limit`: what is longer is cut.
    pub header_size_limit_bytes: usize,
    /// `hopcount_limit`: so many `Received:` headers, ours among them, are a loop.
    pub hopcount_limit: u32,
    /// `always_add_missing_headers`: to everybody's mail, not only to that of our own clients.
    pub always_add_missing_headers: bool,
    /// `undisclosed_recipients_header`: added where no recipient is named. Empty: none.
    pub undisclosed_recipients_header: Box<str>,
    /// `message_drop_headers`: names of headers that are removed.
    pub message_drop_headers: Box<[Box<str>]>,
}

impl Rules {
    /// The defaults for a host of this name.
    pub fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.into(),
            mail_name: "ringpost".into(),
            header_size_limit_bytes: 102_400,
            hopcount_limit: 50,
            always_add_missing_headers: false,
            undisclosed_recipients_header: Box::default(),
            message_drop_headers: ["bcc", "content-length", "resent-bcc", "return-path"]
                .map(Into::into)
                .into(),
        }
    }
}

/// The message whose content is to come.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its id, for `Received:` and a missing `Message-Id:`.
    pub id: QueueId,
    /// Who sends it to whom.
    pub envelope: &'a Envelope,
    /// For `Received:` and a missing `Date:`. The envelope's own time may not be known yet.
    pub arrival: Time,
    /// The host's time zone at that moment.
    pub zone: Zone<'a>,
    /// From `sendmail` or a client in `local_header_rewrite_clients`: missing headers are added.
    pub from_own_client: bool,
}
