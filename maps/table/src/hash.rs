//! Literal keys in memory: what `texthash:` and `inline:` look up in.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::fold::folded;
use crate::{Answer, Lookup, Response, Value};

/// Folded keys and their values. The hash is seeded per table: whoever guesses addresses cannot aim at
/// one bucket.
#[derive(Debug, Default)]
pub(crate) struct HashTable(HashMap<Box<str>, Value, RandomState>);

impl HashTable {
    /// Adds a key; false where it is there already, which keeps its first value.
    pub(crate) fn insert(&mut self, key: &str, value: &str) -> bool {
        match self.0.entry((*folded(key)).into()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(value.into());
                true
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Lookup for HashTable {
    fn lookup(&self, key: &str) -> Response {
        let answer = match self.0.get(&*folded(key)) {
            Some(value) => Answer::Found(value.clone()),
            None => Answer::NotFound,
        };
        answer.into()
    }

    fn entries(&self) -> Option<Vec<(Box<str>, Value)>> {
        let mut entries: Vec<_> = self.0.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Some(entries)
    }
}
