//! The host's own network addresses, and the networks that are trusted because of them.
//!
//! `inet_interfaces`, `inet_protocols` and `proxy_interfaces` say which addresses are the host's; a Postfix
//! admin knows the rules (`src/global/own_inet_addr.c`). `mynetworks_style` makes networks of them, which
//! `mynetworks` has where it is not set: the same text, in the same order, as Postfix makes
//! (`src/global/mynetworks.c`). What interfaces the machine has was found out by the shell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mail::domain;

use crate::Problem;
use crate::master::Protocols;
use crate::settings::Settings;
use crate::typed::{List, NetworksStyle};

/// An address of an interface, and how many bits of it name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Without its scope: one address of a host is on one link.
    pub address: IpAddr,
    /// Length of the netmask.
    pub prefix: u8,
}

impl Interface {
    /// What every machine has.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// An address of which no network is known.
    fn alone(address: IpAddr) -> Self {
        Self { address, prefix: bits(&address) }
    }
}

const fn bits(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The addresses at which the host is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Those of `inet_interfaces`.
    pub interfaces: Vec<Interface>,
    /// Those that others have for it: `proxy_interfaces`.
    pub proxies: Vec<IpAddr>,
    /// Where a service listens that has no host of its own: those of `inet_interfaces`, or the unspecified
    /// addresses for all that there are and will be.
    pub listening: Vec<IpAddr>,
}

impl Own {
    /// Whether it is that of one of its interfaces.
    pub fn is_interface(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.interfaces.iter().any(|it| it.address.to_canonical() == address)
    }

    /// Whether whoever connects to it gets to this host, be it by way of a proxy.
    pub fn leads_here(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.is_interface(address) || self.proxies.iter().any(|it| it.to_canonical() == canonical)
    }
}

impl Settings {
    /// The host's own addresses, and what is wrong with the parameters that say so. Values that cannot be read
    /// at all are reported where the parameters are.
    pub(crate) fn own(&self) -> (Own, Vec<Problem>) {
        let mut problems = Vec::new();
        let Ok(protocols) = self.value::<Protocols>("inet_protocols") else {
            return (Own::default(), problems);
        };
        // Then nothing can be found, and Postfix does not look.
        if protocols == Protocols::NONE {
            return (Own::default(), problems);
        }
        let interfaces = self.interfaces(protocols, &mut problems);
        let proxies = self.named(PROXY_INTERFACES, protocols, &mut problems);
        let proxies = proxies.into_iter().map(|(_, address)| address).collect();
        let mut listening: Vec<IpAddr> = match self.words(INET_INTERFACES).is(ALL) {
            true => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            false => interfaces.iter().map(|it| it.address).collect(),
        };
        listening.retain(|address| protocols.has(address));
        (Own { interfaces, proxies, listening }, problems)
    }

    /// The networks that `mynetworks` has where nobody says; or why nobody can tell.
    pub(crate) fn networks(&self) -> Result<String, String> {
        let style = self.value::<NetworksStyle>("mynetworks_style")?;
        let protocols = self.value::<Protocols>("inet_protocols")?;
        if protocols == Protocols::NONE {
            return Ok(String::new());
        }
        let mut problems = Vec::new();
        let interfaces = self.interfaces(protocols, &mut problems);
        match problems.iter().find(|problem| problem.severity.is_error()) {
            Some(problem) => Err(problem.to_string()),
            None => Ok(networks(&interfaces, style)),
        }
    }

    /// The names of hosts in `inet_interfaces` and `proxy_interfaces`, which somebody has to look up.
    pub fn host_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for parameter in PARAMETERS {
            for word in &*self.words(parameter) {
                if address(word).is_none() && !stands_alone(parameter, word) {
                    names.push(bare(word).to_owned());
                }
            }
        }
        names
    }

    fn words(&self, parameter: &str) -> List {
        self.value(parameter).unwrap_or_default()
    }

    /// The addresses of `inet_interfaces`.
    fn interfaces(&self, protocols: Protocols, problems: &mut Vec<Problem>) -> Vec<Interface> {
        let machine = self.machine().interfaces.as_deref();
        let all = machine.unwrap_or(&Interface::LOOPBACK);
        let of = |is: fn(&IpAddr) -> bool| all.iter().filter(move |it| is(&it.address));
        let mut all: Vec<Interface> =
            of(IpAddr::is_ipv4).chain(of(IpAddr::is_ipv6)).copied().collect();
        all.retain(|it| protocols.has(&it.address));
        let position = self.position(INET_INTERFACES);
        let about_machine = match machine {
            Err(why) => Some(format!(
                "the network interfaces cannot be read: {why}; only loopback addresses and those that are \
                 named here count as this host's"
            )),
            Ok(_) if all.is_empty() => {
                Some("no network interface has an address that inet_protocols allows".to_owned())
            }
            Ok(_) => None,
        };
        problems.extend(
            about_machine.map(|cause| Problem::warning(position.clone(), INET_INTERFACES, cause)),
        );
        let words = self.words(INET_INTERFACES);
        if words.is(ALL) {
            return all;
        }
        if words.is(LOOPBACK_ONLY) {
            all.retain(|it| it.address.is_loopback());
            return all;
        }
        let mut interfaces = Vec::new();
        for (word, address) in self.named(INET_INTERFACES, protocols, problems) {
            match all.iter().find(|it| it.address == address) {
                Some(interface) => interfaces.push(*interface),
                None if machine.is_err() => interfaces.push(Interface::alone(address)),
                None => {
                    let cause =
                        format!("expected an address of this host; no interface has {address}");
                    let position = position.clone();
                    problems.push(Problem::error(position, INET_INTERFACES, Some(&word), cause));
                }
            }
        }
        interfaces
    }

    /// The addresses that a list of hosts names, each once, with the word that it is from. Postfix sorts them
    /// (`src/util/inet_addr_list.c`).
    fn named(
        &self,
        parameter: &str,
        protocols: Protocols,
        problems: &mut Vec<Problem>,
    ) -> Vec<(Box<str>, IpAddr)> {
        let mut named = Vec::new();
        for word in &*self.words(parameter) {
            match self.addresses_of(parameter, word, protocols) {
                Ok(addresses) => named.extend(addresses.into_iter().map(|it| (word.clone(), it))),
                Err(cause) => {
                    let position = self.position(parameter);
                    problems.push(Problem::error(position, parameter, Some(word), cause));
                }
            }
        }
        named.sort_by_key(|(_, address)| *address);
        named.dedup_by_key(|(_, address)| *address);
        named
    }

    /// All that a word means; the error is why it means nothing.
    fn addresses_of(
        &self,
        parameter: &str,
        word: &str,
        protocols: Protocols,
    ) -> Result<Vec<IpAddr>, String> {
        if stands_alone(parameter, word) {
            return Err("expected this word alone, or addresses and names of hosts".to_owned());
        }
        if let Some(address) = address(word) {
            return match protocols.has(&address) {
                true => Ok(vec![address]),
                false => Err("expected an address that inet_protocols allows".to_owned()),
            };
        }
        let mut found = match self.machine().host(bare(word)) {
            None => return Ok(Vec::new()),
            Some(found) => found.map_err(|why| format!("whose address cannot be found: {why}"))?,
        };
        found.retain(|address| protocols.has(address));
        match found.is_empty() {
            true => Err("which has no address that inet_protocols allows".to_owned()),
            false => Ok(found),
        }
    }
}

const INET_INTERFACES: &str = "inet_interfaces";
const PROXY_INTERFACES: &str = "proxy_interfaces";
/// Lists of hosts.
pub(crate) const PARAMETERS: [&str; 2] = [INET_INTERFACES, PROXY_INTERFACES];
const ALL: &str = "all";
const LOOPBACK_ONLY: &str = "loopback-only";

/// Words that are no names of hosts: Postfix would look for one among others.
fn stands_alone(parameter: &str, word: &str) -> bool {
    parameter == INET_INTERFACES
        && [ALL, LOOPBACK_ONLY].iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`.
fn address(word: &str) -> Option<IpAddr> {
    domain::host_address(bare(word))
}

/// Names may be in brackets, too (postfix `src/util/inet_addr_host.c`).
fn bare(word: &str) -> &str {
    word.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(word)
}

/// The networks of these addresses, each once, in their order.
fn networks(interfaces: &[Interface], style: NetworksStyle) -> String {
    let mut networks: Vec<String> = Vec::new();
    for interface in interfaces {
        let prefix = match style {
            NetworksStyle::Host => bits(&interface.address),
            NetworksStyle::Subnet => subnet(interface),
            NetworksStyle::Class => class(interface),
        };
        let network = match interface.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                format!("{}/{prefix}", Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                format!("[{}]/{prefix}", Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    networks.join(" ")
}

/// Length of the netmask that an address had before there were others. IPv6 has no classes; and what is
/// of no class (240.0.0.0/4) is trusted alone, where Postfix does not start.
fn class(interface: &Interface) -> u8 {
    match interface.address {
        IpAddr::V4(address) => match address.octets()[0].leading_ones() {
            0 => 8,
            1 => 16,
            2 => 24,
            3 => 4,
            _ => 32,
        },
        IpAddr::V6(_) => subnet(interface),
    }
}

/// Length of the netmask. One without bits would trust everybody, as it does in Postfix.
fn subnet(interface: &Interface) -> u8 {
    match interface.prefix {
        0 => bits(&interface.address),
        prefix => prefix,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use table::{Matched, Memory, Tables, block_on};

    use super::*;
    use crate::{Machine, Snapshot, Sources};

    fn interface(text: &str) -> Interface {
        let (address, prefix) = text.split_once('/').unwrap();
        Interface { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    const MACHINE: [&str; 7] = [
        "127.0.0.1/8",
        "10.1.2.3/32",
        "172.20.7.7/20",
        "192.0.2.9/25",
        "::1/128",
        "2001:db8:1:2:3:4:5:6/56",
        "fe80::fc:ff:fe00:1/64",
    ];

    fn built(
        interfaces: Result<&[&str], &str>,
        main_cf: &str,
    ) -> Result<Arc<Snapshot>, Vec<String>> {
        let interfaces = interfaces.map(|all| all.iter().map(|it| interface(it)).collect());
        let hosts = [
            ("mx.example", Ok(vec!["2001:db8:1:2:3:4:5:6", "192.0.2.9"])),
            ("nat.example", Ok(vec!["198.51.100.1"])),
            ("gone.example", Err("no such host")),
        ];
        let addresses = |all: Vec<&str>| all.iter().map(|it| it.parse().unwrap()).collect();
        let hosts = hosts
            .map(|(name, found)| (name.to_owned(), found.map(addresses).map_err(str::to_owned)));
        let machine = Machine {
            name: "mx.example".into(),
            interfaces: interfaces.map_err(Into::into),
            hosts: Some(hosts.into()),
        };
        let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
        Snapshot::build(&sources, &machine, &Tables::new(&Memory::default()))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn mynetworks(main_cf: &str) -> String {
        let snapshot = built(Ok(&MACHINE), main_cf).unwrap();
        let text = snapshot.settings().text("mynetworks").unwrap();
        let has_own = block_on(snapshot.site.mynetworks.has_address("192.0.2.9".parse().unwrap()));
        assert_eq!(has_own == Matched::Yes, text.contains("192.0.2."), "{text}");
        text
    }

    #[test]
    fn the_style_says_how_much_of_the_neighbourhood_is_trusted() {
        let host = "127.0.0.1/32 10.1.2.3/32 172.20.7.7/32 192.0.2.9/32 [::1]/128 \
                    [2001:db8:1:2:3:4:5:6]/128 [fe80::fc:ff:fe00:1]/128";
        let subnet = "127.0.0.0/8 10.1.2.3/32 172.20.0.0/20 192.0.2.0/25 [::1]/128 [2001:db8:1::]/56 \
                      [fe80::]/64";
        let class = "127.0.0.0/8 10.0.0.0/8 172.20.0.0/16 192.0.2.0/24 [::1]/128 [2001:db8:1::]/56 \
                     [fe80::]/64";
        for (main_cf, networks) in [
            ("mynetworks_style = host\n", host),
            ("mynetworks_style = subnet\n", subnet),
            ("mynetworks_style = class\n", class),
            ("", subnet),
            ("compatibility_level = 1\n", subnet),
            ("compatibility_level = 2\n", host),
            ("compatibility_level = 3.6\n", host),
        ] {
            assert_eq!(mynetworks(main_cf), networks, "{main_cf}");
        }
    }

    #[test]
    fn only_addresses_in_use_have_networks() {
        for (main_cf, networks) in [
            ("inet_protocols = ipv4\n", "127.0.0.0/8 10.1.2.3/32 172.20.0.0/20 192.0.2.0/25"),
            ("inet_protocols = ipv6\n", "[::1]/128 [2001:db8:1::]/56 [fe80::]/64"),
            ("inet_protocols =\n", ""),
            ("inet_interfaces =\n", ""),
            ("inet_interfaces = loopback-only\n", "127.0.0.0/8 [::1]/128"),
            ("inet_interfaces = 192.0.2.9\n", "192.0.2.0/25"),
            // In Postfix's order, whatever the order here, and each once.
            (
                "inet_interfaces = [fe80::fc:ff:fe00:1], 192.0.2.9 127.0.0.1 192.0.2.9\n",
                "127.0.0.0/8 192.0.2.0/25 [fe80::]/64",
            ),
            ("inet_interfaces = mx.example\n", "192.0.2.0/25 [2001:db8:1::]/56"),
            (
                "inet_interfaces = [mx.example] 127.0.0.1\ninet_protocols = ipv4\n",
                "127.0.0.0/8 192.0.2.0/25",
            ),
            ("inet_interfaces = $it\nit = $mynetworks 127.0.0.1\nmynetworks = ::1\n", "::1"),
        ] {
            assert_eq!(mynetworks(main_cf), networks, "{main_cf}");
        }
    }

    #[test]
    fn what_is_set_is_what_it_is() {
        assert_eq!(mynetworks("mynetworks_style = class\nmynetworks = 10.0.0.0/8\n"), "10.0.0.0/8");
    }

    #[test]
    fn a_network_is_named_once_and_nobody_trusts_everyone_by_a_netmask() {
        let all = ["10.0.0.1/24", "10.0.0.2/24", "224.0.0.1/4", "250.0.0.1/0", "2001:db8::1/0"];
        let all = all.map(interface);
        let subnet = "10.0.0.0/24 224.0.0.0/4 250.0.0.1/32 [2001:db8::1]/128";
        assert_eq!(networks(&all, NetworksStyle::Subnet), subnet);
        let class = "10.0.0.0/8 224.0.0.0/4 250.0.0.1/32 [2001:db8::1]/128";
        assert_eq!(networks(&all, NetworksStyle::Class), class);
    }

    #[test]
    fn networks_of_a_class_are_warned_of() {
        let found = built(Ok(&["192.0.2.9/32"]), "\nmynetworks_style = class\n").unwrap();
        let said: Vec<String> = found.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "main.cf:2: mynetworks_style: class trusts strangers, too: 192.0.2.0/24; subnet or host \
              trusts fewer"
            ]
        );
        let set = built(Ok(&MACHINE), "mynetworks_style = class\nmynetworks =\n").unwrap();
        assert_eq!(set.warnings(), []);
    }

    #[test]
    fn interfaces_that_cannot_be_read_leave_the_loopback_networks() {
        let told = |main_cf| {
            let snapshot = built(Err("no such thing"), main_cf).unwrap();
            let [warning] = snapshot.warnings() else { panic!("{:?}", snapshot.warnings()) };
            assert!(warning.to_string().contains("cannot be read: no such thing"), "{warning}");
            snapshot.settings().text("mynetworks").unwrap()
        };
        assert_eq!(told(""), "127.0.0.0/8 [::1]/128");
        assert_eq!(told("mynetworks_style = host\n"), "127.0.0.1/32 [::1]/128");
        assert_eq!(told("inet_interfaces = 192.0.2.7\n"), "192.0.2.7/32");
    }

    #[test]
    fn an_address_that_is_not_the_hosts_is_an_error_with_its_place() {
        for (main_cf, why) in [
            (
                "\ninet_interfaces = 127.0.0.1 192.0.2.1\n",
                "main.cf:2: inet_interfaces: found \"192.0.2.1\", expected an address of this host; no \
                 interface has 192.0.2.1",
            ),
            (
                "inet_protocols = ipv6\nproxy_interfaces = 192.0.2.1\n",
                "main.cf:2: proxy_interfaces: found \"192.0.2.1\", expected an address that \
                 inet_protocols allows",
            ),
            (
                "inet_interfaces = mx.example, gone.example\n",
                "main.cf:1: inet_interfaces: found \"gone.example\", whose address cannot be found: no \
                 such host",
            ),
            (
                "inet_interfaces = nat.example\n",
                "main.cf:1: inet_interfaces: found \"nat.example\", expected an address of this host; no \
                 interface has 198.51.100.1",
            ),
            (
                "proxy_interfaces = nat.example\ninet_protocols = ipv6\n",
                "main.cf:1: proxy_interfaces: found \"nat.example\", which has no address that \
                 inet_protocols allows",
            ),
            (
                "proxy_interfaces = never.example\n",
                "main.cf:1: proxy_interfaces: found \"never.example\", whose address cannot be found: \
                 nobody has looked it up",
            ),
            (
                "inet_interfaces = loopback-only, 192.0.2.9\n",
                "main.cf:1: inet_interfaces: found \"loopback-only\", expected this word alone, or \
                 addresses and names of hosts",
            ),
            (
                "inet_protocols = ipv5\n",
                "main.cf:1: inet_protocols: found \"ipv5\", expected all, ipv4 or ipv6",
            ),
        ] {
            assert_eq!(built(Ok(&MACHINE), main_cf).unwrap_err(), [why]);
        }
    }

    #[test]
    fn the_hosts_own_addresses_are_those_of_its_interfaces_and_proxies() {
        let own = |main_cf| built(Ok(&MACHINE), main_cf).unwrap().own.clone();
        let has = |own: &Own, address: &str| own.leads_here(address.parse().unwrap());
        let all = own("proxy_interfaces = 198.51.100.1\n");
        for address in ["192.0.2.9", "::ffff:192.0.2.9", "198.51.100.1", "fe80::fc:ff:fe00:1"] {
            assert!(has(&all, address), "{address}");
        }
        assert!(!all.is_interface("198.51.100.1".parse().unwrap()));
        let named = own("proxy_interfaces = nat.example\ninet_interfaces = mx.example 127.0.0.1\n");
        assert!(has(&named, "198.51.100.1") && has(&named, "2001:db8:1:2:3:4:5:6"));
        let one = own("inet_interfaces = 192.0.2.9\n");
        assert!(has(&one, "192.0.2.9") && !has(&one, "127.0.0.1"));
        assert!(!has(&own("inet_protocols = ipv4\n"), "::1"));
    }

    #[test]
    fn services_listen_on_the_hosts_addresses() {
        for (main_cf, listening) in [
            ("", "0.0.0.0 ::"),
            ("inet_protocols = ipv6\n", "::"),
            ("inet_protocols =\n", ""),
            ("inet_interfaces =\n", ""),
            ("inet_interfaces = loopback-only\n", "127.0.0.1 ::1"),
            (
                "inet_interfaces = mx.example, 127.0.0.1\ninet_protocols = ipv4\n",
                "127.0.0.1 192.0.2.9",
            ),
        ] {
            let own = built(Ok(&MACHINE), main_cf).unwrap().own.clone();
            let found: Vec<String> = own.listening.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), listening, "{main_cf}");
        }
    }

    #[test]
    fn names_that_nobody_looked_up_do_not_count() {
        let main_cf = b"inet_interfaces = mx.example\nproxy_interfaces = nat.example\n";
        let sources = Sources::new().main_cf("main.cf", main_cf);
        let tables = Memory::default();
        let machine = Machine::named("mx.example");
        let snapshot = Snapshot::build(&sources, &machine, &Tables::new(&tables)).unwrap();
        assert_eq!(snapshot.own, Own::default());
        assert_eq!(snapshot.settings().host_names(), ["mx.example", "nat.example"]);
    }
}
