//! Domain names and address literals, as text.
//!
//! A domain may be written in Unicode or in ASCII (`xn--`, RFC 5890), in any case of letters, with or
//! without the dot that ends it: these are one name.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// Bytes of a label (RFC 1035 section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Bytes of a name (RFC 1035 section 2.3.4).
pub const NAME_BYTES_MAX: usize = 255;

/// The form that DNS and hosts without SMTPUTF8 understand; `None` where there is none.
///
/// ASCII names come back as they are, in lower case or not.
pub fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(Cow::Borrowed(domain));
    }
    // Postfix leaves the checks of UTS 46 to ICU (src/util/midna_domain.c), that of hyphens among them.
    let (bytes, hyphens) = (domain.as_bytes(), Hyphens::Check);
    let uts46 = Uts46::new();
    let ascii = uts46.to_ascii(bytes, AsciiDenyList::EMPTY, hyphens, DnsLength::Ignore).ok()?;
    is_host_name(without_dot(&ascii)).then_some(ascii)
}

/// The form for people; a name that has no other one, or is no valid one, stays as it is.
pub fn to_unicode(domain: &str) -> Cow<'_, str> {
    let has_ace = |label: &str| label.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("xn--"));
    if !domain.split('.').any(has_ace) {
        return Cow::Borrowed(domain);
    }
    match idna::domain_to_unicode(domain) {
        (unicode, Ok(())) => Cow::Owned(unicode),
        (_, Err(_)) => Cow::Borrowed(domain),
    }
}

/// Whether two texts are the same name.
pub fn same(one: &str, other: &str) -> bool {
    let (one, other) = (without_dot(one), without_dot(other));
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    match (to_ascii(one), to_ascii(other)) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(&other),
        _ => one.to_lowercase() == other.to_lowercase(),
    }
}

/// The name without the dot that may end it (RFC 1034 section 3.1). Two dots are no such dot.
pub fn without_dot(domain: &str) -> &str {
    match domain.strip_suffix('.') {
        Some(name) if !name.is_empty() && !name.ends_with('.') => name,
        _ => domain,
    }
}

/// The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
pub fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        Some(tag) => inner[tag.len()..].parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host_ipv4(inner).map(IpAddr::V4),
    }
}

/// An address without brackets and tag.
pub fn host_address(text: &str) -> Option<IpAddr> {
    match text.contains(':') {
        true => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        false => host_ipv4(text).map(IpAddr::V4),
    }
}

/// `0.0.0.0` is an address, `0.1.2.3` is none (postfix `src/util/valid_hostname.c`).
fn host_ipv4(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    (address.octets()[0] != 0 || address.is_unspecified()).then_some(address)
}

/// Whether a name can be that of a host: letters, digits, hyphens within labels, and the underscores that
/// people use; not all digits (postfix `src/util/valid_hostname.c`). Of a name that is not ASCII the
/// ASCII form decides.
pub fn is_host_name(name: &str) -> bool {
    if !name.is_ascii() {
        return to_ascii(name).is_some();
    }
    let label_fits = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(label_fits)
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_ascii_and_one_unicode_form() {
        assert_eq!(to_ascii("B\u{fc}cher.Example").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(to_ascii("Example.com").as_deref(), Some("Example.com"));
        assert_eq!(to_ascii("b\u{fc} cher.example"), None);
        assert_eq!(to_ascii("\u{fc}..example"), None);
        assert_eq!(to_ascii("-\u{fc}.example"), None);
        assert_eq!(to_unicode("xn--bcher-kva.example"), "b\u{fc}cher.example");
        assert_eq!(to_unicode("xn--\u{1}.example"), "xn--\u{1}.example");
        assert_eq!(to_unicode("example.com"), "example.com");
    }

    #[test]
    fn spellings_of_one_name_are_the_same() {
        assert!(same("EXAMPLE.com", "example.com."));
        assert!(same("B\u{dc}CHER.example", "xn--bcher-kva.example"));
        assert!(!same("example.com..", "example.com"));
        assert!(!same("example.com", "example.org"));
        assert_eq!(without_dot("."), ".");
    }

    #[test]
    fn literals_are_addresses_with_their_tag() {
        assert_eq!(literal("[192.0.2.1]"), "192.0.2.1".parse().ok());
        assert_eq!(literal("[ipv6:2001:db8::1]"), "2001:db8::1".parse().ok());
        for text in ["192.0.2.1", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[]", "[0.1.2.3]", "[a]"] {
            assert_eq!(literal(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for name in ["a", "a.b", "_dmarc.example", "a-b.c", "1.a", "b\u{fc}cher.example"] {
            assert!(is_host_name(name), "{name}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for name in ["", ".", "a.", ".a", "a..b", "-a.b", "a-.b", "1.2.3.4", "a b", &long] {
            assert!(!is_host_name(name), "{name}");
        }
        assert!(!is_host_name(&"a.".repeat(128)));
    }
}
