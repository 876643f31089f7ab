//! What the administrator decided about the dialogue.
//!
//! The fields are Postfix's parameters of the same names, with its defaults; the shell fills them
//! from the configuration. A session keeps the policy that it began with.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Immutable, shared by all sessions of a service.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `myhostname`: in the EHLO reply and in every 421.
    pub hostname: Box<str>,
    /// `smtpd_banner`, expanded: what follows `220 `.
    pub banner: Box<str>,
    /// `message_size_limit`; 0 is no limit.
    pub message_size_limit_bytes: u64,
    /// `line_length_limit`: the longest command.
    pub line_length_limit_bytes: usize,
    /// `smtpd_recipient_limit`
    pub recipient_limit: u32,
    /// `smtpd_recipient_overshoot_limit`: refused recipients beyond the limit that are not yet errors.
    pub recipient_overshoot_limit: u32,
    /// `smtpd_soft_error_limit`: from so many errors on, replies are delayed.
    pub soft_error_limit: u32,
    /// `smtpd_hard_error_limit`: at so many errors the session ends.
    pub hard_error_limit: u32,
    /// `smtpd_junk_command_limit`: commands that do nothing for a message, before they are errors.
    pub junk_command_limit: u32,
    /// `smtpd_error_sleep_time`
    pub error_sleep_time: Duration,
    /// `smtpd_helo_required`
    pub helo_required: bool,
    /// `disable_vrfy_command`
    pub disable_vrfy_command: bool,
    /// `smtpd_forbid_bare_newline`
    pub forbid_bare_newline: BareNewline,
    /// `smtpd_forbid_bare_newline_reject_code`, 500 to 599.
    pub forbid_bare_newline_reject_code: u16,
    /// `smtpd_forbid_unauth_pipelining`
    pub forbid_unauth_pipelining: bool,
    /// `smtpd_discard_ehlo_keywords`
    pub discard_ehlo_keywords: EhloKeywords,
    /// `smtputf8_enable`
    pub smtputf8_enable: bool,
    /// `strict_smtputf8`: a non-ASCII address needs the SMTPUTF8 parameter.
    pub strict_smtputf8: bool,
    /// `strict_rfc821_envelopes`: addresses need their angle brackets.
    pub strict_rfc821_envelopes: bool,
    /// `smtpd_noop_commands`: answered with 250 and otherwise ignored.
    pub noop_commands: Verbs,
    /// `smtpd_forbidden_commands`: the session ends with 221.
    pub forbidden_commands: Verbs,
    /// `soft_bounce`: every 5xx is said as 4xx.
    pub soft_bounce: bool,
}

impl Policy {
    /// Postfix's defaults for a host of this name.
    pub fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.into(),
            banner: format!("{hostname} ESMTP ringpost").into(),
            message_size_limit_bytes: 10_240_000,
            line_length_limit_bytes: 2048,
            recipient_limit: 1000,
            recipient_overshoot_limit: 1000,
            soft_error_limit: 10,
            hard_error_limit: 20,
            junk_command_limit: 100,
            error_sleep_time: Duration::from_secs(1),
            helo_required: false,
            disable_vrfy_command: false,
            forbid_bare_newline: BareNewline::Normalize,
            forbid_bare_newline_reject_code: 550,
            forbid_unauth_pipelining: true,
            discard_ehlo_keywords: EhloKeywords::default(),
            smtputf8_enable: true,
            strict_smtputf8: true,
            strict_rfc821_envelopes: false,
            noop_commands: Verbs::default(),
            forbidden_commands: Verbs::that(|verb| {
                let is = |word: &&str| verb.eq_ignore_ascii_case(word);
                ["CONNECT", "GET", "POST"].iter().any(is)
                    || !verb.starts_with(|letter: char| letter.is_ascii_alphabetic())
            }),
            soft_bounce: false,
        }
    }

    /// Whether somebody wants to know about bare LF in content, which costs a pass to find.
    pub fn watches_bare_lf(&self) -> bool {
        matches!(self.forbid_bare_newline, BareNewline::Note | BareNewline::Reject)
    }
}

/// Verbs that the administrator has listed, by words or by tables. Whatever is asked answers at once: a
/// command is judged without waiting.
#[derive(Clone, Default)]
pub struct Verbs(Option<Arc<Has>>);

type Has = dyn Fn(&str) -> bool + Send + Sync;

impl Verbs {
    /// Those for which this holds.
    pub fn that(has: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(has)))
    }

    pub(crate) fn has(&self, verb: &[u8]) -> bool {
        let text = || -> Cow<'_, str> { String::from_utf8_lossy(verb) };
        self.0.as_ref().is_some_and(|has| has(&text()))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Verbs(..)" } else { "Verbs(none)" })
    }
}

/// `smtpd_forbid_bare_newline`: what a line that ends in LF without CR does.
///
/// None of them lets a relayed message end early: see [`EndOfData`](crate::EndOfData).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareNewline {
    /// `normalize`, `yes`: it is a line ending, but cannot take part in the end of the data.
    #[default]
    Normalize,
    /// `note`: the same, and the session's last log line says so.
    Note,
    /// `reject`: the command or the message is refused.
    Reject,
    /// `no`: a client that ends its own commands in bare LF may end its message likewise.
    No,
}

/// EHLO keywords not to be offered, and then not to be honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EhloKeywords {
    /// `pipelining`
    pub pipelining: bool,
    /// `size`
    pub size: bool,
    /// `vrfy`
    pub vrfy: bool,
    /// `enhancedstatuscodes`
    pub enhancedstatuscodes: bool,
    /// `8bitmime`
    pub eightbitmime: bool,
    /// `dsn`
    pub dsn: bool,
    /// `smtputf8`
    pub smtputf8: bool,
    /// `chunking`
    pub chunking: bool,
}
