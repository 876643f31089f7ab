//! What a table says is to be done about a header or a line: the right side of `header_checks` and its
//! like (header_checks(5)).
//!
//! One reader for all of them. Cleanup obeys every action; `milter_header_checks` and the checks of a
//! delivery agent know fewer, see [`Scope`]. An action that cannot be read is a warning and no action, as
//! in Postfix (`cleanup_message.c`, `header_body_checks.c`): the message goes on.

use mail::{Address, Status};

use crate::header::{LineStart, line_start};

/// What was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A header with its continuation lines.
    Header,
    /// A line of a body.
    Body,
    /// A line that is neither yet, for `message_reject_characters`.
    Content,
}

impl Part {
    /// As the log has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Body => "body",
            Self::Content => "content",
        }
    }
}

/// Who looks it up, which decides what can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Cleanup, of what is received: everything.
    Cleanup,
    /// `milter_header_checks`, of what a milter adds: no PASS and no DELAY.
    Milter,
    /// A delivery agent (`smtp_header_checks`), of what it sends: only what changes or logs the line.
    Delivery,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One more recipient.
    Bcc(Address),
    /// Not to be delivered for so many seconds.
    Delay {
        /// How many.
        secs: u64,
        /// As it was given.
        text: Box<str>,
    },
    /// Accepted and thrown away.
    Discard(Box<str>),
    /// Nothing; no further rule is asked.
    Dunno,
    /// To a content filter, `transport:destination`.
    Filter(Box<str>),
    /// Into the hold queue.
    Hold(Box<str>),
    /// The line goes, unlogged.
    Ignore,
    /// Logged as information.
    Info(Box<str>),
    /// No further check of this message.
    Pass(Box<str>),
    /// This goes before the line.
    Prepend(Box<str>),
    /// To this address instead of all recipients.
    Redirect(Address),
    /// Not accepted.
    Reject(Refusal),
    /// This goes in the line's place.
    Replace(Box<str>),
    /// The line goes, logged.
    Strip(Box<str>),
    /// Logged as a warning.
    Warn(Box<str>),
}

/// How a message is refused, in a reply's three parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 451, 550 or another one.
    pub code: u16,
    /// RFC 3463
    pub status: Status,
    /// What the sender is told.
    pub text: Box<str>,
}

impl Refusal {
    /// A refusal of its three parts.
    pub fn new(code: u16, status: Status, text: impl Into<Box<str>>) -> Self {
        Self { code, status, text: text.into() }
    }

    /// 451 4.3.0: something could not be looked up. A table that is away lets nothing pass unchecked; the
    /// words are Postfix's for all that goes wrong on this side.
    pub fn unavailable() -> Self {
        Self::new(451, Status(4, 3, 0), "Error: queue file write error")
    }

    /// 550 5.7.1, or what the text begins with: `4.7.1 try later`. Returns what is wrong with it, too.
    fn rejected(text: &str) -> (Self, Option<String>) {
        if text.is_empty() {
            return (Self::new(550, Status(5, 7, 1), "message content rejected"), None);
        }
        let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let Ok(status) = first.parse::<Status>() else {
            return (Self::new(550, Status(5, 7, 1), text), None);
        };
        let rest = rest.trim_start();
        match status.0 {
            5 => (Self::new(550, status, rest), None),
            4 => (Self::new(451, status, rest), None),
            _ => {
                let warning = format!("bad DSN action in {text} -- need 4.x.x or 5.x.x");
                (Self::new(451, status.softened(), rest), Some(warning))
            }
        }
    }
}

/// The address space of the text of an action: where it is read, and who is told of mistakes.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// `header_checks` and so on, for warnings.
    pub map: &'a str,
    /// What was looked up.
    pub part: Part,
    /// Who looks it up.
    pub scope: Scope,
}

impl Action {
    /// Reads what a table gave. The second value is for the log; where it stands alone there is nothing
    /// to do.
    pub fn read(value: &str, reading: Reading<'_>) -> (Option<Self>, Option<String>) {
        let (word, text) = value.split_at(value.find([' ', '\t']).unwrap_or(value.len()));
        let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let map = reading.map;
        let allowed = match reading.scope {
            Scope::Cleanup => &WORDS[..],
            Scope::Milter => &WORDS[2..],
            Scope::Delivery => &WORDS[8..],
        };
        let Some(word) = allowed.iter().find(|it| it.eq_ignore_ascii_case(word)) else {
            let what = match reading.scope {
                Scope::Cleanup => "unknown",
                Scope::Milter | Scope::Delivery => "unsupported",
            };
            return (None, Some(format!("{what} command in {map} map: {value}")));
        };
        if *word == "REJECT" {
            let (refusal, warning) = Refusal::rejected(text);
            return (Some(Self::Reject(refusal)), warning);
        }
        match Self::of(word, text, reading) {
            Ok(action) => (Some(action), None),
            Err(warning) => (None, Some(warning)),
        }
    }

    fn of(word: &str, text: &str, reading: Reading<'_>) -> Result<Self, String> {
        let map = reading.map;
        let address = |what: &str| {
            let address = text.contains('@').then(|| Address::parse(text.as_bytes()).ok());
            address
                .flatten()
                .ok_or_else(|| format!("bad {what} \"{text}\" in {map} map -- need user@domain"))
        };
        Ok(match word {
            "BCC" => Self::Bcc(address("BCC address")?),
            "REDIRECT" => Self::Redirect(address("REDIRECT target")?),
            "DELAY" if text.is_empty() => {
                return Err(format!("missing DELAY argument in {map} map"));
            }
            "DELAY" => {
                let range = cf::Range { min: 1, max: i32::MAX as u64 };
                let secs = cf::seconds(text, cf::Unit::Second, range)
                    .map_err(|_| format!("ignoring bad DELAY argument {text} in {map} map"))?;
                Self::Delay { secs, text: text.into() }
            }
            "FILTER" if text.is_empty() => {
                return Err(format!("missing FILTER command argument in {map} map"));
            }
            "FILTER" if !text.contains(':') => {
                return Err(format!(
                    "bad FILTER command {text} in {map} -- need transport:destination"
                ));
            }
            "FILTER" => Self::Filter(text.into()),
            "PREPEND" | "REPLACE" => {
                if text.is_empty() {
                    return Err(format!("{word} action without text in {map} map"));
                }
                if reading.part == Part::Header && !is_header(text) {
                    return Err(format!(
                        "bad {word} header text \"{text}\" in {map} map -- \
                         need \"headername: headervalue\""
                    ));
                }
                if word == "PREPEND" {
                    Self::Prepend(text.into())
                } else {
                    Self::Replace(text.into())
                }
            }
            "DISCARD" => Self::Discard(text.into()),
            "HOLD" => Self::Hold(text.into()),
            "PASS" => Self::Pass(text.into()),
            "INFO" => Self::Info(text.into()),
            "STRIP" => Self::Strip(text.into()),
            "WARN" => Self::Warn(text.into()),
            "IGNORE" => Self::Ignore,
            _ => Self::Dunno,
        })
    }
}

/// All that there is; what delivery agents know comes last, what cleanup alone knows first.
const WORDS: [&str; 16] = [
    "PASS", "DELAY", "BCC", "DISCARD", "FILTER", "HOLD", "REDIRECT", "REJECT", "DUNNO", "IGNORE",
    "INFO", "OK", "PREPEND", "REPLACE", "STRIP", "WARN",
];

/// Text that can stand as a header.
pub(crate) fn is_header(text: &str) -> bool {
    matches!(line_start(text.as_bytes()), LineStart::Header(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str, part: Part, scope: Scope) -> (Option<Action>, Option<String>) {
        Action::read(value, Reading { map: "header_checks", part, scope })
    }

    fn action(value: &str) -> Action {
        let (action, warning) = read(value, Part::Header, Scope::Cleanup);
        assert_eq!(warning, None, "{value}");
        action.unwrap()
    }

    fn warning(value: &str) -> String {
        let (action, warning) = read(value, Part::Header, Scope::Cleanup);
        assert_eq!(action, None, "{value}");
        warning.unwrap()
    }

    #[test]
    fn every_action_is_read_in_any_case() {
        let address = Address::parse(b"user@example.com").unwrap();
        for (value, expected) in [
            ("bcc user@example.com", Action::Bcc(address.clone())),
            ("Redirect\tuser@example.com", Action::Redirect(address)),
            ("DISCARD", Action::Discard("".into())),
            ("DUNNO", Action::Dunno),
            ("OK whatever", Action::Dunno),
            ("ignore this", Action::Ignore),
            ("FILTER smtp:[127.0.0.1]:10025", Action::Filter("smtp:[127.0.0.1]:10025".into())),
            ("HOLD  why ", Action::Hold("why ".into())),
            ("INFO a b", Action::Info("a b".into())),
            ("PASS", Action::Pass("".into())),
            ("PREPEND X-A: b", Action::Prepend("X-A: b".into())),
            ("REPLACE X-A : b", Action::Replace("X-A : b".into())),
            ("STRIP why", Action::Strip("why".into())),
            ("WARN why", Action::Warn("why".into())),
            ("DELAY 2h", Action::Delay { secs: 7200, text: "2h".into() }),
        ] {
            assert_eq!(action(value), expected, "{value}");
        }
    }

    #[test]
    fn a_refusal_has_the_status_that_its_text_begins_with() {
        for (value, code, status, text) in [
            ("REJECT", 550, Status(5, 7, 1), "message content rejected"),
            ("REJECT no thanks", 550, Status(5, 7, 1), "no thanks"),
            ("REJECT 5.6.0  no thanks", 550, Status(5, 6, 0), "no thanks"),
            ("REJECT 4.7.1 later", 451, Status(4, 7, 1), "later"),
            ("REJECT 5.7.1", 550, Status(5, 7, 1), ""),
            ("REJECT 550 no", 550, Status(5, 7, 1), "550 no"),
        ] {
            assert_eq!(action(value), Action::Reject(Refusal::new(code, status, text)), "{value}");
        }
        let (refused, warning) = read("REJECT 2.0.0 fine", Part::Header, Scope::Cleanup);
        let softened = Refusal::new(451, Status(4, 0, 0), "fine");
        assert_eq!(refused, Some(Action::Reject(softened)));
        assert_eq!(warning.as_deref(), Some("bad DSN action in 2.0.0 fine -- need 4.x.x or 5.x.x"));
    }

    #[test]
    fn mistakes_are_told_in_postfixs_words() {
        for (value, expected) in [
            ("REJCT x", "unknown command in header_checks map: REJCT x"),
            ("FILTER", "missing FILTER command argument in header_checks map"),
            ("FILTER x", "bad FILTER command x in header_checks -- need transport:destination"),
            ("REDIRECT x", "bad REDIRECT target \"x\" in header_checks map -- need user@domain"),
            ("BCC x", "bad BCC address \"x\" in header_checks map -- need user@domain"),
            ("PREPEND", "PREPEND action without text in header_checks map"),
            ("DELAY soon", "ignoring bad DELAY argument soon in header_checks map"),
            (
                "REPLACE no header",
                "bad REPLACE header text \"no header\" in header_checks map -- \
                 need \"headername: headervalue\"",
            ),
        ] {
            assert_eq!(warning(value), expected);
        }
        let body = read("REPLACE no header", Part::Body, Scope::Cleanup);
        assert_eq!(body, (Some(Action::Replace("no header".into())), None));
    }

    #[test]
    fn who_sends_can_only_change_and_log() {
        for word in WORDS {
            let value = format!("{word} 1:a@b");
            let known = |scope| {
                let (_, warning) = read(&value, Part::Body, scope);
                !warning.is_some_and(|it| it.starts_with("unsupported"))
            };
            let delivery = ["DUNNO", "OK", "IGNORE", "INFO", "PREPEND", "REPLACE", "STRIP", "WARN"];
            assert_eq!(known(Scope::Delivery), delivery.contains(&word), "{word}");
            assert_eq!(known(Scope::Milter), word != "PASS" && word != "DELAY", "{word}");
        }
    }
}
