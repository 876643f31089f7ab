//! Opening a slice: what the log says after a stop, a crash or a power cut.
//!
//! The index is believed after a clean stop, and after a crash of the process alone (same boot): then what
//! the log has beyond it is replayed. After a power cut, or where the index is missing, damaged or of
//! another slice, it is made anew from all segments. Both ways apply the same records by the same code.
//!
//! For a new index they come from the footer of a segment where it has one, and else from reading all of it: so
//! it costs what there are messages, and not what is in them. A replay reads the segments, of which it
//! needs few: footers are silent about messages that came and went, and the index may have seen them come.
//!
//! Each start goes on in a fresh segment. So no record is ever written behind the torn end of an earlier
//! run, where leftovers of that run could be taken for its successors.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;

use hashbrown::HashMap;
use mail::{IdSource, QueueId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::change::{Change, accepted, accepted_id};
use crate::codec::{HEADER_BYTES, Kind, Record};
use crate::corrupt::{self, Damage};
use crate::disk::{CONTENT, Disk, ROOT};
use crate::entry::{Entry, Home, Stored};
use crate::error::{IndexError, OpenError};
use crate::footer::{Digested, Footer};
use crate::index::{self, Index};
use crate::options::Options;
use crate::segment::{self, Found, HEAD_BYTES, Head, PAGE, Use};
use crate::slice::{Core, Counters, Inner, Slice};
use crate::space::{Slot, Space};
use crate::store::Store;
use crate::upkeep::Driver;

/// Segments are read in pieces of this size.
const READ_BYTES: usize = 1 << 20;
/// So many messages are collected before a rebuilt index is written to.
const REBUILD_MESSAGES: usize = 10_000;

/// How the index came to be what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The slice is new.
    New,
    /// The last run ended in order.
    Clean,
    /// The last run crashed; this many records were beyond the index.
    Replayed(u64),
    /// The index was made anew from the log.
    Rebuilt(Cause),
}

/// Why an index is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The machine was started anew, and the last run had not ended in order.
    PowerCut,
    /// There is none.
    Missing,
    /// It cannot be read.
    Damaged(String),
    /// It does not speak of these segments.
    Foreign,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerCut => f.write_str("the machine stopped while the queue was in use"),
            Self::Missing => f.write_str("the index is missing"),
            Self::Damaged(why) => f.write_str(why),
            Self::Foreign => f.write_str("the index belongs to other segments"),
        }
    }
}

/// What opening a slice found.
#[derive(Debug)]
pub struct Report {
    /// How the index came to be what it is.
    pub start: Start,
    /// What could not be read. Each was set aside in `corrupt/`.
    pub damages: Vec<Damage>,
    /// Files in `content/` that belonged to no message; they were removed.
    pub orphans: u32,
}

/// A slice that is ready for use.
pub struct Opened<D: Disk> {
    /// The handle.
    pub slice: Slice<D>,
    /// To be run by the shard.
    pub driver: Driver<D>,
    /// For the log.
    pub report: Report,
}

/// What is put together while the segments are read.
struct Recovery<D: Disk> {
    disk: D,
    options: Options,
    space: Space<D::File>,
    store: Store,
    slice_number: u64,
    last_seq: u64,
    last_id: Option<QueueId>,
    damages: Vec<Damage>,
}

impl<D: Disk> Slice<D> {
    /// Opens a slice. The queue directory must be locked ([`crate::QueueDirectory`]).
    pub async fn open(disk: D, options: Options) -> Result<Opened<D>, OpenError> {
        for name in disk.list(ROOT).await.map_err(io("list", ROOT))? {
            if name.ends_with(".new") {
                disk.remove(&name).await.map_err(io("remove", &name))?;
            }
        }
        let mut damages = Vec::new();
        let space = read_heads(&disk, &mut damages).await?;
        let known = space.slots.values().next().map(|slot| slot.head.slice_number);
        let slice_number = known.unwrap_or_else(|| disk.draw());
        let (index, trust) = open_index(&options, slice_number, &space)?;
        let applied_seq = if trust.is_ok() { meta_u64(&index, "applied")?.unwrap_or(0) } else { 0 };
        let last_id = match &trust {
            Ok(_) => meta_u64(&index, "last")?.map(QueueId::from_u64),
            Err(_) => None,
        };
        let mut recovery = Recovery {
            disk,
            options,
            space,
            store: Store::new(index, applied_seq),
            slice_number,
            last_seq: applied_seq,
            last_id,
            damages,
        };
        let start = recovery.replay(trust, known.is_none()).await?;
        let orphans = recovery.remove_orphans().await?;
        recovery.finish(start, orphans).await
    }
}

/// Whether the last run ended in order.
enum Trusted {
    Clean,
    Crashed,
}

/// Opens the index, or makes an empty one and says why.
fn open_index<F>(
    options: &Options,
    slice_number: u64,
    space: &Space<F>,
) -> Result<(Index, Result<Trusted, Cause>), OpenError> {
    let opened = Index::open(&options.index, options.index_bytes_max);
    let judged = opened.and_then(|index| {
        let trust = judge(&index, options, slice_number, space)?;
        Ok((index, trust))
    });
    let cause = match judged {
        Ok((index, Ok(trusted))) => return Ok((index, Ok(trusted))),
        // It must be closed before its file can be removed.
        Ok((index, Err(cause))) => {
            drop(index);
            cause
        }
        Err(error) => Cause::Damaged(error.to_string()),
    };
    let path = options.index.display().to_string();
    Index::wipe(&options.index).map_err(io("remove", &path))?;
    let index = Index::open(&options.index, options.index_bytes_max)?;
    Ok((index, Err(cause)))
}

fn judge<F>(
    index: &Index,
    options: &Options,
    slice_number: u64,
    space: &Space<F>,
) -> Result<Result<Trusted, Cause>, IndexError> {
    let Some(format) = index.meta("format")? else { return Ok(Err(Cause::Missing)) };
    if format != index::format() || meta_u64(index, "slice")? != Some(slice_number) {
        return Ok(Err(Cause::Foreign));
    }
    let clean = index.meta("clean")?.is_some_and(|clean| clean == [1]);
    let boot = index.meta("boot")?.unwrap_or_default();
    if !clean && (boot.is_empty() || boot != options.boot_id.as_bytes()) {
        return Ok(Err(Cause::PowerCut));
    }
    // A segment that the index has messages in must be there, in the same use: the queue may have been
    // put back from a copy made at another time.
    for (number, row) in index.segments()? {
        let known = Slot::<()>::row_in_use(&row)
            .map_err(|_| IndexError::Damaged("a segment's row cannot be read"))?;
        if let Some((stamp, first_seq)) = known {
            let there = space
                .slots
                .get(&number)
                .is_some_and(|slot| (slot.head.stamp, slot.head.first_seq) == (stamp, first_seq));
            if !there {
                return Ok(Err(Cause::Foreign));
            }
        }
    }
    Ok(Ok(if clean { Trusted::Clean } else { Trusted::Crashed }))
}

fn meta_u64(index: &Index, key: &str) -> Result<Option<u64>, IndexError> {
    let value = index.meta(key)?;
    Ok(value.and_then(|value| value.try_into().ok()).map(u64::from_le_bytes))
}

/// Reads the heads of all segments. One whose head is spoilt in both places is left alone: without
/// its stamp nothing in it can be told from noise.
async fn read_heads<D: Disk>(
    disk: &D,
    damages: &mut Vec<Damage>,
) -> Result<Space<D::File>, OpenError> {
    let mut space = Space::new();
    for name in disk.list(ROOT).await.map_err(io("list", ROOT))? {
        let Some(number) = segment::slot(&name) else { continue };
        let file = disk.open_segment(&name).await.map_err(io("open", &name))?;
        let (read, pages) = disk.read_at(&file, vec![0; HEAD_BYTES], 0).await;
        read.map_err(io("read", &name))?;
        match Head::decode(&pages) {
            Some(head) if head.slot == number => space.add(Slot::new(file, head)),
            _ => {
                space.unusable.insert(number);
                damages.push(Damage::head(number, &name));
            }
        }
    }
    Ok(space)
}

impl<D: Disk> Recovery<D> {
    async fn replay(
        &mut self,
        trust: Result<Trusted, Cause>,
        is_new: bool,
    ) -> Result<Start, OpenError> {
        let start = match trust {
            Ok(trusted) => {
                for (number, row) in self.store.index.segments()? {
                    if let Some(slot) = self.space.slots.get_mut(&number)
                        && slot.head.used == Use::InUse
                    {
                        let damaged = IndexError::Damaged("a segment's row cannot be read");
                        slot.load_row(&row).map_err(|_| damaged)?;
                    }
                }
                match trusted {
                    Trusted::Clean => Start::Clean,
                    Trusted::Crashed => Start::Replayed(0),
                }
            }
            Err(Cause::Missing) if is_new => Start::New,
            Err(cause) => Start::Rebuilt(cause),
        };
        let in_use: Vec<u32> = self.space.in_use().collect();
        let is_anew = matches!(start, Start::Rebuilt(_));
        let mut replayed = 0;
        for (at, &number) in in_use.iter().enumerate() {
            let first = |number| self.space.slots.get(number).map(|slot| slot.head.first_seq);
            let next_first =
                in_use[at..].iter().filter_map(first).find(|&next| Some(next) > first(&number));
            // All of it is in the index, if the next segment begins with what is, too.
            let applied = next_first.is_some_and(|first| first <= self.store.applied_seq + 1);
            if start == Start::Clean || (applied && matches!(start, Start::Replayed(_))) {
                let last = self.space.slots.get(&number).map_or(0, |slot| slot.last_seq);
                self.last_seq = self.last_seq.max(last);
                continue;
            }
            replayed += self.replay_segment(number, is_anew).await?;
        }
        self.space.reuse_empty();
        Ok(match start {
            Start::Replayed(_) => Start::Replayed(replayed),
            other => other,
        })
    }

    /// Applies the records of one segment that the index does not have.
    async fn replay_segment(&mut self, number: u32, is_anew: bool) -> Result<u64, OpenError> {
        let Some(slot) = self.space.slots.get(&number) else { return Ok(0) };
        let (file, head) = (slot.file.clone(), slot.head);
        let footer = if is_anew { self.read_footer(&file, &head).await } else { None };
        let said = footer.as_ref().map(|(footer, digest)| (footer, Digested::decode(digest)));
        let replayed = match said {
            Some((footer, Ok(digested))) => self.replay_footer(number, footer, &digested)?,
            _ => self.replay_records(number, &file, &head).await?,
        };
        self.space.touch(number);
        Ok(replayed)
    }

    /// What the records of a segment say, if its footer is whole. Where it is not, or cannot be read, nothing
    /// is lost: the records say the same.
    async fn read_footer(&self, file: &D::File, head: &Head) -> Option<(Footer, Vec<u8>)> {
        let (read, page) = self.disk.read_at(file, vec![0; PAGE], Footer::offset(head)).await;
        let footer = Footer::decode(&page[..read.ok()?], head)?;
        let (log, offset) = (vec![0; footer.log_bytes()], u64::from(footer.digest_offset));
        let (read, log) = self.disk.read_at(file, log, offset).await;
        let digest = footer.digest(&log[..read.ok()?], head.stamp)?;
        Some((footer, digest))
    }

    fn replay_footer(
        &mut self,
        number: u32,
        footer: &Footer,
        digested: &Digested<'_>,
    ) -> Result<u64, OpenError> {
        if let Some(slot) = self.space.slots.get_mut(&number) {
            slot.load_footer(footer, digested);
        }
        self.last_seq = self.last_seq.max(footer.next_seq - 1);
        for item in &digested.items {
            self.apply(number, item.offset, item.bytes, &item.record())?;
            self.flush_if_many()?;
        }
        // Those that were finished, and of whom it does not speak, had ids, too.
        self.last_id = self.last_id.max(Some(digested.last_id));
        Ok(digested.items.len() as u64)
    }

    /// Reads a whole segment, and applies what can be read of it.
    async fn replay_records(
        &mut self,
        number: u32,
        file: &D::File,
        head: &Head,
    ) -> Result<u64, OpenError> {
        let name = segment::name(number);
        let bytes = read_all(&self.disk, file, head.bytes).await.map_err(io("read", &name))?;
        let mut replayed = 0;
        for found in segment::scan(&bytes, head) {
            match found {
                Found::Gap { offset, bytes: len, torn } => {
                    let bytes = &bytes[offset..offset + len];
                    let id = damaged_id(bytes);
                    let damage =
                        Damage { segment: number, offset: offset as u64, torn, id, kept: None };
                    let damage = corrupt::keep(&self.disk, damage, bytes).await;
                    self.damages.push(damage);
                }
                Found::Record { record, .. } if record.kind.is_of_footer() => {
                    if let Some(slot) = self.space.slots.get_mut(&number) {
                        slot.last_seq = slot.last_seq.max(record.seq - 1);
                    }
                    self.last_seq = self.last_seq.max(record.seq - 1);
                }
                Found::Record { offset, bytes, record } => {
                    if let Some(slot) = self.space.slots.get_mut(&number) {
                        slot.last_seq = slot.last_seq.max(record.seq);
                        let end = (offset + bytes).next_multiple_of(segment::PAGE) as u32;
                        slot.end = slot.end.max(end);
                    }
                    self.last_seq = self.last_seq.max(record.seq);
                    if record.seq > self.store.applied_seq {
                        self.apply(number, offset as u32, bytes as u32, &record)?;
                        replayed += 1;
                    }
                }
            }
            self.flush_if_many()?;
        }
        Ok(replayed)
    }

    fn flush_if_many(&mut self) -> Result<(), OpenError> {
        if self.store.pending_count() >= REBUILD_MESSAGES { self.flush() } else { Ok(()) }
    }

    fn apply(
        &mut self,
        number: u32,
        offset: u32,
        bytes: u32,
        record: &Record<'_>,
    ) -> Result<(), OpenError> {
        if record.kind == Kind::Accepted {
            let home = Home { seq: record.seq, slot: number, offset, bytes };
            let entry = accepted(record.payload, home);
            // A record with a right checksum that cannot be read was written by a newer version.
            let Ok(entry) = entry else { return Ok(()) };
            // Ids grow, so most are not asked for.
            let is_latest = Some(entry.id) > self.last_id;
            self.last_id = self.last_id.max(Some(entry.id));
            let before = if is_latest { None } else { self.store.get(entry.id)? };
            if before.as_ref().is_some_and(|before| before.last_seq >= record.seq) {
                return Ok(());
            }
            if let Some(before) = &before {
                self.space.note_need(number, before.home_seq);
                self.space.count_out(before);
            }
            self.space.count_in(&entry);
            self.store.insert(entry, false);
            return Ok(());
        }
        let Ok((id, home_seq, change)) = Change::decode(record.kind, record.payload) else {
            return Ok(());
        };
        self.space.note_need(number, home_seq);
        if let Change::Snapshot { entry } = change {
            return self.restore(*entry, home_seq, record.seq);
        }
        if let Some(entry) = self.store.apply(id, record.seq, &change)?
            && entry.is_finished()
        {
            let entry = entry.clone();
            self.space.count_out(&entry);
        }
        Ok(())
    }

    /// Takes a message's state from a snapshot. Records before it may be gone, so what was put together
    /// without it may be wrong: even that the message was finished.
    fn restore(&mut self, entry: Entry, home_seq: u64, seq: u64) -> Result<(), OpenError> {
        let before = self.store.get(entry.id)?;
        if before.as_ref().is_some_and(|before| before.last_seq >= seq)
            || !self.space.is_in(entry.slot, home_seq)
        {
            return Ok(());
        }
        if let Some(before) = &before {
            self.space.count_out(before);
        }
        self.last_id = self.last_id.max(Some(entry.id));
        let entry = Entry { last_seq: seq, ..entry };
        self.space.count_in(&entry);
        self.store.insert(entry, false);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        Ok(self.store.flush(self.last_seq, &mut self.space, self.last_id)?)
    }

    /// A crash between the content's file and the record that names it leaves the file behind; so does
    /// one between a message's end and the removal of its file.
    async fn remove_orphans(&mut self) -> Result<u32, OpenError> {
        let mut orphans = 0;
        for name in self.disk.list(CONTENT).await.map_err(io("list", CONTENT))? {
            let needed = match name.parse::<QueueId>() {
                Ok(id) => self
                    .store
                    .get(id)?
                    .is_some_and(|entry| matches!(entry.stored, Stored::File { .. })),
                Err(_) => false,
            };
            if !needed {
                let path = format!("{CONTENT}/{name}");
                self.disk.remove(&path).await.map_err(io("remove", &path))?;
                orphans += 1;
            }
        }
        Ok(orphans)
    }

    async fn finish(mut self, start: Start, orphans: u32) -> Result<Opened<D>, OpenError> {
        self.flush()?;
        self.store.mark_open(&self.options.boot_id, self.slice_number)?;
        let is_new = self.space.slots.is_empty();
        let upkeep = Rc::clone(&self.space.upkeep);
        let core = Core {
            ended: None,
            closed: false,
            disk_full: false,
            failure: None,
            index_error: None,
            slice_number: self.slice_number,
            open: None,
            sealed: VecDeque::new(),
            writing: None,
            queued_bytes: 0,
            next_seq: self.last_seq + 1,
            committed_seq: self.last_seq,
            space: self.space,
            store: self.store,
            ids: IdSource::new(self.options.slice, self.last_id),
            last_id: self.last_id,
            earlier_id: self.last_id,
            fresh: HashMap::new(),
            fresh_order: VecDeque::new(),
            counters: Counters::default(),
            touched: Instant::now(),
            scratch: Vec::new(),
            head_page: self.disk.alloc(PAGE),
        };
        let inner = Rc::new(Inner {
            disk: self.disk,
            options: self.options,
            core: RefCell::new(core),
            work: Notify::new(),
            upkeep,
            spare: Notify::new(),
            spare_wanted: Notify::new(),
            closed: Notify::new(),
            open_transactions: Cell::new(0),
        });
        if is_new {
            let bytes = inner.options.first_segment_bytes;
            inner.make_spare(bytes).await.map_err(io("make", "the first segment"))?;
        }
        let report = Report { start, damages: self.damages, orphans };
        let (slice, driver) = (Slice(Rc::clone(&inner)), Driver(inner));
        Ok(Opened { slice, driver, report })
    }
}

/// Whose record lies in a gap, if its first bytes can be read.
fn damaged_id(gap: &[u8]) -> Option<QueueId> {
    let is_message = gap.get(16) == Some(&(Kind::Accepted as u8));
    is_message.then(|| gap.get(HEADER_BYTES..).and_then(accepted_id)).flatten()
}

/// The first so many bytes of a segment.
pub(crate) async fn read_all<D: Disk>(disk: &D, file: &D::File, bytes: u64) -> io::Result<Vec<u8>> {
    let mut all = Vec::with_capacity(bytes as usize);
    let mut piece = vec![0; READ_BYTES.min(bytes as usize)];
    while (all.len() as u64) < bytes {
        let (read, buf) = disk.read_at(file, piece, all.len() as u64).await;
        piece = buf;
        let read = read?;
        if read == 0 {
            break;
        }
        let wanted = (bytes - all.len() as u64).min(read as u64) as usize;
        all.extend_from_slice(&piece[..wanted]);
    }
    Ok(all)
}

fn io<'a>(doing: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> OpenError + use<'a> {
    move |source| OpenError::Io { doing, file: file.to_owned(), source }
}
