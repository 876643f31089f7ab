//! What the slice does beside writing batches: keeping a spare segment ready, bringing the index up to
//! date, and making space.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::disk::Disk;
use crate::error::Refusal;
use crate::segment::{self, HEAD_BYTES, Head, PAGE, Use};
use crate::slice::{Inner, Slice};
use crate::space::Slot;

/// Nothing recorded for this long: the slice is idle, and the index is brought up to date.
const IDLE: Duration = Duration::from_millis(50);
/// How often writing to the index is tried again after it failed.
const INDEX_RETRY: Duration = Duration::from_secs(1);
/// How often making a segment is tried again on a full disk.
const DISK_FULL_RETRY: Duration = Duration::from_secs(1);
/// A start frees dead segments before it begins to write until it has so many spares: one is taken by the first
/// batch, and with another one left none has to be made.
const SPARES_AT_START: usize = 2;
/// So much of the log is copied forward before the slice looks at other things again: one full segment,
/// or many of those that each crash leaves behind nearly empty.
const COPY_BYTES: u64 = 64 << 20;

/// Writes what the slice is given. The shard runs it beside its sessions, until the slice is closed.
#[must_use = "nothing is written unless this runs"]
pub struct Driver<D: Disk>(pub(crate) Rc<Inner<D>>);

impl<D: Disk> Driver<D> {
    /// Ends after [`Slice::close`], when all is written, or after a failure, which it returns: then nothing
    /// more is accepted, and only the next start can tell what the disk holds.
    pub async fn run(self) -> Option<String> {
        let inner = &self.0;
        inner.free_dead(SPARES_AT_START).await;
        tokio::join!(
            async {
                inner.commit_batches().await;
                inner.upkeep.notify_one();
            },
            inner.keep_up(),
            inner.keep_spare(),
        );
        inner.core.borrow_mut().failure.take()
    }
}

impl<D: Disk> Slice<D> {
    /// Brings the index up to date with all that was recorded so far, for somebody who is about to read it.
    pub async fn freshen(&self) -> Result<(), Refusal> {
        self.settled().await?;
        self.0.flush_index();
        Ok(())
    }

    /// Accepts nothing more; what was recorded is still written, and the index is left in a state that the
    /// next start can believe. Resolves when that is done; the [`Driver`] must be running.
    ///
    /// It does not wait for a full disk to heal. What finds no room is refused, as it was never
    /// acknowledged, and outcomes among it are found out again by the next attempt.
    pub async fn close(&self) {
        let inner = &*self.0;
        {
            let mut core = inner.core.borrow_mut();
            if core.ended.is_none() {
                core.ended = Some(Refusal::Closed);
            }
        }
        inner.work.notify_one();
        inner.upkeep.notify_one();
        inner.spare_wanted.notify_one();
        while !inner.core.borrow().closed {
            inner.closed.notified().await;
        }
    }
}

impl<D: Disk> Inner<D> {
    /// Flushes the index and makes space until the slice is closed.
    async fn keep_up(self: &Rc<Self>) {
        let mut flushed = Instant::now();
        loop {
            let (ended, pending, drained) = {
                let core = self.core.borrow();
                (core.ended, core.store.pending_count(), core.is_drained())
            };
            match ended {
                Some(Refusal::Closed) if drained => break self.finish().await,
                Some(Refusal::Failed) => break self.finish_failed(),
                _ => {}
            }
            if pending == 0 {
                self.make_space().await;
                self.upkeep.notified().await;
                continue;
            }
            let idle = self.core.borrow().touched.elapsed() >= IDLE;
            if idle
                || pending >= self.options.index_lag_messages
                || flushed.elapsed() >= self.options.index_lag
            {
                self.flush_index();
                flushed = Instant::now();
                self.make_space().await;
                if self.core.borrow().store.pending_count() > 0 {
                    // Changes that are not durable yet, or an index that cannot be written to.
                    let failing = self.core.borrow().index_error.is_some();
                    let wait = if failing { INDEX_RETRY } else { IDLE };
                    let _ = timeout(wait, self.upkeep.notified()).await;
                    if failing {
                        sleep(IDLE).await;
                    }
                }
            } else {
                sleep(IDLE).await;
            }
        }
    }

    pub(crate) fn flush_index(&self) {
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        match core.store.flush(core.committed_seq, &mut core.space, core.last_id) {
            Ok(()) => {
                core.counters.index_flushes += 1;
                core.index_error = None;
            }
            // The messages stay in memory, and in the log; the next flush tries again.
            Err(error) => core.index_error = Some(error.to_string()),
        }
    }

    async fn finish(&self) {
        // Nothing more comes into this segment: the next start begins another one.
        if let Err(refusal) = self.write_footer().await {
            self.fail(refusal);
            return self.finish_failed();
        }
        self.flush_index();
        let mut core = self.core.borrow_mut();
        if core.store.pending_count() == 0
            && let Err(error) = core.store.mark_clean()
        {
            // The next start will not believe the index, and make it anew.
            core.index_error = Some(error.to_string());
        }
        core.closed = true;
        drop(core);
        self.closed.notify_waiters();
        self.spare_wanted.notify_one();
    }

    fn finish_failed(&self) {
        self.core.borrow_mut().closed = true;
        self.closed.notify_waiters();
        self.spare_wanted.notify_one();
    }

    /// Frees what can be freed, and copies living remainders forward.
    async fn make_space(self: &Rc<Self>) {
        let mut copied_bytes = 0;
        while self.free_dead(usize::MAX).await {
            self.remove_surplus().await;
            let victim = self.core.borrow().space.mostly_dead();
            match victim {
                Some(number) if copied_bytes < COPY_BYTES => {
                    copied_bytes += self.copy_forward(number).await;
                }
                _ => return,
            }
        }
    }

    /// Frees segments that nothing needs any more, until there are so many spares. False: the slice
    /// ended, or has no memory for it at the moment.
    async fn free_dead(&self, spares_wanted: usize) -> bool {
        loop {
            let freed = {
                let core = self.core.borrow();
                if core.ended.is_some() {
                    return false;
                }
                if core.space.spares.len() >= spares_wanted {
                    return true;
                }
                let lags = core.store.applied_seq < core.committed_seq;
                match core.space.reclaimable(core.store.applied_seq) {
                    None if lags && core.space.reclaimable(core.committed_seq).is_some() => None,
                    None => return true,
                    freed => freed,
                }
            };
            let Some(number) = freed else {
                // The index must know first that nothing of it is needed.
                let before = self.core.borrow().store.applied_seq;
                self.flush_index();
                if self.core.borrow().store.applied_seq == before {
                    return true;
                }
                continue;
            };
            match self.free(number).await {
                Ok(()) => {}
                Err(Refusal::NoMemory) => return false,
                Err(refusal) => {
                    self.fail(refusal);
                    return false;
                }
            }
        }
    }

    /// Gives room back that the queue once took and does not need any more.
    async fn remove_surplus(&self) {
        loop {
            let surplus = self.core.borrow_mut().space.take_surplus();
            let Some(slot) = surplus else { return };
            // It is free on disk: one that cannot be removed now is a spare of the next start.
            let name = segment::name(slot.head.slot);
            let _ = self.disk.remove_segment(&name).await;
        }
    }

    /// Marks a segment as free, durably: segments that were kept because of it may be reused from now on,
    /// and what they said about its messages is then forgotten.
    async fn free(&self, number: u32) -> Result<(), Refusal> {
        let target = {
            let core = self.core.borrow();
            core.space.slots.get(&number).map(|slot| {
                let generation = slot.head.generation + 1;
                (slot.file.clone(), Head { used: Use::Free, generation, ..slot.head })
            })
        };
        let Some((file, head)) = target else { return Ok(()) };
        self.write_head(&file, &head).await?;
        let mut core = self.core.borrow_mut();
        core.space.end(head);
        core.counters.reclaimed += 1;
        drop(core);
        self.spare.notify_waiters();
        Ok(())
    }

    /// Keeps one segment ready, made ahead of need.
    async fn keep_spare(&self) {
        loop {
            let wanted_again = self.spare_wanted.notified();
            let (closed, wanted) = {
                let core = self.core.borrow();
                // A slice that is being closed needs one only for what is still to be written.
                let used = core.ended.is_none() || !core.is_drained();
                (core.closed, used && core.space.spares.is_empty())
            };
            if closed {
                return;
            }
            if !wanted {
                wanted_again.await;
                continue;
            }
            match self.make_spare(self.options.segment_bytes).await {
                Ok(()) => self.core.borrow_mut().disk_full = false,
                Err(_) => {
                    let ended = {
                        let mut core = self.core.borrow_mut();
                        core.disk_full = true;
                        core.ended.is_some()
                    };
                    if ended {
                        // The committer need not wait for it any more.
                        self.spare.notify_waiters();
                    }
                    let _ = timeout(DISK_FULL_RETRY, wanted_again).await;
                }
            }
        }
    }

    /// Makes a free segment of this size.
    pub(crate) async fn make_spare(&self, bytes: u64) -> io::Result<()> {
        let (head, name) = {
            let mut core = self.core.borrow_mut();
            let slot = core.space.unused_number();
            // The number is taken even if making it fails half-way.
            core.space.unusable.insert(slot);
            let head = Head {
                used: Use::Free,
                slice: self.options.slice,
                slot,
                stamp: 0,
                generation: 0,
                first_seq: 0,
                bytes,
                slice_number: core.slice_number,
            };
            (head, segment::name(slot))
        };
        let mut pages = vec![0; HEAD_BYTES];
        for page in pages.chunks_mut(PAGE) {
            head.encode(page);
        }
        let made = async {
            self.disk.create_segment(&name, pages, bytes).await?;
            self.disk.open_segment(&name).await
        };
        let made = made.await;
        let mut core = self.core.borrow_mut();
        core.space.unusable.remove(&head.slot);
        core.space.add(Slot::new(made?, head));
        drop(core);
        self.spare.notify_waiters();
        Ok(())
    }
}
