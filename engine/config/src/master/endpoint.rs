//! Where a service of type inet listens: `port`, `name`, `host:port`, `[address]:port`, `:port`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// On which of the host's addresses.
    pub host: Host,
    /// 0 leaves the choice to the kernel.
    pub port: u16,
}

/// Which addresses a service listens on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Those of `inet_interfaces`.
    Interfaces,
    /// This one.
    Address(IpAddr),
    /// Those of this name, which is still to be looked up.
    Name(Box<str>),
}

impl Endpoint {
    /// Reads the name of a service (postfix `src/util/host_port.c`); the error is what is wrong with it.
    pub fn parse(name: &str, ports: &Ports) -> Result<Self, String> {
        let (host, port) = match name.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("missing \"]\"")?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => port,
                    None if rest.is_empty() => "",
                    None => return Err("expected \":port\" after \"]\"".to_owned()),
                };
                (Self::bracketed(host)?, port)
            }
            None => match name.rsplit_once(':') {
                Some(("", port)) => (Host::Interfaces, port),
                Some((host, port)) => (Self::plain(host)?, port),
                None => (Host::Interfaces, name),
            },
        };
        if port.is_empty() {
            return Err("expected a port after the host".to_owned());
        }
        Ok(Self { host, port: ports.port(port)? })
    }

    fn bracketed(host: &str) -> Result<Host, String> {
        match host.get(..5) {
            Some(prefix) if prefix.eq_ignore_ascii_case("ipv6:") => {
                let address: Ipv6Addr =
                    host[5..].parse().map_err(|_| format!("\"{host}\" is no IPv6 address"))?;
                Ok(Host::Address(address.into()))
            }
            _ => Self::plain(host),
        }
    }

    fn plain(host: &str) -> Result<Host, String> {
        if let Ok(address) = host.parse() {
            return Ok(Host::Address(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        };
        if host.len() <= 255 && host.split('.').all(label) {
            Ok(Host::Name(host.into()))
        } else {
            Err(format!("\"{host}\" is neither an address nor the name of a host"))
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Interfaces => self.port.fmt(f),
            Host::Address(address) => write!(f, "[{address}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Names of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(HashMap<Box<str>, u16>);

/// What names in a master.cf mean on a host without /etc/services, as images of containers are.
const KNOWN: [(&str, u16); 14] = [
    ("smtp", 25),
    ("mail", 25),
    ("submission", 587),
    ("submissions", 465),
    ("smtps", 465),
    ("urd", 465),
    ("ssmtp", 465),
    ("lmtp", 24),
    ("qmqp", 628),
    ("imap", 143),
    ("pop3", 110),
    ("amavis", 10024),
    ("http", 80),
    ("https", 443),
];

impl Default for Ports {
    fn default() -> Self {
        Self(KNOWN.into_iter().map(|(name, port)| (name.into(), port)).collect())
    }
}

impl Ports {
    /// The names of /etc/services come before those that are known without it.
    pub fn with_services(text: &str) -> Self {
        let mut of_file = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("");
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(place)) = (words.next(), words.next()) else { continue };
            let Some(port) = place.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else {
                continue;
            };
            for name in std::iter::once(name).chain(words) {
                of_file.entry(name.into()).or_insert(port);
            }
        }
        let mut all = Self::default();
        all.0.extend(of_file);
        all
    }

    /// The number of a port; the error says what is allowed.
    pub fn port(&self, text: &str) -> Result<u16, String> {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        let known = if is_number { text.parse().ok() } else { self.0.get(text).copied() };
        known.ok_or_else(|| match is_number {
            true => format!("\"{text}\" is no port; expected 0 to 65535"),
            false => format!(
                "\"{text}\" is no port; expected a number, or a name that /etc/services has for tcp"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Result<String, String> {
        Endpoint::parse(name, &Ports::default()).map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn each_form_of_an_inet_service_is_read() {
        for (name, endpoint) in [
            ("25", "25"),
            ("smtp", "25"),
            ("submission", "587"),
            (":submissions", "465"),
            ("127.0.0.1:10025", "[127.0.0.1]:10025"),
            ("[127.0.0.1]:smtp", "[127.0.0.1]:25"),
            ("[::1]:10025", "[::1]:10025"),
            ("::1:10025", "[::1]:10025"),
            ("[IPv6:2001:db8::1]:25", "[2001:db8::1]:25"),
            ("localhost:10026", "localhost:10026"),
            ("[mx-1.example.com]:25", "mx-1.example.com:25"),
            ("127.0.0.1:0", "[127.0.0.1]:0"),
        ] {
            assert_eq!(read(name).as_deref(), Ok(endpoint), "{name}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_what_is_allowed() {
        for (name, why) in [
            ("[::1:25", "missing \"]\""),
            ("[::1]25", "expected \":port\" after \"]\""),
            ("[::1]", "expected a port after the host"),
            ("localhost:", "expected a port after the host"),
            ("[ipv6:127.0.0.1]:25", "\"ipv6:127.0.0.1\" is no IPv6 address"),
            ("a..b:25", "\"a..b\" is neither an address nor the name of a host"),
            ("65536", "\"65536\" is no port; expected 0 to 65535"),
            ("25x", "\"25x\" is no port; expected 0 to 65535"),
            (
                "fax",
                "\"fax\" is no port; expected a number, or a name that /etc/services has for tcp",
            ),
        ] {
            assert_eq!(read(name).unwrap_err(), why, "{name}");
        }
    }

    #[test]
    fn etc_services_comes_before_what_is_known_without_it() {
        let ports = Ports::with_services(
            "# services\nsmtp 2525/tcp mail # why not\nsmtp 26/tcp\nfax 4557/tcp\nodd 7/udp\n\nx\n",
        );
        let port = |name| ports.port(name).ok();
        assert_eq!(port("smtp"), Some(2525));
        assert_eq!(port("mail"), Some(2525));
        assert_eq!(port("fax"), Some(4557));
        assert_eq!(port("submission"), Some(587));
        assert_eq!(port("odd"), None);
    }
}
