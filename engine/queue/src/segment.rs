//! The head of a segment, and reading what follows it.
//!
//! A segment is a file of fixed size. Its first two pages hold the same head; they are written one
//! after the other, so a power cut or damage spoils one at most, and the other one counts:
//!
//! | offset | bytes | field                                                              |
//! |-------:|------:|--------------------------------------------------------------------|
//! |      0 |     8 | `RINGPOST`                                                         |
//! |      8 |     4 | CRC-32C of everything after it, up to the end of the page          |
//! |     12 |     2 | version, 1                                                         |
//! |     14 |     1 | use: 0 free, 1 in use                                              |
//! |     15 |     1 | slice                                                              |
//! |     16 |     4 | segment number, as in its name                                     |
//! |     20 |     4 | stamp of the records of this use                                   |
//! |     24 |     8 | generation, one more at each change of the head                    |
//! |     32 |     8 | sequence number of the first record                                |
//! |     40 |     8 | size of the segment                                                |
//! |     48 |     8 | the slice's own number, drawn when it was made                     |
//!
//! Records follow from [`HEAD_BYTES`] on, in batches that start at multiples of [`PAGE`].

use crate::codec::{self, ALIGN, HEADER_BYTES, Kind, Record, u32_at, u64_at};

/// The unit of writing.
pub(crate) const PAGE: usize = 4096;
/// Where the records begin.
pub(crate) const HEAD_BYTES: usize = 2 * PAGE;

const MAGIC: &[u8; 8] = b"RINGPOST";
const VERSION: u16 = 1;

/// Whether a segment holds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Free,
    InUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) used: Use,
    pub(crate) slice: u8,
    pub(crate) slot: u32,
    pub(crate) stamp: u32,
    pub(crate) generation: u64,
    pub(crate) first_seq: u64,
    pub(crate) bytes: u64,
    pub(crate) slice_number: u64,
}

impl Head {
    /// Fills one page.
    pub(crate) fn encode(&self, page: &mut [u8]) {
        page.fill(0);
        page[..8].copy_from_slice(MAGIC);
        page[12..14].copy_from_slice(&VERSION.to_le_bytes());
        page[14] = match self.used {
            Use::Free => 0,
            Use::InUse => 1,
        };
        page[15] = self.slice;
        page[16..20].copy_from_slice(&self.slot.to_le_bytes());
        page[20..24].copy_from_slice(&self.stamp.to_le_bytes());
        page[24..32].copy_from_slice(&self.generation.to_le_bytes());
        page[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        page[40..48].copy_from_slice(&self.bytes.to_le_bytes());
        page[48..56].copy_from_slice(&self.slice_number.to_le_bytes());
        let crc = crc32c::crc32c(&page[12..]);
        page[8..12].copy_from_slice(&crc.to_le_bytes());
    }

    /// The newer of the heads in the first two pages, or `None` where neither can be read.
    pub(crate) fn decode(pages: &[u8]) -> Option<Self> {
        let (first, second) = pages.split_at_checked(PAGE)?;
        let second = second.get(..PAGE).and_then(Self::decode_page);
        Self::decode_page(first).into_iter().chain(second).max_by_key(|head| head.generation)
    }

    fn decode_page(page: &[u8]) -> Option<Self> {
        let genuine = page[..8] == *MAGIC
            && u32_at(page, 8) == crc32c::crc32c(&page[12..])
            && page[12..14] == VERSION.to_le_bytes();
        genuine.then(|| Self {
            used: if page[14] == 1 { Use::InUse } else { Use::Free },
            slice: page[15],
            slot: u32_at(page, 16),
            stamp: u32_at(page, 20),
            generation: u64_at(page, 24),
            first_seq: u64_at(page, 32),
            bytes: u64_at(page, 40),
            slice_number: u64_at(page, 48),
        })
    }
}

/// The file of a segment.
pub(crate) fn name(slot: u32) -> String {
    format!("segment-{slot:08x}")
}

/// The segment that has this file.
pub(crate) fn slot(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("segment-")?;
    (digits.len() == 8).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// What a scan meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A record, at this offset in the segment, of this length.
    Record { offset: usize, bytes: usize, record: Record<'a> },
    /// Bytes that are no record, though the segment went on behind them. If `torn`, they belong to its
    /// last batch, whose write may never have ended.
    Gap { offset: usize, bytes: usize, torn: bool },
}

/// Finds all records of one use of a segment, past any damage.
///
/// Damage costs the record it lies in: the search goes on at the next multiple of eight for a record
/// with the right stamp, a later sequence number and a right checksum. The stamp is secret, so no
/// content can pretend to be one.
pub(crate) fn scan<'a>(segment: &'a [u8], head: &Head) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let mut offset = HEAD_BYTES;
    let mut seq = head.first_seq;
    while let Some((at, bytes, record)) = next(segment, offset, head.stamp, seq) {
        if record.seq > seq {
            found.push(Found::Gap { offset, bytes: at - offset, torn: false });
        }
        seq = record.seq + u64::from(!record.kind.is_of_footer());
        offset = at + bytes;
        let ends = record.kind == Kind::Footer;
        found.push(Found::Record { offset: at, bytes, record });
        if ends {
            return found;
        }
    }
    // A header of this use without a whole record behind it: the last write was cut short.
    for at in [offset, offset.next_multiple_of(PAGE)] {
        let begun = segment.get(at..).and_then(|log| codec::peek_bytes(log, head.stamp));
        if let Some(bytes) = begun {
            let bytes = bytes.min(segment.len() - at);
            found.push(Found::Gap { offset: at, bytes, torn: true });
            break;
        }
    }
    mark_torn(&mut found);
    found
}

/// The next record at or behind `offset` with a sequence number of at least `seq`.
fn next(segment: &[u8], offset: usize, stamp: u32, seq: u64) -> Option<(usize, usize, Record<'_>)> {
    let here = |at: usize| {
        let log = segment.get(at..)?;
        let (record, rest) = codec::decode(log, stamp).ok()?;
        (record.seq >= seq).then(|| (at, log.len() - rest.len(), record))
    };
    let expected = here(offset).filter(|found| found.2.seq == seq);
    // Where one batch ends, the next begins with the next page.
    let aligned = offset.next_multiple_of(PAGE);
    let expected = expected.or_else(|| here(aligned).filter(|found| found.2.seq == seq));
    expected.or_else(|| {
        let last = segment.len().checked_sub(HEADER_BYTES)?;
        (offset..=last).step_by(ALIGN).find_map(here)
    })
}

/// Without a footer the segment was in use until a crash. What is missing from its last batch was
/// perhaps never written, and nobody was told that it was.
fn mark_torn(found: &mut [Found<'_>]) {
    for item in found.iter_mut().rev() {
        match item {
            Found::Gap { torn, .. } => *torn = true,
            Found::Record { record, .. } if record.starts_batch => break,
            Found::Record { .. } => {}
        }
    }
}
