//! Where mail comes from: `smtputf8_autodetect_classes`.

use super::FromText;
use super::address::{one_of, set};
use crate::row::Row;

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSource {
    /// A program of this host.
    Sendmail,
    /// A client of SMTP.
    Smtpd,
    /// A client of QMQP.
    Qmqpd,
    /// An alias or a `.forward` file that sends it on.
    Forward,
    /// A notice to a sender.
    Bounce,
    /// A notice to the postmaster.
    Notify,
    /// An address that is tried out.
    Verify,
}

/// A set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailSources(u8);

const NAMES: [(&str, u8); 8] = [
    ("sendmail", MailSource::Sendmail.bit()),
    ("smtpd", MailSource::Smtpd.bit()),
    ("qmqpd", MailSource::Qmqpd.bit()),
    ("forward", MailSource::Forward.bit()),
    ("bounce", MailSource::Bounce.bit()),
    ("notify", MailSource::Notify.bit()),
    ("verify", MailSource::Verify.bit()),
    ("all", u8::MAX),
];

impl MailSource {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl MailSources {
    /// Whether mail from there is meant.
    pub const fn has(self, source: MailSource) -> bool {
        self.0 & source.bit() != 0
    }
}

impl FromText for MailSources {
    const KIND: &'static str =
        "list of sendmail, smtpd, qmqpd, forward, bounce, notify, verify, all";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        set(text, &|item| {
            NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(item)).map(|(_, bits)| *bits)
        })
        .map(Self)
        .ok_or_else(|| one_of(NAMES.iter().map(|(name, _)| *name)))
    }
}
