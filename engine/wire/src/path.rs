//! Reverse-path and forward-path (RFC 5321 section 4.1.2), with the liberties that Postfix takes.

use std::fmt;

use mail::{Address, AddressError};

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// `strict_rfc821_envelopes` wants angle brackets.
    NoBrackets,
    /// What is in it is not an address.
    Address(AddressError),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBrackets => f.write_str("address without angle brackets"),
            Self::Address(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PathError {}

/// Reads `<@a,@b:user@example.com>`, or `user@example.com` where `strict` does not forbid it.
/// `None` is the empty path `<>`; whether it is allowed is for the caller to say.
///
/// The source route is dropped, as RFC 5321 appendix C demands: only the mailbox behind it counts,
/// so a route through us gains nothing. Nothing else in a local part means anything here, neither
/// `%` nor `!` nor a quoted `@`: the domain is what follows the last unquoted `@`, and that is what
/// gets judged.
pub fn parse_path(text: &[u8], strict: bool) -> Result<Option<Address>, PathError> {
    let bracketed = text.strip_prefix(b"<").and_then(|text| text.strip_suffix(b">"));
    if strict && bracketed.is_none() {
        return Err(PathError::NoBrackets);
    }
    let mut mailbox = bracketed.unwrap_or(text).trim_ascii();
    if mailbox.starts_with(b"@")
        && let Some(colon) = memchr::memchr(b':', mailbox)
    {
        mailbox = &mailbox[colon + 1..];
    }
    if mailbox.is_empty() && bracketed.is_some_and(|text| text.trim_ascii().is_empty()) {
        return Ok(None);
    }
    Address::parse(mailbox).map(Some).map_err(PathError::Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<String>, PathError> {
        let path = parse_path(text.as_bytes(), false)?;
        Ok(path.map(|address| address.as_str().to_owned()))
    }

    #[test]
    fn a_path_is_an_address_with_or_without_brackets_and_route() {
        for text in [
            "<user@example.com>",
            "user@example.com",
            "< user@example.com >",
            "<@a.example,@b.example:user@example.com>",
            "@a.example:user@example.com",
            "<\"user\"@example.com>",
        ] {
            assert_eq!(parsed(text), Ok(Some("user@example.com".to_owned())), "{text}");
        }
        assert_eq!(parsed("<>"), Ok(None));
        assert_eq!(parsed("<postmaster>"), Ok(Some("postmaster".to_owned())));
    }

    #[test]
    fn the_domain_that_is_judged_is_the_one_behind_every_trick() {
        for (text, domain) in [
            ("<user%other.example@mx.example>", "mx.example"),
            ("<\"user@other.example\"@mx.example>", "mx.example"),
            ("<@mx.example:user@other.example>", "other.example"),
            ("<@mx.example,@mx.example:user@other.example>", "other.example"),
            ("<other.example!user@mx.example>", "mx.example"),
            ("<user@other.example.>", "other.example."),
            ("<user@[192.0.2.1]>", "[192.0.2.1]"),
            ("<other.example!user>", ""),
            ("<user%other.example>", ""),
        ] {
            let path = parse_path(text.as_bytes(), false).unwrap().unwrap();
            assert_eq!(path.domain(), domain, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for text in [
            "",
            "@",
            "<@a>",
            "<@a:>",
            "<a@b@c>",
            "<<a@b>>",
            "<a@b>x",
            "x<a@b>",
            "<a b@c>",
            "<a@b",
            "a@b>",
            "<\"a@b>",
            "<a@b,c@d>",
            "<a@>",
            "<:>",
        ] {
            assert!(matches!(parsed(text), Err(PathError::Address(_))), "{text}");
        }
        assert_eq!(parse_path(b"user@example.com", true), Err(PathError::NoBrackets));
        assert_eq!(parse_path(b"<>", true), Ok(None));
    }
}
