//! Recipients in memory. Each stands in two lists, that of its message and, while it waits, that of
//! its lane; the links are in the entry, so that moving one costs no allocation.

use mail::{Recipient, Time};
use slab::Slab;

use crate::Transport;

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// One recipient that has no outcome in this attempt.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: u32,
    pub(crate) lane: u32,
    pub(crate) number: u32,
    pub(crate) transport: Transport,
    /// Times that the agent was lost with this job in hand.
    pub(crate) lost: u8,
    pub(crate) state: State,
    pub(crate) recipient: Recipient,
    pub(crate) next_hop: Option<Box<str>>,
    links: [Links; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    /// With an agent. The ticket tells this delivery from others that had the entry's place.
    Busy {
        ticket: u32,
        since: Time,
    },
}

/// Which of an entry's lists.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Lane,
    Message,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    before: u32,
    after: u32,
}

const UNLINKED: Links = Links { before: NONE, after: NONE };

/// The ends of a list of entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

#[derive(Debug, Default)]
pub(crate) struct Entries(Slab<Entry>);

impl Entries {
    #[allow(clippy::too_many_arguments, reason = "the fields of an entry, less its links")]
    pub(crate) fn insert(
        &mut self,
        message: u32,
        lane: u32,
        number: u32,
        transport: Transport,
        recipient: Recipient,
        next_hop: Option<Box<str>>,
    ) -> u32 {
        self.0.insert(Entry {
            message,
            lane,
            number,
            transport,
            lost: 0,
            state: State::Waiting,
            recipient,
            next_hop,
            links: [UNLINKED; 2],
        }) as u32
    }

    /// The entry must stand in no list.
    pub(crate) fn remove(&mut self, entry: u32) -> Entry {
        self.0.remove(entry as usize)
    }

    pub(crate) fn get(&self, entry: u32) -> Option<&Entry> {
        self.0.get(entry as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.0.iter().map(|(entry, value)| (entry as u32, value))
    }

    pub(crate) fn after(&self, by: By, entry: u32) -> u32 {
        self[entry].links[by as usize].after
    }

    pub(crate) fn push_back(&mut self, list: &mut List, by: By, entry: u32) {
        self[entry].links[by as usize] = Links { before: list.last, after: NONE };
        match list.last {
            NONE => list.first = entry,
            last => self[last].links[by as usize].after = entry,
        }
        list.last = entry;
    }

    pub(crate) fn push_front(&mut self, list: &mut List, by: By, entry: u32) {
        self[entry].links[by as usize] = Links { before: NONE, after: list.first };
        match list.first {
            NONE => list.last = entry,
            first => self[first].links[by as usize].before = entry,
        }
        list.first = entry;
    }

    pub(crate) fn unlink(&mut self, list: &mut List, by: By, entry: u32) {
        let Links { before, after } = self[entry].links[by as usize];
        match before {
            NONE => list.first = after,
            before => self[before].links[by as usize].after = after,
        }
        match after {
            NONE => list.last = before,
            after => self[after].links[by as usize].before = before,
        }
        self[entry].links[by as usize] = UNLINKED;
    }
}

impl std::ops::Index<u32> for Entries {
    type Output = Entry;
    fn index(&self, entry: u32) -> &Entry {
        &self.0[entry as usize]
    }
}

impl std::ops::IndexMut<u32> for Entries {
    fn index_mut(&mut self, entry: u32) -> &mut Entry {
        &mut self.0[entry as usize]
    }
}
