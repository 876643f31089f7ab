//! A slice of the queue: what the server, the scheduler and the commands ask for.
//!
//! Single-threaded: a slice belongs to the shard that opened it, and its clones are handles to the same
//! one. Nothing here waits for the disk but what is `async` or returns a future; the writing is done by
//! the [`Driver`], which the shard runs beside its sessions.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use hashbrown::HashMap;
use mail::{Envelope, IdSource, Outcome, QueueId, Time, Verdict};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::batch::{Alloc, Arrival, Batch, Commit, Effect, Place, Progress, Settled, Sink};
use crate::change::{Change, Reason, amend_accepted, attempt_of, put_accepted};
use crate::codec::{self, ALIGN, HEADER_BYTES, Kind, record_bytes};
use crate::disk::Disk;
use crate::entry::{Entry, HAS_DELIVERED_TO, HELD, Home, IN_FILE, Standing, Stored};
use crate::error::{AppendError, Refusal, SliceError};
use crate::large::StoredFile;
use crate::options::Options;
use crate::segment::{HEAD_BYTES, PAGE};
use crate::space::Space;
use crate::store::Store;

/// With an index that cannot be written to, so many times the usual lag is kept in memory.
const INDEX_LAG_FACTOR: usize = 4;

/// One slice. Cheap to clone.
pub struct Slice<D: Disk>(pub(crate) Rc<Inner<D>>);

impl<D: Disk> Clone for Slice<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

pub(crate) struct Inner<D: Disk> {
    pub(crate) disk: D,
    pub(crate) options: Options,
    pub(crate) core: RefCell<Core<D>>,
    /// Something was recorded, or a transaction ended: the committer looks again.
    pub(crate) work: Notify,
    /// Something was committed or finished, or space is wanted: upkeep looks again.
    pub(crate) upkeep: Rc<Notify>,
    /// A spare segment is there, or the slice failed.
    pub(crate) spare: Notify,
    /// A spare segment is wanted, or the slice ended.
    pub(crate) spare_wanted: Notify,
    /// The driver is done.
    pub(crate) closed: Notify,
    /// Between MAIL and the end of data.
    pub(crate) open_transactions: Cell<u32>,
}

pub(crate) struct Core<D: Disk> {
    /// Why nothing is accepted, where that is for good.
    pub(crate) ended: Option<Refusal>,
    /// The driver is done.
    pub(crate) closed: bool,
    /// Why the index was not brought up to date, where the last try failed.
    /// Why the log could not be written to.
    pub(crate) failure: Option<String>,
    pub(crate) index_error: Option<String>,
    /// Drawn when the slice was made; all its segments carry it.
    pub(crate) slice_number: u64,
    /// The disk was full when a segment was last made.
    pub(crate) disk_full: bool,
    pub(crate) open: Option<Batch<D::Buf>>,
    pub(crate) sealed: VecDeque<Batch<D::Buf>>,
    /// The batch that is being written.
    pub(crate) writing: Option<Rc<Progress>>,
    /// Bytes in `open` and `sealed`, padding included.
    pub(crate) queued_bytes: u64,
    pub(crate) next_seq: u64,
    pub(crate) committed_seq: u64,
    pub(crate) space: Space<D::File>,
    pub(crate) store: Store,
    pub(crate) ids: IdSource,
    pub(crate) last_id: Option<QueueId>,
    /// The greatest id of the runs before this one.
    pub(crate) earlier_id: Option<QueueId>,
    /// Content that is still in memory because it was not tried yet.
    pub(crate) fresh: HashMap<QueueId, Fresh>,
    pub(crate) fresh_order: VecDeque<QueueId>,
    pub(crate) counters: Counters,
    /// When something was last recorded.
    pub(crate) touched: Instant,
    pub(crate) scratch: Vec<u8>,
    /// Kept back for the heads of segments, so that rolling needs no memory when there is none.
    pub(crate) head_page: Option<D::Buf>,
}

/// What the slice has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages accepted.
    pub messages: u64,
    /// Durable writes of batches.
    pub batches: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Durable writes of heads and footers.
    pub segment_writes: u64,
    /// Times that the index was brought up to date.
    pub index_flushes: u64,
    /// Messages copied forward.
    pub copies: u64,
    /// Segments that became free.
    pub reclaimed: u64,
}

/// What became of the message with the outcome that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// Recipients are left to be tried.
    Pending,
    /// None is left to be tried, but failed ones want an answer: a notice to the sender, or a hold.
    Failed,
    /// The message is gone from the queue.
    Nothing,
}

/// A message as the scheduler wants it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its queue id.
    pub id: QueueId,
    /// Its envelope as it is now: rewritten, and with the recipients that redirections added.
    pub envelope: Rc<Envelope>,
    /// One for each recipient of the envelope.
    pub standings: Vec<Standing>,
    /// Where the content lies.
    pub place: Place,
    /// Set aside.
    pub held: bool,
    /// An operator wants it returned.
    pub expired: bool,
    /// The content has a `Delivered-To:` header.
    pub has_delivered_to: bool,
    /// It was accepted before the last start, so an attempt may have succeeded whose outcome was lost.
    pub from_earlier_run: bool,
}

/// A transaction that may end with a message; see [`Slice::begin`].
pub struct Transaction<D: Disk>(Rc<Inner<D>>);

impl<D: Disk> Drop for Transaction<D> {
    fn drop(&mut self) {
        let open = self.0.open_transactions.get();
        self.0.open_transactions.set(open - 1);
        // A batch that waited for this one may have no reason to any more.
        if self.0.core.try_borrow().is_ok_and(|core| core.open.is_some()) {
            self.0.work.notify_one();
        }
    }
}

impl<D: Disk> Slice<D> {
    /// Whether a message would be taken, to be asked at MAIL FROM.
    pub fn accepting(&self) -> Result<(), Refusal> {
        self.0.core.borrow().accepting(&self.0.options, PAGE as u64)
    }

    /// A transaction has begun (MAIL was accepted). Messages that are ready wait a moment for others that
    /// are on their way; drop it as soon as the end of data is there, before the commit is awaited.
    pub fn begin(&self) -> Transaction<D> {
        self.0.open_transactions.set(self.0.open_transactions.get() + 1);
        Transaction(Rc::clone(&self.0))
    }

    /// The id for a message that arrives `now`.
    pub fn next_id(&self, now: Time) -> QueueId {
        let mut core = self.0.core.borrow_mut();
        let id = core.ids.next(now);
        core.last_id = Some(id);
        id
    }

    /// Takes a message whose content `fill` makes. If `fill` refuses it, nothing of it is left.
    ///
    /// `fill` must not use the slice.
    pub fn append<R, E>(
        &self,
        id: QueueId,
        envelope: &Rc<Envelope>,
        fill: impl FnOnce(&mut Sink<'_, D>) -> Result<R, E>,
    ) -> Result<(R, Commit), AppendError<E>> {
        let inner = &*self.0;
        let mut head = inner.scratch();
        put_accepted(&mut head, id, 0, envelope, None, Stored::Inline { offset: 0, len: 0 });
        let batch = inner.take_open(record_bytes(head.len())).map_err(AppendError::Refused)?;
        let mut sink = Sink::new(inner, batch, &inner.options);
        sink.push(&head);
        let filled = fill(&mut sink);
        let mut core = inner.core.borrow_mut();
        let admitted = match sink.refusal {
            Some(refusal) => Err(refusal),
            None => core.accepting(&inner.options, sink.record_bytes() as u64),
        };
        let value = match (filled, admitted) {
            (Ok(value), Ok(())) => value,
            (filled, admitted) => {
                core.put_open(sink.earlier.unwrap_or(sink.batch));
                core.scratch = head;
                return Err(match (filled, admitted) {
                    (Err(error), _) => AppendError::Content(error),
                    (_, Err(refusal)) => AppendError::Refused(refusal),
                    (Ok(_), Ok(())) => unreachable!("that is an acceptance"),
                });
            }
        };
        let Sink { mut batch, earlier, end, flags, .. } = sink;
        if let Some(earlier) = earlier {
            core.seal(earlier);
        }
        let start = batch.used;
        let payload_bytes = end - start - HEADER_BYTES;
        let content_bytes = payload_bytes - head.len();
        let seq = core.take_seq();
        let record = start..start + record_bytes(payload_bytes);
        let record_buf = &mut batch.buf[record.clone()];
        amend_accepted(&mut record_buf[HEADER_BYTES..], flags, content_bytes as u64);
        codec::seal(record_buf, payload_bytes, Kind::Accepted, seq);
        batch.used = record.end;
        batch.last_seq = seq;
        let stored =
            Stored::Inline { offset: (end - content_bytes) as u32, len: content_bytes as u32 };
        let crc = crc32c::crc32c(&batch.buf[end - content_bytes..end]);
        core.scratch = head;
        let arrival = Arrival { crc, ..arrival(id, seq, &record, stored, flags, envelope) };
        let commit = core.arrive(batch, arrival);
        drop(core);
        inner.work.notify_one();
        Ok((value, commit))
    }

    /// Takes a message whose content lies in a file of its own, see [`Slice::stream`].
    pub fn append_file(
        &self,
        id: QueueId,
        envelope: &Rc<Envelope>,
        file: StoredFile,
        notes: Notes,
    ) -> Result<Commit, Refusal> {
        let inner = &*self.0;
        let flags = notes.flags() | IN_FILE;
        let stored = Stored::File { len: file.len, crc: file.crc };
        let mut payload = inner.scratch();
        put_accepted(&mut payload, id, flags, envelope, None, stored);
        let need = record_bytes(payload.len());
        inner.core.borrow().accepting(&inner.options, need as u64)?;
        let mut batch = inner.take_open(need)?;
        let mut core = inner.core.borrow_mut();
        let seq = core.take_seq();
        let record = batch.push(Kind::Accepted, seq, &payload);
        core.scratch = payload;
        let commit = core.arrive(batch, arrival(id, seq, &record, stored, flags, envelope));
        drop(core);
        inner.work.notify_one();
        file.keep();
        Ok(commit)
    }

    /// Up to `limit` messages that are due, soonest first, with the time they were due at.
    ///
    /// Like those whose commit resolved, they are active: not given out again until the scheduler puts
    /// them back or they are finished.
    pub fn due(&self, now: Time, limit: usize) -> Result<Vec<(Time, QueueId)>, SliceError> {
        Ok(self.0.core.borrow_mut().store.due(now, limit)?)
    }

    /// Up to `limit` messages that are due only after `beyond`, the furthest honest next attempt: the clock
    /// was wrong when they were put off. They become active as with [`Slice::due`].
    pub fn misdated(&self, beyond: Time, limit: usize) -> Result<Vec<(Time, QueueId)>, SliceError> {
        Ok(self.0.core.borrow_mut().store.misdated(beyond, limit)?)
    }

    /// The soonest time at which a message is due that is not active.
    pub fn next_due(&self) -> Result<Option<Time>, SliceError> {
        Ok(self.0.core.borrow().store.next_due()?)
    }

    /// The scheduler lets go of a message: all its recipients had their turn, or there is no room for it.
    pub fn put_back(&self, id: QueueId) -> Result<(), SliceError> {
        Ok(self.0.core.borrow_mut().store.put_back(id)?)
    }

    /// Records what became of one recipient. `retry` is when to try again, should it be deferred.
    ///
    /// It becomes durable with the next batch, at the latest after [`crate::LAZY_DELAY`].
    pub fn outcome(
        &self,
        id: QueueId,
        number: u32,
        outcome: &Outcome,
        now: Time,
        retry: Time,
    ) -> Result<Remaining, SliceError> {
        let attempt = || attempt_of(now, outcome.status, &outcome.text);
        let change = match &outcome.verdict {
            Verdict::Delivered => Change::Delivered { number, at: now },
            Verdict::Deferred => Change::Deferred { number, retry, attempt: attempt() },
            Verdict::Failed => Change::Failed { number, attempt: attempt() },
            Verdict::Redirect(recipients) => {
                Change::Redirected { number, at: now, recipients: recipients.clone() }
            }
        };
        self.0.core.borrow_mut().fresh.remove(&id);
        self.0.record(id, &change)
    }

    /// Sets a message aside until it is released. If the scheduler has it, it must put it back.
    pub fn hold(&self, id: QueueId) -> Result<(), SliceError> {
        self.0.record(id, &Change::Hold).map(drop)
    }

    /// Ends a hold; the message is due at once.
    pub fn release(&self, id: QueueId, now: Time) -> Result<(), SliceError> {
        self.0.record(id, &Change::Release { at: now }).map(drop)
    }

    /// Makes a deferred message due at once.
    pub fn requeue(&self, id: QueueId, now: Time) -> Result<(), SliceError> {
        self.0.record(id, &Change::Requeue { at: now }).map(drop)
    }

    /// Makes the scheduler return the message to its sender at the next occasion.
    pub fn expire(&self, id: QueueId, now: Time) -> Result<(), SliceError> {
        self.0.record(id, &Change::Expire { at: now }).map(drop)
    }

    /// Takes a message out of the queue.
    pub fn delete(&self, id: QueueId, reason: Reason) -> Result<(), SliceError> {
        self.0.core.borrow_mut().fresh.remove(&id);
        self.0.record(id, &Change::Delete { reason }).map(drop)
    }

    /// Gives a message another envelope. Recipients keep their numbers; further ones are pending.
    pub fn rewrite(&self, id: QueueId, envelope: Rc<Envelope>) -> Result<(), SliceError> {
        self.0.record(id, &Change::Rewrite { envelope }).map(drop)
    }

    /// Resolves when all that was recorded so far is durable. Nobody need ask: this is for commands that
    /// tell an operator that something was done.
    pub fn settled(&self) -> Settled {
        let mut core = self.0.core.borrow_mut();
        if let Some(open) = &mut core.open {
            open.waiting += 1;
        }
        let last = core.open.as_ref().or(core.sealed.back()).map(|batch| &batch.progress);
        let progress = last.or(core.writing.as_ref()).map(Rc::clone);
        drop(core);
        self.0.work.notify_one();
        Settled(progress)
    }

    /// Why the index is not up to date, if it could not be written to. Mail is taken and delivered as long
    /// as there is memory for what the index lacks.
    pub fn index_error(&self) -> Option<String> {
        self.0.core.borrow().index_error.clone()
    }

    /// What it has done since it was opened.
    pub fn counters(&self) -> Counters {
        self.0.core.borrow().counters
    }
}

/// A new message in the record that takes this part of its batch.
fn arrival(
    id: QueueId,
    seq: u64,
    record: &Range<usize>,
    stored: Stored,
    flags: u8,
    envelope: &Rc<Envelope>,
) -> Arrival {
    let (offset, bytes) = (record.start as u32, record.len() as u32);
    // Batch and record have no segment yet.
    let home = Home { seq, slot: 0, offset, bytes };
    let standings = Entry::untried(envelope);
    let entry = Entry::new(id, home, stored, flags, Rc::clone(envelope), standings);
    Arrival { entry, crc: 0, copied: None }
}

/// The content of a message that was not tried yet: in the memory that it was written from.
#[derive(Clone)]
pub(crate) struct Fresh {
    pub(crate) memory: Rc<dyn Any>,
    pub(crate) offset: u64,
    pub(crate) crc: u32,
}

/// What cleanup found out about a message whose content is in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The content has a `Delivered-To:` header.
    pub has_delivered_to: bool,
    /// To be put on hold at once.
    pub held: bool,
}

impl Notes {
    fn flags(self) -> u8 {
        let delivered_to = if self.has_delivered_to { HAS_DELIVERED_TO } else { 0 };
        delivered_to | if self.held { HELD } else { 0 }
    }
}

impl<D: Disk> Alloc<D::Buf> for Inner<D> {
    fn alloc(&self, bytes: usize) -> Option<D::Buf> {
        loop {
            if let Some(buf) = self.disk.alloc(bytes) {
                return Some(buf);
            }
            // The oldest message that was not tried yet will be read from its segment instead.
            let mut core = self.core.borrow_mut();
            let oldest = core.fresh_order.pop_front()?;
            core.fresh.remove(&oldest);
        }
    }
}

impl<D: Disk> Inner<D> {
    fn scratch(&self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.core.borrow_mut().scratch);
        scratch.clear();
        scratch
    }

    /// The open batch, or a new one where it has no room for `bytes` more.
    pub(crate) fn take_open(&self, bytes: usize) -> Result<Batch<D::Buf>, Refusal> {
        let open = {
            let mut core = self.core.borrow_mut();
            core.ended.map_or(Ok(()), Err)?;
            match core.open.take() {
                Some(open) if open.room() >= bytes => return Ok(open),
                Some(open) => {
                    core.seal(open);
                    None
                }
                None => None::<Batch<D::Buf>>,
            }
        };
        debug_assert!(open.is_none());
        let block_bytes = self.options.batch_bytes.max(bytes + ALIGN);
        let buf = self.alloc(block_bytes).ok_or(Refusal::NoMemory)?;
        Ok(Batch::new(buf, Instant::now()))
    }

    /// Records a change of a living message.
    pub(crate) fn record(&self, id: QueueId, change: &Change) -> Result<Remaining, SliceError> {
        let home_seq = {
            let core = self.core.borrow();
            core.ended.map_or(Ok(()), Err)?;
            core.store.get(id)?.ok_or(SliceError::NoMessage(id))?.home_seq
        };
        let mut payload = self.scratch();
        change.encode(id, home_seq, &mut payload);
        let batch = self.take_open(record_bytes(payload.len()));
        let mut core = self.core.borrow_mut();
        let mut batch = match batch {
            Ok(batch) => batch,
            Err(refusal) => {
                core.scratch = payload;
                return Err(refusal.into());
            }
        };
        let seq = core.take_seq();
        batch.push(change.kind(), seq, &payload);
        batch.effects.push(Effect::Needs { home_seq });
        core.scratch = payload;
        let applied = core.store.apply(id, seq, change);
        let remaining = match &applied {
            Ok(Some(entry)) => entry.remaining(),
            _ => Remaining::Pending,
        };
        if remaining == Remaining::Nothing {
            batch.effects.push(Effect::Gone { id });
        }
        let result = applied.map(|_| remaining).map_err(SliceError::from);
        core.put_open(batch);
        drop(core);
        self.work.notify_one();
        result
    }
}

impl Entry {
    fn remaining(&self) -> Remaining {
        if self.is_finished() {
            Remaining::Nothing
        } else if self.standings.iter().any(|s| matches!(s, Standing::Pending { .. })) {
            Remaining::Pending
        } else {
            Remaining::Failed
        }
    }
}

impl<D: Disk> Core<D> {
    pub(crate) fn accepting(&self, options: &Options, bytes: u64) -> Result<(), Refusal> {
        self.ended.map_or(Ok(()), Err)?;
        let lagging = self.store.pending_count() > INDEX_LAG_FACTOR * options.index_lag_messages;
        if self.index_error.is_some() && lagging {
            return Err(Refusal::NoSpace);
        }
        // Rolling to the next segment leaves up to a batch of room behind in the last one.
        let waste = options.record_bytes_max.max(options.batch_bytes) as u64;
        let spares = self.space.spares.len() as u64;
        let wanted = self.queued_bytes
            + bytes
            + PAGE as u64
            + options.reserve_bytes()
            + spares * (waste + HEAD_BYTES as u64);
        if self.space.room() < wanted && self.disk_full { Err(Refusal::NoSpace) } else { Ok(()) }
    }

    /// Nothing is left to be written.
    pub(crate) fn is_drained(&self) -> bool {
        self.open.is_none() && self.sealed.is_empty() && self.writing.is_none()
    }

    pub(crate) fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Adds a message to the batch that its record is in.
    fn arrive(&mut self, mut batch: Batch<D::Buf>, arrival: Arrival) -> Commit {
        let progress = Rc::clone(&batch.progress);
        let Arrival { entry: Entry { id, stored, .. }, crc, .. } = arrival;
        let commit = Commit { progress, id, stored, crc };
        if batch.waiting == 0 {
            batch.since = Instant::now();
        }
        batch.waiting += 1;
        batch.messages.push(arrival);
        self.put_open(batch);
        commit
    }

    pub(crate) fn put_open(&mut self, batch: Batch<D::Buf>) {
        debug_assert!(self.open.is_none(), "the slice was used while a message was being made");
        if batch.used > 0 {
            self.open = Some(batch);
        }
    }

    pub(crate) fn seal(&mut self, batch: Batch<D::Buf>) {
        self.queued_bytes += batch.padded_bytes() as u64;
        self.sealed.push_back(batch);
    }
}

impl Slice<crate::RingDisk> {
    /// A descriptor of a segment for reading, to be passed to the delivery agent once: segments keep
    /// their number and their file for as long as they exist.
    pub fn segment_fd(&self, segment: u64) -> Option<std::io::Result<OwnedFd>> {
        let core = self.0.core.borrow();
        let slot = core.space.slots.get(&u32::try_from(segment).ok()?)?;
        Some(slot.file.fd().try_clone_to_owned())
    }
}
