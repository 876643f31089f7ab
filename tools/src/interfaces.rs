//! The machine's network interfaces.

use std::net::IpAddr;

use config::Interface;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// Addresses and netmasks of all interfaces that are up, in the kernel's order (postfix
/// `src/util/inet_addr_local.c`); or why there are none.
pub(crate) fn read() -> Result<Vec<Interface>, String> {
    let all = getifaddrs().map_err(|error| error.desc().to_owned())?;
    let found: Vec<Interface> = all.filter_map(|one| interface(&one)).collect();
    if found.is_empty() { Err("none is up".to_owned()) } else { Ok(found) }
}

fn interface(one: &InterfaceAddress) -> Option<Interface> {
    let ip = |address: &Option<SockaddrStorage>| -> Option<IpAddr> {
        let address = address.as_ref()?;
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    let (address, mask) = (ip(&one.address)?, ip(&one.netmask)?);
    let prefix = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    let is_up = one.flags.contains(InterfaceFlags::IFF_UP);
    let prefix = u8::try_from(prefix).ok()?;
    (is_up && !address.is_unspecified()).then_some(Interface { address, prefix })
}
