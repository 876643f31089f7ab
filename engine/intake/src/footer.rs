//! Text that an administrator has appended to refusals: whom to call, and what to tell them.

use std::borrow::Cow;
use std::cell::RefCell;

use cf::{ExpandError, Scope, Template, TemplateError};

/// What a footer may come to, in bytes. Values in it are a stranger's, and a template can name one often.
const FOOTER_BYTES_MAX: usize = 4096;

/// Characters that values may have in a reply; others become underscores (`smtpd_expansion_filter`).
#[derive(Debug)]
pub(crate) struct Allowed(Box<str>);

impl Allowed {
    /// Reads the parameter, which writes some characters as C does (postfix `src/util/unescape.c`).
    pub(crate) fn new(filter: &str) -> Self {
        let mut text = String::new();
        let mut rest = filter.chars().peekable();
        while let Some(c) = rest.next() {
            if c != '\\' {
                text.push(c);
                continue;
            }
            match rest.next() {
                Some('a') => text.push('\x07'),
                Some('b') => text.push('\x08'),
                Some('f') => text.push('\x0c'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('v') => text.push('\x0b'),
                Some(digit @ '0'..='7') => {
                    let mut code = digit as u32 - '0' as u32;
                    for _ in 0..2 {
                        let Some(digit) = rest.next_if(|c| ('0'..='7').contains(c)) else { break };
                        code = code * 8 + (digit as u32 - '0' as u32);
                    }
                    // Beyond ASCII there are no characters of one byte.
                    text.extend(u8::try_from(code).ok().filter(u8::is_ascii).map(char::from));
                }
                Some(other) => text.push(other),
                None => {}
            }
        }
        Self(text.into())
    }

    fn filter(&self, value: &str) -> String {
        // A value that has a `$` means a `$`.
        value
            .chars()
            .map(|c| if self.0.contains(c) { c } else { '_' })
            .flat_map(|c| [Some(c), (c == '$').then_some(c)].into_iter().flatten())
            .collect()
    }
}

/// Why a reply goes without its footer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FooterError {
    Template(TemplateError),
    Expand(ExpandError),
    TooLong,
}

impl std::fmt::Display for FooterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Expand(error) => error.fmt(f),
            Self::TooLong => write!(f, "comes to more than {FOOTER_BYTES_MAX} bytes"),
        }
    }
}

/// Appends a footer to a reply of one or more lines, each with its CR LF. `values` says what a `$name`
/// stands for; the names that it does not know are the result.
///
/// The footer begins on a line of its own unless its template begins with `\c`, and each `\n` in the
/// template begins a further one; each line has the code and the status of the reply (postfix
/// `src/global/smtp_reply_footer.c`).
pub(crate) fn append(
    reply: &mut Vec<u8>,
    template: &str,
    allowed: &Allowed,
    values: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, FooterError> {
    let scope = Values { values, allowed, unknown: RefCell::default() };
    let end = reply.strip_suffix(b"\r\n").map_or(reply.len(), <[u8]>::len);
    let last = reply[..end].windows(2).rposition(|two| two == b"\r\n").map_or(0, |at| at + 2);
    let line = &reply[last..end];
    let Some((code, text)) = line.split_at_checked(4) else { return Ok(Vec::new()) };
    let status = status_length(text);
    let mut footer = Vec::new();
    let mut lines = 0;
    let pieces = template.split("\\n").count();
    for (at, piece) in template.split("\\n").enumerate() {
        let piece = match piece.strip_prefix("\\c").filter(|_| at == 0) {
            Some(piece) => piece,
            None => {
                footer.extend_from_slice(b"\r\n");
                footer.extend_from_slice(&code[..3]);
                footer.push(if at + 1 < pieces { b'-' } else { b' ' });
                footer.extend_from_slice(&text[..status]);
                footer.extend(text[..status].last().map(|_| b' '));
                lines += 1;
                piece
            }
        };
        let piece = Template::parse(piece).map_err(FooterError::Template)?;
        let piece = piece.expand("footer", &scope).map_err(FooterError::Expand)?;
        // A reply is one line whatever it quotes.
        let piece: String = piece.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        footer.extend_from_slice(piece.as_bytes());
        if footer.len() > FOOTER_BYTES_MAX {
            return Err(FooterError::TooLong);
        }
    }
    if lines > 0 {
        reply[last + 3] = b'-';
    }
    footer.extend_from_slice(b"\r\n");
    reply.splice(end.., footer);
    Ok(scope.unknown.into_inner())
}

/// The length of the enhanced status code that a text begins with (RFC 3463 section 2), 0 where there is none.
fn status_length(text: &[u8]) -> usize {
    let length = text.iter().position(|&b| b == b' ').unwrap_or(text.len());
    let word = std::str::from_utf8(&text[..length]).unwrap_or("");
    if word.parse::<mail::Status>().is_ok() { length } else { 0 }
}

struct Values<'a> {
    values: &'a dyn Fn(&str) -> Option<String>,
    allowed: &'a Allowed,
    unknown: RefCell<Vec<String>>,
}

impl Scope for Values<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        match (self.values)(name) {
            Some(value) => Some(self.allowed.filter(&value).into()),
            None => {
                self.unknown.borrow_mut().push(name.to_owned());
                None
            }
        }
    }

    fn call(&self, _: &str, _: &str) -> Option<Result<String, String>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str = "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

    fn with_footer(reply: &str, template: &str) -> String {
        let values = |name: &str| match name {
            "client_address" => Some("192.0.2.1".to_owned()),
            "helo_name" => Some("gr\u{fc}\u{df}e$sender".to_owned()),
            "sender" => Some(String::new()),
            _ => None,
        };
        let mut reply = reply.as_bytes().to_vec();
        match append(&mut reply, template, &Allowed::new(FILTER), &values) {
            Ok(unknown) if unknown.is_empty() => String::from_utf8(reply).unwrap(),
            Ok(unknown) => format!("unknown {unknown:?} in {}", String::from_utf8_lossy(&reply)),
            Err(error) => format!("{error}: {}", String::from_utf8_lossy(&reply)),
        }
    }

    #[test]
    fn a_footer_is_a_line_of_its_own_with_the_replys_code_and_status() {
        assert_eq!(
            with_footer("550 5.1.1 No\r\n", "Call 555, you are $client_address"),
            "550-5.1.1 No\r\n550 5.1.1 Call 555, you are 192.0.2.1\r\n"
        );
        assert_eq!(with_footer("421 Bye\r\n", "Call"), "421-Bye\r\n421 Call\r\n");
        assert_eq!(with_footer("550 5.1.1\r\n", "Call"), "550-5.1.1\r\n550 5.1.1 Call\r\n");
    }

    #[test]
    fn a_footer_can_follow_on_the_same_line_and_have_several() {
        assert_eq!(with_footer("550 5.1.1 No\r\n", "\\c. Call"), "550 5.1.1 No. Call\r\n");
        assert_eq!(
            with_footer("450 4.7.1 No\r\n", "\\c. Call\\n555\\nor write"),
            "450-4.7.1 No. Call\r\n450-4.7.1 555\r\n450 4.7.1 or write\r\n"
        );
        assert_eq!(
            with_footer("550-5.7.1 No\r\n550 5.7.1 Really\r\n", "Call"),
            "550-5.7.1 No\r\n550-5.7.1 Really\r\n550 5.7.1 Call\r\n"
        );
    }

    #[test]
    fn values_are_filtered_and_never_expanded_again() {
        assert_eq!(
            with_footer("550 No\r\n", "\\c ($helo_name) ${sender?{s}:{n}}"),
            "550 No (gr__e$sender) n\r\n"
        );
        assert_eq!(with_footer("550 No\r\n", "\\c $$sender"), "550 No $sender\r\n");
    }

    #[test]
    fn a_footer_that_cannot_be_made_leaves_the_reply_as_it_is() {
        assert_eq!(
            with_footer("550 No\r\n", "Call ${x"),
            "no closing bracket for \"${x\": 550 No\r\n"
        );
        let long = "x".repeat(FOOTER_BYTES_MAX);
        assert_eq!(
            with_footer("550 No\r\n", &long),
            format!("comes to more than {FOOTER_BYTES_MAX} bytes: 550 No\r\n")
        );
    }

    #[test]
    fn names_that_mean_nothing_here_are_told() {
        assert_eq!(
            with_footer("550 No\r\n", "\\c[$mynetworks]"),
            "unknown [\"mynetworks\"] in 550 No[]\r\n"
        );
    }

    #[test]
    fn characters_can_be_written_as_in_c() {
        assert_eq!(&*Allowed::new("\\t\\40x\\\\\\").0, "\t x\\");
        assert_eq!(&*Allowed::new("\\1019\\n").0, "A9\n");
    }
}
