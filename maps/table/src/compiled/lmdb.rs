//! LMDB files as Postfix has them with `lmdb:`: one file, one unnamed database.
//!
//! Such a file is written in place, by Postfix at least, while others read it. It is therefore not mapped:
//! pages are read when they are first needed, and kept for as long as the transaction that they belong to is
//! the last one, see [`super::pages`]. LMDB never writes to a page that the last finished transaction
//! uses, so no lock is needed to read while somebody writes; a file that is cut is an error and no signal.
//! (Going through LMDB itself for reading would also mean that a process can open a path only once: a
//! table that is swapped is open twice for a moment.)
//!
//! | page    | offset | bytes | field                                                   |
//! |---------|-------:|------:|---------------------------------------------------------|
//! | all     |     10 |     2 | flags: branch 1, leaf 2, overflow 4, meta 8             |
//! | branch, leaf | 12 |     2 | end of the table of nodes, which begins at 16, 2 bytes each |
//! | branch  |   node |     6 | page below                                              |
//! | leaf    |   node |     4 | bytes of the value, then 2 of flags: 1, it is on pages of its own |
//! | branch, leaf | node + 6 | 2 | bytes of the key; behind it the key and the value or its page |
//! | 0 and 1 |     16 |     8 | magic, version 1                                        |
//! |         |     40 |     4 | bytes of a page                                         |
//! |         |    128 |     8 | root page, all bits set where there is none             |
//! |         |    136 |     8 | the last page that is used                              |
//! |         |    144 |     8 | transaction                                             |
//!
//! Numbers are as the machine has them. Postfix writes keys and values with a NUL behind them or without,
//! depending on the system (`src/util/dict_lmdb.c`); both are tried. We write one, as Debian does.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use heed::types::Bytes as AnyBytes;
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, WithoutTls};
use smallvec::SmallVec;

use super::layout::entry;
use super::pages::{Pages, Room, Snapshot};
use super::replacement::{FileError, Replacement};
use crate::ReadAt;

pub(super) const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 152;
const PAGE_HEADER_BYTES: usize = 16;
const NODE_HEADER_BYTES: usize = 8;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
/// A leaf's value is on pages of its own.
const BIG: u16 = 1;
/// A leaf's value is a database, or one of several for the key: nothing that Postfix writes.
const SEVERAL: u16 = 2 | 4;
/// Levels of the tree. Each has at least two pages for one above.
const DEPTH_MAX: usize = 64;
/// Longer keys cannot be in a file.
pub(super) const KEY_BYTES_MAX: usize = 511 - 1;

/// What is wrong with a file, or what went wrong reading it.
#[derive(Debug)]
pub(super) enum Unreadable {
    Io(io::Error),
    Because(&'static str),
    /// Somebody wrote meanwhile; it is read again.
    Overtaken,
}

impl Unreadable {
    pub(super) const DAMAGED: Self = Self::Because("it is damaged: it contradicts itself");
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it was cut")
            }
            Self::Io(error) => error.fmt(f),
            Self::Because(why) => f.write_str(why),
            Self::Overtaken => f.write_str("it is being written to"),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

const DAMAGED: Unreadable = Unreadable::DAMAGED;

/// A table that is asked.
#[derive(Debug)]
pub(super) struct Lmdb(Pages);

impl Lmdb {
    pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Self, Unreadable> {
        let mut start = [0; HEAD_BYTES];
        match file.read_exact_at(&mut start[..1], 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Unreadable::Because("the file is empty"));
            }
            other => other?,
        }
        file.read_exact_at(&mut start, 0)?;
        let page_bytes = long(&start, 40) as usize;
        let (magic, version) = (long(&start, 16), long(&start, 20));
        if magic == MAGIC.swap_bytes() {
            let why = "it was written by a machine with another byte order";
            return Err(Unreadable::Because(why));
        }
        if magic != MAGIC {
            return Err(Unreadable::Because("this is no LMDB file"));
        }
        if version != VERSION {
            return Err(Unreadable::Because("its format has another version than 1"));
        }
        if !(512..=65_536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
            return Err(DAMAGED);
        }
        let pages = Pages::open(file, page_bytes)?;
        pages.undisturbed(|snapshot| match snapshot.root() {
            Some(root) => pages.page(snapshot, root, &mut Room::new()).and_then(checked).map(drop),
            None => Ok(()),
        })?;
        Ok(Self(pages))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        self.get_as(key, Bytes::copy_from_slice)
    }

    /// What `take` makes of the value of a key.
    pub(super) fn get_as<T>(
        &self,
        key: &[u8],
        take: impl Fn(&[u8]) -> T,
    ) -> Result<Option<T>, Unreadable> {
        let with_nul: SmallVec<[u8; 256]> = key.iter().copied().chain([0]).collect();
        self.0.undisturbed(|snapshot| {
            let Some(root) = snapshot.root() else { return Ok(None) };
            match self.find(snapshot, root, &with_nul, &take)? {
                Place::Found(value) => Ok(Some(value)),
                Place::Within => Ok(None),
                Place::AtAnEdge => match self.find(snapshot, root, key, &take)? {
                    Place::Found(value) => Ok(Some(value)),
                    Place::Within | Place::AtAnEdge => Ok(None),
                },
            }
        })
    }

    /// All entries, in the order of their keys.
    pub(super) fn entries(&self) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        self.0.undisturbed(|snapshot| {
            let mut all = Vec::new();
            if let Some(root) = snapshot.root() {
                self.collect(snapshot, root, DEPTH_MAX, &mut HashSet::default(), &mut all)?;
            }
            Ok(all)
        })
    }

    /// Looks for a key with a NUL behind it. The same key without one would lie just in front of it.
    fn find<T>(
        &self,
        snapshot: &Snapshot,
        root: u64,
        wanted: &[u8],
        take: impl Fn(&[u8]) -> T,
    ) -> Result<Place<T>, Unreadable> {
        let mut room = Room::new();
        let mut number = root;
        for _ in 0..DEPTH_MAX {
            let page = checked(self.0.page(snapshot, number, &mut room)?)?;
            let nodes = nodes(page)?;
            if flags(page) & LEAF == 0 {
                // The first node of a branch stands for everything below the second.
                let below = match search(page, 1, nodes, wanted)? {
                    Ok(node) => node,
                    Err(before) => before - 1,
                };
                number = child(page, below)?;
                continue;
            }
            let node = match search(page, 0, nodes, wanted)? {
                Ok(node) => node,
                Err(0) => return Ok(Place::AtAnEdge),
                Err(behind) => match wanted {
                    [without_nul @ .., 0] if key(page, behind - 1)? == without_nul => behind - 1,
                    _ => return Ok(Place::Within),
                },
            };
            let (_, value) = self.leaf(snapshot, page, node)?;
            return Ok(Place::Found(take(without_nul(&value))));
        }
        Err(DAMAGED)
    }

    fn collect(
        &self,
        snapshot: &Snapshot,
        number: u64,
        depth: usize,
        seen: &mut HashSet<u64>,
        all: &mut Vec<(Bytes, Bytes)>,
    ) -> Result<(), Unreadable> {
        // A page has one place in the tree; one that has two would multiply with each level.
        let depth = depth.checked_sub(1).ok_or(DAMAGED)?;
        if !seen.insert(number) {
            return Err(DAMAGED);
        }
        let mut room = Room::new();
        let page = checked(self.0.page(snapshot, number, &mut room)?)?;
        let copied = |bytes: &[u8]| Bytes::copy_from_slice(without_nul(bytes));
        for node in 0..nodes(page)? {
            if flags(page) & LEAF != 0 {
                let (key, value) = self.leaf(snapshot, page, node)?;
                all.push((copied(key), copied(&value)));
            } else {
                self.collect(snapshot, child(page, node)?, depth, seen, all)?;
            }
        }
        Ok(())
    }

    /// The key and the value of a leaf's node.
    fn leaf<'p>(
        &self,
        snapshot: &Snapshot,
        page: &'p [u8],
        node: usize,
    ) -> Result<(&'p [u8], Cow<'p, [u8]>), Unreadable> {
        let at = node_at(page, node)?;
        let length = usize::from(short(page, at)) | usize::from(short(page, at + 2)) << 16;
        let (flags, key) = (short(page, at + 4), key(page, node)?);
        let value = at + NODE_HEADER_BYTES + key.len();
        if flags & SEVERAL != 0 {
            return Err(Unreadable::Because("it has several values for a key"));
        }
        if flags & BIG == 0 {
            let value = page.get(value..value + length).ok_or(DAMAGED)?;
            return Ok((key, Cow::Borrowed(value)));
        }
        let number = page.get(value..value + 8).ok_or(DAMAGED)?;
        let number = longer(number, 0);
        let mut header = [0; PAGE_HEADER_BYTES];
        self.0.read(snapshot, number, 0, &mut header)?;
        let pages = long(&header, 12) as usize;
        if short(&header, 10) & OVERFLOW == 0
            || length > pages.saturating_mul(self.0.page_bytes()) - PAGE_HEADER_BYTES.min(pages)
            || length > cf::LINE_BYTES_MAX + 1
        {
            return Err(DAMAGED);
        }
        let mut bytes = vec![0; length];
        self.0.read(snapshot, number, PAGE_HEADER_BYTES, &mut bytes)?;
        Ok((key, Cow::Owned(bytes)))
    }
}

/// Where a key is.
enum Place<T> {
    Found(T),
    /// It is not there, and what would be in front of it is not it without its NUL.
    Within,
    /// It is not there, and what is in front of it is on another page.
    AtAnEdge,
}

/// A page that is a branch or a leaf.
fn checked(page: &[u8]) -> Result<&[u8], Unreadable> {
    match flags(page) & (BRANCH | LEAF) {
        BRANCH | LEAF => Ok(page),
        _ => Err(DAMAGED),
    }
}

fn flags(page: &[u8]) -> u16 {
    short(page, 10)
}

/// How many nodes a branch or a leaf has.
fn nodes(page: &[u8]) -> Result<usize, Unreadable> {
    let end = usize::from(short(page, 12));
    let nodes = end.checked_sub(PAGE_HEADER_BYTES).ok_or(DAMAGED)? / 2;
    let fewest = if flags(page) & BRANCH != 0 { 1 } else { 0 };
    if end > page.len() || nodes < fewest { Err(DAMAGED) } else { Ok(nodes) }
}

fn node_at(page: &[u8], node: usize) -> Result<usize, Unreadable> {
    let at = usize::from(short(page, PAGE_HEADER_BYTES + 2 * node));
    if at + NODE_HEADER_BYTES > page.len() { Err(DAMAGED) } else { Ok(at) }
}

fn key(page: &[u8], node: usize) -> Result<&[u8], Unreadable> {
    let at = node_at(page, node)?;
    let length = usize::from(short(page, at + 6));
    page.get(at + NODE_HEADER_BYTES..at + NODE_HEADER_BYTES + length).ok_or(DAMAGED)
}

fn child(page: &[u8], node: usize) -> Result<u64, Unreadable> {
    let at = node_at(page, node)?;
    let part = |offset| u64::from(short(page, at + offset));
    Ok(part(0) | part(2) << 16 | part(4) << 32)
}

/// The node with this key among those from `first` on, or where it would be.
fn search(
    page: &[u8],
    first: usize,
    nodes: usize,
    wanted: &[u8],
) -> Result<Result<usize, usize>, Unreadable> {
    let (mut low, mut high) = (first, nodes);
    while low < high {
        let middle = low.midpoint(high);
        match key(page, middle)?.cmp(wanted) {
            std::cmp::Ordering::Equal => return Ok(Ok(middle)),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(Err(low))
}

fn without_nul(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(&[0]).unwrap_or(bytes)
}

fn short(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    u16::from_ne_bytes(found.copied().unwrap_or_default())
}

pub(super) fn long(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    u32::from_ne_bytes(found.copied().unwrap_or_default())
}

pub(super) fn longer(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    u64::from_ne_bytes(found.copied().unwrap_or_default())
}

/// Writes a table: through LMDB, into the file that is to replace the old one.
pub(super) struct Writer<'a> {
    file: &'a Replacement,
    environment: heed::Env<WithoutTls>,
}

impl<'a> Writer<'a> {
    /// Begins a table whose keys and values have this many bytes at most.
    #[allow(unsafe_code)]
    pub(super) fn begin(
        file: &'a Replacement,
        entries: u64,
        bytes: u64,
    ) -> Result<Self, FileError> {
        // Pages are half full at worst; room that is not needed is not taken.
        let map_bytes = (bytes + entries * 64) * 4 + (16 << 20);
        let map_bytes = usize::try_from(map_bytes.next_multiple_of(1 << 20)).unwrap_or(usize::MAX);
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_bytes);
        // SAFETY: nobody else opens the file, which is locked and not yet in its place (`Replacement`);
        // it is synced before it is.
        unsafe { options.flags(EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK | EnvFlags::NO_SYNC) };
        // SAFETY: as above, and it is empty.
        let environment = unsafe { options.open(file.path()) };
        let environment = environment.map_err(|error| failed(file.path(), error))?;
        Ok(Self { file, environment })
    }

    /// Adds all entries that `next` gives, encoded as for a native table.
    pub(super) fn put_all(
        &self,
        each: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), FileError>) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let failed = |error| failed(self.file.path(), error);
        let database = self.database()?;
        let mut transaction = self.environment.write_txn().map_err(failed)?;
        each(&mut |encoded| {
            let Some((key, value, _)) = entry(encoded) else { return Ok(()) };
            let with_nul =
                |bytes: &[u8]| bytes.iter().copied().chain([0]).collect::<SmallVec<[u8; 256]>>();
            let (key, value) = (with_nul(key), with_nul(value));
            database.put(&mut transaction, &key, &value).map_err(failed)
        })?;
        transaction.commit().map_err(failed)
    }

    /// The one without a name.
    fn database(&self) -> Result<heed::Database<'_, AnyBytes, AnyBytes>, FileError> {
        let failed = |error| failed(self.file.path(), error);
        let reading = self.environment.read_txn().map_err(failed)?;
        let opened = self.environment.open_databases_and_commit(reading, |opener, reading| {
            let opened = opener.open_database::<AnyBytes, AnyBytes>(reading, None);
            opened.map(CommitOrAbort::<_, ()>::Commit)
        });
        let CommitOrAbort::Commit(Some(database)) = opened.map_err(failed)? else {
            let source = io::Error::other("LMDB opened it without a database");
            return Err(FileError::new("write", self.file.path(), source));
        };
        Ok(database)
    }

    /// Closes the file, and returns how long it is.
    pub(super) fn finish(self) -> Result<u64, FileError> {
        let path = self.file.path();
        self.environment.force_sync().map_err(|error| failed(path, error))?;
        self.environment.prepare_for_closing().wait();
        let length = std::fs::metadata(path).map(|metadata| metadata.len());
        length.map_err(|error| FileError::new("look at", path, error))
    }
}

fn failed(path: &Path, error: heed::Error) -> FileError {
    let source = match error {
        heed::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    };
    FileError::new("write", path, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of a table with these entries.
    fn file(entries: &[(String, String)]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.lmdb");
        let new = Replacement::create(&target, 0o644).unwrap();
        let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        let writer = Writer::begin(&new, entries.len() as u64, bytes as u64).unwrap();
        let all = writer.put_all(|put| {
            for (key, value) in entries {
                let mut encoded = Vec::new();
                super::super::layout::push_length(&mut encoded, key.len() as u32);
                super::super::layout::push_length(&mut encoded, value.len() as u32);
                encoded.extend(key.as_bytes());
                encoded.extend(value.as_bytes());
                put(&encoded)?;
            }
            Ok(())
        });
        all.unwrap();
        writer.finish().unwrap();
        new.commit().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        std::fs::read(target).unwrap()
    }

    fn table(file: Vec<u8>) -> Result<Lmdb, Unreadable> {
        Lmdb::open(Arc::new(Bytes::from(file)))
    }

    fn some(count: usize) -> Vec<(String, String)> {
        let value =
            |n: usize| if n % 100 == 7 { "long".repeat(2000) } else { format!("value {n}") };
        (0..count).map(|n| (format!("user{n}@example.com"), value(n))).collect()
    }

    fn found(table: &Lmdb, key: &str) -> Option<String> {
        let found = table.get(key.as_bytes()).unwrap();
        found.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn trees_of_any_height_answer_with_what_was_put_into_them() {
        for count in [0, 1, 50, 5_000] {
            let entries = some(count);
            let table = table(file(&entries)).unwrap();
            for (key, value) in &entries {
                assert_eq!(found(&table, key).as_ref(), Some(value), "{key} of {count}");
            }
            for key in ["a", "user", "user1@example.co", "user1@example.com.", "zzz"] {
                assert_eq!(found(&table, key), None, "{key} of {count}");
            }
            let mut sorted = entries;
            sorted.sort();
            let all = table.entries().unwrap().into_iter();
            let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            let all: Vec<_> = all.map(|(key, value)| (text(key), text(value))).collect();
            assert_eq!(all, sorted);
        }
    }

    /// A file with these keys as they are, in the order of their bytes.
    fn file_of_bytes(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.lmdb");
        let new = Replacement::create(&target, 0o644).unwrap();
        let writer = Writer::begin(&new, entries.len() as u64, 1 << 20).unwrap();
        let database = writer.database().unwrap();
        let mut transaction = writer.environment.write_txn().unwrap();
        for (key, value) in entries {
            database.put(&mut transaction, key, value).unwrap();
        }
        transaction.commit().unwrap();
        writer.finish().unwrap();
        new.commit().unwrap();
        std::fs::read(target).unwrap()
    }

    #[test]
    fn keys_with_and_without_a_nul_are_found_also_where_they_lie_on_two_pages() {
        // Values large enough that nearly every key is the first or the last of a page.
        for value_bytes in [1, 700, 1500] {
            let value = |text: String| format!("{text:.<value_bytes$}").into_bytes();
            let mut entries = Vec::new();
            for n in 0..300 {
                let key = format!("user{n}").into_bytes();
                let with_nul = [&*key, &[0]].concat();
                match n % 3 {
                    0 => entries.push((key, value(format!("plain {n}")))),
                    1 => entries.push((with_nul, value(format!("nul {n}")))),
                    _ => {
                        entries.push((key, value(format!("plain {n}"))));
                        entries.push((with_nul, value(format!("nul {n}"))));
                    }
                }
            }
            let table = table(file_of_bytes(&entries)).unwrap();
            for n in 0..300 {
                let expected = if n % 3 == 0 { format!("plain {n}") } else { format!("nul {n}") };
                let found = table.get(format!("user{n}").as_bytes()).unwrap().unwrap();
                assert_eq!(*found, *value(expected), "user{n}");
                assert_eq!(table.get(format!("user{n}.").as_bytes()).unwrap(), None);
            }
        }
    }

    #[test]
    fn what_is_kept_of_a_file_is_of_the_latest_transaction_and_within_a_limit() {
        use std::sync::RwLock;

        #[derive(Debug)]
        struct Changing(Arc<RwLock<Vec<u8>>>);
        impl ReadAt for Changing {
            fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
                Bytes::from(self.0.read().unwrap().clone()).read_exact_at(buffer, offset)
            }
        }
        let before = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "1".to_owned())];
        let content = Arc::new(RwLock::new(file(&before)));
        let table = Lmdb::open(Arc::new(Changing(content.clone()))).unwrap();
        assert_eq!(found(&table, "a").as_deref(), Some("1"));

        // One transaction later.
        let mut after = file(&[("a".to_owned(), "2".to_owned())]);
        for meta in [0, 4096] {
            let transaction = longer(&after, meta + 144) + 1000;
            after[meta + 144..meta + 152].copy_from_slice(&transaction.to_ne_bytes());
        }
        *content.write().unwrap() = after;
        table.0.look_again();
        assert_eq!(found(&table, "a").as_deref(), Some("2"));
        assert_eq!(found(&table, "b"), None);
        // Whoever would read a page of a file that is gone says so.
        content.write().unwrap().clear();
        table.0.look_again();
        assert_eq!(table.get(b"a").unwrap_err().to_string(), "it was cut");

        let kept_bytes_max = 1 << 20;
        let many: Vec<_> = (0..2_000).map(|n| (format!("{n:06}"), "v".repeat(1500))).collect();
        let mut table = self::table(file(&many)).unwrap();
        table.0.keep_at_most(kept_bytes_max);
        for _ in 0..2 {
            for (key, value) in &many {
                assert_eq!(found(&table, key).as_ref(), Some(value));
            }
        }
        let kept = table.0.kept_bytes();
        assert!(kept <= kept_bytes_max && kept > kept_bytes_max - 8192, "{kept}");
    }

    #[test]
    fn a_file_that_was_cut_never_says_that_a_key_is_missing() {
        let entries = some(120);
        let file = file(&entries);
        for cut in (0..file.len()).step_by(509) {
            let Ok(table) = table(file[..cut].to_vec()) else { continue };
            for (key, value) in &entries {
                match table.get(key.as_bytes()) {
                    Ok(found) => assert_eq!(found.as_deref(), Some(value.as_bytes()), "at {cut}"),
                    Err(why) => assert_eq!(why.to_string(), "it was cut"),
                }
            }
        }
    }

    #[test]
    fn a_file_that_was_altered_never_makes_anything_panic() {
        let entries = some(60);
        let mut file = file(&entries);
        // Every byte of what the pages begin with, and some of what is in them.
        let bytes = (0..file.len()).filter(|at| at % 4096 < 160 || at % 211 == 0);
        for at in bytes.collect::<Vec<_>>() {
            for bit in [0, 3, 7] {
                file[at] ^= 1 << bit;
                if let Ok(table) = table(file.clone()) {
                    for key in ["user1@example.com", "user7@example.com", "none"] {
                        let _ = table.get(key.as_bytes());
                    }
                    let _ = table.entries();
                }
                file[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn a_tree_that_is_its_own_child_comes_to_an_end() {
        let mut file = file(&some(2000));
        let number =
            table(file.clone()).unwrap().0.undisturbed(|it| Ok(it.root().unwrap())).unwrap();
        let root = number as usize * 4096;
        // All nodes of the root lead to the root.
        for node in 0..nodes(&file[root..root + 4096]).unwrap() {
            let at = root + node_at(&file[root..root + 4096], node).unwrap();
            file[at..at + 2].copy_from_slice(&(number as u16).to_le_bytes());
        }
        let table = table(file).unwrap();
        assert!(table.get(b"user1@example.com").is_err());
    }

    #[test]
    fn what_is_written_all_the_time_is_unavailable_and_not_missing() {
        use std::sync::atomic::{AtomicU64, Ordering};

        /// From when the number is not 0 on, every look at it finds one more transaction.
        #[derive(Debug)]
        struct Busy(Arc<AtomicU64>, Vec<u8>);
        impl ReadAt for Busy {
            fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
                let mut file = self.1.clone();
                if self.0.load(Ordering::Relaxed) > 0 {
                    let transaction = self.0.fetch_add(1, Ordering::Relaxed);
                    file[4096 + 144..4096 + 152].copy_from_slice(&transaction.to_le_bytes());
                }
                Bytes::from(file).read_exact_at(buffer, offset)
            }
        }
        let transaction = Arc::new(AtomicU64::new(0));
        let busy = || Arc::new(Busy(transaction.clone(), file(&some(3))));
        let table = Lmdb::open(busy()).unwrap();
        transaction.store(1000, Ordering::Relaxed);
        table.0.look_again();
        let all_the_time = "it is written to all the time";
        assert_eq!(table.get(b"user1@example.com").unwrap_err().to_string(), all_the_time);
        assert_eq!(Lmdb::open(busy()).unwrap_err().to_string(), all_the_time);
    }

    #[test]
    fn what_is_no_lmdb_file_says_so() {
        let mut other = file(&some(1));
        other[16..20].reverse();
        for (file, why) in [
            (Vec::new(), "the file is empty"),
            (vec![0; 100], "it was cut"),
            (vec![0; 8192], "this is no LMDB file"),
            (other, "it was written by a machine with another byte order"),
        ] {
            assert_eq!(table(file).unwrap_err().to_string(), why);
        }
    }
}
