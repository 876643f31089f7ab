//! How many connections each client has, over all shards of one host.
//!
//! A client's connections are spread over the shards, so no shard can count them alone. The table is the
//! one thing that shards share; it is touched twice in a connection's life, never in a message's, and
//! is split by address so that two shards hardly ever meet.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::hash::BuildHasher;

/// Parts that are locked separately; a power of two.
const PARTS: usize = 64;

/// Counts connections by client address. Clones count together.
#[derive(Clone)]
pub struct Anvil(Arc<Counts>);

struct Counts {
    // Keyed at random: a stranger chooses the addresses.
    hasher: RandomState,
    parts: [Mutex<HashMap<IpAddr, u32, RandomState>>; PARTS],
}

/// One counted connection; the count goes down when it is dropped.
pub struct Counted {
    counts: Arc<Counts>,
    client: IpAddr,
    /// This client's connections, this one included, when it came.
    pub connections: u32,
}

impl Default for Anvil {
    fn default() -> Self {
        let hasher = RandomState::default();
        let parts = std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone())));
        Self(Arc::new(Counts { hasher, parts }))
    }
}

impl Anvil {
    /// Counts a new connection from `client`.
    pub fn connected(&self, client: IpAddr) -> Counted {
        // An IPv4 client is one client whichever kind of socket it came through.
        let client = client.to_canonical();
        let connections = self.0.with(client, |count| {
            *count += 1;
            *count
        });
        Counted { counts: Arc::clone(&self.0), client, connections }
    }
}

impl Counts {
    fn with<T>(&self, client: IpAddr, change: impl FnOnce(&mut u32) -> T) -> T {
        let part = &self.parts[self.hasher.hash_one(client) as usize % PARTS];
        // Counting cannot panic, so a poisoned part is still right.
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(client).or_insert(0);
        let result = change(count);
        if *count == 0 {
            part.remove(&client);
        }
        result
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.with(self.client, |count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_client_until_they_end() {
        let anvil = Anvil::default();
        let other_shard = anvil.clone();
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let first = anvil.connected(client);
        let second = other_shard.connected("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!((first.connections, second.connections), (1, 2));
        assert_eq!(anvil.connected("192.0.2.2".parse().unwrap()).connections, 1);
        drop(first);
        assert_eq!(anvil.connected(client).connections, 2);
    }

    #[test]
    fn a_client_that_has_left_is_forgotten() {
        let anvil = Anvil::default();
        drop(anvil.connected("2001:db8::1".parse().unwrap()));
        let remembered: usize = anvil.0.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(remembered, 0);
    }
}
