//! `virtual_mailbox_template`: the path of a mailbox made from its address, where there is no table.
//!
//! An address is a stranger's text. What it puts into a path must be a plain name, one step and no
//! more: an address that does not give such a name has no mailbox, and the recipient is unknown.

use mail::Address;
use table::split_extension;

/// The longest name of a file (Linux NAME_MAX), in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Why there is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPath {
    /// The address cannot be the name of a mailbox.
    Unknown,
    /// The template itself is wrong.
    Template(String),
}

/// The path of an address: `%d` is its domain, `%u` its user without extension, `%%` a percent sign.
/// Both are in lower case, so that one mailbox has one path.
pub(crate) fn expand(
    template: &str,
    address: &Address,
    delimiters: &str,
) -> Result<String, NoPath> {
    let local = unquoted(address.local());
    let user = split_extension(&local, delimiters).map_or(&*local, |(user, _)| user);
    let is_mbox = !template.ends_with('/');
    let mut path = String::with_capacity(template.len() + address.as_str().len());
    let mut pieces = template.split('%');
    path.push_str(pieces.next().unwrap_or_default());
    while let Some(piece) = pieces.next() {
        let mut rest = piece.chars();
        match rest.next() {
            Some('d') => path.push_str(&plain_name(address.domain(), is_mbox)?),
            Some('u') => path.push_str(&plain_name(user, is_mbox)?),
            // `%%` leaves an empty piece; the next one is text.
            None => {
                path.push('%');
                path.push_str(pieces.next().unwrap_or_default());
                continue;
            }
            Some(other) => {
                let why = format!("unknown %{other} in virtual_mailbox_template {template}");
                return Err(NoPath::Template(why));
            }
        }
        path.push_str(rest.as_str());
    }
    Ok(path)
}

/// A name that is one step of a path, visible, and nobody else's file.
fn plain_name(text: &str, is_mbox: bool) -> Result<String, NoPath> {
    let name = text.to_lowercase();
    let unfit = name.is_empty()
        || name.len() > NAME_BYTES_MAX
        // Hidden names belong to the owner's programs; `.` and `..` are among them.
        || name.starts_with('.')
        || name.contains(['/', '\0'])
        || name.chars().any(char::is_control)
        // The lock file of another user's mbox.
        || (is_mbox && name.ends_with(".lock"));
    if unfit { Err(NoPath::Unknown) } else { Ok(name) }
}

/// A local part without its quotes (RFC 5321 section 4.1.2).
fn unquoted(local: &str) -> String {
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return local.to_owned();
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, address: &str) -> Result<String, NoPath> {
        expand(template, &Address::parse(address.as_bytes()).unwrap(), "+")
    }

    #[test]
    fn an_address_becomes_a_path() {
        assert_eq!(path("%d/%u/", "User+list@Example.COM").as_deref(), Ok("example.com/user/"));
        assert_eq!(path("mail-%u%%%d", "a@b.c").as_deref(), Ok("mail-a%b.c"));
        assert_eq!(path("all/", "a@b.c").as_deref(), Ok("all/"));
        assert_eq!(path("%u/", "\"a b\"@b.c").as_deref(), Ok("a b/"));
        assert_eq!(path("%u/", "+list@b.c").as_deref(), Ok("+list/"));
    }

    #[test]
    fn an_address_that_is_no_plain_name_has_no_mailbox() {
        let long = format!("{}@b.c", "x".repeat(256));
        for address in [
            "a/b@c.d",
            "\"../b\"@c.d",
            "..@c.d",
            ".hidden@c.d",
            "\"..\"@c.d",
            "/etc/passwd@c.d",
            "\"a\\/b\"@c.d",
            "\"\"@c.d",
            &long,
        ] {
            assert_eq!(path("%d/%u/", address), Err(NoPath::Unknown), "{address}");
        }
        assert_eq!(path("%d/%u/", "postmaster"), Err(NoPath::Unknown), "no domain");
    }

    #[test]
    fn nobodys_mbox_is_the_lock_of_another() {
        assert_eq!(path("%d/%u", "bob.lock@c.d"), Err(NoPath::Unknown));
        assert!(path("%d/%u/", "bob.lock@c.d").is_ok());
    }

    #[test]
    fn a_template_with_another_letter_is_an_error_of_the_configuration() {
        assert!(matches!(path("%d/%n/", "a@b.c"), Err(NoPath::Template(_))));
    }
}
