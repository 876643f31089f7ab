//! Mailbox names made from addresses, where no table lists the users.
//!
//! The name is a path below the mailbox base, and the address comes from a stranger: whatever he
//! writes, the path stays below the base and has the depth that the template gives it.

use std::fmt;

use crate::Address;

/// Bytes of one file name, on every Linux file system.
const NAME_BYTES_MAX: usize = 255;

/// The address cannot be the name of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsafeName;

impl fmt::Display for UnsafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("address cannot be the name of a mailbox")
    }
}

impl std::error::Error for UnsafeName {}

/// Expands `%u` (the local part, without an address extension), `%d` (the domain) and `%%` in
/// `template`. Letters are folded to lower case, so that one user has one mailbox.
///
/// Refuses what would not be exactly one visible file name: empty, beginning with a dot, with a `/` or a
/// control character, too long.
pub fn mailbox_path(
    template: &str,
    address: &Address,
    delimiters: &str,
) -> Result<String, UnsafeName> {
    let mut path = String::with_capacity(template.len() + address.as_str().len());
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        path.push_str(&rest[..at]);
        match rest.as_bytes().get(at + 1) {
            Some(b'u') => path.push_str(&name(user(address.local(), delimiters))?),
            Some(b'd') => path.push_str(&name(address.domain().trim_end_matches('.'))?),
            Some(b'%') => path.push('%'),
            // The parameter's reader refuses other letters.
            _ => return Err(UnsafeName),
        }
        rest = &rest[at + 2..];
    }
    path.push_str(rest);
    Ok(path)
}

/// The local part without its extension; what begins with a delimiter has none.
fn user<'a>(local: &'a str, delimiters: &str) -> &'a str {
    match local.find(|c| delimiters.contains(c)) {
        Some(at) if at > 0 => &local[..at],
        _ => local,
    }
}

fn name(part: &str) -> Result<String, UnsafeName> {
    let bad = part.is_empty()
        || part.len() > NAME_BYTES_MAX
        || part.starts_with('.')
        || part.chars().any(|c| c == '/' || c.is_control());
    if bad { Err(UnsafeName) } else { Ok(part.to_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(address: &str) -> Result<String, UnsafeName> {
        let address = Address::parse(address.as_bytes()).unwrap();
        mailbox_path("%d/%u/", &address, "+")
    }

    #[test]
    fn one_user_has_one_mailbox() {
        assert_eq!(path("user@example.com").as_deref(), Ok("example.com/user/"));
        assert_eq!(path("User+lists@EXAMPLE.com.").as_deref(), Ok("example.com/user/"));
        assert_eq!(path("+x@example.com").as_deref(), Ok("example.com/+x/"));
        assert_eq!(path("\"a b\"@example.com").as_deref(), Ok("example.com/\"a b\"/"));
    }

    #[test]
    fn no_address_leads_out_of_the_base() {
        let long = format!("{}@example.com", "a".repeat(256));
        for address in
            ["..@example.com", ".@x.example", "a/b@example.com", "../../x@example.com", &long]
        {
            assert_eq!(path(address), Err(UnsafeName), "{address}");
        }
    }

    #[test]
    fn a_percent_sign_is_written_twice() {
        let address = Address::parse(b"u@d.example").unwrap();
        assert_eq!(mailbox_path("100%%/%u", &address, "").as_deref(), Ok("100%/u"));
        assert_eq!(mailbox_path("%x", &address, ""), Err(UnsafeName));
        assert_eq!(mailbox_path("%", &address, ""), Err(UnsafeName));
    }
}
