//! Batches: records on their way to the log.
//!
//! A record is built where the disk will take it from and the delivery agent will read it: in a block
//! of the shared arena. The content of a message is copied into it once, by the decoder that reads it off
//! the wire.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use mail::{Content, QueueId};
use tokio::time::Instant;

use crate::codec::{self, ALIGN, HEADER_BYTES, Kind, record_bytes};
use crate::disk::{Buf, Disk};
use crate::entry::{Entry, HAS_DELIVERED_TO, HELD, Stored};
use crate::error::Refusal;
use crate::options::Options;
use crate::reading::Reading;
use crate::segment::PAGE;

/// The batch that records are being added to.
pub(crate) struct Batch<B> {
    pub(crate) buf: B,
    pub(crate) used: usize,
    pub(crate) messages: Vec<Arrival>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) progress: Rc<Progress>,
    /// Sessions that wait for it.
    pub(crate) waiting: u32,
    /// Since when the oldest record, or the first session, waits.
    pub(crate) since: Instant,
    pub(crate) last_seq: u64,
}

/// A message in a batch. The offsets in `entry` count from the start of the batch until the batch has a
/// place in a segment.
pub(crate) struct Arrival {
    pub(crate) entry: Entry,
    /// CRC-32C of the content, for a new message that has it in its record.
    pub(crate) crc: u32,
    /// For a copy of one that was there before.
    pub(crate) copied: Option<Copied>,
}

/// The state that a copy was made from.
#[derive(Clone, Copy)]
pub(crate) struct Copied {
    pub(crate) last_seq: u64,
    pub(crate) home_seq: u64,
}

/// What a record other than a message means for the segments, once it is durable.
pub(crate) enum Effect {
    /// The segment it lies in is needed as long as the one that holds this sequence number.
    Needs { home_seq: u64 },
    /// The message is finished.
    Gone { id: QueueId },
}

impl<B: Buf> Batch<B> {
    pub(crate) fn new(buf: B, now: Instant) -> Self {
        Self {
            buf,
            used: 0,
            messages: Vec::new(),
            effects: Vec::new(),
            progress: Rc::new(Progress::default()),
            waiting: 0,
            since: now,
            last_seq: 0,
        }
    }

    /// Appends a whole record; the caller has made sure that there is room.
    pub(crate) fn push(&mut self, kind: Kind, seq: u64, payload: &[u8]) -> Range<usize> {
        let range = self.used..self.used + record_bytes(payload.len());
        let record = &mut self.buf[range.clone()];
        record[HEADER_BYTES..HEADER_BYTES + payload.len()].copy_from_slice(payload);
        codec::seal(record, payload.len(), kind, seq);
        self.used = range.end;
        self.last_seq = seq;
        range
    }

    pub(crate) fn room(&self) -> usize {
        self.buf.len() - self.used
    }

    pub(crate) fn padded_bytes(&self) -> usize {
        self.used.next_multiple_of(PAGE)
    }

    /// Makes the bytes ready for the segment with this stamp.
    pub(crate) fn finish(&mut self, stamp: u32) {
        let padded = self.padded_bytes();
        self.buf[self.used..padded].fill(0);
        let mut at = 0;
        while at < self.used {
            at += codec::finish(&mut self.buf[at..], stamp, at == 0);
        }
        self.buf.shrink_to(padded);
    }
}

/// Where the content of one message is made: the tail of the open batch.
pub struct Sink<'a, D: Disk> {
    memory: &'a dyn Alloc<D::Buf>,
    pub(crate) batch: Batch<D::Buf>,
    /// The batch that ended because this record outgrew its block.
    pub(crate) earlier: Option<Batch<D::Buf>>,
    /// Where the record ends so far; it starts at `batch.used`.
    pub(crate) end: usize,
    pub(crate) flags: u8,
    pub(crate) refusal: Option<Refusal>,
    record_bytes_max: usize,
    block_bytes: usize,
}

/// Gives out batch memory, taking it back from messages that can be read from the disk.
pub(crate) trait Alloc<B> {
    fn alloc(&self, bytes: usize) -> Option<B>;
}

impl<'a, D: Disk> Sink<'a, D> {
    pub(crate) fn new(
        memory: &'a dyn Alloc<D::Buf>,
        batch: Batch<D::Buf>,
        options: &Options,
    ) -> Self {
        let end = batch.used + HEADER_BYTES;
        let (record_bytes_max, block_bytes) = (options.record_bytes_max, options.batch_bytes);
        let (earlier, flags, refusal) = (None, 0, None);
        Self { memory, batch, earlier, end, flags, refusal, record_bytes_max, block_bytes }
    }

    /// Appends to the content: whole lines or parts of them, LF-terminated.
    ///
    /// What cannot be taken (no memory, too large) is remembered, and refuses the message at its end.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        // The padding of the record must fit, too.
        if self.end + bytes.len() + ALIGN > self.batch.buf.len() && !self.grow(bytes.len()) {
            return;
        }
        let end = self.end + bytes.len();
        self.batch.buf[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// How much content there is so far, envelope included, in bytes: a refusal for size is the caller's.
    pub fn record_bytes(&self) -> usize {
        self.end - self.batch.used
    }

    /// The content has a `Delivered-To:` header.
    pub fn note_delivered_to(&mut self) {
        self.flags |= HAS_DELIVERED_TO;
    }

    /// The message is to be put on hold as soon as it is accepted.
    pub fn note_hold(&mut self) {
        self.flags |= HELD;
    }

    /// Moves the unfinished record to a larger block; what was finished before it stays where it is.
    fn grow(&mut self, more: usize) -> bool {
        let start = self.batch.used;
        let need = self.end + more + ALIGN - start;
        if self.refusal.is_some() {
            return false;
        }
        if need > self.record_bytes_max {
            self.refusal = Some(Refusal::TooLarge);
            return false;
        }
        // A whole block: the messages behind this one are to share its write, as those before it did theirs.
        let bytes = (2 * need).min(self.record_bytes_max).max(self.block_bytes);
        let Some(mut buf) = self.memory.alloc(bytes) else {
            self.refusal = Some(Refusal::NoMemory);
            return false;
        };
        buf[..self.end - start].copy_from_slice(&self.batch.buf[start..self.end]);
        self.end -= start;
        if start == 0 {
            self.batch.buf = buf;
        } else {
            let batch = Batch::new(buf, self.batch.since);
            self.earlier = Some(std::mem::replace(&mut self.batch, batch));
        }
        true
    }
}

/// How far a batch has come. Shared by it and by all who wait for it.
#[derive(Default)]
pub(crate) struct Progress {
    outcome: Cell<Option<Result<Written, Refusal>>>,
    memory: RefCell<Option<Weak<dyn Any>>>,
    reading: RefCell<Option<Reading>>,
    wakers: RefCell<Vec<Waker>>,
}

/// Where a batch came to lie.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    pub(crate) slice: u8,
    pub(crate) slot: u32,
    pub(crate) offset: u32,
    pub(crate) arena_offset: u64,
}

impl Progress {
    /// The batch is durable: it lies there, and still in this memory.
    pub(crate) fn succeed(
        &self,
        written: Written,
        memory: Option<Weak<dyn Any>>,
        reading: Option<Reading>,
    ) {
        *self.memory.borrow_mut() = memory;
        *self.reading.borrow_mut() = reading;
        self.end(Ok(written));
    }

    /// Nothing is known to be durable of it.
    pub(crate) fn fail(&self, refusal: Refusal) {
        self.end(Err(refusal));
    }

    fn end(&self, outcome: Result<Written, Refusal>) {
        self.outcome.set(Some(outcome));
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<Written, Refusal>> {
        match self.outcome.get() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                self.wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Resolves when the message is durable: only then may it be answered for.
#[must_use = "a message is accepted only when its commit has resolved"]
pub struct Commit {
    pub(crate) progress: Rc<Progress>,
    pub(crate) id: QueueId,
    pub(crate) stored: Stored,
    pub(crate) crc: u32,
}

/// A message that is in the queue.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its queue id.
    pub id: QueueId,
    /// Where its content lies.
    pub place: Place,
}

impl Future for Commit {
    type Output = Result<Committed, Refusal>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.progress.poll(context).map(|outcome| {
            let written = outcome?;
            let memory = self.progress.memory.borrow().clone();
            let reading = self.progress.reading.borrow().clone();
            let place = Place::new(self.stored, self.crc, written, memory, reading);
            Ok(Committed { id: self.id, place })
        })
    }
}

/// Resolves when all that was recorded before it was asked for is durable.
#[must_use = "nothing is known to be durable before this has resolved"]
pub struct Settled(pub(crate) Option<Rc<Progress>>);

impl Future for Settled {
    type Output = Result<(), Refusal>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.0 {
            None => Poll::Ready(Ok(())),
            Some(progress) => progress.poll(context).map(|outcome| outcome.map(drop)),
        }
    }
}

/// Where a message's content lies: in shared memory as long as there is room for it and it was not tried
/// yet, and in any case on disk.
///
/// Until it is dropped it stays readable, though the message be moved or deleted.
#[derive(Clone, Debug)]
pub struct Place {
    memory: Option<(Weak<dyn Any>, u64)>,
    disk: Content,
    reading: Option<Reading>,
}

impl Place {
    fn new(
        stored: Stored,
        crc: u32,
        written: Written,
        memory: Option<Weak<dyn Any>>,
        reading: Option<Reading>,
    ) -> Self {
        match stored {
            Stored::File { len, .. } => Self::on_disk(Content::File { len }, None),
            // In a batch, the offset counts from its start.
            Stored::Inline { offset, len } => Self {
                memory: memory.map(|memory| (memory, written.arena_offset + u64::from(offset))),
                disk: Content::Segment {
                    slice: written.slice,
                    segment: u64::from(written.slot),
                    offset: u64::from(written.offset + offset),
                    len,
                    crc,
                },
                reading,
            },
        }
    }

    pub(crate) fn in_memory(
        memory: (Weak<dyn Any>, u64),
        disk: Content,
        reading: Option<Reading>,
    ) -> Self {
        Self { memory: Some(memory), disk, reading }
    }

    pub(crate) fn on_disk(disk: Content, reading: Option<Reading>) -> Self {
        Self { memory: None, disk, reading }
    }

    /// The place to name in a job that is sent now. What lies there stays as it is until the lease is
    /// dropped, so keep it until the outcome is there.
    pub fn lease(&self) -> Lease {
        if let Some((memory, offset)) = &self.memory
            && let Some(memory) = memory.upgrade()
            && let Content::Segment { len, .. } = self.disk
        {
            return Lease {
                content: Content::Arena { offset: *offset, len },
                _memory: Some(memory),
                _reading: None,
            };
        }
        Lease { content: self.disk, _memory: None, _reading: self.reading.clone() }
    }

    /// Where it lies on disk.
    pub fn on_disk_content(&self) -> Content {
        self.disk
    }
}

/// A place that does not change until this is dropped.
#[derive(Clone)]
pub struct Lease {
    /// For the job.
    pub content: Content,
    _memory: Option<Rc<dyn Any>>,
    _reading: Option<Reading>,
}
