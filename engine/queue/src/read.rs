//! Reading a message back.

use std::ops::Range;
use std::rc::Rc;

use mail::{Content, QueueId};

use crate::batch::Place;
use crate::change::Reason;
use crate::codec::{self, Kind};
use crate::corrupt::{self, Damage};
use crate::disk::{CORRUPT, Disk};
use crate::entry::{Entry, Stored};
use crate::error::SliceError;
use crate::segment;
use crate::slice::{Fresh, Message, Slice};

/// Files are checked in pieces of this size.
const READ_BYTES: usize = 256 << 10;

/// What reading a message back has shown.
enum Checked {
    Whole {
        /// CRC-32C of the content.
        crc: u32,
    },
    /// It was copied elsewhere meanwhile, and its segment may have been used again.
    Moved,
}

impl<D: Disk> Slice<D> {
    /// The message with this id, its content checked.
    ///
    /// A damaged one is moved to `corrupt/` and out of the queue. A read that fails changes nothing: it
    /// may succeed later.
    pub async fn load(&self, id: QueueId) -> Result<Message, SliceError> {
        let inner = &*self.0;
        let (entry, place, from_earlier_run) = loop {
            let (entry, memory, reading, from_earlier_run) = {
                let core = inner.core.borrow();
                let entry = core.store.get(id)?.ok_or(SliceError::NoMessage(id))?;
                let (memory, reading) = (core.fresh.get(&id).cloned(), core.space.read(entry.slot));
                (entry, memory, reading, Some(id) <= core.earlier_id)
            };
            let slice = inner.options.slice;
            let place = match memory {
                // What was just written is checked by nobody: it is still what it was.
                Some(Fresh { memory, offset, crc }) => {
                    let memory = (Rc::downgrade(&memory), offset);
                    Place::in_memory(memory, entry.content(slice, crc), reading)
                }
                None => match self.check(&entry).await? {
                    Checked::Whole { crc } => Place::on_disk(entry.content(slice, crc), reading),
                    Checked::Moved => continue,
                },
            };
            break (entry, place, from_earlier_run);
        };
        Ok(Message {
            id,
            envelope: entry.envelope,
            standings: entry.standings,
            place,
            held: entry.held,
            expired: entry.expired,
            has_delivered_to: entry.has_delivered_to,
            from_earlier_run,
        })
    }

    async fn check(&self, entry: &Entry) -> Result<Checked, SliceError> {
        match entry.stored {
            Stored::Inline { offset, len } => {
                let start = (offset - entry.record_offset) as usize;
                self.check_record(entry, start..start + len as usize).await
            }
            Stored::File { len, crc } => {
                self.check_file(entry, len, crc).await.map(|()| Checked::Whole { crc })
            }
        }
    }

    /// `content` is where it lies in the record.
    async fn check_record(
        &self,
        entry: &Entry,
        content: Range<usize>,
    ) -> Result<Checked, SliceError> {
        let inner = &*self.0;
        let slot = {
            let core = inner.core.borrow();
            core.space.slots.get(&entry.slot).map(|slot| (slot.file.clone(), slot.head.stamp))
        };
        let Some((file, stamp)) = slot else { return Err(self.set_aside(entry, &[]).await) };
        let buf = vec![0; entry.record_bytes as usize];
        let (read, buf) = inner.disk.read_at(&file, buf, u64::from(entry.record_offset)).await;
        let read = read.map_err(|source| SliceError::Io {
            doing: "read",
            file: segment::name(entry.slot),
            source,
        })?;
        let bytes = &buf[..read];
        match codec::decode(bytes, stamp) {
            Ok((record, _)) if record.kind == Kind::Accepted && record.seq == entry.home_seq => {
                Ok(Checked::Whole { crc: crc32c::crc32c(&bytes[content]) })
            }
            _ if self.has_moved(entry)? => Ok(Checked::Moved),
            _ => Err(self.set_aside(entry, bytes).await),
        }
    }

    /// Whether a message was copied forward, or ended, since this was its entry. What then lies in its
    /// old place is not damage.
    fn has_moved(&self, entry: &Entry) -> Result<bool, SliceError> {
        let now = self.0.core.borrow().store.get(entry.id)?;
        Ok(now.is_none_or(|now| now.home_seq != entry.home_seq))
    }

    async fn check_file(&self, entry: &Entry, len: u64, crc: u32) -> Result<(), SliceError> {
        let disk = &self.0.disk;
        let name = crate::large::name(entry.id);
        let failed = |source| SliceError::Io { doing: "read", file: name.clone(), source };
        let file = match disk.open(&name).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.set_aside(entry, &[]).await);
            }
            other => other.map_err(failed)?,
        };
        let (mut at, mut sum, mut buf) = (0, 0, vec![0; READ_BYTES]);
        loop {
            let (read, back) = disk.read_at(&file, buf, at).await;
            buf = back;
            let read = read.map_err(failed)?;
            sum = crc32c::crc32c_append(sum, &buf[..read]);
            at += read as u64;
            if read < buf.len() {
                break;
            }
        }
        if (at, sum) == (len, crc) { Ok(()) } else { Err(self.set_aside(entry, &[]).await) }
    }

    /// Moves what is left of a message to `corrupt/` and takes it out of the queue.
    async fn set_aside(&self, entry: &Entry, bytes: &[u8]) -> SliceError {
        let disk = &self.0.disk;
        let id = entry.id;
        let kept = match entry.stored {
            Stored::File { .. } => {
                let kept = format!("{CORRUPT}/{id}");
                let moved = disk.rename(&crate::large::name(id), &kept).await;
                moved.is_ok().then_some(kept)
            }
            Stored::Inline { .. } => {
                let offset = u64::from(entry.record_offset);
                let damage =
                    Damage { segment: entry.slot, offset, torn: false, id: Some(id), kept: None };
                corrupt::keep(disk, damage, bytes).await.kept
            }
        };
        // Only what was kept may leave the queue.
        if kept.is_some() && self.delete(id, Reason::Corrupt).is_err() {
            return SliceError::Corrupt { id, kept: "the queue".to_owned() };
        }
        SliceError::Corrupt { id, kept: kept.unwrap_or_else(|| "the queue".to_owned()) }
    }
}

impl Entry {
    /// Where the content, which has this checksum, lies on disk.
    pub(crate) fn content(&self, slice: u8, crc: u32) -> Content {
        match self.stored {
            Stored::Inline { offset, len } => Content::Segment {
                slice,
                segment: u64::from(self.slot),
                offset: u64::from(offset),
                len,
                crc,
            },
            Stored::File { len, .. } => Content::File { len },
        }
    }
}
