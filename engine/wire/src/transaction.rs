//! One mail transaction: from an accepted MAIL to the end of the data (RFC 5321 section 3.3).

use std::rc::Rc;

use mail::{Envelope, Recipient};

/// The envelope while it is being made. Boxed, so that an idle session does not carry it.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Nobody else has it before it is handed out, in the box that it keeps from here to the queue.
    pub(crate) envelope: Rc<Envelope>,
    /// The recipient that is being judged.
    pub(crate) pending: Option<Recipient>,
    /// Recipients refused since `smtpd_recipient_limit` was reached.
    pub(crate) overshoot: u32,
}

impl Transaction {
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self { envelope: Rc::new(envelope), pending: None, overshoot: 0 }
    }
}
