//! LMDB files as Postfix has them with `lmdb:`: one file, one unnamed database.
//!
//! Such a file is written in place, by Postfix at least, while others read it. It is therefore not mapped:
//! a few pages are read for each lookup, and the number of the last transaction before and after tells
//! whether what was read belongs together. LMDB never writes to a page that the last finished transaction
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
//! |         |    144 |     8 | transaction                                             |
//!
//! Numbers are as the machine has them. Postfix writes keys and values with a NUL behind them or without,
//! depending on the system (`src/util/dict_lmdb.c`); both are tried. We write one, as Debian does.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, WithoutTls};
use smallvec::SmallVec;

use super::layout::entry;
use super::replacement::{FileError, Replacement};
use crate::ReadAt;

const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
const META_BYTES: usize = 152;
const PAGE_HEADER_BYTES: usize = 16;
const NODE_HEADER_BYTES: usize = 8;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
/// A leaf's value is on pages of its own.
const BIG: u16 = 1;
/// A leaf's value is a database, or one of several for the key: nothing that Postfix writes.
const SEVERAL: u16 = 2 | 4;
const NO_PAGE: u64 = u64::MAX;
/// Levels of the tree. Each has at least two pages for one above.
const DEPTH_MAX: usize = 64;
/// How often a lookup begins anew because somebody wrote meanwhile.
const TRIES_MAX: usize = 100;
/// Longer keys cannot be in a file.
pub(super) const KEY_BYTES_MAX: usize = 511 - 1;

/// A page on the stack, unless pages are larger than most machines have them.
type Page = SmallVec<[u8; 4096]>;

/// What is wrong with a file, or what went wrong reading it.
#[derive(Debug)]
pub(super) enum Unreadable {
    Io(io::Error),
    Because(&'static str),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it was cut")
            }
            Self::Io(error) => error.fmt(f),
            Self::Because(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

const DAMAGED: Unreadable = Unreadable::Because("it is damaged: it contradicts itself");

/// A table that is asked.
#[derive(Debug)]
pub(super) struct Lmdb {
    file: Arc<dyn ReadAt>,
    page_bytes: usize,
}

/// Which tree is the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    transaction: u64,
    root: u64,
}

impl Lmdb {
    pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Self, Unreadable> {
        let mut start = [0; META_BYTES];
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
        let table = Self { file, page_bytes };
        let root = table.meta()?.root;
        if root != NO_PAGE {
            let mut page = Page::new();
            table.read(root, &mut page)?;
        }
        Ok(table)
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        let with_nul: SmallVec<[u8; 256]> = key.iter().copied().chain([0]).collect();
        self.undisturbed(|meta| match self.find(meta.root, &with_nul)? {
            Some(value) => Ok(Some(value)),
            None => self.find(meta.root, key),
        })
    }

    /// All entries, in the order of their keys.
    pub(super) fn entries(&self) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        self.undisturbed(|meta| {
            let mut all = Vec::new();
            if meta.root != NO_PAGE {
                self.collect(meta.root, DEPTH_MAX, &mut HashSet::default(), &mut all)?;
            }
            Ok(all)
        })
    }

    /// Reads until nobody has finished a transaction meanwhile: then every page that was read is one of
    /// the transaction that was the last all the time.
    fn undisturbed<T>(
        &self,
        read: impl Fn(Meta) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        for _ in 0..TRIES_MAX {
            let before = self.meta()?;
            let result = read(before);
            if self.meta()? == before {
                return result;
            }
        }
        Err(Unreadable::Because("it is written to all the time"))
    }

    /// The later of the two.
    fn meta(&self) -> Result<Meta, Unreadable> {
        let mut latest: Option<Meta> = None;
        for number in 0..2 {
            let mut bytes = [0; META_BYTES];
            self.file.read_exact_at(&mut bytes, number * self.page_bytes as u64)?;
            if long(&bytes, 16) != MAGIC {
                return Err(DAMAGED);
            }
            let meta = Meta { transaction: longer(&bytes, 144), root: longer(&bytes, 128) };
            if latest.is_none_or(|latest| latest.transaction < meta.transaction) {
                latest = Some(meta);
            }
        }
        latest.ok_or(DAMAGED)
    }

    fn find(&self, root: u64, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        if root == NO_PAGE {
            return Ok(None);
        }
        let mut page = Page::new();
        let mut number = root;
        for _ in 0..DEPTH_MAX {
            self.read(number, &mut page)?;
            let nodes = nodes(&page)?;
            if flags(&page) & LEAF != 0 {
                let Some(node) = search(&page, 0, nodes, key)?.ok() else { return Ok(None) };
                let (_, value) = self.leaf(&page, node)?;
                return Ok(Some(without_nul(value)));
            }
            // The first node of a branch stands for everything below the second.
            let below = match search(&page, 1, nodes, key)? {
                Ok(node) => node,
                Err(before) => before - 1,
            };
            number = child(&page, below)?;
        }
        Err(DAMAGED)
    }

    fn collect(
        &self,
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
        let mut page = Page::new();
        self.read(number, &mut page)?;
        for node in 0..nodes(&page)? {
            if flags(&page) & LEAF != 0 {
                let (key, value) = self.leaf(&page, node)?;
                all.push((without_nul(Bytes::copy_from_slice(key)), without_nul(value)));
            } else {
                self.collect(child(&page, node)?, depth, seen, all)?;
            }
        }
        Ok(())
    }

    /// The key and the value of a leaf's node.
    fn leaf<'p>(&self, page: &'p [u8], node: usize) -> Result<(&'p [u8], Bytes), Unreadable> {
        let at = node_at(page, node)?;
        let length = usize::from(short(page, at)) | usize::from(short(page, at + 2)) << 16;
        let (flags, key) = (short(page, at + 4), key(page, node)?);
        let value = at + NODE_HEADER_BYTES + key.len();
        if flags & SEVERAL != 0 {
            return Err(Unreadable::Because("it has several values for a key"));
        }
        if flags & BIG == 0 {
            let value = page.get(value..value + length).ok_or(DAMAGED)?;
            return Ok((key, Bytes::copy_from_slice(value)));
        }
        let number = page.get(value..value + 8).ok_or(DAMAGED)?;
        let number = longer(number, 0);
        let start = number.checked_mul(self.page_bytes as u64).ok_or(DAMAGED)?;
        let mut header = [0; PAGE_HEADER_BYTES];
        self.file.read_exact_at(&mut header, start)?;
        let pages = long(&header, 12) as usize;
        if short(&header, 10) & OVERFLOW == 0
            || length > pages.saturating_mul(self.page_bytes) - PAGE_HEADER_BYTES.min(pages)
            || length > cf::LINE_BYTES_MAX + 1
        {
            return Err(DAMAGED);
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start + PAGE_HEADER_BYTES as u64)?;
        Ok((key, bytes.into()))
    }

    fn read(&self, number: u64, page: &mut Page) -> Result<(), Unreadable> {
        let start = number.checked_mul(self.page_bytes as u64).ok_or(DAMAGED)?;
        page.resize(self.page_bytes, 0);
        self.file.read_exact_at(page, start)?;
        match flags(page) & (BRANCH | LEAF) {
            BRANCH | LEAF => Ok(()),
            _ => Err(DAMAGED),
        }
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

fn without_nul(bytes: Bytes) -> Bytes {
    match *bytes {
        [.., 0] => bytes.slice(..bytes.len() - 1),
        _ => bytes,
    }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    u16::from_ne_bytes(found.copied().unwrap_or_default())
}

fn long(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    u32::from_ne_bytes(found.copied().unwrap_or_default())
}

fn longer(bytes: &[u8], at: usize) -> u64 {
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
        let reading = self.environment.read_txn().map_err(failed)?;
        let opened = self.environment.open_databases_and_commit(reading, |opener, reading| {
            opener
                .open_database::<heed::types::Bytes, heed::types::Bytes>(reading, None)
                .map(CommitOrAbort::<_, ()>::Commit)
        });
        let CommitOrAbort::Commit(Some(database)) = opened.map_err(failed)? else {
            let source = io::Error::other("LMDB opened it without a database");
            return Err(FileError::new("write", self.file.path(), source));
        };
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
        let number = table(file.clone()).unwrap().meta().unwrap().root;
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
        /// Every look at it finds one more transaction.
        #[derive(Debug)]
        struct Busy(std::sync::atomic::AtomicU64, Vec<u8>);
        impl ReadAt for Busy {
            fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
                let mut file = self.1.clone();
                let transaction = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                file[144..152].copy_from_slice(&(1000 + transaction).to_le_bytes());
                Bytes::from(file).read_exact_at(buffer, offset)
            }
        }
        let table = Lmdb::open(Arc::new(Busy(0.into(), file(&some(3))))).unwrap();
        let why = table.get(b"user1@example.com").unwrap_err();
        assert_eq!(why.to_string(), "it is written to all the time");
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
