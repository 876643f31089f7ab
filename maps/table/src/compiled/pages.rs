//! The pages of an LMDB file as they were after one transaction.
//!
//! A page that the latest transaction uses is written to by nobody before there is a later one. So what was
//! read is a page of that transaction if the transaction is still the latest one afterwards, and it may be
//! kept for as long as answers may come from that transaction. Which one is the latest is looked at again
//! every [`LOOKED_AT_MS`]; the pages of another one are read anew.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use rustix::time::{ClockId, clock_gettime};
use smallvec::SmallVec;

use super::lmdb::{MAGIC, Unreadable, long, longer};
use crate::ReadAt;

/// Milliseconds for which a transaction counts as the latest. Looking took more than all the rest of a
/// lookup.
const LOOKED_AT_MS: u64 = 10;

/// Bytes of the pages of one file that are kept. Those beyond are read each time.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Pages whose places are made at once, and how often: a file of 8 GiB, if pages have 4 KiB.
const GROUP_PAGES: usize = 512;
const GROUPS_MAX: usize = 4096;

/// How often something is read anew because somebody wrote meanwhile.
const TRIES_MAX: usize = 100;

const META_BYTES: usize = 152;
const NO_PAGE: u64 = u64::MAX;

/// A page that is not kept: on the stack, unless pages are larger than most machines have them.
pub(super) type Room = SmallVec<[u8; 4096]>;

/// A file, and what is kept of it.
#[derive(Debug)]
pub(super) struct Pages {
    file: Arc<dyn ReadAt>,
    page_bytes: usize,
    kept_bytes_max: usize,
    latest: ArcSwap<Snapshot>,
}

/// What is kept of one transaction's pages.
#[derive(Debug)]
pub(super) struct Snapshot {
    meta: Meta,
    looked_at_ms: AtomicU64,
    groups: Box<[OnceLock<Group>]>,
    kept_bytes: AtomicUsize,
}

type Group = Box<[OnceLock<Box<[u8]>>]>;

/// Which tree is the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    transaction: u64,
    root: u64,
    last_page: u64,
}

impl Pages {
    pub(super) fn open(file: Arc<dyn ReadAt>, page_bytes: usize) -> Result<Self, Unreadable> {
        let latest = ArcSwap::from_pointee(Snapshot::new(read_meta(&*file, page_bytes)?));
        Ok(Self { file, page_bytes, kept_bytes_max: KEPT_BYTES_MAX, latest })
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Reads until no transaction has ended meanwhile.
    pub(super) fn undisturbed<T>(
        &self,
        read: impl Fn(&Snapshot) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        for _ in 0..TRIES_MAX {
            let latest = self.latest()?;
            match read(&latest) {
                Err(Unreadable::Overtaken) => latest.looked_at_ms.store(0, Ordering::Relaxed),
                other => return other,
            }
        }
        Err(Unreadable::Because("it is written to all the time"))
    }

    /// The next lookup looks which transaction is the latest, as one some milliseconds later would.
    #[cfg(test)]
    pub(super) fn look_again(&self) {
        self.latest.load().looked_at_ms.store(0, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn keep_at_most(&mut self, bytes: usize) {
        self.kept_bytes_max = bytes;
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.latest.load().kept_bytes.load(Ordering::Relaxed)
    }

    fn latest(&self) -> Result<Guard<Arc<Snapshot>>, Unreadable> {
        let known = self.latest.load();
        let now_ms = now_ms();
        let looked_at_ms = known.looked_at_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(looked_at_ms) < LOOKED_AT_MS {
            return Ok(known);
        }
        let meta = read_meta(&*self.file, self.page_bytes)?;
        if meta == known.meta {
            known.looked_at_ms.store(now_ms, Ordering::Relaxed);
            return Ok(known);
        }
        self.latest.store(Arc::new(Snapshot::new(meta)));
        Ok(self.latest.load())
    }

    /// A page, which is kept from then on where there is room for it.
    pub(super) fn page<'a>(
        &self,
        snapshot: &'a Snapshot,
        number: u64,
        room: &'a mut Room,
    ) -> Result<&'a [u8], Unreadable> {
        let place = snapshot.place(number);
        if let Some(kept) = place.and_then(OnceLock::get) {
            return Ok(kept);
        }
        room.resize(self.page_bytes, 0);
        self.read(snapshot, number, 0, room)?;
        match place {
            Some(place) if snapshot.has_room_for(room.len(), self.kept_bytes_max) => {
                Ok(place.get_or_init(|| room.as_slice().into()))
            }
            _ => Ok(room),
        }
    }

    /// Fills `bytes` from the page of this number on, skipping some.
    pub(super) fn read(
        &self,
        snapshot: &Snapshot,
        number: u64,
        skipped: usize,
        bytes: &mut [u8],
    ) -> Result<(), Unreadable> {
        let start = number.checked_mul(self.page_bytes as u64);
        let start = start.and_then(|start| start.checked_add(skipped as u64));
        let read = start.map(|start| self.file.read_exact_at(bytes, start));
        // What is no page at all may be because this is not the tree any more.
        if read_meta(&*self.file, self.page_bytes)? != snapshot.meta {
            return Err(Unreadable::Overtaken);
        }
        read.unwrap_or(Err(io::ErrorKind::UnexpectedEof.into())).map_err(Unreadable::Io)
    }
}

impl Snapshot {
    fn new(meta: Meta) -> Self {
        let pages = usize::try_from(meta.last_page).unwrap_or(usize::MAX).saturating_add(1);
        let groups = pages.div_ceil(GROUP_PAGES).min(GROUPS_MAX);
        Self {
            meta,
            looked_at_ms: AtomicU64::new(now_ms()),
            groups: (0..groups).map(|_| OnceLock::new()).collect(),
            kept_bytes: AtomicUsize::new(0),
        }
    }

    /// The page that all others are found from, if there are any.
    pub(super) fn root(&self) -> Option<u64> {
        Some(self.meta.root).filter(|&root| root != NO_PAGE)
    }

    fn place(&self, number: u64) -> Option<&OnceLock<Box<[u8]>>> {
        let number = usize::try_from(number).ok()?;
        let group = self.groups.get(number / GROUP_PAGES)?;
        let new = || (0..GROUP_PAGES).map(|_| OnceLock::new()).collect();
        group.get_or_init(new).get(number % GROUP_PAGES)
    }

    fn has_room_for(&self, bytes: usize, max: usize) -> bool {
        let kept = self.kept_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = kept + bytes <= max;
        if !has_room {
            self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        has_room
    }
}

/// The later of the two.
fn read_meta(file: &dyn ReadAt, page_bytes: usize) -> Result<Meta, Unreadable> {
    let mut latest: Option<Meta> = None;
    for number in 0..2 {
        let mut bytes = [0; META_BYTES];
        file.read_exact_at(&mut bytes, number * page_bytes as u64)?;
        if long(&bytes, 16) != MAGIC {
            return Err(Unreadable::DAMAGED);
        }
        let meta = Meta {
            transaction: longer(&bytes, 144),
            root: longer(&bytes, 128),
            last_page: longer(&bytes, 136),
        };
        if latest.is_none_or(|latest| latest.transaction < meta.transaction) {
            latest = Some(meta);
        }
    }
    latest.ok_or(Unreadable::DAMAGED)
}

/// Of a clock that is read without asking the kernel, and that goes in steps of a few milliseconds.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // From 1 on: 0 is long ago.
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000 + LOOKED_AT_MS
}
