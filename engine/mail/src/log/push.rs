//! Appending to a line: numbers, ids, and text that came from outside.

use std::net::IpAddr;

use crate::QueueId;

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

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Appends a queue id as its `Display` prints it: 12 hexadecimal digits or more.
pub(super) fn id(out: &mut Vec<u8>, id: QueueId) {
    let value = id.as_u64();
    let width = (64 - value.leading_zeros()).div_ceil(4).max(12);
    for place in (0..width).rev() {
        out.push(b"0123456789ABCDEF"[(value >> (4 * place) & 15) as usize]);
    }
}

/// Appends an address of the network.
pub(super) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                number(out, octet.into());
            }
        }
        IpAddr::V6(address) => {
            use std::io::Write;
            // Writing to memory does not fail.
            let _ = write!(out, "{address}");
        }
    }
}
