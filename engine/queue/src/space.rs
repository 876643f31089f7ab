//! The segments, what lives in each, and when one can be used again.
//!
//! A segment is free when none of its messages lives any more, and nobody needs its other records. Those
//! are needed as long as the segment that holds the message they speak of is in use: were "delivered"
//! forgotten while the message itself can still be read, a rebuilt index would have it delivered
//! again. So each segment names the segments that it *needs* to be gone before it.
//!
//! Nor is a segment free while somebody may read a message there, whatever became of the message meanwhile:
//! see [`crate::reading`].
//!
//! Its row in the index: stamp u32, size u64, end u32, first and last sequence number u64, live messages
//! u32, their bytes u64, then the first sequence numbers of the segments it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::entry::Entry;
use crate::fields::{Fields, Malformed, put_u32, put_u64};
use crate::footer::{Digest, Digested, Footer};
use crate::reading::{Readers, Reading};
use crate::segment::{HEAD_BYTES, Head, PAGE, Use};

/// One segment.
pub(crate) struct Slot<F> {
    pub(crate) file: F,
    pub(crate) head: Head,
    /// Where the next batch goes; behind it there is nothing.
    pub(crate) end: u32,
    pub(crate) last_seq: u64,
    pub(crate) live: Count,
    /// What the index knows to live here.
    indexed: Count,
    needs: BTreeSet<u64>,
    readers: Readers,
    /// For the footer of the current segment.
    pub(crate) digest: Digest,
    dirty: bool,
}

/// How many messages live in a segment, and how much room they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) messages: u32,
    pub(crate) bytes: u64,
}

impl Count {
    fn add(&mut self, entry: &Entry) {
        self.messages += 1;
        self.bytes += u64::from(entry.record_bytes);
    }

    fn remove(&mut self, entry: &Entry) {
        debug_assert!(self.messages > 0, "{} was not counted", entry.id);
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(entry.record_bytes));
    }
}

impl<F> Slot<F> {
    pub(crate) fn new(file: F, head: Head) -> Self {
        Self {
            file,
            head,
            end: HEAD_BYTES as u32,
            last_seq: head.first_seq.saturating_sub(1),
            live: Count::default(),
            indexed: Count::default(),
            needs: BTreeSet::new(),
            readers: Readers::default(),
            digest: Digest::default(),
            dirty: true,
        }
    }

    pub(crate) fn row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(48 + 8 * self.needs.len());
        put_u32(&mut row, self.head.stamp);
        put_u64(&mut row, self.head.bytes);
        put_u32(&mut row, self.end);
        put_u64(&mut row, self.head.first_seq);
        put_u64(&mut row, self.last_seq);
        put_u32(&mut row, self.indexed.messages);
        put_u64(&mut row, self.indexed.bytes);
        for need in &self.needs {
            put_u64(&mut row, *need);
        }
        row
    }

    /// Stamp and first sequence number, where the row counts messages in it.
    pub(crate) fn row_in_use(row: &[u8]) -> Result<Option<(u32, u64)>, Malformed> {
        let mut fields = Fields::new(row);
        let (stamp, _bytes, _end) = (fields.u32()?, fields.u64()?, fields.u32()?);
        let (first_seq, _last_seq) = (fields.u64()?, fields.u64()?);
        Ok((fields.u32()? > 0).then_some((stamp, first_seq)))
    }

    /// Whether a batch fits, and the footer behind it. `items_bytes` is what it adds to the digest, `needs`
    /// how many segments it may add to those that this one needs.
    pub(crate) fn fits(&self, batch_bytes: usize, items_bytes: usize, needs: usize) -> bool {
        // What fills an empty segment has no need of a footer, and must fit somewhere.
        let footer = match self.end as usize {
            HEAD_BYTES => 0,
            _ => self.digest.footer_bytes(self.needs.len() + needs, items_bytes),
        };
        u64::from(self.end) + (batch_bytes + footer) as u64 <= self.head.bytes
    }

    /// Ends the digest: the footer, and what the digest's records say together. `None` where they do not fit any
    /// more, or there is nothing to tell.
    pub(crate) fn take_footer(&mut self, next_seq: u64) -> Option<(Footer, Vec<u8>)> {
        let digest = std::mem::take(&mut self.digest).seal(self.needs.iter().copied());
        let digest_bytes = u32::try_from(digest.len()).ok()?;
        let footer = Footer { digest_offset: self.end, digest_bytes, next_seq };
        let end = u64::from(self.end) + (footer.log_bytes() + PAGE) as u64;
        (self.end as usize > HEAD_BYTES && end <= self.head.bytes).then_some((footer, digest))
    }

    /// Takes over what the segment's footer says.
    pub(crate) fn load_footer(&mut self, footer: &Footer, digested: &Digested<'_>) {
        self.end = footer.digest_offset;
        self.last_seq = footer.next_seq - 1;
        self.needs.extend(&digested.needs);
        self.dirty = true;
    }

    /// Takes over what the index says, if it speaks of the same use of the segment.
    pub(crate) fn load_row(&mut self, row: &[u8]) -> Result<bool, Malformed> {
        let mut fields = Fields::new(row);
        let (stamp, _bytes, end) = (fields.u32()?, fields.u64()?, fields.u32()?);
        let (first_seq, last_seq) = (fields.u64()?, fields.u64()?);
        let indexed = Count { messages: fields.u32()?, bytes: fields.u64()? };
        if (stamp, first_seq) != (self.head.stamp, self.head.first_seq) {
            return Ok(false);
        }
        let mut rest = fields;
        let mut needs = BTreeSet::new();
        while !rest.clone().rest().is_empty() {
            needs.insert(rest.u64()?);
        }
        self.end = end;
        self.last_seq = last_seq;
        self.indexed = indexed;
        self.live = indexed;
        self.needs = needs;
        Ok(true)
    }
}

/// All segments of a slice.
pub(crate) struct Space<F> {
    pub(crate) slots: BTreeMap<u32, Slot<F>>,
    /// First sequence number and number of those in use. Two can begin with the same record: where a
    /// crash came between the head and the first batch, the next start begins another one with it.
    by_seq: BTreeSet<(u64, u32)>,
    /// Ready to be used.
    pub(crate) spares: Vec<u32>,
    /// The one that is being written to.
    pub(crate) current: Option<u32>,
    /// No longer to be touched: its head could not be read or written.
    pub(crate) unusable: BTreeSet<u32>,
    left_alone: BTreeSet<u32>,
    /// The highest number that a segment has had. None is given twice, though its segment be removed: the
    /// delivery agent keeps descriptors by number.
    last_number: u32,
    /// Something changed that space may be made by.
    pub(crate) upkeep: Rc<Notify>,
}

impl<F> Space<F> {
    pub(crate) fn new() -> Self {
        Self {
            slots: BTreeMap::new(),
            by_seq: BTreeSet::new(),
            spares: Vec::new(),
            current: None,
            unusable: BTreeSet::new(),
            left_alone: BTreeSet::new(),
            last_number: 0,
            upkeep: Rc::new(Notify::new()),
        }
    }

    pub(crate) fn add(&mut self, slot: Slot<F>) {
        let number = slot.head.slot;
        self.last_number = self.last_number.max(number);
        match slot.head.used {
            Use::InUse => {
                self.by_seq.insert((slot.head.first_seq, number));
            }
            Use::Free => self.spares.push(number),
        }
        self.slots.insert(number, slot);
    }

    pub(crate) fn current_slot(&self) -> Option<&Slot<F>> {
        self.slots.get(&self.current?)
    }

    pub(crate) fn current_slot_mut(&mut self) -> Option<&mut Slot<F>> {
        self.slots.get_mut(&self.current?)
    }

    /// The head that the next spare is to get.
    pub(crate) fn next_head(&self, first_seq: u64, stamp: u32) -> Option<(F, Head)>
    where
        F: Clone,
    {
        let slot = self.slots.get(self.spares.first()?)?;
        let generation = slot.head.generation + 1;
        let head = Head { used: Use::InUse, stamp, generation, first_seq, ..slot.head };
        Some((slot.file.clone(), head))
    }

    /// What a segment says about others was said again elsewhere.
    pub(crate) fn release_needs(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.needs.clear();
            slot.dirty = true;
        }
    }

    /// A segment was copied forward, as far as that was possible: not again in this use of it.
    pub(crate) fn leave_alone(&mut self, number: u32) {
        self.left_alone.insert(number);
    }

    /// First sequence numbers of the segments in use that this one needs.
    pub(crate) fn needs_of(&self, number: u32) -> Vec<u64> {
        let needs = self.slots.get(&number).into_iter().flat_map(|slot| &slot.needs);
        needs.copied().filter(|need| self.is_used(*need)).collect()
    }

    /// Whether the segment in use with this number holds this record.
    pub(crate) fn is_in(&self, number: u32, seq: u64) -> bool {
        self.segment_of(seq).is_some_and(|(_, holder)| holder == number)
    }

    /// Whether this record lies in a segment in use other than `number`.
    pub(crate) fn is_kept_elsewhere(&self, seq: u64, number: u32) -> bool {
        self.segment_of(seq).is_some_and(|(_, holder)| holder != number)
    }

    /// A number that no segment has or had.
    pub(crate) fn unused_number(&self) -> u32 {
        let unusable = self.unusable.last().copied().unwrap_or(0);
        self.last_number.max(unusable) + 1
    }

    /// Takes one spare out where there are more than are worth their room.
    ///
    /// Never the first: the committer may be beginning it at this moment.
    pub(crate) fn take_surplus(&mut self) -> Option<Slot<F>> {
        if self.spares.len() <= SPARES_MAX {
            return None;
        }
        let number = self.spares.pop()?;
        self.slots.remove(&number)
    }

    /// Somebody is told of a place in this segment.
    pub(crate) fn read(&self, number: u32) -> Option<Reading> {
        self.slots.get(&number).map(|slot| slot.readers.begin(&self.upkeep))
    }

    /// Numbers of the segments in use, oldest first.
    pub(crate) fn in_use(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.by_seq.iter().map(|&(_, number)| number)
    }

    /// A spare becomes the current segment; its head says so already.
    pub(crate) fn begin(&mut self, head: Head) {
        let Some(slot) = self.slots.get_mut(&head.slot) else { return };
        slot.head = head;
        slot.end = HEAD_BYTES as u32;
        slot.last_seq = head.first_seq.saturating_sub(1);
        slot.live = Count::default();
        slot.indexed = Count::default();
        slot.needs.clear();
        slot.digest = Digest::default();
        slot.dirty = true;
        self.spares.retain(|spare| *spare != head.slot);
        self.left_alone.remove(&head.slot);
        self.by_seq.insert((head.first_seq, head.slot));
        self.current = Some(head.slot);
    }

    /// A segment is free; its head says so already.
    pub(crate) fn end(&mut self, head: Head) {
        let Some(slot) = self.slots.get_mut(&head.slot) else { return };
        self.by_seq.remove(&(slot.head.first_seq, head.slot));
        slot.head = head;
        slot.needs.clear();
        slot.dirty = true;
        self.spares.push(head.slot);
    }

    /// The segment in use that holds this record, if there is one: first sequence number and number.
    fn segment_of(&self, seq: u64) -> Option<(u64, u32)> {
        let begun = self.by_seq.range(..=(seq, u32::MAX)).rev();
        let mut filled = begun.filter_map(|&(first_seq, number)| {
            let last_seq = self.slots.get(&number)?.last_seq;
            (last_seq >= first_seq).then_some((first_seq, number, last_seq))
        });
        let (first_seq, number, last_seq) = filled.next()?;
        (seq <= last_seq).then_some((first_seq, number))
    }

    /// Whether a segment in use begins with this record.
    fn is_used(&self, first_seq: u64) -> bool {
        self.by_seq.range((first_seq, 0)..=(first_seq, u32::MAX)).next().is_some()
    }

    /// Segments that were begun but got no record before the crash are spares.
    pub(crate) fn reuse_empty(&mut self) {
        let (slots, spares) = (&self.slots, &mut self.spares);
        self.by_seq.retain(|(first_seq, number)| {
            let empty = slots.get(number).is_none_or(|slot| slot.last_seq < *first_seq);
            if empty {
                spares.push(*number);
            }
            !empty
        });
    }

    /// Notes that `slot` holds a record about the message in the record `home_seq`.
    pub(crate) fn note_need(&mut self, slot: u32, home_seq: u64) {
        let Some((need, number)) = self.segment_of(home_seq) else { return };
        if number != slot
            && let Some(slot) = self.slots.get_mut(&slot)
        {
            slot.dirty |= slot.needs.insert(need);
        }
    }

    pub(crate) fn count_in(&mut self, entry: &Entry) {
        if let Some(slot) = self.slots.get_mut(&entry.slot) {
            slot.live.add(entry);
        }
    }

    pub(crate) fn count_out(&mut self, entry: &Entry) {
        if let Some(slot) = self.slots.get_mut(&entry.slot) {
            slot.live.remove(entry);
        }
    }

    /// Follows a change of the index.
    pub(crate) fn count_indexed(&mut self, old: Option<&Entry>, new: Option<&Entry>) {
        if let Some(old) = old
            && let Some(slot) = self.slots.get_mut(&old.slot)
        {
            slot.indexed.remove(old);
            slot.dirty = true;
        }
        if let Some(new) = new
            && let Some(slot) = self.slots.get_mut(&new.slot)
        {
            slot.indexed.add(new);
            slot.dirty = true;
        }
    }

    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.dirty = true;
        }
    }

    pub(crate) fn dirty_rows(&self) -> impl Iterator<Item = (u32, Vec<u8>)> + '_ {
        self.slots.iter().filter(|(_, slot)| slot.dirty).map(|(number, slot)| (*number, slot.row()))
    }

    pub(crate) fn clean(&mut self) {
        for slot in self.slots.values_mut() {
            slot.dirty = false;
        }
    }

    /// A segment that nothing needs any more, the oldest first. What the index does not have yet must
    /// stay readable until it has.
    pub(crate) fn reclaimable(&self, applied_seq: u64) -> Option<u32> {
        self.in_use().find(|number| {
            Some(*number) != self.current
                && self.slots.get(number).is_some_and(|slot| {
                    slot.live.messages == 0
                        && slot.indexed.messages == 0
                        && slot.last_seq <= applied_seq
                        && !slot.needs.iter().any(|need| self.is_used(*need))
                        && !slot.readers.any()
                })
        })
    }

    /// The segment whose living remainder should be copied forward: the oldest that is mostly dead, once the
    /// segments take more than twice the room that the messages in them need.
    pub(crate) fn mostly_dead(&self) -> Option<u32> {
        // Those that were copied already, and only wait for their readers, would be counted twice.
        let waits = |slot: &&Slot<F>| slot.live.messages == 0 && slot.readers.any();
        let closed = || self.in_use().filter(|number| Some(*number) != self.current);
        let slots =
            || closed().filter_map(|number| self.slots.get(&number)).filter(|slot| !waits(slot));
        let used: u64 = slots().map(|slot| slot.head.bytes).sum();
        let live: u64 = slots().map(|slot| slot.live.bytes).sum();
        if slots().count() < SEGMENTS_WORTH_COPYING || used < 2 * live {
            return None;
        }
        slots()
            .find(|slot| {
                2 * slot.live.bytes < slot.head.bytes && !self.left_alone.contains(&slot.head.slot)
            })
            .map(|slot| slot.head.slot)
    }

    /// How many bytes of records still fit, counting the current segment and all spares.
    pub(crate) fn room(&self) -> u64 {
        let current = self.current.and_then(|current| self.slots.get(&current));
        let rest = current.map_or(0, |slot| slot.head.bytes.saturating_sub(u64::from(slot.end)));
        let spare = |number| self.slots.get(number).map_or(0, |slot| slot.head.bytes);
        rest + self.spares.iter().map(spare).sum::<u64>()
    }
}

/// With fewer closed segments than this, space is not worth the copying.
const SEGMENTS_WORTH_COPYING: usize = 4;
/// Spares beyond this are removed. So many become free at once where the queue takes and delivers as fast as the
/// disk writes; making them anew each time would double what is written.
const SPARES_MAX: usize = 4;
