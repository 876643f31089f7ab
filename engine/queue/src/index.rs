//! The index: LMDB, so that tools can read a consistent queue without asking the daemon.
//!
//! It holds nothing that the log does not say, and so is never synced while in use: after a power cut it
//! is made anew. It lags behind the log by a fraction of a second, on purpose: a message that is accepted
//! and delivered in that time never gets here.
//!
//! | database    | key                                          | value                            |
//! |-------------|----------------------------------------------|----------------------------------|
//! | `message`   | id                                           | see `entry.rs`                   |
//! | `due`       | time of the next attempt, id                 |                                  |
//! | `domain`    | domain of an open recipient, 0, id           |                                  |
//! | `recipient` | open recipient, 0, id                        |                                  |
//! | `sender`    | sender, 0, id                                |                                  |
//! | `segment`   | segment number                               | see `space.rs`                   |
//! | `meta`      | `applied`, `boot`, `clean`, `slice`, `last`, `format` | their values            |
//!
//! Numbers in keys are big-endian, so that they sort; names are folded to lower case and cut at
//! [`NAME_BYTES_MAX`], so a selector must look at the entry as well.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};
use mail::{QueueId, Time};

use crate::entry::{Entry, Standing};
use crate::error::IndexError;

/// Names are cut here: LMDB keys have at most 511 bytes.
pub(crate) const NAME_BYTES_MAX: usize = 400;
const DATABASES: u32 = 8;
/// Tools that read at the same moment.
const READERS_MAX: u32 = 126;
const FORMAT: &[u8] = b"1";
/// LMDB's pages are those of the machine it was built for.
const PAGE_BYTES: u64 = 4096;
const DATA_FILE: &str = "data.mdb";
const LOCK_FILE: &str = "lock.mdb";

type Table = Database<'static, Bytes, Bytes>;

/// The tables of one slice.
pub(crate) struct Index {
    env: Env<WithoutTls>,
    tables: Tables,
}

#[derive(Clone, Copy)]
pub(crate) struct Tables {
    pub(crate) message: Table,
    pub(crate) due: Table,
    pub(crate) domain: Table,
    pub(crate) recipient: Table,
    pub(crate) sender: Table,
    pub(crate) segment: Table,
    pub(crate) meta: Table,
}

impl Index {
    /// Opens the index, making it where it is missing.
    pub(crate) fn open(directory: &Path, map_bytes: usize) -> Result<Self, IndexError> {
        fs::create_dir_all(directory).map_err(heed::Error::Io)?;
        let env = environment(directory, map_bytes, EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC)?;
        let txn = env.write_txn()?;
        let made = env.create_databases_and_commit(txn, |opener, txn| {
            let mut make = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit([
                make("message")?,
                make("due")?,
                make("domain")?,
                make("recipient")?,
                make("sender")?,
                make("segment")?,
                make("meta")?,
            ]))
        })?;
        let CommitOrAbort::Commit(tables) = made else {
            return Err(IndexError::Damaged("its tables could not be made"));
        };
        Ok(Self { env, tables: Tables::from(tables) })
    }

    /// Throws away what is there. The environment must not be open.
    pub(crate) fn wipe(directory: &Path) -> io::Result<()> {
        for name in [DATA_FILE, LOCK_FILE] {
            match fs::remove_file(directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn read(&self) -> Result<RoTxn<'_, WithoutTls>, IndexError> {
        Ok(self.env.read_txn()?)
    }

    pub(crate) fn write(&self) -> Result<Update<'_>, IndexError> {
        let (txn, tables) = (self.env.write_txn()?, self.tables);
        Ok(Update { env: &self.env, txn, tables, scratch: Vec::new() })
    }

    pub(crate) fn get(&self, id: QueueId) -> Result<Option<Entry>, IndexError> {
        let txn = self.read()?;
        self.tables.entry(&txn, id)
    }

    pub(crate) fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, IndexError> {
        let txn = self.read()?;
        Ok(self.tables.meta.get(&txn, key.as_bytes())?.map(<[u8]>::to_vec))
    }

    pub(crate) fn segments(&self) -> Result<Vec<(u32, Vec<u8>)>, IndexError> {
        let txn = self.read()?;
        let mut segments = Vec::new();
        for row in self.tables.segment.iter(&txn)? {
            let (key, value) = row?;
            let slot =
                key.try_into().map_err(|_| IndexError::Damaged("a segment has no number"))?;
            segments.push((u32::from_be_bytes(slot), value.to_vec()));
        }
        Ok(segments)
    }

    /// Up to `limit` messages that are due in `(after, until]`, soonest first.
    pub(crate) fn due(
        &self,
        after: (Time, QueueId),
        until: Time,
        limit: usize,
        mut wanted: impl FnMut(QueueId) -> bool,
    ) -> Result<Vec<(Time, QueueId)>, IndexError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let txn = self.read()?;
        let start = due_key(after.0, after.1);
        let mut due = Vec::new();
        for row in self.tables.due.range(&txn, &(Excluded(&start[..]), Unbounded))? {
            let (time, id) = split_due(row?.0)?;
            if time > until || due.len() == limit {
                break;
            }
            if wanted(id) {
                due.push((time, id));
            }
        }
        Ok(due)
    }

    /// Makes all of it durable; only worth it when it is closed.
    pub(crate) fn sync(&self) -> Result<(), IndexError> {
        Ok(self.env.force_sync()?)
    }
}

impl From<[Table; 7]> for Tables {
    fn from(tables: [Table; 7]) -> Self {
        let [message, due, domain, recipient, sender, segment, meta] = tables;
        Self { message, due, domain, recipient, sender, segment, meta }
    }
}

impl Tables {
    pub(crate) fn entry(&self, txn: &RoTxn<'_>, id: QueueId) -> Result<Option<Entry>, IndexError> {
        let Some(bytes) = self.message.get(txn, &id.as_u64().to_be_bytes())? else {
            return Ok(None);
        };
        Entry::decode(id, bytes).map(Some).map_err(|_| IndexError::Malformed(id))
    }
}

/// One transaction that brings the index nearer to the log.
pub(crate) struct Update<'env> {
    env: &'env Env<WithoutTls>,
    txn: RwTxn<'env>,
    tables: Tables,
    scratch: Vec<u8>,
}

impl Update<'_> {
    /// Stores the entry; returns the one that it replaces.
    pub(crate) fn put(&mut self, entry: &Entry) -> Result<Option<Entry>, IndexError> {
        let old = self.tables.entry(&self.txn, entry.id)?;
        let (add, gone) = match &old {
            Some(old) => {
                let (before, now) = (Keys::of(old), Keys::of(entry));
                (now.without(&before), before.without(&now))
            }
            None => (Keys::of(entry), Keys::default()),
        };
        self.unlink(&gone)?;
        let Tables { due, domain, recipient, sender, .. } = self.tables;
        for (table, keys) in
            [(due, add.due), (domain, add.domain), (recipient, add.recipient), (sender, add.sender)]
        {
            for key in keys {
                table.put(&mut self.txn, &key, &[])?;
            }
        }
        self.scratch.clear();
        entry.encode(&mut self.scratch);
        let key = entry.id.as_u64().to_be_bytes();
        self.tables.message.put(&mut self.txn, &key, &self.scratch)?;
        Ok(old)
    }

    /// Removes an entry; returns it.
    pub(crate) fn delete(&mut self, id: QueueId) -> Result<Option<Entry>, IndexError> {
        let Some(old) = self.tables.entry(&self.txn, id)? else { return Ok(None) };
        self.unlink(&Keys::of(&old))?;
        self.tables.message.delete(&mut self.txn, &id.as_u64().to_be_bytes())?;
        Ok(Some(old))
    }

    fn unlink(&mut self, keys: &Keys) -> Result<(), IndexError> {
        let Tables { due, domain, recipient, sender, .. } = self.tables;
        for (table, keys) in [
            (due, &keys.due),
            (domain, &keys.domain),
            (recipient, &keys.recipient),
            (sender, &keys.sender),
        ] {
            for key in keys {
                table.delete(&mut self.txn, key)?;
            }
        }
        Ok(())
    }

    pub(crate) fn put_meta(&mut self, key: &str, value: &[u8]) -> Result<(), IndexError> {
        Ok(self.tables.meta.put(&mut self.txn, key.as_bytes(), value)?)
    }

    pub(crate) fn put_segment(&mut self, slot: u32, value: &[u8]) -> Result<(), IndexError> {
        Ok(self.tables.segment.put(&mut self.txn, &slot.to_be_bytes(), value)?)
    }

    pub(crate) fn commit(self) -> Result<(), IndexError> {
        self.txn.commit()?;
        fill_up(self.env)
    }
}

/// Everything an entry is found by.
#[derive(Default)]
struct Keys {
    due: BTreeSet<Vec<u8>>,
    domain: BTreeSet<Vec<u8>>,
    recipient: BTreeSet<Vec<u8>>,
    sender: BTreeSet<Vec<u8>>,
}

impl Keys {
    fn of(entry: &Entry) -> Self {
        let mut keys = Self::default();
        keys.due.extend(entry.due().map(|time| due_key(time, entry.id).to_vec()));
        for (recipient, standing) in entry.envelope.recipients.iter().zip(&entry.standings) {
            if matches!(standing, Standing::Pending { .. } | Standing::Failed(_)) {
                let address = &recipient.address;
                keys.domain.insert(name_key(address.domain(), entry.id));
                keys.recipient.insert(name_key(address.as_str(), entry.id));
            }
        }
        let sender = entry.envelope.sender.as_ref().map_or("", |sender| sender.as_str());
        keys.sender.insert(name_key(sender, entry.id));
        keys
    }

    fn without(&self, other: &Self) -> Self {
        let rest = |of: &BTreeSet<_>, other| of.difference(other).cloned().collect();
        Self {
            due: rest(&self.due, &other.due),
            domain: rest(&self.domain, &other.domain),
            recipient: rest(&self.recipient, &other.recipient),
            sender: rest(&self.sender, &other.sender),
        }
    }
}

fn due_key(time: Time, id: QueueId) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&time.0.to_be_bytes());
    key[8..].copy_from_slice(&id.as_u64().to_be_bytes());
    key
}

fn split_due(key: &[u8]) -> Result<(Time, QueueId), IndexError> {
    let damaged = IndexError::Damaged("an entry of the schedule is not a time and an id");
    let Some((time, id)) = key.split_first_chunk::<8>() else { return Err(damaged) };
    let Ok(id) = id.try_into() else { return Err(damaged) };
    Ok((Time(u64::from_be_bytes(*time)), QueueId::from_u64(u64::from_be_bytes(id))))
}

fn name_key(name: &str, id: QueueId) -> Vec<u8> {
    let mut key = name_prefix(name);
    key.extend_from_slice(&id.as_u64().to_be_bytes());
    key
}

/// What all keys for this name begin with.
pub(crate) fn name_prefix(name: &str) -> Vec<u8> {
    let name = name.as_bytes();
    let mut key = name[..name.len().min(NAME_BYTES_MAX)].to_ascii_lowercase();
    key.push(0);
    key
}

/// The id that a name's key ends with.
pub(crate) fn key_id(key: &[u8]) -> Option<QueueId> {
    key.last_chunk::<8>().map(|id| QueueId::from_u64(u64::from_be_bytes(*id)))
}

/// Opens the tables for a tool in another process; `None` where there is no index yet.
pub(crate) fn open_for_reading(
    directory: &Path,
    map_bytes: usize,
) -> Result<Option<(Env<WithoutTls>, Tables)>, IndexError> {
    if !directory.join(DATA_FILE).exists() {
        return Ok(None);
    }
    let env = environment(directory, map_bytes, EnvFlags::READ_ONLY)?;
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let open = |name| opener.open_database::<Bytes, Bytes>(txn, Some(name));
        let tables = [
            open("message")?,
            open("due")?,
            open("domain")?,
            open("recipient")?,
            open("sender")?,
            open("segment")?,
            open("meta")?,
        ];
        Ok::<_, heed::Error>(match tables {
            [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g)] => {
                CommitOrAbort::Commit([a, b, c, d, e, f, g])
            }
            _ => CommitOrAbort::Abort(()),
        })
    })?;
    Ok(match opened {
        CommitOrAbort::Commit(tables) => Some((env, Tables::from(tables))),
        CommitOrAbort::Abort(()) => None,
    })
}

#[allow(unsafe_code)]
fn environment(
    directory: &Path,
    map_bytes: usize,
    flags: EnvFlags,
) -> Result<Env<WithoutTls>, IndexError> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_bytes).max_dbs(DATABASES).max_readers(READERS_MAX);
    // SAFETY: unsynced writes can leave a damaged file behind only where the machine loses power, and
    // then `recovery` does not open it but makes a new one (`boot`, `clean`).
    unsafe { options.flags(flags) };
    // SAFETY: the file lies in a directory that only we write to, under a lock (`QueueDirectory`), and
    // a file that is too short for its own page count is refused below before a page is touched.
    let env = unsafe { options.open(directory)? };
    if is_cut(&env)? {
        return Err(IndexError::Damaged("its file was cut"));
    }
    Ok(env)
}

/// Whether the file is too short for its own page count.
fn is_cut(env: &Env<WithoutTls>) -> Result<bool, IndexError> {
    let info = env.info();
    let pages_bytes = (info.last_page_number as u64 + 1) * PAGE_BYTES;
    Ok(info.last_txn_id > 0 && env.real_disk_size()? < pages_bytes)
}

/// Makes the file as long as its page count says. LMDB does not write pages at the end that a transaction
/// has used and freed again, and without them a whole file looks like one that was cut.
fn fill_up(env: &Env<WithoutTls>) -> Result<(), IndexError> {
    if is_cut(env)? {
        let pages_bytes = (env.info().last_page_number as u64 + 1) * PAGE_BYTES;
        let file = OpenOptions::new().write(true).open(env.path().join(DATA_FILE));
        file.and_then(|file| file.set_len(pages_bytes)).map_err(heed::Error::Io)?;
    }
    Ok(())
}

/// The value of `meta` `format`, to be compared before anything else is believed.
pub(crate) const fn format() -> &'static [u8] {
    FORMAT
}
