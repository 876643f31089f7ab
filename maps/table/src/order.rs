//! Which keys an address is looked up by, and in which order.
//!
//! Each order is a list of [`Form`]s, as the manual page of the table has it; [`Keys`] turns it and an
//! address into keys. Every key is tried in all tables of a list before the next key is made.

use std::net::IpAddr;

use memchr::{memchr, memrchr};
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
    /// `192.0.2`, then `192.0`, `192`; `2001:db8:`, then `2001:db8`, `2001`: what an address begins
    /// with.
    Networks,
}

/// Canonical, virtual alias, relocated and virtual mailbox tables (postfix `man/man5/virtual.5`).
pub const VIRTUAL: &[Form] =
    &[Form::Whole, Form::Bare, Form::OwnLocal, Form::OwnBareLocal, Form::AtDomain];

/// transport(5).
pub const TRANSPORT: &[Form] =
    &[Form::Whole, Form::Bare, Form::Domain, Form::DottedParentDomains, Form::Anything];

/// transport(5) where `parent_domain_matches_subdomains` has `transport_maps`.
pub const TRANSPORT_PARENTS: &[Form] =
    &[Form::Whole, Form::Bare, Form::Domain, Form::ParentDomains, Form::Anything];

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

/// access(5), names of hosts and HELO; parent domains written `.domain`. See [`Keys::of_host`].
pub const ACCESS_HOST: &[Form] = &[Form::Whole, Form::DottedParentDomains];

/// access(5), names of hosts, where `parent_domain_matches_subdomains` has the table's parameter.
pub const ACCESS_HOST_PARENTS: &[Form] = &[Form::Whole, Form::ParentDomains];

/// access(5), addresses of hosts. See [`Keys::of_host`].
pub const ACCESS_NETWORK: &[Form] = &[Form::Whole, Form::Networks];

/// aliases(5), which are asked for local parts only.
pub const ALIASES: &[Form] = &[Form::Whole, Form::Bare];

/// What an access table is asked for the null sender (`smtpd_null_access_lookup_key`).
pub const NULL_SENDER: &str = "<>";

/// Every order by the name of the manual page that it is from. Those are what Postfix does unless
/// `parent_domain_matches_subdomains` is changed; `-dotted` and `-parents` are for when it is.
pub const ORDERS: &[(&str, &[Form])] = &[
    ("access", ACCESS_PARENTS),
    ("access-dotted", ACCESS),
    ("access-host", ACCESS_HOST_PARENTS),
    ("access-host-dotted", ACCESS_HOST),
    ("access-network", ACCESS_NETWORK),
    ("aliases", ALIASES),
    ("canonical", VIRTUAL),
    ("generic", VIRTUAL),
    ("relocated", VIRTUAL),
    ("transport", TRANSPORT),
    ("transport-parents", TRANSPORT_PARENTS),
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
    domain: Option<&'a str>,
    own_domain: bool,
    parent: Option<&'a str>,
    network: Option<&'a str>,
    latest: Form,
    /// What is no part of the address as it is: an extension was in between.
    joined: SmallVec<[u8; 256]>,
}

/// A key.
enum Key<'a> {
    /// The address has none of this form.
    None,
    /// Nearly every one is a part of the address.
    Part(&'a str),
    /// It is in [`Keys::joined`].
    Joined,
}

impl<'a> Keys<'a> {
    /// `delimiters` is the value of `recipient_delimiter`: any of its characters, none where empty.
    pub fn new(forms: &'a [Form], address: &'a str, delimiters: &str) -> Self {
        let at = memrchr(b'@', address.as_bytes());
        let local = &address[..at.unwrap_or(address.len())];
        let domain = at.map(|at| &address[at + 1..]);
        let domain = domain.filter(|domain| domain.bytes().any(|byte| byte != b'.'));
        let user = split_extension(local, delimiters).map(|(user, _)| user);
        Self { at, user, domain, ..Self::plain(forms, address) }
    }

    /// The keys of a local part, whatever is in it: in `"a@b"` there is no domain.
    pub fn of_local(forms: &'a [Form], local: &'a str, delimiters: &str) -> Self {
        let user = split_extension(local, delimiters).map(|(user, _)| user);
        Self { user, ..Self::plain(forms, local) }
    }

    /// The keys of a host's name or its address. An address has no parent domains.
    pub fn of_host(forms: &'a [Form], host: &'a str) -> Self {
        match host.parse::<IpAddr>() {
            Ok(_) => Self { network: network_of(host), ..Self::plain(forms, host) },
            Err(_) => Self { domain: Some(host), ..Self::plain(forms, host) },
        }
    }

    fn plain(forms: &'a [Form], address: &'a str) -> Self {
        let (at, user, domain, parent, network) = (None, None, None, None, None);
        let (own_domain, latest) = (false, Form::Whole);
        let joined = SmallVec::new();
        Self { forms, address, at, user, domain, own_domain, parent, network, latest, joined }
    }

    /// Says that the address's domain is `$myorigin`, in `$mydestination` or one of the host's
    /// addresses, so that keys without a domain are tried.
    #[must_use]
    pub fn for_own_domain(mut self, own_domain: bool) -> Self {
        self.set_own_domain(own_domain);
        self
    }

    /// The same, once a search has come to where it matters.
    pub fn set_own_domain(&mut self, own_domain: bool) {
        self.own_domain = own_domain;
    }

    /// True where the next key depends on [`Self::for_own_domain`], so that whether the domain is the
    /// host's own need not be found out for an address that was found before.
    pub fn asks_for_own_domain(&self) -> bool {
        let mut forms =
            self.forms.iter().filter(|&&form| form != Form::Bare || self.user.is_some());
        self.domain.is_some() && forms.next() == Some(&Form::OwnLocal)
    }

    /// What was taken for the user where the address has an extension.
    pub fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The next key. Only the first can be the whole address, see [`crate::Lookup::whole_keys_only`].
    #[expect(clippy::should_implement_trait, reason = "an Iterator could not lend its buffer")]
    pub fn next(&mut self) -> Option<&str> {
        self.next_with_form().map(|(_, key)| key)
    }

    /// The next key and what it is.
    pub fn next_with_form(&mut self) -> Option<(Form, &str)> {
        let lent = loop {
            if let Some(parent) = self.parent {
                break Some(self.next_parent(parent));
            }
            let (form, rest) = self.forms.split_first()?;
            self.latest = *form;
            if *form == Form::Networks
                && let Some(network) = self.network
            {
                self.network = network_of(network);
                break Some(network);
            }
            self.forms = rest;
            match self.key(*form) {
                Key::None => {}
                Key::Part(part) => break Some(part),
                Key::Joined => break None,
            }
        };
        let key = match lent {
            Some(part) => part,
            None => std::str::from_utf8(&self.joined).unwrap_or_default(),
        };
        Some((self.latest, key))
    }

    fn key(&mut self, form: Form) -> Key<'a> {
        let address = self.address;
        let (local, at_domain) = address.split_at(self.at.unwrap_or(address.len()));
        match (form, self.user, self.domain) {
            (Form::Whole, ..) => Key::Part(address),
            (Form::Bare, Some(user), _) => self.join(user, at_domain),
            (Form::OwnLocal, _, Some(_)) if self.own_domain => Key::Part(local),
            (Form::OwnBareLocal, Some(user), Some(_)) if self.own_domain => Key::Part(user),
            (Form::AtDomain, _, Some(_)) => Key::Part(at_domain),
            (Form::Domain, _, Some(domain)) => Key::Part(domain),
            (Form::LocalAt, _, Some(_)) => Key::Part(&address[..=local.len()]),
            (Form::BareLocalAt, Some(user), Some(_)) => self.join(user, "@"),
            (Form::Anything, ..) => Key::Part("*"),
            (Form::ParentDomains | Form::DottedParentDomains, _, Some(domain)) => {
                let parent = parent_of(domain, form == Form::DottedParentDomains);
                parent.map_or(Key::None, |parent| Key::Part(self.next_parent(parent)))
            }
            _ => Key::None,
        }
    }

    fn join(&mut self, user: &str, rest: &str) -> Key<'a> {
        self.joined.clear();
        self.joined.extend_from_slice(user.as_bytes());
        self.joined.extend_from_slice(rest.as_bytes());
        Key::Joined
    }

    /// The parent, which the one above it comes after.
    fn next_parent(&mut self, parent: &'a str) -> &'a str {
        self.parent = match parent.strip_prefix('.') {
            Some(parent) => parent_of(parent, true),
            None => parent_of(parent, false),
        };
        parent
    }
}

/// What an address begins with: all before its last `.` or `:`
/// (postfix `src/smtpd/smtpd_check.c`, `check_addr_access`).
fn network_of(address: &str) -> Option<&str> {
    let last = if address.contains(':') { ':' } else { '.' };
    address.rsplit_once(last).map(|(network, _)| network).filter(|network| !network.is_empty())
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
    let at = match delimiters.as_bytes() {
        // What nearly everyone has.
        [only] => memchr(*only, local.as_bytes()),
        _ => local.find(|c| delimiters.contains(c)),
    };
    let at = at.filter(|&at| at > 0)?;
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
    fn whether_a_domain_is_the_hosts_own_is_asked_when_it_matters() {
        for (address, before) in [("user+ext@example.com", 2), ("user@example.com", 1)] {
            let mut keys = Keys::new(VIRTUAL, address, "+");
            for _ in 0..before {
                assert!(!keys.asks_for_own_domain(), "{address}");
                assert!(keys.next().is_some());
            }
            assert!(keys.asks_for_own_domain(), "{address}");
            keys.set_own_domain(true);
            let local = address.split('@').next();
            assert_eq!(keys.next_with_form(), local.map(|it| (Form::OwnLocal, it)));
        }
        let mut keys = Keys::new(VIRTUAL, "postmaster", "+");
        keys.next();
        assert!(!keys.asks_for_own_domain());
        assert!(!Keys::new(TRANSPORT, "user@example.com", "+").asks_for_own_domain());
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

    fn host_keys(forms: &[Form], host: &str) -> Vec<String> {
        let mut keys = Keys::of_host(forms, host);
        let mut all = Vec::new();
        while let Some(key) = keys.next() {
            all.push(key.to_owned());
        }
        all
    }

    #[test]
    fn canonical_generic_and_relocated_tables_have_the_order_of_virtual_ones() {
        for name in ["canonical", "generic", "relocated", "virtual"] {
            let (_, forms) = ORDERS.iter().find(|(known, _)| *known == name).unwrap();
            assert_eq!(
                keys(forms, "user+foo@example.com", true),
                ["user+foo@example.com", "user@example.com", "user+foo", "user", "@example.com"],
                "{name}"
            );
        }
    }

    #[test]
    fn transport_tables_whose_parents_match_subdomains_ask_for_plain_parents() {
        assert_eq!(
            keys(TRANSPORT_PARENTS, "user@mx.example.com", false),
            ["user@mx.example.com", "mx.example.com", "example.com", "com", "*"]
        );
    }

    #[test]
    fn access_tables_ask_for_a_host_and_its_parents() {
        assert_eq!(
            host_keys(ACCESS_HOST_PARENTS, "mx.example.com"),
            ["mx.example.com", "example.com", "com"]
        );
        assert_eq!(
            host_keys(ACCESS_HOST, "mx.example.com"),
            ["mx.example.com", ".example.com", ".com"]
        );
        assert_eq!(host_keys(ACCESS_HOST, "192.0.2.1"), ["192.0.2.1"]);
        assert_eq!(host_keys(ACCESS_HOST_PARENTS, "unknown"), ["unknown"]);
    }

    #[test]
    fn access_tables_ask_for_an_address_and_the_networks_it_is_in() {
        assert_eq!(
            host_keys(ACCESS_NETWORK, "192.0.2.1"),
            ["192.0.2.1", "192.0.2", "192.0", "192"]
        );
        assert_eq!(
            host_keys(ACCESS_NETWORK, "2001:db8::1"),
            ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]
        );
        assert_eq!(host_keys(ACCESS_NETWORK, "::1"), ["::1", ":"]);
        assert_eq!(host_keys(ACCESS_NETWORK, "mx.example.com"), ["mx.example.com"]);
    }

    #[test]
    fn the_null_sender_is_one_key_in_every_order() {
        for forms in [ACCESS, ACCESS_PARENTS] {
            assert_eq!(keys(forms, NULL_SENDER, true), ["<>"]);
        }
    }

    #[test]
    fn a_local_part_has_no_domain_whatever_is_in_it() {
        let mut keys = Keys::of_local(ALIASES, "\"a@b\"+c", "+");
        assert_eq!(keys.next(), Some("\"a@b\"+c"));
        assert_eq!(keys.next(), None);
        let mut keys = Keys::of_local(ALIASES, "list+owner@x", "+");
        assert_eq!(keys.next(), Some("list+owner@x"));
        assert_eq!(keys.next(), Some("list"));
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
