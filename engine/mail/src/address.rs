//! Mail addresses as the envelope carries them.
//!
//! An [`Address`] is kept in its external form (RFC 5321 section 4.1.2): a local part that needs
//! quotes has them, one that does not need them has none. So there is one spelling for the queue, the
//! log, the tables and the wire, and splitting at the last `@` is always right.
//!
//! This room judges syntax only. Whether a domain is ours, or needs to be fully qualified, is asked
//! elsewhere.

use std::fmt;

/// Octets of a local part, RFC 5321 section 4.5.3.1.1 says 64; real senders use more, and Postfix
/// lets them. The whole address is what the limit must hold.
pub const ADDRESS_BYTES_MAX: usize = 1024;

/// A non-empty mail address: `local@domain`, or a bare `local` (RFC 5321 section 4.1.1.3, postmaster).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Box<str>);

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing there, or nothing before or after the `@`.
    Empty,
    /// Longer than [`ADDRESS_BYTES_MAX`].
    TooLong,
    /// A character that is not allowed where it stands, control characters among them.
    Character,
    /// A quoted string or address literal that does not end.
    Unterminated,
    /// Not UTF-8.
    Encoding,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty local part or domain",
            Self::TooLong => "address too long",
            Self::Character => "character not allowed in an address",
            Self::Unterminated => "quoted string or address literal without an end",
            Self::Encoding => "not valid UTF-8",
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Reads the text between `<` and `>` of MAIL and RCPT, source route already removed.
    ///
    /// Accepts what RFC 5321 calls a Mailbox or a Local-part, and the small liberties that Postfix
    /// takes with unquoted local parts (dots anywhere). UTF-8 is let through: the caller knows
    /// whether SMTPUTF8 was asked for.
    pub fn parse(text: &[u8]) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| AddressError::Encoding)?;
        let (local, domain) = split(text)?;
        if let Some(domain) = domain {
            check_domain(domain)?;
        }
        let mut address = String::with_capacity(text.len());
        push_local(&mut address, local)?;
        if let Some(domain) = domain {
            address.push('@');
            address.push_str(domain);
        }
        Ok(Self(address.into_boxed_str()))
    }

    /// What stands before the last `@`, quotes included where it needs them.
    pub fn local(&self) -> &str {
        self.at().map_or(&self.0, |at| &self.0[..at])
    }

    /// What stands after the last `@`; empty where there is none.
    pub fn domain(&self) -> &str {
        self.at().map_or("", |at| &self.0[at + 1..])
    }

    /// Where the last `@` is; one in quotes that nothing follows is part of a name.
    fn at(&self) -> Option<usize> {
        self.0.rfind('@').filter(|_| !self.0.ends_with('"'))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where a byte is outside ASCII, so that the next hop must offer SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.0.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

/// Splits at the `@` that ends the local part; a quoted local part may hold others.
fn split(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    if !text.starts_with('"') {
        // A quote further on is refused with the other characters of an unquoted local part.
        return match text.split_once('@') {
            Some((local, domain)) => Ok((local, Some(domain))),
            None => Ok((text, None)),
        };
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (local, rest) = text.split_at(at + 1);
                return match rest.strip_prefix('@') {
                    Some(domain) => Ok((local, Some(domain))),
                    None if rest.is_empty() => Ok((local, None)),
                    None => Err(AddressError::Character),
                };
            }
            _ => {}
        }
    }
    Err(AddressError::Unterminated)
}

/// RFC 5321 section 4.1.2 atext, and UTF-8 beyond ASCII (RFC 6531 section 3.3).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// Appends the local part in its one spelling.
fn push_local(out: &mut String, local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError::Empty);
    }
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        if !local.chars().all(|c| is_atext(c) || c == '.') {
            return Err(AddressError::Character);
        }
        out.push_str(local);
        return Ok(());
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().ok_or(AddressError::Unterminated)? } else { c };
        // RFC 5321 section 4.1.2: qtextSMTP and quoted-pairSMTP hold printable characters only.
        if c.is_control() {
            return Err(AddressError::Character);
        }
        plain.push(c);
    }
    let dot_atom = !plain.is_empty()
        && !plain.starts_with('.')
        && !plain.ends_with('.')
        && !plain.contains("..")
        && plain.chars().all(|c| is_atext(c) || c == '.');
    if dot_atom {
        out.push_str(&plain);
        return Ok(());
    }
    out.push('"');
    for c in plain.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(())
}

/// A domain name or an address literal, by its characters; labels are judged where they are used.
fn check_domain(domain: &str) -> Result<(), AddressError> {
    if domain.is_empty() {
        return Err(AddressError::Empty);
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(AddressError::Unterminated)?;
        // RFC 5321 section 4.1.3 dcontent, less what no address literal uses.
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
        return if literal.is_empty() {
            Err(AddressError::Empty)
        } else if literal.chars().all(allowed) {
            Ok(())
        } else {
            Err(AddressError::Character)
        };
    }
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || "-._".contains(c) || (!c.is_ascii() && !c.is_control())
    };
    if !domain.chars().all(allowed) {
        return Err(AddressError::Character);
    }
    let name = domain.strip_suffix('.').unwrap_or(domain);
    if name.is_empty() || name.split('.').any(str::is_empty) {
        return Err(AddressError::Character);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, AddressError> {
        Address::parse(text.as_bytes()).map(|a| a.as_str().to_owned())
    }

    #[test]
    fn quotes_stay_only_where_they_are_needed() {
        assert_eq!(parsed("user@example.com").as_deref(), Ok("user@example.com"));
        assert_eq!(parsed("\"user\"@example.com").as_deref(), Ok("user@example.com"));
        assert_eq!(parsed("\"a b\"@example.com").as_deref(), Ok("\"a b\"@example.com"));
        assert_eq!(parsed("\"a\\@b\"@example.com").as_deref(), Ok("\"a@b\"@example.com"));
        assert_eq!(parsed("\"a\\\"b\"@example.com").as_deref(), Ok("\"a\\\"b\"@example.com"));
        assert_eq!(parsed("postmaster").as_deref(), Ok("postmaster"));
    }

    #[test]
    fn the_domain_is_what_follows_the_last_at() {
        let address = Address::parse(b"\"a@b\"@example.com").unwrap();
        assert_eq!(address.local(), "\"a@b\"");
        assert_eq!(address.domain(), "example.com");
        assert_eq!(Address::parse(b"postmaster").unwrap().domain(), "");
        let name = Address::parse(b"\"a@b\"").unwrap();
        assert_eq!((name.local(), name.domain()), ("\"a@b\"", ""));
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_its_cause() {
        for (text, cause) in [
            ("", AddressError::Empty),
            ("@example.com", AddressError::Empty),
            ("user@", AddressError::Empty),
            ("\"a@example.com", AddressError::Unterminated),
            ("\"a\"b@example.com", AddressError::Character),
            ("a b@example.com", AddressError::Character),
            ("a\r\nb@example.com", AddressError::Character),
            ("a\0b@example.com", AddressError::Character),
            ("\"a\nb\"@example.com", AddressError::Character),
            ("a@b@example.com", AddressError::Character),
            ("user@exa mple.com", AddressError::Character),
            ("user@example..com", AddressError::Character),
            ("user@[127.0.0.1", AddressError::Unterminated),
        ] {
            assert_eq!(parsed(text), Err(cause), "{text:?}");
        }
        assert_eq!(Address::parse(b"a\xff@example.com"), Err(AddressError::Encoding));
        assert_eq!(Address::parse(&[b'a'; 1025]), Err(AddressError::TooLong));
    }

    #[test]
    fn literals_and_utf8_are_addresses() {
        assert!(parsed("user@[127.0.0.1]").is_ok());
        assert!(parsed("user@[IPv6:::1]").is_ok());
        assert!(Address::parse("é@exämple.com".as_bytes()).unwrap().needs_smtputf8());
    }
}
