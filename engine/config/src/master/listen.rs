//! From endpoints to addresses: `inet_interfaces`, `inet_protocols` and names of hosts.
//!
//! Names are looked up by the caller; where there is a choice, it is Postfix's (`src/global/own_inet_addr.c`,
//! `src/global/wildcard_inet_addr.c`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::master::{Endpoint, Host};
use crate::row::Row;
use crate::typed::{FromText, not_among};

/// Which kinds of addresses are in use: `inet_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// IPv4
    pub v4: bool,
    /// IPv6
    pub v6: bool,
}

impl Protocols {
    /// No network at all.
    pub const NONE: Self = Self { v4: false, v6: false };

    pub(crate) const fn has(self, address: &IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

impl FromText for Protocols {
    const KIND: &'static str = "list of all, ipv4, ipv6";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let mut protocols = Self::NONE;
        for word in cf::items(text) {
            match word.to_ascii_lowercase().as_str() {
                "all" => protocols = Self { v4: true, v6: true },
                "ipv4" => protocols.v4 = true,
                "ipv6" => protocols.v6 = true,
                _ => return Err(not_among("all, ipv4 or ipv6", word, text)),
            }
        }
        Ok(protocols)
    }
}

/// Why a service cannot listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The name cannot be looked up; the cause is the caller's.
    Name {
        /// Which.
        name: Box<str>,
        /// Why not.
        cause: String,
    },
    /// No address is left of those that `inet_protocols` allows.
    NoAddress,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, cause } => {
                write!(f, "cannot find the address of \"{name}\": {cause}")
            }
            Self::NoAddress => {
                f.write_str("no address to listen on with these inet_interfaces and inet_protocols")
            }
        }
    }
}

impl std::error::Error for ListenError {}

/// Looks a name up: all its addresses.
pub type Resolve<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<IpAddr>, String>;

/// The addresses of `inet_interfaces`: `all`, `loopback-only`, names and addresses.
pub fn interfaces<'a>(
    words: impl IntoIterator<Item = &'a str>,
    protocols: Protocols,
    resolve: Resolve<'_>,
) -> Result<Vec<IpAddr>, ListenError> {
    let mut found = Vec::new();
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "all" => {
                found.extend([Ipv4Addr::UNSPECIFIED.into(), IpAddr::from(Ipv6Addr::UNSPECIFIED)])
            }
            "loopback-only" => {
                found.extend([Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST)]);
            }
            _ => {
                let name = word.trim_start_matches('[').trim_end_matches(']');
                found.extend(addresses_of(name, resolve)?);
            }
        }
    }
    Ok(allowed(found, protocols))
}

fn addresses_of(name: &str, resolve: Resolve<'_>) -> Result<Vec<IpAddr>, ListenError> {
    match name.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => resolve(name).map_err(|cause| ListenError::Name { name: name.into(), cause }),
    }
}

/// Each address once, in the order in which they were named.
fn allowed(found: Vec<IpAddr>, protocols: Protocols) -> Vec<IpAddr> {
    let mut list: Vec<IpAddr> = Vec::with_capacity(found.len());
    for address in found {
        if protocols.has(&address) && !list.contains(&address) {
            list.push(address);
        }
    }
    list
}

impl Endpoint {
    /// Where to listen, at least one address. `interfaces` are those of `inet_interfaces`. `[::]` means IPv6
    /// alone.
    pub fn addresses(
        &self,
        interfaces: &[IpAddr],
        protocols: Protocols,
        resolve: Resolve<'_>,
    ) -> Result<Vec<SocketAddr>, ListenError> {
        let addresses = match &self.host {
            Host::Interfaces => allowed(interfaces.to_vec(), protocols),
            Host::Address(address) => allowed(vec![*address], protocols),
            Host::Name(name) => allowed(addresses_of(name, resolve)?, protocols),
        };
        if addresses.is_empty() {
            return Err(ListenError::NoAddress);
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::Ports;

    fn lookup(name: &str) -> Result<Vec<IpAddr>, String> {
        match name {
            "localhost" => Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]),
            "mx" => Ok(vec![IpAddr::from([192, 0, 2, 1])]),
            _ => Err("no such host".to_owned()),
        }
    }

    fn protocols(text: &str) -> Result<Protocols, String> {
        let row = crate::rows().find(|row| row.name == "inet_protocols").unwrap();
        Protocols::from_text(text, row)
    }

    fn listen(
        service: &str,
        inet_interfaces: &str,
        inet_protocols: &str,
    ) -> Result<String, String> {
        let protocols = protocols(inet_protocols).unwrap();
        let all = interfaces(cf::items(inet_interfaces), protocols, &mut lookup)
            .map_err(|error| error.to_string())?;
        let endpoint = Endpoint::parse(service, &Ports::default()).unwrap();
        let found =
            endpoint.addresses(&all, protocols, &mut lookup).map_err(|error| error.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_port_alone_listens_where_inet_interfaces_says() {
        for (inet_interfaces, inet_protocols, addresses) in [
            ("all", "all", "0.0.0.0:25 [::]:25"),
            ("all", "ipv4", "0.0.0.0:25"),
            ("loopback-only", "all", "127.0.0.1:25 [::1]:25"),
            ("mx, localhost, 127.0.0.1", "ipv4", "192.0.2.1:25 127.0.0.1:25"),
            ("[2001:db8::1] 192.0.2.9", "ipv4, ipv6", "[2001:db8::1]:25 192.0.2.9:25"),
        ] {
            assert_eq!(listen("smtp", inet_interfaces, inet_protocols).as_deref(), Ok(addresses));
        }
    }

    #[test]
    fn a_host_of_its_own_does_not_depend_on_inet_interfaces() {
        assert_eq!(listen("[127.0.0.1]:10025", "mx", "all").as_deref(), Ok("127.0.0.1:10025"));
        assert_eq!(listen("localhost:10025", "mx", "ipv4").as_deref(), Ok("127.0.0.1:10025"));
    }

    #[test]
    fn a_service_without_an_address_is_an_error() {
        assert!(listen("smtp", "", "all").unwrap_err().contains("inet_interfaces"));
        assert!(listen("[::1]:25", "all", "ipv4").unwrap_err().contains("inet_protocols"));
        assert_eq!(
            listen("smtp", "nowhere", "all").unwrap_err(),
            "cannot find the address of \"nowhere\": no such host"
        );
        assert_eq!(protocols("ipv4, ipx").unwrap_err(), "all, ipv4 or ipv6, not \"ipx\"");
    }
}
