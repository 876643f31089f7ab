//! The log of one shard: a zero-written segment, written through a ring with O_DIRECT|O_DSYNC.
//!
//! One write is under way at a time; what arrives meanwhile is the next one. The segment is written
//! over in a circle, because nobody reads it back.
#![allow(unsafe_code)] // submitting to an io_uring hands the kernel a pointer

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use io_uring::{IoUring, opcode, types};
use rustix::fs::{Mode, OFlags};

use super::batch::{BLOCK_BYTES, Batch};
use crate::failure::{Doing, Failure, Result};

/// Zeros are written in pieces of this size.
const ZERO_BYTES: usize = 1 << 20;

pub(crate) struct Log {
    // Dropped before the batch: the kernel may write from it until the ring is gone.
    ring: IoUring,
    file: OwnedFd,
    segment_bytes: u64,
    position: u64,
    under_way: Option<(Batch, usize)>,
}

impl Log {
    pub(crate) fn create(path: &Path, segment_bytes: u64) -> Result<Self> {
        let file = zero_written(path, segment_bytes)?;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(8)
            .doing(|| "making an io_uring for the log")?;
        Ok(Self { ring, file, segment_bytes, position: 0, under_way: None })
    }

    /// Becomes readable when a write has ended.
    pub(crate) fn completion(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor and outlives the borrow of `self`.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.under_way.is_some()
    }

    /// Starts to make the batch durable.
    pub(crate) fn write(&mut self, mut batch: Batch) -> Result<usize> {
        debug_assert!(self.under_way.is_none());
        let blocks = batch.blocks();
        let (address, length) = (blocks.as_ptr(), blocks.len());
        if length as u64 > self.segment_bytes {
            return Err(Failure::new("a batch is larger than the log segment"));
        }
        if self.position + length as u64 > self.segment_bytes {
            self.position = 0;
        }
        let entry = opcode::Write::new(types::Fd(self.file.as_raw_fd()), address, length as u32)
            .offset(self.position)
            .build();
        // The batch moves into `under_way`; its heap memory stays where it is.
        self.under_way = Some((batch, length));
        // SAFETY: the memory is owned by `under_way` and untouched until the completion is seen.
        unsafe { self.ring.submission().push(&entry) }.doing(|| "queueing a log write")?;
        self.ring.submit().doing(|| "submitting a log write")?;
        self.position += length as u64;
        Ok(length)
    }

    /// The batch that has become durable, if its write has ended.
    pub(crate) fn written(&mut self) -> Result<Option<Batch>> {
        let Some(completion) = self.ring.completion().next() else { return Ok(None) };
        let Some((batch, length)) = self.under_way.take() else {
            return Err(Failure::new("the ring completed a write nobody asked for"));
        };
        match completion.result() {
            written if written == length as i32 => Ok(Some(batch)),
            written if written >= 0 => Err(Failure::new("a log write was cut short")),
            error => Err(std::io::Error::from_raw_os_error(-error)).doing(|| "writing the log"),
        }
    }

    /// Waits for the write under way.
    pub(crate) fn finish(&mut self) -> Result<Option<Batch>> {
        if self.under_way.is_none() {
            return Ok(None);
        }
        self.ring.submit_and_wait(1).doing(|| "waiting for the log")?;
        self.written()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The kernel must have let go of the memory before it is freed.
        let _ = self.finish();
    }
}

/// A file of written zeros, opened for durable direct writes: its blocks and sizes are on disk, so
/// that a later write changes no metadata.
pub(crate) fn zero_written(path: &Path, bytes: u64) -> Result<OwnedFd> {
    let doing = || format!("making the log segment {}", path.display());
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC;
    let plain = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).doing(doing)?;
    let zeros = vec![0; ZERO_BYTES];
    let bytes = bytes.next_multiple_of(BLOCK_BYTES as u64);
    let mut at = 0;
    while at < bytes {
        let piece = &zeros[..ZERO_BYTES.min((bytes - at) as usize)];
        at += rustix::io::pwrite(&plain, piece, at).doing(doing)? as u64;
    }
    rustix::fs::fsync(&plain).doing(doing)?;
    drop(plain);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::DIRECT | OFlags::DSYNC;
    rustix::fs::open(path, flags, Mode::empty()).doing(doing)
}
