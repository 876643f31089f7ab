//! The end of a full segment: what its records say, without the contents.
//!
//! An index that is made anew is made from these. It takes reading some 200 bytes for each message that still
//! lived when the segment was full, however large the messages are. Contents are checked when they are
//! read for delivery, as ever.
//!
//! Behind the last batch follow records of kind `Digest`, each at the start of a page. Their payloads, put
//! together, are:
//!
//! | bytes | field                                                                       |
//! |------:|-----------------------------------------------------------------------------|
//! |     8 | the greatest queue id in the segment                                        |
//! |     4 | count of segments that this one needs                                       |
//! |   8 … | the first sequence number of each                                           |
//! |     … | items to the end                                                            |
//!
//! An item is a record:
//!
//! | bytes | field                                                                       |
//! |------:|-----------------------------------------------------------------------------|
//! |     8 | sequence number                                                             |
//! |   4 4 | offset and length in the segment, padding included                          |
//! |     1 | kind                                                                        |
//! |     4 | length `n`                                                                  |
//! |   `n` | payload; of `Accepted` only what stands before the content                  |
//!
//! Of messages that were finished by then there are none, as if they had never been; but where the message may
//! lie in an earlier segment, too, one `Delete` in the place of the last of them.
//!
//! The last page of the segment holds the `Footer`: offset of the first digest u32, bytes of their payloads
//! together u32. It is written last, so whoever finds it finds them all.

use hashbrown::{HashMap, HashSet};
use mail::QueueId;

use crate::change::{Change, Reason, accepted_head_bytes, is_copy};
use crate::codec::{self, HEADER_BYTES, Kind, Record, record_bytes, u32_at, u64_at};
use crate::fields::{Fields, Malformed, put_u32, put_u64};
use crate::segment::{Head, PAGE};

/// A record of digests takes so much of the segment at most, and so much memory while it is written.
const RECORD_BYTES: usize = 256 << 10;
/// How much of the digest fits into one record.
pub(crate) const PIECE_BYTES: usize = RECORD_BYTES - HEADER_BYTES;
const ITEM_HEAD_BYTES: usize = 21;
/// Finished messages are dropped when the digest has grown to this, and then whenever it has doubled.
const PRUNE_BYTES: usize = 64 << 10;

/// The digest of the segment that is being written.
pub(crate) struct Digest {
    items: Vec<u8>,
    /// Finished since the items were pruned.
    gone: HashSet<QueueId>,
    last_id: u64,
    prune_at_bytes: usize,
}

impl Default for Digest {
    fn default() -> Self {
        let (items, gone) = (Vec::new(), HashSet::new());
        Self { items, gone, last_id: 0, prune_at_bytes: PRUNE_BYTES }
    }
}

impl Digest {
    /// Takes in the records of a batch that was written at this offset.
    pub(crate) fn add_batch(&mut self, batch: &[u8], offset: u32) {
        for (at, item) in Items::of_batch(batch) {
            self.last_id = self.last_id.max(item.id().map_or(0, QueueId::as_u64));
            Item { offset: offset + at as u32, ..item }.encode(&mut self.items);
        }
    }

    /// A message is finished, durably.
    pub(crate) fn note_gone(&mut self, id: QueueId) {
        self.gone.insert(id);
        if self.items.len() >= self.prune_at_bytes {
            self.prune();
            self.prune_at_bytes = (2 * self.items.len()).max(PRUNE_BYTES);
        }
    }

    /// How much of the segment the footer takes if a batch with items of so many bytes is added.
    pub(crate) fn footer_bytes(&self, needs: usize, more: usize) -> usize {
        footer_bytes(12 + 8 * needs + self.items.len() + more)
    }

    /// What the payloads of the digest's records say together.
    pub(crate) fn seal(mut self, needs: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
        self.prune();
        let mut out = Vec::with_capacity(12 + 8 * needs.len() + self.items.len());
        put_u64(&mut out, self.last_id);
        put_u32(&mut out, needs.len() as u32);
        needs.for_each(|need| put_u64(&mut out, need));
        out.extend_from_slice(&self.items);
        out
    }

    /// Drops what is said about finished messages. It never grows by that: the record that finished a message
    /// is at least as long as a `Delete`.
    fn prune(&mut self) {
        struct Fate {
            /// It was new in this segment, so no other one can bring it back.
            was_born_here: bool,
            last_seq: u64,
        }
        let mut fates: HashMap<QueueId, Fate> = HashMap::new();
        let gone = |item: &Item<'_>| item.id().filter(|id| self.gone.contains(id));
        for item in Items(&self.items).flatten() {
            let Some(id) = gone(&item) else { continue };
            let fate = fates.entry(id).or_insert(Fate { was_born_here: false, last_seq: 0 });
            fate.was_born_here |= item.kind == Kind::Accepted && !is_copy(item.payload);
            fate.last_seq = fate.last_seq.max(item.seq);
        }
        let mut kept = Vec::with_capacity(self.items.len());
        let mut payload = Vec::new();
        for item in Items(&self.items).flatten() {
            match item.id().and_then(|id| fates.get(&id).map(|fate| (id, fate))) {
                None => item.encode(&mut kept),
                Some((id, fate)) if !fate.was_born_here && item.seq == fate.last_seq => {
                    payload.clear();
                    let change = Change::Delete { reason: Reason::Answered };
                    change.encode(id, item.home_seq(), &mut payload);
                    Item { kind: Kind::Delete, payload: &payload, ..item }.encode(&mut kept);
                }
                Some(_) => {}
            }
        }
        self.items = kept;
        self.gone.clear();
    }
}

/// How many bytes the items of a batch take.
pub(crate) fn items_bytes(batch: &[u8]) -> usize {
    Items::of_batch(batch).map(|(_, item)| ITEM_HEAD_BYTES + item.payload.len()).sum()
}

/// How much of a segment a footer with so many bytes of digest takes.
pub(crate) fn footer_bytes(digest_bytes: usize) -> usize {
    let last = match digest_bytes % PIECE_BYTES {
        0 => 0,
        rest => record_bytes(rest).next_multiple_of(PAGE),
    };
    digest_bytes / PIECE_BYTES * RECORD_BYTES + last + PAGE
}

/// One record, without what makes it large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) seq: u64,
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
}

impl<'a> Item<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.seq);
        put_u32(out, self.offset);
        put_u32(out, self.bytes);
        out.push(self.kind as u8);
        put_u32(out, self.payload.len() as u32);
        out.extend_from_slice(self.payload);
    }

    fn decode(fields: &mut Fields<'a>) -> Result<Self, Malformed> {
        let (seq, offset, bytes) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let kind = Kind::from_u8(fields.u8()?).ok_or(Malformed)?;
        let payload_bytes = fields.u32()? as usize;
        Ok(Self { seq, offset, bytes, kind, payload: fields.bytes(payload_bytes)? })
    }

    /// All records of a segment but those of its footer begin with one.
    fn id(&self) -> Option<QueueId> {
        (self.payload.len() >= 8).then(|| QueueId::from_u64(u64_at(self.payload, 0)))
    }

    /// Of the record that the message lies in.
    fn home_seq(&self) -> u64 {
        match self.kind {
            Kind::Accepted => self.seq,
            _ if self.payload.len() >= 16 => u64_at(self.payload, 8),
            _ => 0,
        }
    }

    pub(crate) fn record(&self) -> Record<'a> {
        let Self { kind, seq, payload, .. } = *self;
        Record { kind, seq, starts_batch: false, payload }
    }
}

/// Items one after the other.
struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Those of the records that a batch consists of, with where each lies in it.
    fn of_batch(batch: &'a [u8]) -> impl Iterator<Item = (usize, Item<'a>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let record = batch.get(at..).filter(|rest| rest.len() >= HEADER_BYTES)?;
            // Behind the last one there are zeros up to the end of the page.
            let kind = Kind::from_u8(record[16])?;
            let payload_bytes = u32_at(record, 4) as usize;
            let bytes = record_bytes(payload_bytes);
            let payload = record.get(HEADER_BYTES..HEADER_BYTES + payload_bytes)?;
            let said = match kind {
                Kind::Accepted => accepted_head_bytes(payload).unwrap_or(payload_bytes),
                _ => payload_bytes,
            };
            let (seq, payload) = (u64_at(record, 8), &payload[..said]);
            let item = Item { seq, offset: 0, bytes: bytes as u32, kind, payload };
            let found = (at, item);
            at += bytes;
            Some(found)
        })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut fields = Fields::new(self.0);
        let item = Item::decode(&mut fields);
        // Behind one that cannot be read nothing can.
        self.0 = if item.is_ok() { fields.rest() } else { &[] };
        Some(item)
    }
}

/// Where a segment's digest lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) digest_offset: u32,
    pub(crate) digest_bytes: u32,
    /// The first sequence number that the segment does not hold.
    pub(crate) next_seq: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(8);
        put_u32(&mut payload, self.digest_offset);
        put_u32(&mut payload, self.digest_bytes);
        payload
    }

    /// Where it lies in the segment.
    pub(crate) fn offset(head: &Head) -> u64 {
        head.bytes - PAGE as u64
    }

    /// Reads the last page of a segment.
    pub(crate) fn decode(page: &[u8], head: &Head) -> Option<Self> {
        let (record, _) = codec::decode(page, head.stamp).ok()?;
        if record.kind != Kind::Footer || record.payload.len() != 8 {
            return None;
        }
        let (digest_offset, digest_bytes) = (u32_at(record.payload, 0), u32_at(record.payload, 4));
        let end = u64::from(digest_offset) + footer_bytes(digest_bytes as usize) as u64;
        let footer = Self { digest_offset, digest_bytes, next_seq: record.seq };
        (end <= head.bytes).then_some(footer)
    }

    /// How many bytes of the segment are to be read from `digest_offset` on.
    pub(crate) fn log_bytes(&self) -> usize {
        footer_bytes(self.digest_bytes as usize) - PAGE
    }

    /// Puts the digest together from the records that were read there.
    pub(crate) fn digest(&self, mut log: &[u8], stamp: u32) -> Option<Vec<u8>> {
        let mut digest = Vec::with_capacity(self.digest_bytes as usize);
        while digest.len() < self.digest_bytes as usize {
            let (record, rest) = codec::decode(log, stamp).ok()?;
            if record.kind != Kind::Digest || record.seq != self.next_seq {
                return None;
            }
            digest.extend_from_slice(record.payload);
            // Only the last one can end before a page does.
            log = &rest[rest.len() % PAGE..];
        }
        (digest.len() == self.digest_bytes as usize).then_some(digest)
    }
}

/// What a digest says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digested<'a> {
    pub(crate) last_id: QueueId,
    pub(crate) needs: Vec<u64>,
    pub(crate) items: Vec<Item<'a>>,
}

impl<'a> Digested<'a> {
    pub(crate) fn decode(digest: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(digest);
        let last_id = QueueId::from_u64(fields.u64()?);
        let count = fields.u32()?;
        let mut needs = Vec::new();
        for _ in 0..count {
            needs.push(fields.u64()?);
        }
        let items = Items(fields.rest()).collect::<Result<_, _>>()?;
        Ok(Self { last_id, needs, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::put_accepted;
    use crate::entry::{Standing, Stored};
    use crate::segment::{HEAD_BYTES, Use};
    use mail::{Address, Body, Client, Envelope, Protocol, Recipient, Time};

    const STAMP: u32 = 0x5eed_1234;

    fn envelope() -> Envelope {
        Envelope {
            sender: None,
            recipients: vec![Recipient::new(Address::parse(b"user@mx.example").unwrap())],
            arrival: Time(5),
            client: Client {
                name: "unknown".into(),
                address: None,
                helo: "client".into(),
                protocol: Protocol::Smtp,
            },
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            filter: None,
            not_before: None,
        }
    }

    fn push(batch: &mut Vec<u8>, kind: Kind, seq: u64, payload: &[u8]) {
        let start = batch.len();
        batch.resize(start + record_bytes(payload.len()), 0);
        batch[start + HEADER_BYTES..start + HEADER_BYTES + payload.len()].copy_from_slice(payload);
        codec::seal(&mut batch[start..], payload.len(), kind, seq);
    }

    fn message(batch: &mut Vec<u8>, seq: u64, id: u64, content_bytes: usize, copied: bool) {
        let standings = [Standing::Pending { retry: Time(9), last: None }];
        let stored = Stored::Inline { offset: 0, len: content_bytes as u32 };
        let mut payload = Vec::new();
        let copied = copied.then_some(&standings[..]);
        put_accepted(&mut payload, QueueId::from_u64(id), 0, &envelope(), copied, stored);
        payload.resize(payload.len() + content_bytes, b'x');
        push(batch, Kind::Accepted, seq, &payload);
    }

    fn delivered(batch: &mut Vec<u8>, seq: u64, id: u64, home_seq: u64) {
        let mut payload = Vec::new();
        let change = Change::Delivered { number: 0, at: Time(8) };
        change.encode(QueueId::from_u64(id), home_seq, &mut payload);
        push(batch, Kind::Delivered, seq, &payload);
    }

    /// What a digest with these items says: sequence numbers, kinds and ids.
    fn said(digest: &[u8]) -> Vec<(u64, Kind, u64)> {
        let items = Digested::decode(digest).unwrap().items;
        items.iter().map(|item| (item.seq, item.kind, item.id().unwrap().as_u64())).collect()
    }

    #[test]
    fn a_digest_says_where_records_lie_and_leaves_contents_out() {
        let mut batch = Vec::new();
        message(&mut batch, 7, 0x100, 3000, false);
        let second = batch.len();
        delivered(&mut batch, 8, 0x50, 3);
        let bytes = items_bytes(&batch);
        batch.resize(batch.len().next_multiple_of(PAGE), 0);
        assert_eq!(items_bytes(&batch), bytes, "padding is no record");
        assert!(bytes < 400, "{bytes} bytes for an envelope and an outcome");
        let mut digest = Digest::default();
        digest.add_batch(&batch, 8192);
        let digest = digest.seal([3, 5].into_iter());
        assert_eq!(digest.len(), 12 + 16 + bytes);
        let digested = Digested::decode(&digest).unwrap();
        assert_eq!((digested.last_id.as_u64(), &digested.needs[..]), (0x100, &[3, 5][..]));
        let places: Vec<_> = digested.items.iter().map(|item| (item.offset, item.bytes)).collect();
        let end = record_bytes(16 + 12);
        assert_eq!(places, [(8192, second as u32), (8192 + second as u32, end as u32)]);
    }

    #[test]
    fn of_finished_messages_it_says_no_more_than_keeps_earlier_records_from_reviving_them() {
        let mut batch = Vec::new();
        message(&mut batch, 7, 0x100, 10, false);
        message(&mut batch, 8, 0x200, 10, false);
        message(&mut batch, 9, 0x300, 10, true);
        delivered(&mut batch, 10, 0x100, 7);
        delivered(&mut batch, 11, 0x300, 9);
        delivered(&mut batch, 12, 0x400, 2);
        delivered(&mut batch, 13, 0x500, 2);
        let mut digest = Digest::default();
        digest.add_batch(&batch, 8192);
        for id in [0x100, 0x300, 0x400] {
            digest.note_gone(QueueId::from_u64(id));
        }
        let digest = digest.seal([].into_iter());
        // Born and gone; still here; a copy, and of another segment: gone; with a recipient left.
        let expected = [
            (8, Kind::Accepted, 0x200),
            (11, Kind::Delete, 0x300),
            (12, Kind::Delete, 0x400),
            (13, Kind::Delivered, 0x500),
        ];
        assert_eq!(said(&digest), expected);
        assert_eq!(Digested::decode(&digest).unwrap().last_id.as_u64(), 0x500);
    }

    #[test]
    fn a_digest_cut_anywhere_is_malformed_or_ends_between_items() {
        let mut batch = Vec::new();
        message(&mut batch, 7, 0x100, 10, false);
        delivered(&mut batch, 8, 0x50, 3);
        let mut digest = Digest::default();
        digest.add_batch(&batch, 8192);
        let digest = digest.seal([3].into_iter());
        let whole = Digested::decode(&digest).unwrap();
        for cut in 0..digest.len() {
            let read = Digested::decode(&digest[..cut]);
            assert!(read.is_err() || read.is_ok_and(|it| whole.items.starts_with(&it.items)));
        }
    }

    /// A segment with this digest at its end.
    fn segment(digest: &[u8], head: &Head) -> Vec<u8> {
        let mut segment = vec![0; head.bytes as usize];
        let footer = Footer {
            digest_offset: HEAD_BYTES as u32,
            digest_bytes: digest.len() as u32,
            next_seq: 9,
        };
        let mut at = HEAD_BYTES;
        let mut put = |kind, at: usize, payload: &[u8]| {
            let mut record = Vec::new();
            push(&mut record, kind, 9, payload);
            codec::finish(&mut record, STAMP, true);
            segment[at..at + record.len()].copy_from_slice(&record);
            record.len().next_multiple_of(PAGE)
        };
        for piece in digest.chunks(PIECE_BYTES) {
            at += put(Kind::Digest, at, piece);
        }
        assert_eq!(at, HEAD_BYTES + footer.log_bytes());
        put(Kind::Footer, Footer::offset(head) as usize, &footer.encode());
        segment
    }

    #[test]
    fn a_footer_of_any_size_reads_back_and_none_that_was_damaged() {
        let head = Head {
            used: Use::InUse,
            slice: 0,
            slot: 1,
            stamp: STAMP,
            generation: 1,
            first_seq: 7,
            bytes: 1 << 20,
            slice_number: 1,
        };
        let read = |segment: &[u8]| {
            let footer = Footer::decode(&segment[Footer::offset(&head) as usize..], &head)?;
            footer.digest(&segment[HEAD_BYTES..HEAD_BYTES + footer.log_bytes()], head.stamp)
        };
        for bytes in [12, 5000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES + 7]
        {
            let digest: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            let mut segment = segment(&digest, &head);
            assert_eq!(read(&segment).as_ref(), Some(&digest), "{bytes} bytes");
            for at in
                [HEAD_BYTES + 30, HEAD_BYTES + 24 + bytes / 2, head.bytes as usize - PAGE + 25]
            {
                segment[at] ^= 1;
                assert_eq!(read(&segment), None, "{bytes} bytes, spoilt at {at}");
                segment[at] ^= 1;
            }
        }
    }
}
