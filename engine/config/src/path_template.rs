//! `virtual_mailbox_template`: the path of a mailbox made from its address, where there is no table.
//!
//! An address is a stranger's text. What it puts into a path must be a plain name, one step and no
//! more: an address that does not give such a name has no mailbox, and the recipient is unknown. The
//! server asks the same question at RCPT as the delivery agent later, so nobody is accepted who cannot
//! be delivered to.

use std::borrow::Cow;
use std::ops::Deref;

use mail::Address;
use table::split_extension;

use crate::row::Row;
use crate::typed::FromText;

/// The longest name of a file (Linux NAME_MAX), in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A path below some directory, made from an address: `%d/%u/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathTemplate(Box<str>);

/// The address cannot be the name of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMailbox;

impl PathTemplate {
    /// The path of an address: `%d` is its domain, `%u` its user without extension, `%%` a percent sign.
    /// Both are in lower case, so that one mailbox has one path.
    pub fn path(&self, address: &Address, delimiters: &str) -> Result<String, NoMailbox> {
        let local = unquoted(address.local());
        let user = split_extension(&local, delimiters).map_or(&*local, |(user, _)| user);
        let domain = address.domain().trim_end_matches('.');
        let is_mbox = !self.0.ends_with('/');
        let mut path = String::with_capacity(self.0.len() + address.as_str().len());
        let mut rest = &*self.0;
        while let Some(at) = rest.find('%') {
            path.push_str(&rest[..at]);
            match rest.as_bytes().get(at + 1) {
                Some(b'd') => path.push_str(&plain_name(domain, is_mbox)?),
                Some(b'u') => path.push_str(&plain_name(user, is_mbox)?),
                Some(b'%') => path.push('%'),
                other => unreachable!("{other:?} was refused when the template was read"),
            }
            rest = &rest[at + 2..];
        }
        path.push_str(rest);
        Ok(path)
    }
}

impl Deref for PathTemplate {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromText for PathTemplate {
    const KIND: &'static str = "path with %d and %u";

    /// Everything that could lead out of the directory is refused here, once, not at each message.
    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let mut after_percent = text.split('%').skip(1);
        let mut letters_known = true;
        while let Some(piece) = after_percent.next() {
            match piece.chars().next() {
                Some('d' | 'u') => {}
                // `%%`: the piece between the two is empty, and the next one is plain text.
                None => letters_known &= after_percent.next().is_some(),
                Some(_) => letters_known = false,
            }
        }
        let stays_below = !text.starts_with('/')
            && text.split('/').all(|name| name != ".." && name != ".")
            && !text.chars().any(char::is_control);
        if letters_known && stays_below {
            Ok(Self(text.into()))
        } else {
            Err("a path that does not start with / and has no .. in it, made of text, %d, %u and %%"
                .to_owned())
        }
    }
}

/// A name that is one step of a path, visible, and nobody else's file.
fn plain_name(text: &str, is_mbox: bool) -> Result<Cow<'_, str>, NoMailbox> {
    let is_lower = text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    let name = if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) };
    let unfit = name.is_empty()
        || name.len() > NAME_BYTES_MAX
        // Hidden names belong to the owner's programs; `.` and `..` are among them.
        || name.starts_with('.')
        || name.contains(['/', '\0'])
        || name.chars().any(char::is_control)
        // The lock file of another user's mbox.
        || (is_mbox && name.ends_with(".lock"));
    if unfit { Err(NoMailbox) } else { Ok(name) }
}

/// A local part without its quotes (RFC 5321 section 4.1.2).
fn unquoted(local: &str) -> Cow<'_, str> {
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(local);
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, address: &str) -> Result<String, NoMailbox> {
        let address = Address::parse(address.as_bytes()).unwrap();
        PathTemplate(template.into()).path(&address, "+")
    }

    #[test]
    fn an_address_becomes_a_path() {
        assert_eq!(path("%d/%u/", "User+list@Example.COM.").as_deref(), Ok("example.com/user/"));
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
            assert_eq!(path("%d/%u/", address), Err(NoMailbox), "{address}");
        }
        assert_eq!(path("%d/%u/", "postmaster"), Err(NoMailbox), "no domain");
    }

    #[test]
    fn nobodys_mbox_is_the_lock_of_another() {
        assert_eq!(path("%d/%u", "bob.lock@c.d"), Err(NoMailbox));
        assert!(path("%d/%u/", "bob.lock@c.d").is_ok());
    }
}
