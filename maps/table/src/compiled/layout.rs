//! The layout of a native table file; `docs/map-format.md` is this for people who read such files.
//!
//! Integers are little-endian.
//!
//! | offset | bytes | field                                                          |
//! |-------:|------:|----------------------------------------------------------------|
//! |      0 |     8 | magic: `89` `RPMAP` `0D` `0A`, which no text and no other table begins with |
//! |      8 |     4 | version, 2                                                     |
//! |     12 |     4 | flags: bit 0, keys are folded to lower case; others are zero   |
//! |     16 |     8 | seed of the hash                                               |
//! |     24 |     8 | number of entries                                              |
//! |     32 |     8 | number of buckets, at least 1                                  |
//! |     40 |     8 | offset of the directory                                        |
//! |     48 |     8 | length of the file                                             |
//! |     56 |     4 | CRC-32C of everything after the header                         |
//! |     60 |     4 | CRC-32C of the header up to here                               |
//! |     64 |       | the entries of bucket 0, of bucket 1, ...                      |
//! |        |       | zeros, to a multiple of 32                                     |
//! |        |    32 | each: directory, one line a bucket and one behind the last     |
//!
//! An entry is the length of its key, the length of its value (both LEB128), the key, the value.
//!
//! The hash is XXH3-64 with the seed. An entry's bucket is `hash * buckets / 2^64`, so entries are in the
//! order of their hashes: whoever writes the file sorts them once and then writes from front to end, and
//! nothing is ever moved to make room. Its fingerprint is the hash's lowest byte, and 1 where that is 0.
//!
//! A line of the directory, which lies within one line of the processor's cache:
//!
//! | offset | bytes | field                                                          |
//! |-------:|------:|----------------------------------------------------------------|
//! |      0 |     8 | fingerprints of the bucket's first entries; 0 where there is none |
//! |      8 |     8 | offset of its first entry, it ends where the next bucket begins; the highest bit: there are further entries behind those with fingerprints |
//! |     16 |    16 | where each of these begins, 2 bytes each, from the first one   |
//!
//! With five entries to a bucket one in fifteen has more than eight; those behind them are found by going
//! through the entries from the eighth on. So are those behind one so long that two bytes cannot tell
//! where the next begins.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes of a line of the directory.
pub(super) const LINE_BYTES: usize = 32;
/// Entries to a bucket, on average: the directory takes not quite six and a half bytes an entry.
pub(super) const BUCKET_ENTRIES: u64 = 5;
/// Entries of a bucket that have fingerprints.
const MARKED_MAX: usize = 8;
/// The highest bit of the offset.
const MORE: u64 = 1 << 63;
/// Bytes that are 1.
const ONES: u64 = u64::MAX / 0xff;
/// Where a file ends at the latest.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 39;

const MAGIC: [u8; 8] = *b"\x89RPMAP\r\n";
const VERSION: u32 = 2;
const FOLDED: u32 = 1;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) folded: bool,
    pub(super) seed: u64,
    pub(super) entries: u64,
    pub(super) buckets: u64,
    pub(super) directory: u64,
    pub(super) length: u64,
    pub(super) body_crc: u32,
}

/// Why a file is not a native table that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It has no bytes.
    Empty,
    /// It begins like nothing that is known here.
    Foreign,
    /// Another ringpost made it, a later one or one before this format.
    Version(u32),
    /// It is shorter or longer than it says.
    Length {
        /// What there is.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// What is in it is not what was written.
    Checksum,
    /// The checksums are right, and yet it makes no sense.
    Nonsense,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty"),
            Self::Foreign => f.write_str("this is no compiled table"),
            Self::Version(version) => {
                write!(f, "its format has version {version}, and version {VERSION} is known here")
            }
            Self::Length { found, expected } if found < expected => {
                write!(f, "it was cut: {found} of {expected} bytes are there")
            }
            Self::Length { found, expected } => {
                write!(f, "it has {found} bytes instead of {expected}")
            }
            Self::Checksum => f.write_str("it is damaged: its checksum does not match"),
            Self::Nonsense => f.write_str("it is damaged: it contradicts itself"),
        }
    }
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let flags = if self.folded { FOLDED } else { 0 };
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        let words = [self.seed, self.entries, self.buckets, self.directory, self.length];
        for (word, place) in words.iter().zip(bytes[16..56].chunks_exact_mut(8)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[56..60].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads and verifies a whole file. Takes time in proportion to its size.
    pub(super) fn of_file(file: &[u8]) -> Result<Self, Damage> {
        let header = Self::decode(file)?;
        if crc32c::crc32c(&file[HEADER_BYTES..]) != header.body_crc {
            return Err(Damage::Checksum);
        }
        Ok(header)
    }

    fn decode(file: &[u8]) -> Result<Self, Damage> {
        if file.is_empty() {
            return Err(Damage::Empty);
        }
        let start = &file[..file.len().min(MAGIC.len())];
        if !MAGIC.starts_with(start) {
            return Err(Damage::Foreign);
        }
        let found = file.len() as u64;
        let Some(bytes) = file.first_chunk::<HEADER_BYTES>() else {
            return Err(Damage::Length { found, expected: HEADER_BYTES as u64 });
        };
        if crc32c::crc32c(&bytes[..60]) != half(bytes, 60) {
            return Err(Damage::Checksum);
        }
        if half(bytes, 8) != VERSION {
            return Err(Damage::Version(half(bytes, 8)));
        }
        let word = |at| u64::from(half(bytes, at)) | u64::from(half(bytes, at + 4)) << 32;
        let header = Self {
            folded: half(bytes, 12) == FOLDED,
            seed: word(16),
            entries: word(24),
            buckets: word(32),
            directory: word(40),
            length: word(48),
            body_crc: half(bytes, 56),
        };
        if header.length != found {
            return Err(Damage::Length { found, expected: header.length });
        }
        if half(bytes, 12) & !FOLDED != 0 || !header.is_sensible() {
            return Err(Damage::Nonsense);
        }
        Ok(header)
    }

    fn is_sensible(&self) -> bool {
        let lines = self.buckets.checked_add(1);
        let directory = lines.and_then(|lines| lines.checked_mul(LINE_BYTES as u64));
        self.buckets > 0
            && self.directory >= HEADER_BYTES as u64
            && self.directory.is_multiple_of(LINE_BYTES as u64)
            && directory.and_then(|bytes| self.directory.checked_add(bytes)) == Some(self.length)
    }
}

fn half(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The hash of a key, folded where the table's keys are.
#[inline]
pub(super) fn hash(key: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(key, seed)
}

#[inline]
pub(super) fn bucket(hash: u64, buckets: u64) -> u64 {
    ((u128::from(hash) * u128::from(buckets)) >> 64) as u64
}

/// What an entry is known by in its bucket's line: from the low end of the hash, where the bucket comes
/// from the high end.
#[inline]
pub(super) fn fingerprint(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// A line of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The first entry's in the lowest byte.
    fingerprints: u64,
    /// Offset of the first entry, and [`MORE`].
    begins: u64,
    /// Where each begins, from the first one.
    places: [u16; MARKED_MAX],
}

impl Line {
    /// The line of a bucket that begins here and has no entries so far.
    pub(super) fn starting_at(offset: u64) -> Self {
        Self { fingerprints: 0, begins: offset, places: [0; MARKED_MAX] }
    }

    /// Adds the bucket's next entry, which begins at `offset`.
    pub(super) fn add(&mut self, fingerprint: u8, offset: u64) {
        let marked = self.marked();
        let from_first = u16::try_from(offset - self.offset());
        match from_first {
            Ok(from_first) if marked < MARKED_MAX && !self.has_more() => {
                self.fingerprints |= u64::from(fingerprint) << (8 * marked);
                self.places[marked] = from_first;
            }
            _ => self.begins |= MORE,
        }
    }

    pub(super) fn bytes(&self) -> [u8; LINE_BYTES] {
        let mut bytes = [0; LINE_BYTES];
        bytes[..8].copy_from_slice(&self.fingerprints.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.begins.to_le_bytes());
        for (place, bytes) in self.places.iter().zip(bytes[16..].chunks_exact_mut(2)) {
            bytes.copy_from_slice(&place.to_le_bytes());
        }
        bytes
    }

    #[inline]
    pub(super) fn from_bytes(bytes: &[u8; LINE_BYTES]) -> Self {
        let (words, _) = bytes.as_chunks();
        let (halves, _) = bytes.as_chunks();
        let places = std::array::from_fn(|nth| u16::from_le_bytes(halves[MARKED_MAX + nth]));
        let [fingerprints, begins] = [words[0], words[1]].map(u64::from_le_bytes);
        Self { fingerprints, begins, places }
    }

    /// Where the bucket begins.
    pub(super) fn offset(&self) -> u64 {
        self.begins & !MORE
    }

    /// How many entries have fingerprints.
    fn marked(&self) -> usize {
        (u64::BITS - self.fingerprints.leading_zeros()).div_ceil(8) as usize
    }

    /// Whether there are entries without a fingerprint.
    pub(super) fn has_more(&self) -> bool {
        self.begins & MORE != 0
    }

    /// Where the last entry with a fingerprint begins, if there is one, from the bucket's beginning.
    pub(super) fn last(&self) -> usize {
        usize::from(self.places[self.marked().saturating_sub(1)])
    }

    /// Which entries have this fingerprint, see [`Line::place`]. Rarely there is one too many; its key tells.
    #[inline]
    pub(super) fn candidates(&self, fingerprint: u8) -> Candidates {
        // All at once, and without a branch that the processor would have to guess: a byte that is zero
        // borrows from its highest bit.
        let differing = self.fingerprints ^ (ONES * u64::from(fingerprint));
        Candidates(differing.wrapping_sub(ONES) & !differing & (ONES << 7))
    }
}

/// Entries of a bucket: the highest bit of the byte of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates(u64);

impl Iterator for Candidates {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let nth = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(nth)
    }
}

/// Where the entry begins that is `nth` in the bucket of this line, from the bucket's beginning. Read from
/// where it lies: of the eight places one is wanted.
#[inline]
pub(super) fn place(line: &[u8; LINE_BYTES], nth: usize) -> usize {
    let (halves, _) = line.as_chunks();
    usize::from(u16::from_le_bytes(halves[(MARKED_MAX + nth) % (LINE_BYTES / 2)]))
}

/// Appends a length.
pub(super) fn push_length(out: &mut Vec<u8>, mut length: u32) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// The entry at the start of `bytes` and what follows it; `None` where there is no whole one.
pub(super) fn entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, bytes) = length(bytes)?;
    let (value, bytes) = length(bytes)?;
    let (key, bytes) = bytes.split_at_checked(key)?;
    let (value, bytes) = bytes.split_at_checked(value)?;
    Some((key, value, bytes))
}

/// The value of the entry at the start of `bytes` where that has this key, which it nearly always has.
#[inline]
pub(super) fn value_of<'a>(bytes: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, Damage> {
    let short = bytes.first_chunk().filter(|[of_key, of_value]| (of_key | of_value) < 0x80);
    let Some(&[of_key, of_value]) = short else { return value_of_long(bytes, key) };
    if usize::from(of_key) != key.len() {
        return Ok(None);
    }
    // As long as what is asked for: how much is compared is then known before the entry is.
    let (found, rest) = bytes[2..].split_at_checked(key.len()).ok_or(Damage::Nonsense)?;
    if !same(found, key) {
        return Ok(None);
    }
    rest.get(..usize::from(of_value)).ok_or(Damage::Nonsense).map(Some)
}

/// Whether two texts of one length are equal. Most keys are of a length for which four words are all of it;
/// they are looked at here, so that a lookup has no more instructions than it needs: how many lookups a
/// processor has under way while it waits for memory is a matter of how few those are.
#[inline]
fn same(found: &[u8], key: &[u8]) -> bool {
    const WORD: usize = size_of::<u64>();
    let word = |text: &[u8], at: usize| {
        let bytes = text.get(at..).and_then(|text| text.first_chunk());
        bytes.map_or(0, |&bytes| u64::from_ne_bytes(bytes))
    };
    let length = key.len();
    if !(2 * WORD..=4 * WORD).contains(&length) || found.len() != length {
        return found == key;
    }
    let differing = |at: usize| word(found, at) ^ word(key, at);
    let from_start = differing(0) | differing(WORD);
    from_start | differing(length - 2 * WORD) | differing(length - WORD) == 0
}

#[cold]
fn value_of_long<'a>(bytes: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, Damage> {
    let (found, value, _) = entry(bytes).ok_or(Damage::Nonsense)?;
    Ok((found == key).then_some(value))
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    // Nearly all lengths are of one byte.
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let mut length = usize::from(first & 0x7f);
    let mut rest = rest;
    for shift in [7, 14, 21, 28] {
        let (&next, after) = rest.split_first()?;
        length |= usize::from(next & 0x7f) << shift;
        rest = after;
        if next < 0x80 {
            return Some((length, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back() {
        for wanted in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 22, u32::MAX] {
            let mut bytes = Vec::new();
            push_length(&mut bytes, wanted);
            bytes.push(7);
            assert_eq!(length(&bytes), Some((wanted as usize, &[7][..])));
            for cut in 0..bytes.len() - 1 {
                assert_eq!(length(&bytes[..cut]), None, "{wanted} cut at {cut}");
            }
        }
        assert_eq!(length(&[0x80; 9]), None);
    }

    #[test]
    fn buckets_are_in_the_order_of_hashes() {
        for buckets in [1, 2, 3, 1000, 1 << 40] {
            assert_eq!(bucket(0, buckets), 0);
            assert_eq!(bucket(u64::MAX, buckets), buckets - 1);
            assert!(bucket(1 << 40, buckets) <= bucket(1 << 41, buckets));
        }
    }

    fn places(line: Line, fingerprint: u8) -> Vec<usize> {
        let bytes = line.bytes();
        assert_eq!(Line::from_bytes(&bytes), line);
        line.candidates(fingerprint).map(|nth| place(&bytes, nth)).collect()
    }

    #[test]
    fn a_line_finds_its_entries_by_their_fingerprints() {
        let mut line = Line::starting_at(0x7b_cdef_0123);
        let marks = [7, 1, 255, 7, 128, 2, 4, 7];
        for (at, mark) in marks.into_iter().enumerate() {
            assert!(!line.has_more());
            line.add(mark, 0x7b_cdef_0123 + at as u64 * 50);
        }
        assert_eq!(line.offset(), 0x7b_cdef_0123);
        assert_eq!(places(line, 7), [0, 150, 350]);
        for (mark, at) in [(1, 50), (255, 100), (128, 200), (4, 300)] {
            assert!(places(line, mark).contains(&at), "{mark}");
        }
        assert_eq!(line.candidates(9).count(), 0);
        assert_eq!(line.last(), 350);
        line.add(9, 0x7b_cdef_0123 + 400);
        assert!(line.has_more());
        assert_eq!(line.candidates(9).count(), 0);
    }

    #[test]
    fn what_begins_too_far_behind_the_first_has_no_fingerprint_and_none_behind_it() {
        let mut line = Line::starting_at(64);
        line.add(1, 64);
        line.add(2, 64 + 0xffff);
        line.add(3, 64 + 0x10000);
        line.add(4, 64 + 10);
        assert_eq!(places(line, 2), [0xffff]);
        assert_eq!((line.candidates(3).count(), line.candidates(4).count()), (0, 0));
        assert!(line.has_more());
        assert_eq!(line.last(), 0xffff);
    }

    #[test]
    fn no_line_makes_anything_panic() {
        let line = Line::from_bytes(&[0xff; LINE_BYTES]);
        assert_eq!(line.candidates(0xff).count(), MARKED_MAX);
        assert_eq!(line.last(), 0xffff);
        assert_eq!(place(&[0xff; LINE_BYTES], usize::MAX / 2), 0xffff);
    }

    #[test]
    fn a_header_reads_back_and_is_refused_when_any_bit_is_another() {
        let header = Header {
            folded: true,
            seed: 7,
            entries: 0,
            buckets: 1,
            directory: 64,
            length: 128,
            body_crc: crc32c::crc32c(&[0; 64]),
        };
        let mut file = header.encode().to_vec();
        file.extend_from_slice(&[0; 64]);
        assert_eq!(Header::of_file(&file), Ok(header));
        for bit in 0..file.len() * 8 {
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::of_file(&file).is_err(), "bit {bit}");
            file[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..file.len() {
            assert!(Header::of_file(&file[..cut]).is_err(), "cut at {cut}");
        }
        file.push(0);
        assert_eq!(Header::of_file(&file), Err(Damage::Length { found: 129, expected: 128 }));
    }
}
