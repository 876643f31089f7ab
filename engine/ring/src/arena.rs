//! Memory that a shard shares with its delivery agent.
//!
//! The queue builds its batches here, and agentd, another process, maps the same memory read-only: a
//! message that was just accepted is delivered from it without another copy and without a read of the
//! disk. It is a memfd, sealed against shrinking, so a reader can never meet a hole (SIGBUS).
//!
//! Pages come into being when they are first written and go back to the kernel with
//! [`Arena::release_idle`]; an arena that nobody uses costs nothing.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Mmap, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals};

use crate::StableBuf;

/// What O_DIRECT wants buffers aligned to, and the unit the arena is given out in, in bytes.
pub const PAGE: usize = 4096;

/// A region of shared memory that [`Block`]s are cut from. Cheap to clone: all clones are one arena.
#[derive(Clone)]
pub struct Arena(Arc<Shared>);

struct Shared {
    fd: OwnedFd,
    map: MmapRaw,
    free: Mutex<FreeList>,
}

/// Free extents by offset; neighbours are always merged.
#[derive(Default)]
struct FreeList {
    extents: BTreeMap<usize, usize>,
    free_bytes: usize,
}

impl FreeList {
    /// The lowest extent that is large enough: low pages are warm, high ones are given back.
    fn take(&mut self, len: usize) -> Option<usize> {
        let (&offset, &size) = self.extents.iter().find(|&(_, &size)| size >= len)?;
        self.extents.remove(&offset);
        if size > len {
            self.extents.insert(offset + len, size - len);
        }
        self.free_bytes -= len;
        Some(offset)
    }

    fn give(&mut self, mut offset: usize, mut len: usize) {
        self.free_bytes += len;
        if let Some((&before, &size)) = self.extents.range(..offset).next_back()
            && before + size == offset
        {
            self.extents.remove(&before);
            offset = before;
            len += size;
        }
        if let Some(size) = self.extents.remove(&(offset + len)) {
            len += size;
        }
        self.extents.insert(offset, len);
    }
}

impl Shared {
    fn free(&self) -> MutexGuard<'_, FreeList> {
        // A list whose holder panicked is still whole: every change to it is made by `take` or `give`.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arena {
    /// An arena of `bytes`, rounded up to whole pages. Nothing is allocated until it is used.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let bytes = bytes.next_multiple_of(PAGE);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("ringpost-arena", flags)?;
        rustix::fs::ftruncate(&fd, bytes as u64)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let map = MmapOptions::new().len(bytes).map_raw(&fd)?;
        let mut free = FreeList::default();
        free.give(0, bytes);
        Ok(Self(Arc::new(Shared { fd, map, free: Mutex::new(free) })))
    }

    /// A block of at least `len` bytes, in whole pages, or `None` where none of that size is free.
    pub fn alloc(&self, len: usize) -> Option<Block> {
        let len = len.max(1).next_multiple_of(PAGE);
        let offset = self.0.free().take(len)?;
        Some(Block { arena: Arc::clone(&self.0), offset, len })
    }

    /// Its whole size, in bytes.
    pub fn len(&self) -> usize {
        self.0.map.len()
    }

    /// Never: an arena has at least one page.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much of it is not in use, in bytes.
    pub fn free_bytes(&self) -> usize {
        self.0.free().free_bytes
    }

    /// The memfd, to be sent to the agent that maps it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    /// Gives the pages of all free extents beyond the first `keep_bytes` back to the kernel.
    pub fn release_idle(&self, keep_bytes: usize) -> io::Result<()> {
        let free = self.0.free();
        for (&offset, &len) in &free.extents {
            let from = offset.max(keep_bytes.next_multiple_of(PAGE));
            let end = offset + len;
            if from < end {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&self.0.fd, punch, from as u64, (end - from) as u64)?;
            }
        }
        Ok(())
    }
}

/// A piece of an [`Arena`]; goes back to it when dropped.
pub struct Block {
    arena: Arc<Shared>,
    offset: usize,
    len: usize,
}

impl Block {
    /// Where it lies, in bytes from the start of the arena.
    pub fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Splits off what lies behind the first `len` bytes (rounded up to whole pages), and frees it.
    pub fn shrink_to(&mut self, len: usize) {
        let len = len.max(1).next_multiple_of(PAGE);
        if len < self.len {
            self.arena.free().give(self.offset + len, self.len - len);
            self.len = len;
        }
    }

    fn ptr(&self) -> *mut u8 {
        // SAFETY: the extent lies within the mapping (`alloc` cut it from there).
        unsafe { self.arena.map.as_mut_ptr().add(self.offset) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.arena.free().give(self.offset, self.len);
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the extent is ours alone until it is dropped, and memfd pages start as zeros.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.len) }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the agent's mapping of the same pages is read-only.
        unsafe { std::slice::from_raw_parts_mut(self.ptr(), self.len) }
    }
}

// SAFETY: a block's bytes lie in the mapping, which lives as long as the block's Arc.
unsafe impl StableBuf for Block {
    fn stable_ptr(&self) -> *const u8 {
        self.ptr()
    }

    fn stable_len(&self) -> usize {
        self.len
    }
}

/// The agent's view of another process's [`Arena`].
pub struct ArenaView {
    map: Mmap,
}

impl ArenaView {
    /// Maps `len` bytes of the memfd that the engine sent.
    ///
    /// Refuses what is not sealed against shrinking: reading behind the end of a file that was cut is
    /// a SIGBUS, and the engine, which talks to strangers, must not be able to cause one.
    pub fn map(fd: OwnedFd, len: u64) -> io::Result<Self> {
        let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !fcntl_get_seals(&fd)?.contains(SealFlags::SHRINK) {
            return refuse("shared arena is not sealed against shrinking");
        }
        if rustix::fs::fstat(&fd)?.st_size.cast_unsigned() < len {
            return refuse("shared arena is shorter than announced");
        }
        let Ok(len) = usize::try_from(len) else {
            return refuse("shared arena is larger than memory");
        };
        // SAFETY: the pages cannot go away (sealed). They can change under us if the engine breaks the
        // protocol; what is read from here is only ever content, handed to write(2) or searched.
        let map = unsafe { MmapOptions::new().len(len).map(&fd)? };
        Ok(Self { map })
    }

    /// The bytes of one extent, or `None` where it does not lie within the arena.
    pub fn get(&self, offset: u64, len: u32) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.map.get(start..start.checked_add(len as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_can_be_had_again_in_one_piece() {
        let arena = Arena::new(8 * PAGE).unwrap();
        let a = arena.alloc(3 * PAGE).unwrap();
        let b = arena.alloc(1).unwrap();
        let c = arena.alloc(4 * PAGE).unwrap();
        assert!(arena.alloc(1).is_none());
        drop(a);
        drop(c);
        assert!(arena.alloc(7 * PAGE).is_none(), "b lies in the middle");
        drop(b);
        assert!(arena.alloc(8 * PAGE).is_some());
        assert_eq!(arena.free_bytes(), 8 * PAGE);
    }

    #[test]
    fn a_shrunk_block_gives_its_tail_back() {
        let arena = Arena::new(4 * PAGE).unwrap();
        let mut block = arena.alloc(4 * PAGE).unwrap();
        block.shrink_to(PAGE + 1);
        assert_eq!(block.len(), 2 * PAGE);
        assert_eq!(arena.free_bytes(), 2 * PAGE);
    }

    #[test]
    fn the_view_shows_what_the_block_holds_and_nothing_outside() {
        let arena = Arena::new(2 * PAGE).unwrap();
        let mut block = arena.alloc(5).unwrap();
        block[..5].copy_from_slice(b"hello");
        let fd = arena.fd().try_clone_to_owned().unwrap();
        let view = ArenaView::map(fd, arena.len() as u64).unwrap();
        assert_eq!(view.get(block.offset(), 5), Some(&b"hello"[..]));
        assert_eq!(view.get(2 * PAGE as u64 - 1, 2), None);
        assert_eq!(view.get(u64::MAX, 1), None);
    }

    #[test]
    fn memory_that_could_shrink_is_not_mapped() {
        let fd = rustix::fs::memfd_create("loose", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, 4096).unwrap();
        assert!(ArenaView::map(fd, 4096).is_err());
        let arena = Arena::new(PAGE).unwrap();
        let fd = arena.fd().try_clone_to_owned().unwrap();
        assert!(ArenaView::map(fd, 2 * PAGE as u64).is_err());
    }

    #[test]
    fn idle_pages_go_back_to_the_kernel() {
        let arena = Arena::new(4 * PAGE).unwrap();
        let mut block = arena.alloc(4 * PAGE).unwrap();
        block.fill(7);
        drop(block);
        arena.release_idle(PAGE).unwrap();
        let block = arena.alloc(4 * PAGE).unwrap();
        assert_eq!((block[0], block[2 * PAGE]), (7, 0));
    }
}
