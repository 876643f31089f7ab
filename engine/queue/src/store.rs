//! The messages: those whose state is ahead of the index in memory, all others in the index.
//!
//! What changes is changed here first. [`Store::flush`] brings the index up to date; a message that was
//! accepted and finished in between leaves no trace there. Only what is durable in the log is
//! flushed, so the index is never ahead of it.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};
use mail::{QueueId, Time};

use crate::change::Change;
use crate::entry::Entry;
use crate::error::IndexError;
use crate::index::{self, Index, Update};
use crate::space::Space;

/// A message whose state in the index is older, or that is not there at all.
pub(crate) struct Pending {
    pub(crate) entry: Entry,
    /// The first change that the index does not have.
    first_seq: u64,
    finished: bool,
}

pub(crate) struct Store {
    pub(crate) index: Index,
    pending: HashMap<QueueId, Pending>,
    /// Messages that the scheduler has, so that `due` does not give them out twice.
    active: HashSet<QueueId>,
    /// All that is due up to here was given out.
    cursor: (Time, QueueId),
    /// Pending messages that the scheduler does not have and that are due at this time.
    parked: BTreeSet<(Time, QueueId)>,
    /// All records up to here are in the index.
    pub(crate) applied_seq: u64,
}

const START: (Time, QueueId) = (Time(0), QueueId::from_u64(0));

impl Store {
    pub(crate) fn new(index: Index, applied_seq: u64) -> Self {
        Self {
            index,
            pending: HashMap::new(),
            active: HashSet::new(),
            cursor: START,
            parked: BTreeSet::new(),
            applied_seq,
        }
    }

    pub(crate) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The message as it is now, were it in memory or not.
    pub(crate) fn get(&self, id: QueueId) -> Result<Option<Entry>, IndexError> {
        match self.pending.get(&id) {
            Some(pending) if pending.finished => Ok(None),
            Some(pending) => Ok(Some(pending.entry.clone())),
            None => self.index.get(id),
        }
    }

    /// Takes in a message that is durable, or a newer copy of one.
    pub(crate) fn insert(&mut self, entry: Entry, active: bool) {
        let first_seq = entry.last_seq;
        let id = entry.id;
        // What is held is nobody's until it is released.
        if active && !entry.held {
            self.active.insert(id);
        }
        match self.pending.get_mut(&id) {
            Some(pending) => {
                pending.entry = entry;
                pending.finished = false;
            }
            None => {
                self.pending.insert(id, Pending { entry, first_seq, finished: false });
            }
        }
        self.park(id);
    }

    /// Moves a message to its copy, keeping its state.
    pub(crate) fn relocate(&mut self, copy: &Entry) -> Result<Option<&Entry>, IndexError> {
        let Some(pending) = self.fetch(copy.id, copy.home_seq)? else { return Ok(None) };
        let entry = &mut pending.entry;
        entry.home_seq = copy.home_seq;
        entry.slot = copy.slot;
        entry.record_offset = copy.record_offset;
        entry.record_bytes = copy.record_bytes;
        entry.stored = copy.stored;
        entry.last_seq = entry.last_seq.max(copy.home_seq);
        Ok(Some(entry))
    }

    /// A living message, brought into memory to be changed by the record with this sequence number.
    fn fetch(&mut self, id: QueueId, seq: u64) -> Result<Option<&mut Pending>, IndexError> {
        if !self.pending.contains_key(&id) {
            let Some(entry) = self.index.get(id)? else { return Ok(None) };
            self.pending.insert(id, Pending { entry, first_seq: seq, finished: false });
            // While it is here the index is not asked for it, and later is asked from the cursor on.
            self.park(id);
        }
        Ok(self.pending.get_mut(&id).filter(|pending| !pending.finished))
    }

    /// Applies a change; returns the entry as it then is, or `None` where there is no such message or the
    /// record was applied before.
    pub(crate) fn apply(
        &mut self,
        id: QueueId,
        seq: u64,
        change: &Change,
    ) -> Result<Option<&Entry>, IndexError> {
        let Some(pending) = self.fetch(id, seq)? else { return Ok(None) };
        if seq <= pending.entry.last_seq {
            return Ok(None);
        }
        pending.entry.apply(seq, change);
        pending.finished = pending.entry.is_finished();
        if pending.finished {
            self.active.remove(&id);
        }
        self.park(id);
        Ok(self.pending.get(&id).map(|pending| &pending.entry))
    }

    /// The entry of a message that just finished, for as long as the index lags.
    pub(crate) fn finished(&self, id: QueueId) -> Option<&Entry> {
        self.pending.get(&id).filter(|pending| pending.finished).map(|pending| &pending.entry)
    }

    /// Lists the message among the parked ones where it belongs there, and only there.
    fn park(&mut self, id: QueueId) {
        // Stale pairs are dropped when they are met in `due`.
        let Some(pending) = self.pending.get(&id) else { return };
        if !pending.finished
            && !self.active.contains(&id)
            && let Some(time) = pending.entry.due()
        {
            self.parked.insert((time, id));
            self.cursor = self.cursor.min((Time(time.0.saturating_sub(1)), id));
        }
    }

    /// Up to `limit` messages that are due, soonest first. They are the scheduler's until it puts them
    /// back or they are finished.
    pub(crate) fn due(
        &mut self,
        now: Time,
        limit: usize,
    ) -> Result<Vec<(Time, QueueId)>, IndexError> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(&(time, id)) = self.parked.first()
            && time <= now
        {
            self.parked.pop_first();
            let current = self
                .pending
                .get(&id)
                .is_some_and(|pending| !pending.finished && pending.entry.due() == Some(time));
            if current && self.active.insert(id) {
                due.push((time, id));
            }
        }
        let (pending, active) = (&self.pending, &self.active);
        let wanted = |id| !active.contains(&id) && !pending.contains_key(&id);
        let stored = self.index.due(self.cursor, now, limit - due.len(), wanted)?;
        if let Some(&last) = stored.last() {
            self.cursor = last;
        }
        self.active.extend(stored.iter().map(|&(_, id)| id));
        due.extend(stored);
        Ok(due)
    }

    /// Messages that are due after `beyond`: nothing is put off that far, so the clock was wrong.
    pub(crate) fn misdated(
        &mut self,
        beyond: Time,
        limit: usize,
    ) -> Result<Vec<(Time, QueueId)>, IndexError> {
        let last = QueueId::from_u64(u64::MAX);
        let mut found: Vec<(Time, QueueId)> = Vec::new();
        let parked: Vec<(Time, QueueId)> =
            self.parked.range((beyond, last)..).take(limit).copied().collect();
        for (time, id) in parked {
            self.parked.remove(&(time, id));
            let current = self
                .pending
                .get(&id)
                .is_some_and(|pending| !pending.finished && pending.entry.due() == Some(time));
            if current && self.active.insert(id) {
                found.push((time, id));
            }
        }
        let (pending, active) = (&self.pending, &self.active);
        let wanted = |id| !active.contains(&id) && !pending.contains_key(&id);
        let end = Time(u64::MAX);
        let stored = self.index.due((beyond, last), end, limit - found.len(), wanted)?;
        self.active.extend(stored.iter().map(|&(_, id)| id));
        found.extend(stored);
        Ok(found)
    }

    /// The soonest time at which a message that the scheduler does not have is due.
    pub(crate) fn next_due(&self) -> Result<Option<Time>, IndexError> {
        let (pending, active) = (&self.pending, &self.active);
        let wanted = |id| !active.contains(&id) && !pending.contains_key(&id);
        let stored = self.index.due(self.cursor, Time(u64::MAX), 1, wanted)?;
        let parked = self.parked.first().map(|&(time, _)| time);
        Ok(stored.first().map(|&(time, _)| time).into_iter().chain(parked).min())
    }

    /// The scheduler lets go of a message that is not finished.
    pub(crate) fn put_back(&mut self, id: QueueId) -> Result<(), IndexError> {
        if !self.active.remove(&id) {
            return Ok(());
        }
        if self.pending.contains_key(&id) {
            self.park(id);
        } else if let Some(time) = self.index.get(id)?.and_then(|entry| entry.due()) {
            self.cursor = self.cursor.min((Time(time.0.saturating_sub(1)), id));
        }
        Ok(())
    }

    /// From here on the index is only believed by the same boot of the machine.
    pub(crate) fn mark_open(&self, boot_id: &str, slice_number: u64) -> Result<(), IndexError> {
        let mut update = self.index.write()?;
        update.put_meta("format", index::format())?;
        update.put_meta("slice", &slice_number.to_le_bytes())?;
        update.put_meta("boot", boot_id.as_bytes())?;
        update.put_meta("clean", &[0])?;
        update.commit()?;
        // Unsynced writes that follow may spoil the last synced state, which says `clean`.
        self.index.sync()
    }

    /// The index is complete, and will be believed by any boot.
    pub(crate) fn mark_clean(&self) -> Result<(), IndexError> {
        // First everything it says, then that it may be believed.
        self.index.sync()?;
        let mut update = self.index.write()?;
        update.put_meta("clean", &[1])?;
        update.commit()?;
        self.index.sync()
    }

    /// Brings the index up to what is durable in the log.
    ///
    /// Entries that a later, not yet durable record has changed stay behind, and so does `applied`.
    pub(crate) fn flush<F>(
        &mut self,
        committed_seq: u64,
        space: &mut Space<F>,
        last_id: Option<QueueId>,
    ) -> Result<(), IndexError> {
        let ready = |pending: &Pending| pending.entry.last_seq <= committed_seq;
        let applied = self
            .pending
            .values()
            .filter(|pending| !ready(pending))
            .map(|pending| pending.first_seq - 1)
            // A message in the same batch as such a change is not here before the batch is durable.
            .fold(committed_seq, u64::min)
            .max(self.applied_seq);
        let mut ready_ids: Vec<QueueId> =
            self.pending.iter().filter(|(_, pending)| ready(pending)).map(|(id, _)| *id).collect();
        // Most are new: in their order each goes behind the one before it, into the same page.
        ready_ids.sort_unstable();
        let mut update = self.index.write()?;
        let mut moved = Vec::with_capacity(ready_ids.len());
        for id in ready_ids {
            let Some(pending) = self.pending.get(&id) else { continue };
            if pending.finished {
                moved.push((update.delete(id)?, None));
            } else {
                let old = update.put(&pending.entry)?;
                moved.push((old, Some(&pending.entry)));
            }
        }
        for (old, new) in &moved {
            space.count_indexed(old.as_ref(), *new);
        }
        if let Err(error) = finish_flush(update, space, applied, last_id) {
            // Nothing of it is in the index: count back.
            for (old, new) in &moved {
                space.count_indexed(*new, old.as_ref());
            }
            return Err(error);
        }
        space.clean();
        self.applied_seq = applied;
        drop(moved);
        self.pending.retain(|_, pending| !ready(pending));
        // Those that left are now found through the index.
        let pending = &self.pending;
        self.parked.retain(|(_, id)| pending.contains_key(id));
        Ok(())
    }
}

fn finish_flush<F>(
    mut update: Update<'_>,
    space: &Space<F>,
    applied: u64,
    last_id: Option<QueueId>,
) -> Result<(), IndexError> {
    for (slot, row) in space.dirty_rows() {
        update.put_segment(slot, &row)?;
    }
    update.put_meta("applied", &applied.to_le_bytes())?;
    if let Some(last) = last_id {
        update.put_meta("last", &last.as_u64().to_le_bytes())?;
    }
    update.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Reason;
    use crate::change::tests::entry as sample;

    fn entry(id: QueueId, seq: u64) -> Entry {
        Entry { id, home_seq: seq, last_seq: seq, ..sample() }
    }

    #[test]
    fn what_is_not_durable_yet_is_never_counted_as_applied() {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(directory.path(), 1 << 20).unwrap();
        let mut store = Store::new(index, 0);
        let mut space = Space::<()>::new();
        let old = QueueId::from_u64(0x100);
        store.insert(entry(old, 1), true);
        store.flush(1, &mut space, None).unwrap();
        assert_eq!(store.applied_seq, 1);
        // The open batch holds a new message as record 2, which the store hears of once it is durable, and
        // as record 3 a change of the old one.
        let change = Change::Delete { reason: Reason::Deleted };
        store.apply(old, 3, &change).unwrap();
        store.flush(1, &mut space, None).unwrap();
        assert_eq!(store.applied_seq, 1, "after a crash, record 2 must be read from the log");
        store.insert(entry(QueueId::from_u64(0x200), 2), true);
        store.flush(3, &mut space, None).unwrap();
        assert_eq!(store.applied_seq, 3);
    }
}
