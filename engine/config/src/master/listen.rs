//! From endpoints to addresses: `inet_interfaces`, `inet_protocols` and names of hosts.
//!
//! Names are looked up by the caller; where there is a choice, it is Postfix's
//! (`src/global/wildcard_inet_addr.c`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

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

/// All addresses of a host.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<Vec<IpAddr>, String>;

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
            Host::Name(name) => {
                let found = resolve(name);
                allowed(
                    found.map_err(|cause| ListenError::Name { name: name.clone(), cause })?,
                    protocols,
                )
            }
        };
        if addresses.is_empty() {
            return Err(ListenError::NoAddress);
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::master::Ports;

    fn lookup(name: &str) -> Result<Vec<IpAddr>, String> {
        match name {
            "localhost" => {
                Ok([IpAddr::from(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST.into()].to_vec())
            }
            _ => Err("no such host".to_owned()),
        }
    }

    fn protocols(text: &str) -> Result<Protocols, String> {
        let row = crate::rows().find(|row| row.name == "inet_protocols").unwrap();
        Protocols::from_text(text, row)
    }

    fn listen(service: &str, interfaces: &[&str], inet_protocols: &str) -> Result<String, String> {
        let interfaces: Vec<IpAddr> = interfaces.iter().map(|it| it.parse().unwrap()).collect();
        let endpoint = Endpoint::parse(service, &Ports::default()).unwrap();
        let found = endpoint
            .addresses(&interfaces, protocols(inet_protocols).unwrap(), &lookup)
            .map_err(|error| error.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_port_alone_listens_where_inet_interfaces_says() {
        let all = ["192.0.2.1", "::"];
        assert_eq!(listen("smtp", &all, "all").as_deref(), Ok("192.0.2.1:25 [::]:25"));
    }

    #[test]
    fn a_host_of_its_own_does_not_depend_on_inet_interfaces() {
        let mx = ["192.0.2.1"];
        assert_eq!(listen("[127.0.0.1]:10025", &mx, "all").as_deref(), Ok("127.0.0.1:10025"));
        assert_eq!(listen("localhost:10025", &mx, "ipv4").as_deref(), Ok("127.0.0.1:10025"));
        let both = listen("localhost:10025", &mx, "all");
        assert_eq!(both.as_deref(), Ok("[::1]:10025 127.0.0.1:10025"));
    }

    #[test]
    fn a_service_without_an_address_is_an_error() {
        assert!(listen("smtp", &[], "all").unwrap_err().contains("inet_interfaces"));
        assert!(listen("[::1]:25", &["::"], "ipv4").unwrap_err().contains("inet_protocols"));
        assert_eq!(
            listen("nowhere:25", &["::"], "all").unwrap_err(),
            "cannot find the address of \"nowhere\": no such host"
        );
        assert_eq!(protocols("ipv4, ipx").unwrap_err(), "all, ipv4 or ipv6, not \"ipx\"");
    }
}
