//! Appending to a line: text of our own, and text that came from outside.

pub(super) use crate::push::{id, ip, number};

/// Appends text that is our own.
pub(super) fn own(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends text that may come from outside: a control character becomes `?`, so that nothing can end
/// the line or move a terminal's cursor.
pub(super) fn outside(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        let c = if is_unsafe(c) { '?' } else { c };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Controls, and what some readers take for a line end or for a change of direction.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
