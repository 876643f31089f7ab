//! `address/length`, IPv4 and IPv6.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network, or one address as the network that has only it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: u128,
    mask: u128,
    v6: bool,
}

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Not an address.
    Address,
    /// Not a number, or more bits than the address has.
    Length,
    /// Bits behind the length are set; the network it would be is given.
    HostBits(Network),
    /// `[` without `]`, or something after it.
    Brackets,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an IP address"),
            Self::Length => f.write_str("bad length after the /"),
            Self::HostBits(network) => {
                write!(f, "address bits are set behind the length; perhaps it should be {network}")
            }
            Self::Brackets => f.write_str("[ and ] do not pair"),
        }
    }
}

impl std::error::Error for NetworkError {}

impl Network {
    /// True where the address is in it. IPv4 addresses that come as IPv6 (`::ffff:192.0.2.1`) count as
    /// IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, v6) = bits_of(address.to_canonical());
        v6 == self.v6 && bits & self.mask == self.base
    }
}

impl Network {
    /// Whether it is one of IPv6, its first and its last address, and the last address of the family.
    pub(crate) fn bounds(self) -> (bool, u128, u128, u128) {
        let all = if self.v6 { u128::MAX } else { u128::from(u32::MAX) };
        (self.v6, self.base, self.base | (all & !self.mask), all)
    }
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), false),
        IpAddr::V6(address) => (address.to_bits(), true),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `192.0.2.0/24`, `192.0.2.1`, `[2001:db8::]/32`, `[2001:db8::/32]`, `2001:db8::/32`.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let plain: String;
        let text = match text.strip_prefix('[') {
            None => text,
            Some(rest) => {
                let (inside, after) = rest.split_once(']').ok_or(NetworkError::Brackets)?;
                if !after.is_empty() && (!after.starts_with('/') || inside.contains('/')) {
                    return Err(NetworkError::Brackets);
                }
                plain = format!("{inside}{after}");
                &plain
            }
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let (bits, v6) = bits_of(address.parse().map_err(|_| NetworkError::Address)?);
        let width: u32 = if v6 { 128 } else { 32 };
        let length = match length {
            None => width,
            Some(length) if length.bytes().all(|b| b.is_ascii_digit()) => {
                length.parse().ok().filter(|&bits| bits <= width).ok_or(NetworkError::Length)?
            }
            Some(_) => return Err(NetworkError::Length),
        };
        let all = if v6 { u128::MAX } else { u128::from(u32::MAX) };
        let mask = all & all.checked_shl(width - length).unwrap_or(0);
        let network = Self { base: bits & mask, mask, v6 };
        if network.base == bits { Ok(network) } else { Err(NetworkError::HostBits(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.mask.count_ones();
        if self.v6 {
            write!(f, "[{}]/{length}", std::net::Ipv6Addr::from_bits(self.base))
        } else {
            write!(f, "{}/{length}", std::net::Ipv4Addr::from_bits(self.base as u32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_the_addresses_with_its_first_bits() {
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(contains("[2001:db8::]/32", "2001:db8:ffff::1"));
        assert!(contains("[2001:db8::/32]", "2001:db8::1"));
        assert!(contains("::/0", "::1"));
        assert!(contains("0:0:0:0:0:0:0:1", "::1"));
        assert!(!contains("::1", "::2"));
    }

    #[test]
    fn what_is_not_a_network_says_why() {
        for (text, why) in [
            (
                "192.0.2.1/24",
                "address bits are set behind the length; perhaps it should be 192.0.2.0/24",
            ),
            (
                "[2001:db8::1]/32",
                "address bits are set behind the length; perhaps it should be [2001:db8::]/32",
            ),
            ("192.0.2.0/33", "bad length after the /"),
            ("192.0.2.0/", "bad length after the /"),
            ("192.0.2.0/+8", "bad length after the /"),
            ("192.0.2", "not an IP address"),
            ("[::1", "[ and ] do not pair"),
            ("[::1]x", "[ and ] do not pair"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap_err().to_string(), why, "{text}");
        }
    }
}
