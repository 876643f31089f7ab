//! The queue as tools see it: read-only, from another process, while the daemon works.
//!
//! A [`Reader`] sees the queue as it was when a listing began (LMDB's MVCC), asks nobody and holds
//! nobody up. Listings stream: they need memory for one message at a time, however many there are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use heed::{Env, WithoutTls};
use mail::{Address, Envelope, QueueId, Time};

use crate::codec::{self, Kind};
use crate::directory::{slice_path, slices};
use crate::entry::{Entry, Standing, Stored};
use crate::error::{IndexError, SliceError};
use crate::index::{self, Tables, key_id};
use crate::options::Options;
use crate::segment::{self, HEAD_BYTES, Head};

/// A queue directory, for reading.
pub struct Reader {
    queue: PathBuf,
    slices: Vec<Indexed>,
}

struct Indexed {
    number: u8,
    env: Env<WithoutTls>,
    tables: Tables,
}

/// Which of Postfix's queues a message would be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Not tried yet.
    Incoming,
    /// Tried, and waiting for the next attempt.
    Deferred,
    /// Set aside.
    Hold,
}

impl Queue {
    /// Its name, as Postfix prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
        }
    }
}

/// One message of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its queue id.
    pub id: QueueId,
    /// Where Postfix would have it. Whether it is being delivered only the daemon knows.
    pub queue: Queue,
    /// Size of the content in bytes.
    pub bytes: u64,
    /// An operator wants it returned.
    pub expired: bool,
    /// Its envelope.
    pub envelope: Rc<Envelope>,
    /// One for each recipient of the envelope.
    pub standings: Vec<Standing>,
    /// When it is tried next; `None` on hold.
    pub due: Option<Time>,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        let tried = |standing: &Standing| {
            !matches!(standing, Standing::Pending { last: None, .. } | Standing::Redirected)
        };
        let queue = match entry.held {
            true => Queue::Hold,
            false if entry.standings.iter().any(tried) => Queue::Deferred,
            false => Queue::Incoming,
        };
        Self {
            id: entry.id,
            queue,
            bytes: entry.stored.len(),
            expired: entry.expired,
            due: entry.due(),
            envelope: entry.envelope,
            standings: entry.standings,
        }
    }
}

/// What is to be listed.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Everything, by age.
    All,
    /// What is for this address, and not done.
    Recipient(Address),
    /// What is for this domain, and not done.
    Domain(String),
    /// What is from this address; `None` is `<>`.
    Sender(Option<Address>),
}

impl Reader {
    /// Opens the queue directory; slices that were never used are left out.
    pub fn open(queue: &Path) -> Result<Self, SliceError> {
        let numbers = slices(queue).map_err(|source| SliceError::Io {
            doing: "list",
            file: queue.display().to_string(),
            source,
        })?;
        let mut opened = Vec::new();
        for number in numbers {
            let options = Options::new(number, &slice_path(queue, number));
            let index = index::open_for_reading(&options.index, options.index_bytes_max)?;
            opened.extend(index.map(|(env, tables)| Indexed { number, env, tables }));
        }
        Ok(Self { queue: queue.to_owned(), slices: opened })
    }

    /// Calls `each` for every message selected, until it says to stop.
    pub fn list(
        &self,
        selector: &Selector,
        mut each: impl FnMut(Listed) -> std::ops::ControlFlow<()>,
    ) -> Result<(), SliceError> {
        for slice in &self.slices {
            if slice.list(selector, &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One message.
    pub fn find(&self, id: QueueId) -> Result<Option<Listed>, SliceError> {
        Ok(self.entry(id)?.map(Listed::from))
    }

    /// The content of a message, checked.
    pub fn content(&self, id: QueueId) -> Result<Vec<u8>, SliceError> {
        let entry = self.entry(id)?.ok_or(SliceError::NoMessage(id))?;
        let directory = slice_path(&self.queue, id.slice());
        let (name, content) = match entry.stored {
            Stored::File { .. } => {
                let name = crate::large::name(id);
                let content = std::fs::read(directory.join(&name));
                (name, content.map(|content| file_content(entry.stored, content)))
            }
            Stored::Inline { .. } => {
                let name = segment::name(entry.slot);
                let content = File::open(directory.join(&name));
                (name, content.and_then(|file| record_content(&file, &entry)))
            }
        };
        match content {
            Ok(Some(content)) => Ok(content),
            // Delivered since it was looked up, most likely; or damaged, which the daemon will find.
            Ok(None) => Err(SliceError::NoMessage(id)),
            Err(source) => {
                let file = directory.join(name).display().to_string();
                Err(SliceError::Io { doing: "read", file, source })
            }
        }
    }

    fn entry(&self, id: QueueId) -> Result<Option<Entry>, SliceError> {
        let Some(slice) = self.slices.iter().find(|slice| slice.number == id.slice()) else {
            return Ok(None);
        };
        let txn = slice.env.read_txn().map_err(IndexError::from)?;
        Ok(slice.tables.entry(&txn, id)?)
    }
}

impl Indexed {
    fn list(
        &self,
        selector: &Selector,
        each: &mut impl FnMut(Listed) -> std::ops::ControlFlow<()>,
    ) -> Result<std::ops::ControlFlow<()>, IndexError> {
        let txn = self.env.read_txn()?;
        let (table, name) = match selector {
            Selector::All => {
                for row in self.tables.message.iter(&txn)? {
                    let (key, value) = row?;
                    let id = key_id(key).ok_or(IndexError::Damaged("an entry has no id"))?;
                    let entry = Entry::decode(id, value).map_err(|_| IndexError::Malformed(id))?;
                    if each(entry.into()).is_break() {
                        return Ok(std::ops::ControlFlow::Break(()));
                    }
                }
                return Ok(std::ops::ControlFlow::Continue(()));
            }
            Selector::Recipient(address) => (self.tables.recipient, address.as_str()),
            Selector::Domain(domain) => (self.tables.domain, &domain[..]),
            Selector::Sender(sender) => {
                (self.tables.sender, sender.as_ref().map_or("", |sender| sender.as_str()))
            }
        };
        for row in table.prefix_iter(&txn, &index::name_prefix(name))? {
            let id = key_id(row?.0).ok_or(IndexError::Damaged("an entry has no id"))?;
            // Keys are cut at a length, so the entry has the last word.
            if let Some(entry) = self.tables.entry(&txn, id)?
                && selector.matches(&entry.envelope)
                && each(entry.into()).is_break()
            {
                return Ok(std::ops::ControlFlow::Break(()));
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }
}

impl Selector {
    fn matches(&self, envelope: &Envelope) -> bool {
        let mut recipients = envelope.recipients.iter().map(|recipient| &recipient.address);
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        match self {
            Self::All => true,
            Self::Recipient(wanted) => recipients.any(|to| same(to.as_str(), wanted.as_str())),
            Self::Domain(wanted) => recipients.any(|to| same(to.domain(), wanted)),
            Self::Sender(wanted) => match (wanted, &envelope.sender) {
                (Some(wanted), Some(sender)) => same(wanted.as_str(), sender.as_str()),
                (wanted, sender) => wanted.is_none() && sender.is_none(),
            },
        }
    }
}

fn file_content(stored: Stored, content: Vec<u8>) -> Option<Vec<u8>> {
    let Stored::File { len, crc } = stored else { return None };
    (content.len() as u64 == len && crc32c::crc32c(&content) == crc).then_some(content)
}

/// The content in a record, if the record is still there: the segment may have been used again since.
fn record_content(file: &File, entry: &Entry) -> io::Result<Option<Vec<u8>>> {
    let Stored::Inline { offset, len } = entry.stored else { return Ok(None) };
    let mut pages = vec![0; HEAD_BYTES];
    file.read_exact_at(&mut pages, 0)?;
    let Some(head) = Head::decode(&pages) else { return Ok(None) };
    let mut bytes = vec![0; entry.record_bytes as usize];
    file.read_exact_at(&mut bytes, u64::from(entry.record_offset))?;
    Ok(match codec::decode(&bytes, head.stamp) {
        Ok((record, _)) if record.kind == Kind::Accepted && record.seq == entry.home_seq => {
            let start = (offset - entry.record_offset) as usize;
            bytes.get(start..start + len as usize).map(<[u8]>::to_vec)
        }
        _ => None,
    })
}
