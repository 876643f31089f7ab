//! The native format: writing and reading. What it looks like is in `layout.rs`.

use bytes::Bytes;

use super::layout::{self, BUCKET_ENTRIES, Damage, HEADER_BYTES, Header, LINE_BYTES, Line};
use super::replacement::{FileError, Replacement};

/// What is written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A seed that nobody can guess, though those who ask do not matter: entries are placed once, when the
/// table is made, and a key that is asked for moves none of them.
pub(super) fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness a table is as good.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    u64::from_le_bytes(bytes)
}

/// Writes a table whose entries come in the order of their hashes.
pub(super) struct Writer<'a> {
    file: &'a mut Replacement,
    buffer: Vec<u8>,
    /// Offset of what is next put into the buffer.
    offset: u64,
    crc: u32,
    header: Header,
    /// The lines of all buckets up to the one that is being filled.
    directory: Vec<Line>,
}

impl<'a> Writer<'a> {
    /// Begins a table of at most this many entries.
    pub(super) fn begin(file: &'a mut Replacement, seed: u64, folded: bool, entries: u64) -> Self {
        let buckets = entries.div_ceil(BUCKET_ENTRIES).max(1);
        let header =
            Header { folded, seed, entries: 0, buckets, directory: 0, length: 0, body_crc: 0 };
        let lines = usize::try_from(buckets + 1).unwrap_or(0);
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        // The header comes last, when everything in it is known.
        buffer.resize(HEADER_BYTES, 0);
        let offset = HEADER_BYTES as u64;
        Self { file, buffer, offset, crc: 0, header, directory: Vec::with_capacity(lines) }
    }

    /// Adds an entry, encoded.
    pub(super) fn put(&mut self, hash: u64, entry: &[u8]) -> Result<(), FileError> {
        if self.offset + entry.len() as u64 >= layout::FILE_BYTES_MAX {
            let error = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            return Err(FileError::new("write", self.file.path(), error));
        }
        self.start_buckets(layout::bucket(hash, self.header.buckets) + 1);
        if let Some(line) = self.directory.last_mut() {
            line.add(layout::fingerprint(hash), self.offset);
        }
        self.header.entries += 1;
        self.append(entry)
    }

    /// Writes the rest, and returns how long the file is.
    pub(super) fn finish(mut self) -> Result<u64, FileError> {
        self.start_buckets(self.header.buckets + 1);
        let padding = self.offset.next_multiple_of(LINE_BYTES as u64) - self.offset;
        self.append(&[0; LINE_BYTES][..padding as usize])?;
        self.header.directory = self.offset;
        for line in std::mem::take(&mut self.directory) {
            self.append(&line.bytes())?;
        }
        self.flush()?;
        self.header.length = self.offset;
        self.header.body_crc = self.crc;
        self.file.write_at(&self.header.encode(), 0)?;
        Ok(self.offset)
    }

    /// Says that buckets before the `count`th have all their entries.
    fn start_buckets(&mut self, count: u64) {
        while (self.directory.len() as u64) < count {
            self.directory.push(Line::starting_at(self.offset));
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let header_bytes = if self.crc_begins() { HEADER_BYTES } else { 0 };
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer[header_bytes..]);
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Whether the buffer still has the room for the header at its start.
    fn crc_begins(&self) -> bool {
        self.offset == self.buffer.len() as u64
    }
}

/// A table that is asked.
#[derive(Debug)]
pub(super) struct Native {
    file: Bytes,
    header: Header,
}

impl Native {
    /// Verifies a whole file, which takes a while for a large one.
    pub(super) fn open(file: Bytes) -> Result<Self, Damage> {
        let header = Header::of_file(&file)?;
        Ok(Self { file, header })
    }

    pub(super) fn is_folded(&self) -> bool {
        self.header.folded
    }

    /// The value of a key, which is folded where the table is. It lies in [`Native::file`].
    ///
    /// Nothing here branches on what comes from memory unless nearly all lookups take the same way: the
    /// processor then goes on with what is asked next while it waits for this.
    #[inline(always)]
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Damage> {
        let hash = layout::hash(key, self.header.seed);
        let bucket = layout::bucket(hash, self.header.buckets);
        let bytes = self.line(bucket)?;
        let line = Line::from_bytes(bytes);
        let begins = line.offset() as usize;
        for nth in line.candidates(layout::fingerprint(hash)) {
            let at = begins.wrapping_add(layout::place(bytes, nth));
            let bytes = self.file.get(at..).ok_or(Damage::Nonsense)?;
            if let Some(value) = layout::value_of(bytes, key)? {
                return Ok(Some(value));
            }
        }
        if line.has_more() { self.get_unmarked(bucket, key) } else { Ok(None) }
    }

    /// The same among the entries of a bucket that have no fingerprints.
    #[cold]
    fn get_unmarked(&self, bucket: u64, key: &[u8]) -> Result<Option<&[u8]>, Damage> {
        let (line, bucket) = self.bucket(bucket)?;
        let mut rest = bucket.get(line.last()..).ok_or(Damage::Nonsense)?;
        while !rest.is_empty() {
            let (found, value, behind) = layout::entry(rest).ok_or(Damage::Nonsense)?;
            if found == key {
                return Ok(Some(value));
            }
            rest = behind;
        }
        Ok(None)
    }

    /// The whole file, so that a value may hold on to it.
    pub(super) fn file(&self) -> &Bytes {
        &self.file
    }

    #[inline]
    fn line(&self, bucket: u64) -> Result<&[u8; LINE_BYTES], Damage> {
        let at = self.header.directory + bucket * LINE_BYTES as u64;
        let lines = usize::try_from(at).ok().and_then(|at| self.file.get(at..));
        lines.and_then(|lines| lines.first_chunk()).ok_or(Damage::Nonsense)
    }

    /// A bucket's line, and its entries.
    fn bucket(&self, bucket: u64) -> Result<(Line, &[u8]), Damage> {
        let [line, next] = [self.line(bucket)?, self.line(bucket + 1)?].map(Line::from_bytes);
        let entries = self.file.get(line.offset() as usize..next.offset() as usize);
        Ok((line, entries.ok_or(Damage::Nonsense)?))
    }

    /// All entries, in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), Damage>> + '_ {
        let mut rest = match self.bucket(self.header.buckets - 1) {
            Ok((line, last)) => {
                self.file.get(HEADER_BYTES..line.offset() as usize + last.len()).unwrap_or_default()
            }
            Err(_) => &[],
        };
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let entry = layout::entry(rest).ok_or(Damage::Nonsense);
            rest = entry.map_or(&[], |(.., rest)| rest);
            Some(
                entry.map(|(key, value, _)| (self.file.slice_ref(key), self.file.slice_ref(value))),
            )
        })
    }
}
