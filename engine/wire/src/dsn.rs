//! The parameters of delivery status notifications (RFC 3461 sections 4 and 5).
//!
//! Values are kept in xtext, exactly as they came: so they can be passed on unchanged, and nothing
//! that is hidden in an encoding reaches a log or a queue record. They are decoded once, to be sure
//! that they can be.

use std::fmt;

use mail::{Notify, Ret};
use memchr::memchr;

/// RFC 3461 section 4.2: the longest `ORCPT=` value.
const ORCPT_BYTES_MAX: usize = 500;

/// RFC 3461 section 4.4 says 100 characters; real values are a little longer.
const ENVID_BYTES_MAX: usize = 500;

/// A parameter's value is not what RFC 3461 says it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DsnError;

impl fmt::Display for DsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad DSN parameter syntax")
    }
}

impl std::error::Error for DsnError {}

/// `RET=FULL` or `RET=HDRS` (section 4.3).
pub fn parse_ret(value: &[u8]) -> Result<Ret, DsnError> {
    match value {
        _ if value.eq_ignore_ascii_case(b"FULL") => Ok(Ret::Full),
        _ if value.eq_ignore_ascii_case(b"HDRS") => Ok(Ret::Headers),
        _ => Err(DsnError),
    }
}

/// `NOTIFY=NEVER`, or a list of the other three (section 4.1).
pub fn parse_notify(value: &[u8]) -> Result<Notify, DsnError> {
    let mut notify = Notify::default();
    for word in value.split(|&b| b == b',') {
        match word {
            _ if word.eq_ignore_ascii_case(b"NEVER") => notify.never = true,
            _ if word.eq_ignore_ascii_case(b"SUCCESS") => notify.success = true,
            _ if word.eq_ignore_ascii_case(b"FAILURE") => notify.failure = true,
            _ if word.eq_ignore_ascii_case(b"DELAY") => notify.delay = true,
            _ => return Err(DsnError),
        }
    }
    if notify.never && (notify.success || notify.failure || notify.delay) {
        return Err(DsnError);
    }
    Ok(notify)
}

/// `ENVID=`, in xtext of printable characters (section 4.4).
pub fn parse_envid(value: &[u8]) -> Result<Box<str>, DsnError> {
    if value.is_empty() || value.len() > ENVID_BYTES_MAX || !value.is_ascii() {
        return Err(DsnError);
    }
    let decoded = xtext_decode(value)?;
    if !decoded.is_ascii() || !is_plain(&decoded) {
        return Err(DsnError);
    }
    as_text(value)
}

/// `ORCPT=`: address type, semicolon, address in xtext (section 4.2). For the type `utf-8`
/// RFC 6533 section 3 has other encodings, which are left for the reader of the notice.
pub fn parse_orcpt(value: &[u8]) -> Result<Box<str>, DsnError> {
    let semicolon = memchr(b';', value).ok_or(DsnError)?;
    let (kind, address) = (&value[..semicolon], &value[semicolon + 1..]);
    let is_kind = |b: &u8| b.is_ascii_alphanumeric() || b"-_.+".contains(b);
    if value.len() > ORCPT_BYTES_MAX || kind.is_empty() || !kind.iter().all(is_kind) {
        return Err(DsnError);
    }
    let sound = kind.eq_ignore_ascii_case(b"utf-8")
        || (address.is_ascii() && is_plain(&xtext_decode(address)?));
    if address.is_empty() || !sound {
        return Err(DsnError);
    }
    as_text(value)
}

/// Decodes xtext (section 4): `+` and two hex digits stand for any octet.
///
/// Lower-case digits and characters that should have been encoded are let through, as Postfix does;
/// what must not be in the result is for the caller to say.
pub fn xtext_decode(text: &[u8]) -> Result<Vec<u8>, DsnError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(plus) = memchr(b'+', rest) {
        let [high, low] = *rest[plus + 1..].first_chunk().ok_or(DsnError)?;
        decoded.extend_from_slice(&rest[..plus]);
        decoded.push(hex(high)? << 4 | hex(low)?);
        rest = &rest[plus + 3..];
    }
    decoded.extend_from_slice(rest);
    Ok(decoded)
}

fn hex(digit: u8) -> Result<u8, DsnError> {
    char::from(digit).to_digit(16).map(|value| value as u8).ok_or(DsnError)
}

/// Nothing that could start a new line or record, or end a text.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|b| !b.is_ascii_control() || *b == b'\t')
}

/// One line of text, and not a single control character outside ASCII either: some displays take
/// U+0085 for a line ending.
fn as_text(value: &[u8]) -> Result<Box<str>, DsnError> {
    let text = std::str::from_utf8(value).map_err(|_| DsnError)?;
    if text.chars().any(char::is_control) {
        return Err(DsnError);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_they_were_sent() {
        assert_eq!(parse_envid(b"QQ314159").as_deref(), Ok("QQ314159"));
        assert_eq!(parse_envid(b"a+2Bb").as_deref(), Ok("a+2Bb"));
        assert_eq!(parse_orcpt(b"rfc822;Bob+40x").as_deref(), Ok("rfc822;Bob+40x"));
        assert_eq!(parse_orcpt("utf-8;é@x".as_bytes()).as_deref(), Ok("utf-8;é@x"));
    }

    #[test]
    fn hidden_line_endings_and_nul_are_refused() {
        for value in ["a+0D+0Ab", "a+00", "+0a", "a+7F", "+", "+4", "+4G", "a+", "+-1", ""] {
            assert_eq!(parse_envid(value.as_bytes()), Err(DsnError), "{value}");
            let orcpt = format!("rfc822;{value}");
            assert_eq!(parse_orcpt(orcpt.as_bytes()), Err(DsnError), "{orcpt}");
        }
        assert_eq!(parse_envid("a\u{85}b".as_bytes()), Err(DsnError));
        assert_eq!(parse_orcpt("utf-8;a\u{85}b".as_bytes()), Err(DsnError));
        for value in ["", ";", ";a@b", "rfc822", "rfc822;", "rfc 822;a", "a=b;c", "utf-8;"] {
            assert_eq!(parse_orcpt(value.as_bytes()), Err(DsnError), "{value}");
        }
        assert_eq!(parse_orcpt(&[b"rfc822;".as_slice(), &[b'a'; 500]].concat()), Err(DsnError));
    }

    #[test]
    fn never_excludes_the_others() {
        let notify = parse_notify(b"success,DELAY").unwrap();
        assert!(notify.success && notify.delay && !notify.failure && !notify.never);
        assert!(parse_notify(b"NEVER").unwrap().never);
        for value in ["", "NEVER,DELAY", "SUCCESS,", ",", "ALWAYS", "SUCCESS DELAY", "="] {
            assert_eq!(parse_notify(value.as_bytes()), Err(DsnError), "{value}");
        }
        assert_eq!(parse_ret(b"hdrs"), Ok(Ret::Headers));
        assert_eq!(parse_ret(b"FULL "), Err(DsnError));
    }
}
