//! One record of the queue log. Integers are little-endian.
//!
//! | offset | bytes | field                                                     |
//! |-------:|------:|-----------------------------------------------------------|
//! |      0 |     4 | CRC-32C of everything after it, the zeros at the end too  |
//! |      4 |     4 | payload length `n`                                        |
//! |      8 |     8 | sequence number, one more than the last                   |
//! |     16 |     1 | kind                                                      |
//! |     17 |     1 | flags: 1 = first record of a batch                        |
//! |     18 |     2 | zero                                                      |
//! |     20 |     4 | stamp: the random number in the header of the segment     |
//! |     24 |     n | payload, then zeros to a multiple of 8                    |
//!
//! The stamp is drawn anew each time a segment is put to use. It tells what this use wrote from what an
//! earlier use left behind, and, because no stranger can know it, from bytes inside a message that
//! look like a record.

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 24;
/// Records start at multiples of this, counted from the start of the segment.
pub(crate) const ALIGN: usize = 8;

const FLAG_BATCH: u8 = 1;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A message: envelope and content.
    Accepted = 1,
    /// A recipient has it.
    Delivered = 2,
    /// A recipient did not get it and will be tried again.
    Deferred = 3,
    /// A recipient will never get it.
    Failed = 4,
    /// Others get it instead of a recipient.
    Redirected = 5,
    /// Set aside until released.
    Hold = 6,
    /// No longer set aside.
    Release = 7,
    /// To be tried at once.
    Requeue = 8,
    /// To be returned at the next occasion.
    Expire = 9,
    /// Gone, and why.
    Delete = 10,
    /// A new envelope for the same content.
    Rewrite = 11,
    /// Envelope and all recipient states, so that earlier records are no longer needed.
    Snapshot = 12,
    /// Where the digest of a full segment lies; its last record.
    Footer = 13,
    /// What the records of a full segment say, without the contents.
    Digest = 14,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Accepted,
        Self::Delivered,
        Self::Deferred,
        Self::Failed,
        Self::Redirected,
        Self::Hold,
        Self::Release,
        Self::Requeue,
        Self::Expire,
        Self::Delete,
        Self::Rewrite,
        Self::Snapshot,
        Self::Footer,
        Self::Digest,
    ];

    /// Part of a segment's end. Those records take no sequence number of their own: they repeat the one that
    /// the next segment begins with.
    pub(crate) fn is_of_footer(self) -> bool {
        matches!(self, Self::Footer | Self::Digest)
    }

    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// A record as it lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// What it says.
    pub kind: Kind,
    /// Its sequence number.
    pub seq: u64,
    /// Written with a batch of its own, or first in one.
    pub starts_batch: bool,
    /// The kind decides what is in here.
    pub payload: &'a [u8],
}

/// What is there is not a whole record of this use of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn;

/// How much room a record with this much payload takes, in bytes.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGN)
}

/// Reads the record at the start of `log`; returns it with what follows it.
///
/// `Torn` is the ordinary end of the last segment after a crash, and damage anywhere else: only
/// the caller knows where it is reading, so the caller decides.
pub(crate) fn decode(log: &[u8], stamp: u32) -> Result<(Record<'_>, &[u8]), Torn> {
    let payload_bytes = payload_bytes(log, stamp).ok_or(Torn)?;
    let (record, rest) = log.split_at_checked(record_bytes(payload_bytes)).ok_or(Torn)?;
    if u32_at(record, 0) != crc32c::crc32c(&record[4..]) {
        return Err(Torn);
    }
    // The checksum has made the rest ours; a kind unknown to this version must not be guessed at.
    let kind = Kind::from_u8(record[16]).ok_or(Torn)?;
    let record = Record {
        kind,
        seq: u64_at(record, 8),
        starts_batch: record[17] & FLAG_BATCH != 0,
        payload: &record[HEADER_BYTES..HEADER_BYTES + payload_bytes],
    };
    Ok((record, rest))
}

/// How long the record at the start of `log` is, padding included, if its header is to be believed.
pub(crate) fn peek_bytes(log: &[u8], stamp: u32) -> Option<usize> {
    payload_bytes(log, stamp).map(record_bytes)
}

fn payload_bytes(log: &[u8], stamp: u32) -> Option<usize> {
    if log.len() < HEADER_BYTES || u32_at(log, 20) != stamp {
        return None;
    }
    usize::try_from(u32_at(log, 4)).ok()
}

/// Fills in the header of the record that `record` holds, and the zeros behind the payload.
///
/// # Panics
///
/// Where `record` is not exactly as long as [`record_bytes`] says.
pub(crate) fn seal(record: &mut [u8], payload_bytes: usize, kind: Kind, seq: u64) {
    assert_eq!(record.len(), record_bytes(payload_bytes), "record and payload length differ");
    let length = u32::try_from(payload_bytes).expect("a record is smaller than a segment");
    record[4..8].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&seq.to_le_bytes());
    record[16] = kind as u8;
    record[17..HEADER_BYTES].fill(0);
    record[HEADER_BYTES + payload_bytes..].fill(0);
}

/// Gives the record at the start of `log` its place in a segment: stamp, batch flag and checksum.
/// Returns its length.
pub(crate) fn finish(log: &mut [u8], stamp: u32, starts_batch: bool) -> usize {
    let bytes = record_bytes(u32_at(log, 4) as usize);
    log[17] = if starts_batch { FLAG_BATCH } else { 0 };
    log[20..24].copy_from_slice(&stamp.to_le_bytes());
    let crc = crc32c::crc32c(&log[4..bytes]);
    log[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: u32 = 0x5eed_1234;

    fn encoded(kind: Kind, seq: u64, payload: &[u8]) -> Vec<u8> {
        let mut record = vec![0xee; record_bytes(payload.len())];
        record[HEADER_BYTES..HEADER_BYTES + payload.len()].copy_from_slice(payload);
        seal(&mut record, payload.len(), kind, seq);
        finish(&mut record, STAMP, true);
        record
    }

    #[test]
    fn a_record_reads_back_as_it_was_written_and_says_what_follows() {
        for kind in Kind::ALL {
            let mut log = encoded(kind, 7, b"hello");
            log.extend_from_slice(b"next");
            let (record, rest) = decode(&log, STAMP).unwrap();
            assert_eq!(record, Record { kind, seq: 7, starts_batch: true, payload: b"hello" });
            assert_eq!(rest, b"next");
        }
    }

    #[test]
    fn a_record_cut_or_flipped_anywhere_is_torn_and_never_misread() {
        let log = encoded(Kind::Accepted, 7, b"hello");
        for cut in 0..log.len() {
            assert_eq!(decode(&log[..cut], STAMP), Err(Torn), "cut at {cut}");
        }
        for bit in 0..log.len() * 8 {
            let mut flipped = log.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, STAMP), Err(Torn), "flipped bit {bit}");
        }
    }

    #[test]
    fn what_an_earlier_use_of_the_segment_left_is_torn() {
        let log = encoded(Kind::Accepted, 7, b"hello");
        assert_eq!(decode(&log, STAMP + 1), Err(Torn));
        assert_eq!(decode(&[0; 64], 0), Err(Torn), "a zero-written segment holds no record");
    }

    #[test]
    fn a_kind_from_the_future_is_torn_rather_than_guessed() {
        let mut log = encoded(Kind::Accepted, 7, b"hello");
        log[16] = 15;
        finish(&mut log, STAMP, true);
        assert_eq!(decode(&log, STAMP), Err(Torn));
    }
}
