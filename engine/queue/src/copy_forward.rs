//! Copying the living remainder of a mostly dead segment forward, so that it can be used again.
//!
//! Its messages are written anew, each with its present state. Its other records are said anew where they
//! still matter: the state of a living message that lies elsewhere, and the end of a dead one
//! whose record could still be read elsewhere. Then nothing needs the segment any more.

use hashbrown::HashSet;
use mail::QueueId;

use crate::batch::{Arrival, Copied};
use crate::change::{Change, Reason, put_accepted};
use crate::codec::{HEADER_BYTES, Kind, Record, record_bytes};
use crate::disk::Disk;
use crate::entry::{Entry, Stored};
use crate::error::Refusal;
use crate::recovery::read_all;
use crate::segment::{self, Found};
use crate::slice::{Inner, Slice};

impl<D: Disk> Inner<D> {
    /// Copies what lives in this segment. If anything prevents it the segment just stays in use.
    /// Returns how many bytes of the log were read for it.
    pub(crate) async fn copy_forward(self: &std::rc::Rc<Self>, number: u32) -> u64 {
        let slot = {
            let core = self.core.borrow();
            core.space.slots.get(&number).map(|slot| (slot.file.clone(), slot.head, slot.end))
        };
        let Some((file, head, end)) = slot else { return 0 };
        // A run that crashed has left most of its segment empty: only what it wrote is read.
        let log_bytes = u64::from(end).min(head.bytes);
        let copied = match read_all(&self.disk, &file, log_bytes).await {
            Ok(bytes) => {
                let found = segment::scan(&bytes, &head);
                self.copy_records(number, &bytes, &found).await
            }
            Err(_) => Err(Refusal::Failed),
        };
        let mut core = self.core.borrow_mut();
        // Once is enough in any case. Damage that hides a living message, or a full disk, leaves the
        // segment in use until the next start.
        core.space.leave_alone(number);
        if copied.is_ok() {
            core.space.release_needs(number);
        }
        log_bytes
    }

    async fn copy_records(
        self: &std::rc::Rc<Self>,
        number: u32,
        bytes: &[u8],
        found: &[Found<'_>],
    ) -> Result<(), Refusal> {
        let mut said = HashSet::new();
        let mut since_wait = 0;
        for found in found {
            let Found::Record { offset, bytes: len, record } = found else { continue };
            if record.kind == Kind::Accepted {
                self.copy_message(number, *offset as u32, record, &mut said)?;
            } else if let Ok((id, home_seq, _)) = Change::decode(record.kind, record.payload) {
                self.repeat(number, id, home_seq, record.seq, &mut said);
            }
            since_wait += len;
            if since_wait >= self.options.batch_bytes {
                since_wait = 0;
                Slice(std::rc::Rc::clone(self)).settled().await?;
            }
        }
        let _ = bytes;
        Slice(std::rc::Rc::clone(self)).settled().await
    }

    fn copy_message(
        &self,
        number: u32,
        offset: u32,
        record: &Record<'_>,
        said: &mut HashSet<QueueId>,
    ) -> Result<(), Refusal> {
        let Some(id) = crate::change::accepted_id(record.payload) else { return Ok(()) };
        let entry = self.core.borrow().store.get(id).map_err(|_| Refusal::Failed)?;
        let entry = match entry {
            Some(entry) if (entry.slot, entry.record_offset) == (number, offset) => entry,
            Some(_) => return Ok(()),
            None => {
                // It may be a copy itself, of a record in a segment that is still in use.
                let needs = self.core.borrow().space.needs_of(number);
                for need in needs {
                    if said.insert(id) || need > 0 {
                        self.record_about(id, need, &Change::Delete { reason: Reason::Answered });
                    }
                }
                return Ok(());
            }
        };
        self.core.borrow().accepting(&self.options, u64::from(entry.record_bytes))?;
        let content = match entry.stored {
            Stored::Inline { offset: content, len } => {
                let start = (content - offset) as usize - HEADER_BYTES;
                &record.payload[start..start + len as usize]
            }
            Stored::File { .. } => &[][..],
        };
        let mut payload = Vec::with_capacity(content.len() + 512);
        let standings = Some(&entry.standings[..]);
        put_accepted(&mut payload, id, entry.flags(), &entry.envelope, standings, entry.stored);
        let content_at = payload.len();
        payload.extend_from_slice(content);
        let mut batch = self.take_open(record_bytes(payload.len()))?;
        let mut core = self.core.borrow_mut();
        let seq = core.take_seq();
        let range = batch.push(Kind::Accepted, seq, &payload);
        let stored = match entry.stored {
            Stored::Inline { len, .. } => {
                Stored::Inline { offset: (range.start + HEADER_BYTES + content_at) as u32, len }
            }
            file => file,
        };
        let copied = Some(Copied { last_seq: entry.last_seq, home_seq: entry.home_seq });
        let copy = Entry {
            home_seq: seq,
            last_seq: seq,
            record_offset: range.start as u32,
            record_bytes: range.len() as u32,
            stored,
            ..entry
        };
        batch.messages.push(Arrival { entry: copy, crc: 0, copied });
        core.put_open(batch);
        Ok(())
    }

    /// Says a record's effect anew, if it concerns a message whose own record lies in another segment.
    fn repeat(
        &self,
        number: u32,
        id: QueueId,
        home_seq: u64,
        seq: u64,
        said: &mut HashSet<QueueId>,
    ) {
        let (entry, kept) = {
            let core = self.core.borrow();
            let Ok(entry) = core.store.get(id) else { return };
            (entry, core.space.is_kept_elsewhere(home_seq, number))
        };
        match entry {
            Some(entry) if entry.slot != number && seq > entry.home_seq && said.insert(id) => {
                let home_seq = entry.home_seq;
                self.record_about(id, home_seq, &Change::Snapshot { entry: Box::new(entry) });
            }
            None if kept && said.insert(id) => {
                self.record_about(id, home_seq, &Change::Delete { reason: Reason::Answered });
            }
            _ => {}
        }
    }
}
