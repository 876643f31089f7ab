//! One mail transaction: from an accepted MAIL to the end of the data (RFC 5321 section 3.3).

use mail::{Envelope, Recipient};

/// The envelope while it is being made. Boxed, so that an idle session does not carry it.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) envelope: Box<Envelope>,
    /// The recipient that is being judged.
    pub(crate) pending: Option<Recipient>,
    /// Recipients refused since `smtpd_recipient_limit` was reached.
    pub(crate) overshoot: u32,
}

impl Transaction {
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self { envelope: Box::new(envelope), pending: None, overshoot: 0 }
    }
}
