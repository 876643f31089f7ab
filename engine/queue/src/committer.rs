//! The committer: one batch at a time into the log, and what follows from its being there.
//!
//! A failed write is never tried again. After it nobody knows what the disk holds, and a second sync that
//! succeeds would say nothing about what the first one lost: so the slice ends, all who wait are told, and
//! the next start finds out from the log what is there.

use std::any::Any;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mail::QueueId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::batch::{Alloc, Arrival, Batch, Effect, Written};
use crate::change::{Change, Reason};
use crate::codec::{Kind, record_bytes};
use crate::disk::{Buf, Disk};
use crate::entry::{Entry, Stored};
use crate::error::Refusal;
use crate::footer::{self, Footer};
use crate::group::{Decision, Group, decide};
use crate::segment::{self, HEAD_BYTES, Head, PAGE};
use crate::slice::{Core, Fresh, Inner};

/// How soon memory for the head of a segment is asked for again.
const MEMORY_RETRY: Duration = Duration::from_millis(1);
/// Stale ids that the order of untried messages may hold before it is tidied.
const FRESH_ORDER_SLACK: usize = 64;

impl<D: Disk> Inner<D> {
    /// Writes batches until the slice is closed or fails.
    pub(crate) async fn commit_batches(&self) {
        while let Some(batch) = self.next_batch().await {
            let progress = Rc::clone(&batch.progress);
            self.core.borrow_mut().writing = Some(Rc::clone(&progress));
            let written = self.write(batch).await;
            self.core.borrow_mut().writing = None;
            match written {
                Ok(durable) => {
                    let written = durable.written;
                    let (memory, files) = self.take_in(durable);
                    let reading = self.core.borrow().space.read(written.slot);
                    progress.succeed(written, memory.as_ref().map(Rc::downgrade), reading);
                    self.upkeep.notify_one();
                    for id in files {
                        // What cannot be removed now is removed at the next start.
                        let _ = self.disk.remove(&crate::large::name(id)).await;
                    }
                }
                Err(refusal) => {
                    progress.fail(refusal);
                    self.fail(refusal);
                    return;
                }
            }
        }
    }

    /// Ends the slice: whoever waits, and whoever comes, is refused. Reads go on.
    pub(crate) fn fail(&self, refusal: Refusal) {
        let mut core = self.core.borrow_mut();
        core.ended = Some(refusal);
        let waiting: Vec<_> = core.sealed.drain(..).collect();
        let open = core.open.take();
        drop(core);
        for batch in waiting.into_iter().chain(open) {
            batch.progress.fail(refusal);
        }
        self.upkeep.notify_one();
        self.spare.notify_waiters();
        self.spare_wanted.notify_one();
    }

    /// Waits for a batch to write; `None` where there is none left and the slice is being closed.
    async fn next_batch(&self) -> Option<Batch<D::Buf>> {
        loop {
            let wait = {
                let mut core = self.core.borrow_mut();
                if let Some(batch) = core.sealed.pop_front() {
                    return Some(batch);
                }
                let ended = core.ended.is_some();
                match core.open.as_ref().map(|open| self.decide(open, ended)) {
                    Some(Decision::Write) => {
                        let open = core.open.take()?;
                        core.queued_bytes += open.padded_bytes() as u64;
                        return Some(open);
                    }
                    Some(Decision::Wait(wait)) => Some(wait),
                    None if ended => return None,
                    None => None,
                }
            };
            match wait {
                Some(wait) => {
                    let _ = timeout_at(Instant::now() + wait, self.work.notified()).await;
                }
                None => self.work.notified().await,
            }
        }
    }

    fn decide(&self, open: &Batch<D::Buf>, ended: bool) -> Decision {
        if ended || open.used >= self.options.batch_bytes / 2 {
            return Decision::Write;
        }
        decide(Group {
            waiting: open.waiting,
            open: self.open_transactions.get(),
            age: open.since.elapsed(),
        })
    }

    async fn write(&self, mut batch: Batch<D::Buf>) -> Result<Durable<D::Buf>, Refusal> {
        let bytes = batch.padded_bytes();
        let items_bytes = footer::items_bytes(&batch.buf[..batch.used]);
        let needs = batch.messages.len() + batch.effects.len();
        while !self.fits(bytes, items_bytes, needs) {
            self.roll().await?;
        }
        let (slot, offset, file, stamp) = {
            let core = self.core.borrow();
            let slot = core.space.current_slot().expect("`fits` found one");
            (slot.head.slot, slot.end, slot.file.clone(), slot.head.stamp)
        };
        batch.finish(stamp);
        let arena_offset = batch.buf.offset();
        let Batch { buf, messages, effects, last_seq, .. } = batch;
        let (result, buf) = self.disk.write_durably(&file, buf, u64::from(offset)).await;
        self.note_failure(slot, result)?;
        let written = Written { slice: self.options.slice, slot, offset, arena_offset };
        Ok(Durable { buf, written, messages, effects, last_seq })
    }

    /// Takes in what a durable batch says. Returns its memory, if messages are in it, and the ids of
    /// finished messages whose files can go.
    fn take_in(&self, batch: Durable<D::Buf>) -> (Option<Rc<dyn Any>>, Vec<QueueId>) {
        let Durable { buf, written, messages, effects, last_seq } = batch;
        let Written { slot, offset, arena_offset, .. } = written;
        let bytes = buf.len();
        let mut core = self.core.borrow_mut();
        core.touched = Instant::now();
        core.counters.batches += 1;
        core.counters.bytes += bytes as u64;
        core.queued_bytes -= bytes as u64;
        core.committed_seq = last_seq;
        let position = core.space.current_slot_mut().expect("it was not changed meanwhile");
        position.end += bytes as u32;
        position.last_seq = last_seq;
        position.digest.add_batch(&buf, offset);
        core.space.touch(slot);
        let memory: Option<Rc<dyn Any>> =
            if messages.is_empty() { None } else { Some(Rc::new(buf)) };
        let mut corrections = Vec::new();
        for Arrival { mut entry, crc, copied } in messages {
            entry.slot = slot;
            entry.record_offset += offset;
            if let Stored::Inline { offset: content, len } = entry.stored {
                if let (Some(memory), None) = (&memory, copied) {
                    let offset = arena_offset + u64::from(content);
                    core.remember(entry.id, Fresh { memory: Rc::clone(memory), offset, crc });
                }
                entry.stored = Stored::Inline { offset: content + offset, len };
            }
            match copied {
                None => {
                    core.counters.messages += 1;
                    core.space.count_in(&entry);
                    core.store.insert(entry, true);
                }
                Some(copied) => {
                    core.counters.copies += 1;
                    core.space.note_need(slot, copied.home_seq);
                    corrections.extend(core.moved(&entry, copied.last_seq));
                }
            }
        }
        let mut files = Vec::new();
        for effect in effects {
            match effect {
                Effect::Needs { home_seq } => core.space.note_need(slot, home_seq),
                Effect::Gone { id } => {
                    files.extend(core.gone(id));
                    if let Some(slot) = core.space.slots.get_mut(&slot) {
                        slot.digest.note_gone(id);
                    }
                }
            }
        }
        drop(core);
        for (id, home_seq, change) in corrections {
            self.record_about(id, home_seq, &change);
        }
        (memory, files)
    }

    /// Whether the current segment has room for a batch, and for the footer that should still follow. On a full
    /// disk its room is better used.
    fn fits(&self, bytes: usize, items_bytes: usize, needs: usize) -> bool {
        let core = self.core.borrow();
        core.space.current_slot().is_some_and(|slot| {
            let room = slot.head.bytes - u64::from(slot.end);
            if core.disk_full { bytes as u64 <= room } else { slot.fits(bytes, items_bytes, needs) }
        })
    }

    /// Goes on in the next segment, as soon as there is one.
    async fn roll(&self) -> Result<(), Refusal> {
        self.write_footer().await?;
        let (file, head) = loop {
            let ready = self.spare.notified();
            {
                let mut core = self.core.borrow_mut();
                core.space.current = None;
                let first_seq = core.first_unwritten_seq();
                if let Some(next) = core.space.next_head(first_seq, self.disk.draw() as u32) {
                    break next;
                }
            }
            self.give_up_for_want_of_a_segment()?;
            self.spare_wanted.notify_one();
            ready.await;
            self.give_up_for_want_of_a_segment()?;
        };
        // The page kept back is busy where a segment is being marked free at this moment.
        while let Err(refusal) = self.write_head(&file, &head).await {
            if refusal != Refusal::NoMemory {
                return Err(refusal);
            }
            sleep(MEMORY_RETRY).await;
        }
        self.core.borrow_mut().space.begin(head);
        // The next one is made while this one fills.
        self.spare_wanted.notify_one();
        Ok(())
    }

    /// While the slice is open, a batch waits until the disk is not full any more. Closing must end: what
    /// then has no segment was never acknowledged.
    fn give_up_for_want_of_a_segment(&self) -> Result<(), Refusal> {
        let core = self.core.borrow();
        match core.ended {
            Some(Refusal::Failed) => Err(Refusal::Failed),
            Some(_) if core.disk_full && core.space.spares.is_empty() => Err(Refusal::Closed),
            _ => Ok(()),
        }
    }

    /// Closes the current segment with what its records say. It is a help and no more: without memory
    /// or room for it, it is left out, and the records are read instead.
    pub(crate) async fn write_footer(&self) -> Result<(), Refusal> {
        let (file, head, footer, digest) = {
            let mut core = self.core.borrow_mut();
            let next_seq = core.first_unwritten_seq();
            let Some(slot) = core.space.current_slot_mut() else { return Ok(()) };
            let Some((footer, digest)) = slot.take_footer(next_seq) else { return Ok(()) };
            (slot.file.clone(), slot.head, footer, digest)
        };
        let mut offset = u64::from(footer.digest_offset);
        for piece in digest.chunks(footer::PIECE_BYTES) {
            let seq = footer.next_seq;
            match self.write_record(&file, offset, head.stamp, Kind::Digest, seq, piece).await? {
                Some(bytes) => offset += bytes,
                None => return Ok(()),
            }
        }
        // Last: what it points to is there.
        let (offset, pointer) = (Footer::offset(&head), footer.encode());
        self.write_record(&file, offset, head.stamp, Kind::Footer, footer.next_seq, &pointer)
            .await
            .map(drop)
    }

    /// Writes a record by itself. Returns how many bytes it took; `None` where there is no memory for it.
    async fn write_record(
        &self,
        file: &D::File,
        offset: u64,
        stamp: u32,
        kind: Kind,
        seq: u64,
        payload: &[u8],
    ) -> Result<Option<u64>, Refusal> {
        let Some(buf) = Alloc::alloc(self, record_bytes(payload.len())) else { return Ok(None) };
        let mut batch = Batch::new(buf, Instant::now());
        batch.push(kind, seq, payload);
        batch.finish(stamp);
        let bytes = batch.buf.len() as u64;
        let (result, _) = self.disk.write_durably(file, batch.buf, offset).await;
        self.core.borrow_mut().counters.segment_writes += 1;
        let slot = self.core.borrow().space.current.unwrap_or_default();
        self.note_failure(slot, result)?;
        Ok(Some(bytes))
    }

    /// Writes both copies of a head, one after the other, so that one of them is always whole.
    pub(crate) async fn write_head(&self, file: &D::File, head: &Head) -> Result<(), Refusal> {
        let kept = self.core.borrow_mut().head_page.take();
        let mut buf = match kept.or_else(|| Alloc::alloc(self, PAGE)) {
            Some(buf) => buf,
            None => return Err(Refusal::NoMemory),
        };
        buf.shrink_to(PAGE);
        let mut result = Ok(());
        for page in 0..HEAD_BYTES / PAGE {
            head.encode(&mut buf[..PAGE]);
            let offset = (page * PAGE) as u64;
            (result, buf) = self.disk.write_durably(file, buf, offset).await;
            self.core.borrow_mut().counters.segment_writes += 1;
            if result.is_err() {
                break;
            }
        }
        self.core.borrow_mut().head_page = Some(buf);
        self.note_failure(head.slot, result)
    }

    /// Keeps why a write failed, for the log.
    fn note_failure(&self, slot: u32, result: io::Result<()>) -> Result<(), Refusal> {
        result.map_err(|error| {
            let text = format!("write {}: {error}", segment::name(slot));
            self.core.borrow_mut().failure.get_or_insert(text);
            Refusal::Failed
        })
    }

    /// Appends a record about a message that may be gone already.
    pub(crate) fn record_about(&self, id: QueueId, home_seq: u64, change: &Change) {
        let mut payload = Vec::new();
        change.encode(id, home_seq, &mut payload);
        // Without memory the record is missing, and the segment that needs it stays in use: see `moved`.
        if let Ok(mut batch) = self.take_open(record_bytes(payload.len())) {
            let mut core = self.core.borrow_mut();
            let seq = core.take_seq();
            batch.push(change.kind(), seq, &payload);
            batch.effects.push(Effect::Needs { home_seq });
            // For a living message this is its state already; for another there is nothing to apply it to.
            let _ = core.store.apply(id, seq, change);
            core.put_open(batch);
        }
    }
}

/// A batch that is on disk.
struct Durable<B> {
    buf: B,
    written: Written,
    messages: Vec<Arrival>,
    effects: Vec<Effect>,
    last_seq: u64,
}

/// What must be recorded because a message changed while it was being copied.
pub(crate) type Correction = (QueueId, u64, Change);

impl<D: Disk> Core<D> {
    /// The sequence number of the first record that is not in a segment yet.
    fn first_unwritten_seq(&self) -> u64 {
        self.committed_seq + 1
    }

    /// Keeps content in memory until it was tried, or until the memory is wanted for something else.
    fn remember(&mut self, id: QueueId, fresh: Fresh) {
        self.fresh.insert(id, fresh);
        self.fresh_order.push_back(id);
        // Most leave `fresh` by being tried, and stay in the order until it is worth tidying.
        if self.fresh_order.len() > FRESH_ORDER_SLACK + 2 * self.fresh.len() {
            let fresh = &self.fresh;
            self.fresh_order.retain(|id| fresh.contains_key(id));
        }
    }

    /// A copy of a message is durable: it lives there now.
    ///
    /// Changes that were recorded between the making of the copy and now name the old place as their
    /// home, and would be forgotten together with it; so they are said again about the new one.
    fn moved(&mut self, copy: &Entry, copied_seq: u64) -> Option<Correction> {
        let before = self.store.get(copy.id).ok().flatten();
        let Some(before) = before else {
            let gone = Change::Delete { reason: Reason::Answered };
            return Some((copy.id, copy.home_seq, gone));
        };
        self.space.count_out(&before);
        self.space.count_in(copy);
        let entry = Box::new(self.store.relocate(copy).ok().flatten()?.clone());
        let changed = before.last_seq > copied_seq;
        changed.then_some((copy.id, copy.home_seq, Change::Snapshot { entry }))
    }

    /// A message is finished, durably. Returns its id where it has a file to be removed.
    fn gone(&mut self, id: QueueId) -> Option<QueueId> {
        let entry = self.store.finished(id)?.clone();
        self.space.count_out(&entry);
        self.fresh.remove(&id);
        matches!(entry.stored, Stored::File { .. }).then_some(id)
    }
}
