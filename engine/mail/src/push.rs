//! Appending to what each message has many of, log lines and headers: numbers, ids and addresses, in a fraction of the
//! time that `write!` takes.

use std::net::IpAddr;

use crate::QueueId;

/// Appends a number.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
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
pub fn id(out: &mut Vec<u8>, id: QueueId) {
    let value = id.as_u64();
    let width = (64 - value.leading_zeros()).div_ceil(4).max(12);
    for place in (0..width).rev() {
        out.push(b"0123456789ABCDEF"[(value >> (4 * place) & 15) as usize]);
    }
}

/// Appends an address of the network.
pub fn ip(out: &mut Vec<u8>, address: IpAddr) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_reads_as_it_is_printed() {
        for value in [0, 9, 10, 0xFFF, 0xFFFF_FFFF_FFFF, 0x1_0000_0000_0000, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            out.push(b' ');
            id(&mut out, QueueId::from_u64(value));
            let printed = format!("{value} {}", QueueId::from_u64(value));
            assert_eq!(out, printed.as_bytes());
        }
        for address in ["0.0.0.0", "192.0.2.10", "255.255.255.255", "::", "2001:db8::1:0:0:1"] {
            let mut out = Vec::new();
            ip(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }
}
