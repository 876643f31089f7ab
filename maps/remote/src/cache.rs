//! Answers that are remembered for a few seconds.
//!
//! One message asks the same few questions again and again: each key at RCPT, once more when it is
//! queued and once more when it is delivered. Two generations bound the memory: when the young one is
//! full it becomes the old one, and the old one is forgotten. Only what a server has said is
//! remembered, never that it could not be asked.

use std::mem;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use table::Value;

/// Bytes of keys and values in one generation of a table's cache.
pub(crate) const CACHE_BYTES_MAX: usize = 8 << 20;
/// What an entry costs beside its text, about.
const ENTRY_BYTES: usize = 96;

/// How long and how much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    /// Of what was found; zero remembers nothing.
    pub(crate) positive: Duration,
    /// Of what was not found; zero remembers nothing.
    pub(crate) negative: Duration,
    /// Entries.
    pub(crate) entries_max: usize,
}

impl Lifetimes {
    /// Asks every time.
    pub(crate) const NONE: Self =
        Self { positive: Duration::ZERO, negative: Duration::ZERO, entries_max: 0 };
}

/// The remembered answers of one table. Who sends mail chooses the keys, so the hash is seeded.
#[derive(Debug)]
pub(crate) struct Cache {
    lifetimes: Lifetimes,
    young: HashMap<Box<str>, Entry, RandomState>,
    old: HashMap<Box<str>, Entry, RandomState>,
    young_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Option<Value>,
    until: Instant,
}

impl Cache {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, young: HashMap::default(), old: HashMap::default(), young_bytes: 0 }
    }

    /// The answer, where it is still remembered: a value, or that there is none.
    pub(crate) fn get(&self, key: &str, now: Instant) -> Option<Option<Value>> {
        let entry = self.young.get(key).or_else(|| self.old.get(key))?;
        (now < entry.until).then(|| entry.value.clone())
    }

    /// Remembers an answer.
    pub(crate) fn put(&mut self, key: &str, value: Option<&Value>, now: Instant) {
        let Lifetimes { positive, negative, entries_max } = self.lifetimes;
        let lifetime = if value.is_some() { positive } else { negative };
        let bytes = key.len() + value.map_or(0, |value| value.len()) + ENTRY_BYTES;
        if lifetime.is_zero() || entries_max == 0 || bytes > CACHE_BYTES_MAX {
            return;
        }
        let is_full = self.young.len() >= entries_max.div_ceil(2)
            || self.young_bytes + bytes > CACHE_BYTES_MAX;
        if is_full {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let entry = Entry { value: value.cloned(), until: now + lifetime };
        self.young_bytes += bytes;
        self.young.insert(key.into(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        positive: Duration::from_secs(10),
        negative: Duration::from_secs(3),
        entries_max: 10,
    };

    #[test]
    fn answers_are_remembered_for_their_lifetime_and_misses_for_a_shorter_one() {
        let mut cache = Cache::new(LIFETIMES);
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        cache.put("a", Some(&"1".into()), now);
        cache.put("b", None, now);
        assert_eq!(cache.get("a", later(9)), Some(Some("1".into())));
        assert_eq!(cache.get("a", later(10)), None);
        assert_eq!(cache.get("b", later(2)), Some(None));
        assert_eq!(cache.get("b", later(3)), None);
        assert_eq!(cache.get("c", now), None);
    }

    #[test]
    fn a_lifetime_of_zero_remembers_nothing() {
        let now = Instant::now();
        let mut cache = Cache::new(Lifetimes { negative: Duration::ZERO, ..LIFETIMES });
        cache.put("a", None, now);
        assert_eq!(cache.get("a", now), None);
        let mut cache = Cache::new(Lifetimes::NONE);
        cache.put("a", Some(&"1".into()), now);
        assert_eq!(cache.get("a", now), None);
    }

    #[test]
    fn a_stranger_who_asks_for_a_million_keys_costs_no_more_than_the_limit() {
        let mut cache = Cache::new(LIFETIMES);
        let now = Instant::now();
        for n in 0..1_000_000 {
            cache.put(&n.to_string(), None, now);
        }
        assert!(cache.young.len() + cache.old.len() <= 10);
        assert_eq!(cache.get("999999", now), Some(None));

        let mut cache = Cache::new(Lifetimes { entries_max: 1_000_000, ..LIFETIMES });
        let large = Value::from("x".repeat(1 << 20));
        for n in 0..100 {
            cache.put(&n.to_string(), Some(&large), now);
        }
        assert!(cache.young.len() + cache.old.len() <= 16);
    }
}
