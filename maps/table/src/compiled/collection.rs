//! The entries of a table that is being made, on their way into the order of their hashes.
//!
//! They are parted by the first bits of their hashes as they come. Each part then fits into the
//! processor's cache, where it is sorted and read out of order for next to nothing; a table of millions
//! of entries costs one pass over memory instead of a cache miss for each entry. What a part is sorted by is
//! only made when its turn comes: kept for every entry, it would be held while the text is read.

use std::ops::ControlFlow;

use super::layout::{self, push_length};

/// Bytes of the line number in front of each entry.
const LINE_NUMBER_BYTES: usize = size_of::<u32>();
/// The most that the two lengths in front of a key and a value take.
const LENGTHS_BYTES_MAX: usize = 10;

/// Parts; of ten million entries each is about 2 MB.
const PARTS_BITS: u32 = 8;
/// Memory is taken this much at a time, so that nothing is ever copied to make room.
const CHUNK_BITS: u32 = 16;
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
/// Chunks of one part, of which a [`Place`] can have the number.
const CHUNKS_MAX: usize = 1 << (u32::BITS - CHUNK_BITS);

/// Which of several entries for one key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The first.
    KeepFirst,
    /// The last: `postmap -r`.
    KeepLast,
}

/// Entries by hash.
pub(super) struct Collection {
    seed: u64,
    parts: Vec<Part>,
    len: u64,
    bytes: u64,
}

/// Each entry behind the number of its line, in the order in which they were added.
#[derive(Default)]
struct Part {
    chunks: Vec<Vec<u8>>,
}

/// Where an entry lies in its part.
#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    /// Chunk, then place in the chunk: rises in the order in which entries were added.
    at: u32,
    /// Where it was written.
    line: u32,
}

/// Two entries for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Twice<'a> {
    pub(super) key: &'a [u8],
    /// The line of the one that counts, and of the one that is left out.
    pub(super) kept: u32,
    pub(super) dropped: u32,
}

impl Collection {
    pub(super) fn new(seed: u64) -> Self {
        let parts = (0..1 << PARTS_BITS).map(|_| Part::default()).collect();
        Self { seed, parts, len: 0, bytes: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds an entry; false where there is no room for any more of its kind.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8], line: u32) -> bool {
        let (Ok(key_len), Ok(value_len)) = (u32::try_from(key.len()), u32::try_from(value.len()))
        else {
            return false;
        };
        let hash = layout::hash(key, self.seed);
        let part = &mut self.parts[(hash >> (u64::BITS - PARTS_BITS)) as usize];
        let bytes = LINE_NUMBER_BYTES + LENGTHS_BYTES_MAX + key.len() + value.len();
        let Some(chunk) = part.room(bytes) else { return false };
        chunk.extend_from_slice(&line.to_le_bytes());
        push_length(chunk, key_len);
        push_length(chunk, value_len);
        chunk.extend_from_slice(key);
        chunk.extend_from_slice(value);
        self.len += 1;
        self.bytes += (key.len() + value.len()) as u64;
        true
    }

    /// Gives out every entry that counts, in the order of the hashes, and gives back its memory; reports
    /// the others. Stops where `take` says so.
    ///
    /// `take` gets an entry's hash and its bytes as they are in a file.
    pub(super) fn drain<B>(
        self,
        duplicates: Duplicates,
        mut twice: impl FnMut(Twice<'_>),
        mut take: impl FnMut(u64, &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut places = Vec::new();
        for part in self.parts {
            places.clear();
            part.places(self.seed, &mut places);
            places.sort_unstable_by_key(|place| (place.hash, place.at));
            for equal in places.chunk_by_mut(|a, b| a.hash == b.hash) {
                if duplicates == Duplicates::KeepLast {
                    equal.reverse();
                }
                // Nearly always one entry, and otherwise several with one key.
                for (index, place) in equal.iter().enumerate() {
                    let (entry, key) = part.entry(place.at);
                    match equal[..index].iter().find(|kept| part.entry(kept.at).1 == key) {
                        Some(kept) => {
                            twice(Twice { key, kept: kept.line, dropped: place.line });
                        }
                        None => take(place.hash, entry)?,
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Part {
    /// The chunk that has room for this many bytes.
    fn room(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        // An entry that is larger than a chunk has one of its own.
        if self.chunks.last().is_none_or(|chunk| chunk.len() + bytes > CHUNK_BYTES) {
            if self.chunks.len() >= CHUNKS_MAX {
                return None;
            }
            self.chunks.push(Vec::with_capacity(bytes.max(CHUNK_BYTES)));
        }
        self.chunks.last_mut()
    }

    /// Where all entries lie.
    fn places(&self, seed: u64, places: &mut Vec<Place>) {
        for (number, chunk) in (0_u32..).zip(&self.chunks) {
            let mut rest = &chunk[..];
            while let Some((line, entry)) = rest.split_first_chunk() {
                let Some((key, _, behind)) = layout::entry(entry) else { break };
                // Below CHUNK_BYTES: one that is larger has a chunk that begins with it.
                let within = (chunk.len() - entry.len()) as u32;
                places.push(Place {
                    hash: layout::hash(key, seed),
                    at: number << CHUNK_BITS | within,
                    line: u32::from_le_bytes(*line),
                });
                rest = behind;
            }
        }
    }

    /// The bytes of an entry, and its key.
    fn entry(&self, at: u32) -> (&[u8], &[u8]) {
        let bytes = &self.chunks[(at >> CHUNK_BITS) as usize][at as usize % CHUNK_BYTES..];
        let Some((key, _, rest)) = layout::entry(bytes) else { return (&[], &[]) };
        (&bytes[..bytes.len() - rest.len()], key)
    }
}
