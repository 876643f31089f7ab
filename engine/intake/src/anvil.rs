//! What each client has done lately, over all shards of one host.
//!
//! A client's connections are spread over the shards, so no shard can count them alone. The table is the
//! one thing that shards share; it is touched twice in a connection's life, and for each message and
//! recipient only where their rate is limited. It is split by address so that two shards hardly ever
//! meet.
//!
//! Rates are counted as anvil(8) does: from a client's first event on for one time unit, then from
//! nothing again, which is less work than a moving average and answers a burst sooner.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::Smtpd;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Parts that are locked separately; a power of two.
const PARTS: usize = 64;
/// Clients without a connection that one part remembers. One that leaves when there are as many is
/// forgotten at once: a flood of addresses costs memory up to here, and no more.
const DEPARTED_MAX: usize = 1024;

/// Counts what clients do, by service and address. Clones count together.
#[derive(Clone)]
pub struct Anvil(Arc<Counts>);

/// How a service wants its clients counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counting {
    /// `anvil_rate_time_unit`; `None` where no rate is limited, and clients that left need not be
    /// remembered.
    unit: Option<Duration>,
    /// Clients that have so many bits of their addresses in common are one.
    v4_bits: u8,
    v6_bits: u8,
}

impl Counting {
    pub(crate) fn new(smtpd: &Smtpd) -> Self {
        let limits = [
            smtpd.smtpd_client_connection_rate_limit,
            smtpd.smtpd_client_message_rate_limit,
            smtpd.smtpd_client_recipient_rate_limit,
        ];
        Self {
            unit: limits.iter().any(|&limit| limit > 0).then_some(smtpd.anvil_rate_time_unit),
            v4_bits: smtpd.smtpd_client_ipv4_prefix_length,
            v6_bits: smtpd.smtpd_client_ipv6_prefix_length,
        }
    }

    /// The first address of the client's network.
    fn network(self, client: IpAddr) -> IpAddr {
        // An IPv4 client is one client whichever kind of socket it came through.
        match client.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4_bits)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.v6_bits)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

/// What is counted over a time unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connection,
    Message,
    Recipient,
}

struct Counts {
    // Keyed at random: a stranger chooses the addresses.
    hasher: RandomState,
    parts: [Mutex<Part>; PARTS],
}

struct Part {
    clients: HashMap<Key, Client, RandomState>,
    /// Those among them that have no connection.
    departed: usize,
    /// When those whose time is over are looked for.
    sweep: Option<Instant>,
}

/// The hash of a service's name, and the client's network.
type Key = (u64, IpAddr);

#[derive(Default)]
struct Client {
    connections: u32,
    /// Since the time unit began, by [`Event`].
    events: [u32; 3],
    /// When the time unit is over.
    until: Option<Instant>,
}

/// One counted connection; the count goes down when it is dropped.
pub(crate) struct Counted {
    counts: Arc<Counts>,
    key: Key,
    unit: Option<Duration>,
    /// This client's connections, this one included, when it came.
    pub connections: u32,
    /// Its connections of this time unit, this one included; 0 where no rate is limited.
    pub connection_rate: u32,
}

impl Default for Anvil {
    fn default() -> Self {
        let hasher = RandomState::default();
        let parts = std::array::from_fn(|_| {
            let clients = HashMap::with_hasher(hasher.clone());
            Mutex::new(Part { clients, departed: 0, sweep: None })
        });
        Self(Arc::new(Counts { hasher, parts }))
    }
}

impl Anvil {
    /// Counts a new connection from `client` to a service.
    pub(crate) fn connected(
        &self,
        service: &str,
        client: IpAddr,
        counting: Counting,
        now: Instant,
    ) -> Counted {
        let key = (self.0.hasher.hash_one(service), counting.network(client));
        let unit = counting.unit;
        let (connections, connection_rate) = self.0.with(key, |part| {
            if let Some(unit) = unit {
                part.sweep(now, unit);
            }
            let client = match part.clients.entry(key) {
                Entry::Vacant(entry) => entry.insert(Client::default()),
                Entry::Occupied(entry) => {
                    let client = entry.into_mut();
                    if client.connections == 0 {
                        part.departed -= 1;
                    }
                    client
                }
            };
            client.connections += 1;
            let rate = unit.map_or(0, |unit| client.count(Event::Connection, now, unit));
            (client.connections, rate)
        });
        Counted { counts: Arc::clone(&self.0), key, unit, connections, connection_rate }
    }
}

impl Counted {
    /// Counts something that the client does; how often it has in this time unit, this time included.
    pub(crate) fn count(&self, event: Event, now: Instant) -> u32 {
        let Some(unit) = self.unit else { return 0 };
        self.counts.with(self.key, |part| {
            part.clients.get_mut(&self.key).map_or(0, |client| client.count(event, now, unit))
        })
    }
}

impl Counts {
    fn with<T>(&self, key: Key, change: impl FnOnce(&mut Part) -> T) -> T {
        let part = &self.parts[self.hasher.hash_one(key) as usize % PARTS];
        // Counting cannot panic, so a poisoned part is still right.
        change(&mut part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Part {
    /// Forgets those that have left and whose time unit is over, once a time unit.
    fn sweep(&mut self, now: Instant, unit: Duration) {
        if *self.sweep.get_or_insert(now + unit) > now {
            return;
        }
        self.sweep = Some(now + unit);
        self.clients.retain(|_, client| {
            client.connections > 0 || client.until.is_some_and(|until| until >= now)
        });
        self.departed = self.clients.values().filter(|client| client.connections == 0).count();
    }

    fn leave(&mut self, key: Key, remember: bool) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        client.connections -= 1;
        if client.connections > 0 {
            return;
        }
        if remember && self.departed < DEPARTED_MAX {
            self.departed += 1;
        } else {
            self.clients.remove(&key);
        }
    }
}

impl Client {
    fn count(&mut self, event: Event, now: Instant, unit: Duration) -> u32 {
        if self.until.is_none_or(|until| until < now) {
            self.events = [0; 3];
            self.until = Some(now + unit);
        }
        let count = &mut self.events[event as usize];
        *count = count.saturating_add(1);
        *count
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.with(self.key, |part| part.leave(self.key, self.unit.is_some()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTING: Counting = Counting { unit: None, v4_bits: 32, v6_bits: 84 };
    const UNIT: Duration = Duration::from_secs(60);
    const RATES: Counting = Counting { unit: Some(UNIT), ..COUNTING };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn remembered(anvil: &Anvil) -> usize {
        anvil.0.parts.iter().map(|part| part.lock().unwrap().clients.len()).sum()
    }

    #[test]
    fn connections_are_counted_by_client_until_they_end() {
        let (anvil, now) = (Anvil::default(), Instant::now());
        let other_shard = anvil.clone();
        let first = anvil.connected("smtp", ip("192.0.2.1"), COUNTING, now);
        let second = other_shard.connected("smtp", ip("::ffff:192.0.2.1"), COUNTING, now);
        assert_eq!((first.connections, second.connections), (1, 2));
        let count = |client| anvil.connected("smtp", ip(client), COUNTING, now).connections;
        assert_eq!(count("192.0.2.2"), 1);
        drop(first);
        assert_eq!(count("192.0.2.1"), 2);
    }

    #[test]
    fn each_service_counts_its_own() {
        let (anvil, now) = (Anvil::default(), Instant::now());
        let _smtp = anvil.connected("smtp", ip("192.0.2.1"), COUNTING, now);
        let submission = anvil.connected("submission", ip("192.0.2.1"), COUNTING, now);
        assert_eq!(submission.connections, 1);
    }

    #[test]
    fn a_client_that_has_left_is_forgotten_where_no_rate_is_limited() {
        let anvil = Anvil::default();
        drop(anvil.connected("smtp", ip("2001:db8::1"), COUNTING, Instant::now()));
        assert_eq!(remembered(&anvil), 0);
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let (anvil, now) = (Anvil::default(), Instant::now());
        let one = anvil.connected("smtp", ip("2001:db8::1"), COUNTING, now);
        let same = anvil.connected("smtp", ip("2001:db8::fff:ffff:ffff"), COUNTING, now);
        let other = anvil.connected("smtp", ip("2001:db8::1000:0:0"), COUNTING, now);
        assert_eq!((one.connections, same.connections, other.connections), (1, 2, 1));
        let all = Counting { v4_bits: 0, v6_bits: 0, ..COUNTING };
        assert_eq!(all.network(ip("192.0.2.1")), ip("0.0.0.0"));
        assert_eq!(all.network(ip("2001:db8::1")), ip("::"));
        let whole = Counting { v4_bits: 32, v6_bits: 128, ..COUNTING };
        assert_eq!(whole.network(ip("2001:db8::1")), ip("2001:db8::1"));
        let class_c = Counting { v4_bits: 24, ..COUNTING };
        assert_eq!(class_c.network(ip("192.0.2.77")), ip("192.0.2.0"));
    }

    #[test]
    fn a_rate_goes_on_over_connections_and_starts_anew_with_each_time_unit() {
        let (anvil, start) = (Anvil::default(), Instant::now());
        let rate = |after: u64| {
            let now = start + Duration::from_secs(after);
            anvil.connected("smtp", ip("192.0.2.1"), RATES, now).connection_rate
        };
        assert_eq!([rate(0), rate(1), rate(60), rate(61), rate(62)], [1, 2, 3, 1, 2]);
    }

    #[test]
    fn connections_messages_and_recipients_are_counted_apart() {
        let (anvil, now) = (Anvil::default(), Instant::now());
        let one = anvil.connected("smtp", ip("192.0.2.1"), RATES, now);
        let two = anvil.connected("smtp", ip("192.0.2.1"), RATES, now);
        assert_eq!(one.count(Event::Message, now), 1);
        assert_eq!(two.count(Event::Message, now), 2);
        assert_eq!(two.count(Event::Recipient, now), 1);
        assert_eq!(two.connection_rate, 2);
    }

    #[test]
    fn those_that_left_are_forgotten_after_the_time_unit() {
        let (anvil, start) = (Anvil::default(), Instant::now());
        for host in 0..200u8 {
            drop(anvil.connected("smtp", IpAddr::from([192, 0, 2, host]), RATES, start));
        }
        assert_eq!(remembered(&anvil), 200);
        // Each part forgets when somebody comes to it, and of so many somebody comes to each.
        let later = start + UNIT + Duration::from_secs(1);
        for client in 0..4096 {
            drop(anvil.connected("smtp", Ipv4Addr::from_bits(client).into(), RATES, later));
        }
        assert_eq!(remembered(&anvil), 4096);
    }

    #[test]
    fn a_flood_of_clients_is_remembered_only_up_to_the_limit() {
        let (anvil, now) = (Anvil::default(), Instant::now());
        let limit = PARTS * DEPARTED_MAX;
        for client in 0..2 * limit as u32 {
            drop(anvil.connected("smtp", Ipv4Addr::from_bits(client).into(), RATES, now));
        }
        assert!(remembered(&anvil) <= limit);
        for part in &anvil.0.parts {
            let part = part.lock().unwrap();
            assert_eq!(part.departed, part.clients.len());
        }
        // Who stays is counted all the same.
        let stays = anvil.connected("smtp", ip("203.0.113.1"), RATES, now);
        assert_eq!(stays.count(Event::Message, now), 1);
        assert_eq!(stays.count(Event::Message, now), 2);
    }
}
