//! The layout of a native table file; `docs/map-format.md` is this for people who read such files.
//!
//! Integers are little-endian.
//!
//! | offset | bytes | field                                                          |
//! |-------:|------:|----------------------------------------------------------------|
//! |      0 |     8 | magic: `89` `RPMAP` `0D` `0A`, which no text and no other table begins with |
//! |      8 |     4 | version, 1                                                     |
//! |     12 |     4 | flags: bit 0, keys are folded to lower case; others are zero   |
//! |     16 |     8 | seed of the hash                                               |
//! |     24 |     8 | number of entries                                              |
//! |     32 |     8 | number of buckets, at least 1                                  |
//! |     40 |     8 | offset of the directory                                        |
//! |     48 |     8 | length of the file                                             |
//! |     56 |     4 | CRC-32C of everything after the header                         |
//! |     60 |     4 | CRC-32C of the header up to here                               |
//! |     64 |       | the entries of bucket 0, of bucket 1, ...                      |
//! |        |       | zeros, to a multiple of 8                                      |
//! |        |     8 | each: directory, one word a bucket and one behind the last     |
//!
//! An entry is the length of its key, the length of its value (both LEB128), the key, the value.
//!
//! A word of the directory has the offset of the bucket's first entry in its low 40 bits; the bucket ends
//! where the next one begins. Above are 24 bits of filter: each key in the bucket has set two of them, so
//! that a key which is not there is mostly known to be missing without a look at any entry.
//!
//! The hash is XXH3-64 with the seed. Its bucket is `hash * buckets / 2^64`, so entries are in the order
//! of their hashes: whoever writes the file sorts them once and then writes from front to end, and
//! nothing is ever moved to make room.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 64;
/// Entries to a bucket, on average. With two, a hit compares one and a half keys, which lie side by
/// side, and the directory takes four bytes an entry.
pub(super) const BUCKET_ENTRIES: u64 = 2;
/// Where a file ends at the latest.
pub(super) const FILE_BYTES_MAX: u64 = 1 << OFFSET_BITS;

const MAGIC: [u8; 8] = *b"\x89RPMAP\r\n";
const VERSION: u32 = 1;
const FOLDED: u32 = 1;
const OFFSET_BITS: u32 = 40;
const FILTER_BITS: u64 = 24;

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
    /// A later ringpost made it.
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
        let words = self.buckets.checked_add(1).and_then(|words| words.checked_mul(8));
        self.buckets > 0
            && self.directory >= HEADER_BYTES as u64
            && self.directory.is_multiple_of(8)
            && words.and_then(|bytes| self.directory.checked_add(bytes)) == Some(self.length)
    }
}

fn half(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The hash of a key, folded where the table's keys are.
pub(super) fn hash(key: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(key, seed)
}

pub(super) fn bucket(hash: u64, buckets: u64) -> u64 {
    ((u128::from(hash) * u128::from(buckets)) >> 64) as u64
}

/// The bits that a key sets in the word of its bucket: from the low end of the hash, where the bucket
/// comes from the high end.
pub(super) fn filter(hash: u64) -> u64 {
    let bit = |part: u64| 1 << (OFFSET_BITS as u64 + (((part & 0xffff) * FILTER_BITS) >> 16));
    bit(hash) | bit(hash >> 16)
}

/// The offset in a word of the directory.
pub(super) fn offset(word: u64) -> u64 {
    word & (FILE_BYTES_MAX - 1)
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

    #[test]
    fn filters_stay_above_the_offset() {
        for hash in [0, 1, 0xffff, 0xffff_ffff, u64::MAX] {
            assert_eq!(offset(filter(hash)), 0);
            assert_ne!(filter(hash), 0);
        }
    }

    #[test]
    fn a_header_reads_back_and_is_refused_when_any_bit_is_another() {
        let header = Header {
            folded: true,
            seed: 7,
            entries: 0,
            buckets: 1,
            directory: 64,
            length: 80,
            body_crc: crc32c::crc32c(&[0; 16]),
        };
        let mut file = header.encode().to_vec();
        file.extend_from_slice(&[0; 16]);
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
        assert_eq!(Header::of_file(&file), Err(Damage::Length { found: 81, expected: 80 }));
    }
}
