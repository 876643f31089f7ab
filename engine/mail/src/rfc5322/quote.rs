//! External and internal form of one address (postfix `src/global/quote_822_local.c`).

use std::borrow::Cow;

/// Whether a local part needs no quotes. Bytes beyond ASCII are let through: they are RFC 6532's UTF-8,
/// or something that was not ours to judge.
pub fn is_dot_string(local: &[u8]) -> bool {
    let allowed = |&byte: &u8| !byte.is_ascii_control() && !b" ()<>@,;:\\\"[]".contains(&byte);
    !local.is_empty()
        && local[0] != b'.'
        && local[local.len() - 1] != b'.'
        && local.iter().all(allowed)
        && !local.windows(2).any(|two| two == b"..")
}

/// The external form of an address in internal form.
///
/// The local part is what stands before the last `@` and behind a source route; the domain stays as it
/// is, whatever is in it.
pub fn quote_local(internal: &[u8]) -> Cow<'_, [u8]> {
    let start = route_len(internal);
    let end = memchr::memrchr(b'@', &internal[start..]).map_or(internal.len(), |at| start + at);
    quote(internal, start, end)
}

/// The same for a local part without a domain: an `@` in it is part of it.
pub fn quote_bare_local(internal: &[u8]) -> Cow<'_, [u8]> {
    quote(internal, route_len(internal), internal.len())
}

fn quote(internal: &[u8], start: usize, end: usize) -> Cow<'_, [u8]> {
    let local = &internal[start..end];
    if is_dot_string(local) {
        return Cow::Borrowed(internal);
    }
    let mut external = Vec::with_capacity(internal.len() + 8);
    external.extend_from_slice(&internal[..start]);
    external.push(b'"');
    for &byte in local {
        if matches!(byte, b'"' | b'\\' | b'\r') {
            external.push(b'\\');
        }
        external.push(byte);
    }
    external.push(b'"');
    external.extend_from_slice(&internal[end..]);
    Cow::Owned(external)
}

/// The internal form of an address in external form: without quotes and backslashes before its last
/// unquoted `@`.
pub fn unquote_local(external: &[u8]) -> Cow<'_, [u8]> {
    if !external.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Cow::Borrowed(external);
    }
    let start = route_len(external);
    let mut internal = Vec::with_capacity(external.len());
    internal.extend_from_slice(&external[..start]);
    let mut in_quotes = false;
    // Where the last unquoted `@` is: in the result, and in what it is read from.
    let mut last_at = None;
    let mut place = start;
    while let Some(&byte) = external.get(place) {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\\' => {
                if let Some(&escaped) = external.get(place + 1) {
                    internal.push(escaped);
                }
                place += 1;
            }
            _ => {
                if byte == b'@' && !in_quotes {
                    last_at = Some((internal.len(), place));
                }
                internal.push(byte);
            }
        }
        place += 1;
    }
    if let Some((in_result, in_external)) = last_at {
        internal.truncate(in_result);
        internal.extend_from_slice(&external[in_external..]);
    }
    Cow::Owned(internal)
}

/// Bytes of a source route with its colon.
fn route_len(address: &[u8]) -> usize {
    if address.first() != Some(&b'@') {
        return 0;
    }
    memchr::memchr(b':', address).map_or(0, |colon| colon + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_address() {
        for (internal, external) in [
            ("user@example.com", "user@example.com"),
            ("us er@example.com", "\"us er\"@example.com"),
            ("a@b@example.com", "\"a@b\"@example.com"),
            ("a\"b\\c@example.com", "\"a\\\"b\\\\c\"@example.com"),
            (".user@example.com", "\".user\"@example.com"),
            ("us..er@example.com", "\"us..er\"@example.com"),
            ("user.@example.com", "\"user.\"@example.com"),
            ("@example.com", "\"\"@example.com"),
            ("", "\"\""),
            ("us er", "\"us er\""),
            ("@a,@b:us er@c", "@a,@b:\"us er\"@c"),
            ("j\u{f6}rg@ex\u{e4}mple", "j\u{f6}rg@ex\u{e4}mple"),
        ] {
            assert_eq!(&*quote_local(internal.as_bytes()), external.as_bytes(), "{internal:?}");
            assert_eq!(&*unquote_local(external.as_bytes()), internal.as_bytes(), "{external:?}");
        }
        assert_eq!(&*quote_bare_local(b"a@b"), b"\"a@b\"");
    }

    #[test]
    fn the_domain_keeps_what_looks_like_quotes() {
        assert_eq!(&*unquote_local(b"\"a\"@b\\c\"d"), b"a@b\\c\"d");
        assert_eq!(&*unquote_local(b"\"a@b\"@c"), b"a@b@c");
        assert_eq!(&*unquote_local(b"a\\"), b"a");
    }
}
