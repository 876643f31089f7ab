//! `ldap:///dn?attributes?scope?filter`: what a special attribute may hold instead of a DN (RFC 4516).

use ldap3::Scope;

/// A search that an entry asks for. The server in it is not asked: it is whoever gave the entry.
#[derive(Debug, PartialEq)]
pub(crate) struct SearchUrl {
    pub(crate) base: String,
    /// Empty for all.
    pub(crate) attributes: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) filter: String,
}

/// Reads a URL; `None` for what is no URL at all, and so a DN.
pub(crate) fn parse(text: &str) -> Option<Result<SearchUrl, String>> {
    let (scheme, rest) = text.split_once("://")?;
    if !["ldap", "ldaps", "ldapi"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    Some(read(rest).ok_or_else(|| format!("malformed URL {text}")))
}

fn read(rest: &str) -> Option<SearchUrl> {
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let mut parts = path.split('?');
    let base = decode(parts.next().unwrap_or_default())?;
    let attributes = parts.next().unwrap_or_default().split(',').filter(|it| !it.is_empty());
    let attributes = attributes.map(decode).collect::<Option<Vec<String>>>()?;
    let scope = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "base" => Scope::Base,
        "one" => Scope::OneLevel,
        "sub" => Scope::Subtree,
        _ => return None,
    };
    let filter = match parts.next().unwrap_or_default() {
        "" => "(objectClass=*)".to_owned(),
        filter => decode(filter)?,
    };
    Some(SearchUrl { base, attributes, scope, filter })
}

/// `%XX` to what it stands for; `None` where that is no text.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digits = rest.get(..2).filter(|it| it.iter().all(u8::is_ascii_hexdigit))?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_search_and_anything_else_a_dn() {
        let url = parse("ldap:///dc=example,dc=com?mail,cn?sub?(uid=a%20b)").unwrap().unwrap();
        assert_eq!(url.base, "dc=example,dc=com");
        assert_eq!(url.attributes, ["mail", "cn"]);
        assert_eq!((url.scope, url.filter.as_str()), (Scope::Subtree, "(uid=a b)"));
        let short = parse("LDAP://host/dc=example").unwrap().unwrap();
        assert_eq!((short.base.as_str(), short.scope), ("dc=example", Scope::Base));
        assert_eq!(short.filter, "(objectClass=*)");
        assert_eq!(parse("uid=a,dc=example"), None);
        assert_eq!(parse("http://x/"), None);
        for bad in ["ldap:///a%2", "ldap:///a??nowhere", "ldap:///%FF"] {
            assert!(parse(bad).unwrap().is_err(), "{bad}");
        }
    }
}
