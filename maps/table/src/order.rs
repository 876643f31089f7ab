//! Which keys an address is looked up by, and in which order.
//!
//! Each order is a list of [`Form`]s, as the manual page of the table has it; [`Keys`] turns it and an
//! address into keys. Every key is tried in all tables of a list before the next key is made.

use smallvec::SmallVec;

/// One kind of key that can be made from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `user+ext@domain`, the address as it is.
    Whole,
    /// `user@domain`, where there is an extension to take away.
    Bare,
    /// `user+ext`, where the domain is one of the host's own ([`Keys::for_own_domain`]).
    OwnLocal,
    /// `user`, likewise.
    OwnBareLocal,
    /// `@domain`
    AtDomain,
    /// `domain`
    Domain,
    /// `parent`, then its parent, to the top.
    ParentDomains,
    /// `.parent`, then its parent, to the top.
    DottedParentDomains,
    /// `user+ext@`
    LocalAt,
    /// `user@`
    BareLocalAt,
    /// `*`
    Anything,
}

/// Canonical, virtual alias, relocated and virtual mailbox tables (postfix `man/man5/virtual.5`).
pub const VIRTUAL: &[Form] =
    &[Form::Whole, Form::Bare, Form::OwnLocal, Form::OwnBareLocal, Form::AtDomain];

/// transport(5).
pub const TRANSPORT: &[Form] =
    &[Form::Whole, Form::Bare, Form::Domain, Form::DottedParentDomains, Form::Anything];

/// access(5), addresses; parent domains written `.domain`.
pub const ACCESS: &[Form] = &[
    Form::Whole,
    Form::Bare,
    Form::Domain,
    Form::DottedParentDomains,
    Form::LocalAt,
    Form::BareLocalAt,
];

/// access(5) where `parent_domain_matches_subdomains` has the table's parameter.
pub const ACCESS_PARENTS: &[Form] =
    &[Form::Whole, Form::Bare, Form::Domain, Form::ParentDomains, Form::LocalAt, Form::BareLocalAt];

/// aliases(5), which are asked for local parts only.
pub const ALIASES: &[Form] = &[Form::Whole, Form::Bare];

/// What an access table is asked for the null sender (`smtpd_null_access_lookup_key`).
pub const NULL_SENDER: &str = "<>";

/// Every order by the name of the manual page that it is from. `access` is what Postfix does unless
/// `parent_domain_matches_subdomains` is changed; `access-dotted` is for `.domain`.
pub const ORDERS: &[(&str, &[Form])] = &[
    ("access", ACCESS_PARENTS),
    ("access-dotted", ACCESS),
    ("aliases", ALIASES),
    ("canonical", VIRTUAL),
    ("generic", VIRTUAL),
    ("relocated", VIRTUAL),
    ("transport", TRANSPORT),
    ("virtual", VIRTUAL),
];

/// The keys of one address, in order.
///
/// It lends each key: `while let Some(key) = keys.next() { .. }`.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    forms: &'a [Form],
    address: &'a str,
    at: Option<usize>,
    user: Option<&'a str>,
    own_domain: bool,
    parent: Option<&'a str>,
    made: SmallVec<[u8; 256]>,
}

impl<'a> Keys<'a> {
    /// `delimiters` is the value of `recipient_delimiter`: any of its characters, none where empty.
    pub fn new(forms: &'a [Form], address: &'a str, delimiters: &str) -> Self {
        let at = address.rfind('@');
        let local = &address[..at.unwrap_or(address.len())];
        let user = split_extension(local, delimiters).map(|(user, _)| user);
        Self { forms, address, at, user, own_domain: false, parent: None, made: SmallVec::new() }
    }

    /// Says that the address's domain is `$myorigin`, in `$mydestination` or one of the host's
    /// addresses, so that keys without a domain are tried.
    #[must_use]
    pub fn for_own_domain(mut self, own_domain: bool) -> Self {
        self.own_domain = own_domain;
        self
    }

    /// What was taken for the user where the address has an extension.
    pub fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The next key. Only the first can be the whole address, see [`crate::Lookup::whole_keys_only`].
    #[expect(clippy::should_implement_trait, reason = "an Iterator could not lend its buffer")]
    pub fn next(&mut self) -> Option<&str> {
        loop {
            if let Some(parent) = self.parent {
                return Some(self.next_parent(parent));
            }
            let (form, rest) = self.forms.split_first()?;
            self.forms = rest;
            if self.make(*form) {
                break;
            }
        }
        if let Some(parent) = self.parent {
            return Some(self.next_parent(parent));
        }
        Some(std::str::from_utf8(&self.made).unwrap_or_default())
    }

    /// Prepares the key of a form in `made`, or the first of a row of parents; false where the
    /// address has no such key.
    fn make(&mut self, form: Form) -> bool {
        let address = self.address;
        let domain = self
            .at
            .map(|at| &address[at + 1..])
            .filter(|domain| !domain.trim_matches('.').is_empty());
        let local = &address[..self.at.unwrap_or(address.len())];
        let parts: [&str; 2] = match (form, self.user, domain) {
            (Form::Whole, ..) => [address, ""],
            (Form::Bare, Some(user), at) => [user, at.map_or("", |_| &address[local.len()..])],
            (Form::OwnLocal, _, Some(_)) if self.own_domain => [local, ""],
            (Form::OwnBareLocal, Some(user), Some(_)) if self.own_domain => [user, ""],
            (Form::AtDomain, _, Some(_)) => [&address[local.len()..], ""],
            (Form::Domain, _, Some(domain)) => [domain, ""],
            (Form::LocalAt, _, Some(_)) => [local, "@"],
            (Form::BareLocalAt, Some(user), Some(_)) => [user, "@"],
            (Form::Anything, ..) => ["*", ""],
            (Form::ParentDomains | Form::DottedParentDomains, _, Some(domain)) => {
                self.parent = parent_of(domain, form == Form::DottedParentDomains);
                return self.parent.is_some();
            }
            _ => return false,
        };
        self.made.clear();
        for part in parts {
            self.made.extend_from_slice(part.as_bytes());
        }
        true
    }

    fn next_parent(&mut self, parent: &'a str) -> &'a str {
        self.parent = match parent.strip_prefix('.') {
            Some(parent) => parent_of(parent, true),
            None => parent_of(parent, false),
        };
        parent
    }
}

/// `.example.com` or `example.com` of `mx.example.com`.
fn parent_of(domain: &str, dotted: bool) -> Option<&str> {
    let dot = domain.find('.')?;
    let parent = &domain[if dotted { dot } else { dot + 1 }..];
    (parent.trim_start_matches('.').len() + usize::from(dotted) == parent.len()
        && parent.len() > usize::from(dotted))
    .then_some(parent)
}

/// Splits `user+ext` where one of `delimiters` follows at least one other character
/// (postfix `src/global/split_addr.c`).
///
/// Quoted local parts are not split: an extension of a name with spaces in it has not been seen.
pub fn split_extension<'a>(local: &'a str, delimiters: &str) -> Option<(&'a str, &'a str)> {
    if delimiters.is_empty() || local.starts_with('"') {
        return None;
    }
    let reserved = ["postmaster", "mailer-daemon", "double-bounce"];
    if reserved.iter().any(|name| local.eq_ignore_ascii_case(name)) {
        return None;
    }
    // `owner_request_special`: mailing list addresses stay whole where the delimiter is a dash.
    if delimiters.contains('-') {
        let bytes = local.as_bytes();
        let starts = bytes.len() >= 6 && bytes[..6].eq_ignore_ascii_case(b"owner-");
        let ends = bytes.len() > 8 && bytes[bytes.len() - 8..].eq_ignore_ascii_case(b"-request");
        if starts || ends {
            return None;
        }
    }
    let at = local.find(|c| delimiters.contains(c)).filter(|&at| at > 0)?;
    let width = local[at..].chars().next().map_or(1, char::len_utf8);
    Some((&local[..at], &local[at + width..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(forms: &[Form], address: &str, own: bool) -> Vec<String> {
        let mut keys = Keys::new(forms, address, "+-").for_own_domain(own);
        let mut all = Vec::new();
        while let Some(key) = keys.next() {
            all.push(key.to_owned());
        }
        all
    }

    #[test]
    fn virtual_tables_ask_for_the_address_then_without_extension_then_the_domain() {
        assert_eq!(
            keys(VIRTUAL, "user+ext@example.com", false),
            ["user+ext@example.com", "user@example.com", "@example.com"]
        );
        assert_eq!(keys(VIRTUAL, "user@example.com", false), ["user@example.com", "@example.com"]);
        assert_eq!(
            keys(VIRTUAL, "user+ext@example.com", true),
            ["user+ext@example.com", "user@example.com", "user+ext", "user", "@example.com"]
        );
        assert_eq!(keys(VIRTUAL, "postmaster", true), ["postmaster"]);
    }

    #[test]
    fn transport_tables_ask_for_the_domain_and_its_dotted_parents() {
        assert_eq!(
            keys(TRANSPORT, "user+ext@mx.example.com", false),
            [
                "user+ext@mx.example.com",
                "user@mx.example.com",
                "mx.example.com",
                ".example.com",
                ".com",
                "*"
            ]
        );
    }

    #[test]
    fn access_tables_end_with_the_local_part() {
        assert_eq!(
            keys(ACCESS_PARENTS, "user+ext@mx.example.com", false),
            [
                "user+ext@mx.example.com",
                "user@mx.example.com",
                "mx.example.com",
                "example.com",
                "com",
                "user+ext@",
                "user@"
            ]
        );
        assert_eq!(
            keys(ACCESS, "user@example.com", false),
            ["user@example.com", "example.com", ".com", "user@"]
        );
    }

    #[test]
    fn alias_tables_are_asked_for_names_without_a_domain() {
        assert_eq!(keys(ALIASES, "user+ext", false), ["user+ext", "user"]);
        assert_eq!(keys(ALIASES, "user", false), ["user"]);
        assert_eq!(keys(ALIASES, "owner-list", false), ["owner-list"]);
    }

    #[test]
    fn each_order_begins_with_the_address_and_has_a_name_of_its_own() {
        let names: Vec<&str> = ORDERS.iter().map(|(name, _)| *name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for (name, forms) in ORDERS {
            assert_eq!(forms.first(), Some(&Form::Whole), "{name}");
        }
    }

    #[test]
    fn odd_domains_make_no_empty_keys() {
        for address in ["a@", "@", "a@.", "a@..", "a@b.", "@b", "a@[127.0.0.1]", ""] {
            for forms in [VIRTUAL, TRANSPORT, ACCESS, ACCESS_PARENTS] {
                for key in keys(forms, address, true).iter().skip(1) {
                    assert_ne!(key, ".", "{address}");
                }
            }
        }
    }

    #[test]
    fn an_extension_is_split_only_where_a_user_is_left() {
        assert_eq!(split_extension("user+a+b", "+"), Some(("user", "a+b")));
        assert_eq!(split_extension("user-a+b", "+-"), Some(("user", "a+b")));
        assert_eq!(split_extension("user+", "+"), Some(("user", "")));
        for (local, delimiters) in [
            ("+ext", "+"),
            ("user", "+"),
            ("user+ext", ""),
            ("MAILER-DAEMON", "-"),
            ("double-bounce", "-"),
            ("owner-list", "-"),
            ("list-request", "-"),
            ("\"a+b c\"", "+"),
        ] {
            assert_eq!(split_extension(local, delimiters), None, "{local}");
        }
    }
}
