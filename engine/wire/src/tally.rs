//! How often a session used which command: the end of its `disconnect from` line.

use mail::log::Count;

/// The commands, in the order in which they are logged (postfix `smtpd.c`, `smtpd_cmd_table`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// HELO
    Helo,
    /// EHLO
    Ehlo,
    /// XCLIENT
    Xclient,
    /// XFORWARD
    Xforward,
    /// STARTTLS
    Starttls,
    /// AUTH
    Auth,
    /// MAIL
    Mail,
    /// RCPT
    Rcpt,
    /// DATA
    Data,
    /// BDAT
    Bdat,
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// VRFY
    Vrfy,
    /// ETRN
    Etrn,
    /// QUIT
    Quit,
    /// HELP
    Help,
    /// Whatever else was sent.
    Unknown,
}

impl Verb {
    /// All of them, in logging order.
    pub const ALL: [Self; 17] = [
        Self::Helo,
        Self::Ehlo,
        Self::Xclient,
        Self::Xforward,
        Self::Starttls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Rset,
        Self::Noop,
        Self::Vrfy,
        Self::Etrn,
        Self::Quit,
        Self::Help,
        Self::Unknown,
    ];

    /// In upper case, as log lines name the stage of a session.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::Starttls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::Quit => "QUIT",
            Self::Help => "HELP",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// In any case (RFC 5321 section 2.4).
    pub(crate) fn from_token(token: &[u8]) -> Self {
        let known = &Self::ALL[..Self::Unknown as usize];
        known
            .iter()
            .copied()
            .find(|verb| verb.name().as_bytes().eq_ignore_ascii_case(token))
            .unwrap_or(Self::Unknown)
    }
}

/// Successes and tries of each command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    succeeded: [u32; Verb::ALL.len()],
    tried: [u32; Verb::ALL.len()],
}

impl Tally {
    pub(crate) fn try_one(&mut self, verb: Verb) {
        let count = &mut self.tried[verb as usize];
        *count = count.saturating_add(1);
    }

    pub(crate) fn succeed(&mut self, verb: Verb) {
        let count = &mut self.succeeded[verb as usize];
        *count = count.saturating_add(1);
    }
}

/// [`Verb::ALL`] as the log spells them.
const LOGGED: [&str; Verb::ALL.len()] = [
    "helo", "ehlo", "xclient", "xforward", "starttls", "auth", "mail", "rcpt", "data", "bdat",
    "rset", "noop", "vrfy", "etrn", "quit", "help", "unknown",
];

impl Tally {
    /// For the log's last line about a session.
    pub fn counts(&self) -> [Count; Verb::ALL.len()] {
        std::array::from_fn(|verb| Count {
            verb: LOGGED[verb],
            succeeded: self.succeeded[verb],
            tried: self.tried[verb],
        })
    }
}
