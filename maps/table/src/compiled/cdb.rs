//! D. J. Bernstein's constant database, as Postfix has it with `cdb:`.
//!
//! 256 pairs of position and number of slots; the records, each the lengths of its key and its value, the
//! key and the value; 256 tables of slots, each the hash and the position of a record. All numbers have
//! four bytes, little-endian, so a file ends below 4 GiB. There is no checksum: a file is only checked to
//! be complete, and every read in it stays within it.
//!
//! Postfix writes keys and values without a NUL behind them on some systems and with one on others
//! (`src/util/dict_cdb.c`). A table has the one or the other, its first record tells which. We write none,
//! as Debian does.

use std::io;

use bytes::Bytes;

use super::layout::{Damage, entry};
use super::replacement::{FileError, Replacement};

const HEADER_BYTES: usize = 256 * 8;
const BUFFER_BYTES: usize = 1 << 20;

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, &b| hash.wrapping_mul(33) ^ u32::from(b))
}

/// A table that is asked.
#[derive(Debug)]
pub(super) struct Cdb {
    file: Bytes,
    has_nul: bool,
}

impl Cdb {
    /// Looks at a file as closely as its format allows.
    pub(super) fn open(file: Bytes) -> Result<Self, Damage> {
        if file.is_empty() {
            return Err(Damage::Empty);
        }
        let found = file.len() as u64;
        if file.len() < HEADER_BYTES {
            return Err(Damage::Length { found, expected: HEADER_BYTES as u64 });
        }
        let mut table = Self { file, has_nul: false };
        // The tables follow each other behind the records, the empty ones as well, and the last one
        // ends the file. Zeros are no table without entries.
        let mut end = table.records_end() as u64;
        if end < HEADER_BYTES as u64 {
            return Err(Damage::Foreign);
        }
        for number in 0..256 {
            let (position, slots) = table.pair(number * 8).ok_or(Damage::Nonsense)?;
            if u64::from(position) != end {
                return Err(Damage::Foreign);
            }
            end += u64::from(slots) * 8;
        }
        if end != found {
            return Err(Damage::Length { found, expected: end });
        }
        let first = table.entries().next().transpose()?;
        table.has_nul = first.is_some_and(|(key, _)| key.last() == Some(&0));
        Ok(table)
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Damage> {
        if !self.has_nul {
            return self.find(key);
        }
        let key: smallvec::SmallVec<[u8; 256]> = key.iter().copied().chain([0]).collect();
        Ok(self.find(&key)?.map(|value| value.strip_suffix(&[0]).unwrap_or(value)))
    }

    /// The whole file, so that a value may hold on to it.
    pub(super) fn file(&self) -> &Bytes {
        &self.file
    }

    fn find(&self, key: &[u8]) -> Result<Option<&[u8]>, Damage> {
        let hash = hash(key);
        let (table, slots) = self.pair(hash as usize % 256 * 8).ok_or(Damage::Nonsense)?;
        if slots == 0 {
            return Ok(None);
        }
        let first = (hash >> 8) % slots;
        for slot in (first..slots).chain(0..first) {
            let at = u64::from(table) + u64::from(slot) * 8;
            let at = usize::try_from(at).map_err(|_| Damage::Nonsense)?;
            let (found, position) = self.pair(at).ok_or(Damage::Nonsense)?;
            if position == 0 {
                return Ok(None);
            }
            if found == hash {
                let (found, value, _) = self.record(position as usize).ok_or(Damage::Nonsense)?;
                if found == key {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }

    /// All entries, in the order of the file, as they are there.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), Damage>> + '_ {
        let end = self.records_end();
        let mut at = HEADER_BYTES;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let Some((key, value, next)) = self.record(at) else {
                at = end;
                return Some(Err(Damage::Nonsense));
            };
            at = next;
            let whole = |bytes: &[u8]| match bytes {
                [bytes @ .., 0] if self.has_nul => self.file.slice_ref(bytes),
                bytes => self.file.slice_ref(bytes),
            };
            Some(Ok((whole(key), whole(value))))
        })
    }

    /// Where the first table begins.
    fn records_end(&self) -> usize {
        self.pair(0).map_or(0, |(position, _)| position as usize)
    }

    fn pair(&self, at: usize) -> Option<(u32, u32)> {
        let bytes: &[u8; 8] = self.file.get(at..)?.first_chunk()?;
        let both = u64::from_le_bytes(*bytes);
        Some((both as u32, (both >> 32) as u32))
    }

    /// The key and the value of the record at this place, and where it ends.
    fn record(&self, at: usize) -> Option<(&[u8], &[u8], usize)> {
        let (key, value) = self.pair(at)?;
        let key_end = (at + 8).checked_add(key as usize)?;
        let end = key_end.checked_add(value as usize)?;
        Some((self.file.get(at + 8..key_end)?, self.file.get(key_end..end)?, end))
    }
}

/// Writes a table.
pub(super) struct Writer<'a> {
    file: &'a mut Replacement,
    buffer: Vec<u8>,
    /// Where the next record begins.
    position: u32,
    /// Hashes and positions of the records, by table.
    tables: Vec<Vec<(u32, u32)>>,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(file: &'a mut Replacement) -> Self {
        // The header is known last.
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.resize(HEADER_BYTES, 0);
        let tables = (0..256).map(|_| Vec::new()).collect();
        Self { file, buffer, position: HEADER_BYTES as u32, tables }
    }

    /// Adds an entry, encoded as for a native table.
    pub(super) fn put(&mut self, encoded: &[u8]) -> Result<(), FileError> {
        let Some((key, value, _)) = entry(encoded) else { return Ok(()) };
        let hash = hash(key);
        // Its record, and its two slots in the end.
        let bytes = 8 + key.len() as u64 + value.len() as u64;
        let slots: u64 = self.tables.iter().map(|table| table.len() as u64 * 16).sum();
        let next = u64::from(self.position) + bytes;
        let (Ok(next), true) = (u32::try_from(next), next + slots + 16 <= u64::from(u32::MAX))
        else {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, "a cdb file ends below 4 GiB");
            return Err(FileError::new("write", self.file.path(), error));
        };
        self.tables[hash as usize % 256].push((hash, self.position));
        self.position = next;
        self.append(&(key.len() as u32).to_le_bytes())?;
        self.append(&(value.len() as u32).to_le_bytes())?;
        self.append(key)?;
        self.append(value)
    }

    /// Writes the tables, and returns how long the file is.
    pub(super) fn finish(mut self) -> Result<u64, FileError> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        let mut position = self.position;
        for table in std::mem::take(&mut self.tables) {
            // Half of the slots stay empty, so that a search ends soon.
            let mut slots = vec![(0, 0); table.len() * 2];
            for (hash, record) in table {
                let first = (hash >> 8) as usize % slots.len();
                let free = (first..slots.len()).chain(0..first).find(|&at| slots[at].1 == 0);
                if let Some(free) = free {
                    slots[free] = (hash, record);
                }
            }
            header.extend_from_slice(&position.to_le_bytes());
            header.extend_from_slice(&(slots.len() as u32).to_le_bytes());
            position += slots.len() as u32 * 8;
            for (hash, record) in slots {
                self.append(&hash.to_le_bytes())?;
                self.append(&record.to_le_bytes())?;
            }
        }
        self.flush()?;
        self.file.write_at(&header, 0)?;
        Ok(u64::from(position))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as djb's programs write it, with these bytes behind each key and value.
    fn file(entries: &[(&str, &str)], behind: &[u8]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.cdb");
        let mut new = Replacement::create(&target, 0o644).unwrap();
        let mut writer = Writer::begin(&mut new);
        for (key, value) in entries {
            let [key, value] = [key, value].map(|text| [text.as_bytes(), behind].concat());
            let mut encoded = vec![key.len() as u8, value.len() as u8];
            encoded.extend(key);
            encoded.extend(value);
            writer.put(&encoded).unwrap();
        }
        let bytes = writer.finish().unwrap();
        new.commit().unwrap();
        let file = std::fs::read(target).unwrap();
        assert_eq!(file.len() as u64, bytes);
        file
    }

    const ENTRIES: [(&str, &str); 3] = [("a", "1"), ("b@example.com", "two words"), ("c", "")];

    #[test]
    fn what_was_written_is_found_with_and_without_a_nul_behind_it() {
        for behind in [&b""[..], b"\0"] {
            let table = Cdb::open(file(&ENTRIES, behind).into()).unwrap();
            for (key, value) in ENTRIES {
                assert_eq!(table.get(key.as_bytes()), Ok(Some(value.as_bytes())));
            }
            assert_eq!(table.get(b"d"), Ok(None));
            let all: Vec<_> = table.entries().map(Result::unwrap).collect();
            assert_eq!(all, ENTRIES.map(|(key, value)| (key.into(), value.into())));
        }
        assert_eq!(Cdb::open(file(&[], b"").into()).unwrap().get(b"a"), Ok(None));
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_refused() {
        let file = file(&ENTRIES, b"");
        for cut in 0..file.len() {
            assert!(Cdb::open(file[..cut].to_vec().into()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_file_that_was_altered_never_makes_anything_panic() {
        let mut file = file(&ENTRIES, b"\0");
        for bit in 0..file.len() * 8 {
            file[bit / 8] ^= 1 << (bit % 8);
            if let Ok(table) = Cdb::open(file.clone().into()) {
                for (key, _) in ENTRIES {
                    let _ = table.get(key.as_bytes());
                }
                assert!(table.entries().count() <= file.len());
            }
            file[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
