//! The payloads of the log's records, and what they do to a message.
//!
//! A message (`Accepted`):
//!
//! | offset | bytes | field                                                                    |
//! |-------:|------:|--------------------------------------------------------------------------|
//! |      0 |     8 | queue id                                                                 |
//! |      8 |     1 | flags: 1 has Delivered-To, 2 content in a file, 4 held, 8 expired        |
//! |      9 |     3 | zero                                                                     |
//! |     12 |     4 | length `e` of the envelope                                               |
//! |     16 |     8 | length of the content                                                    |
//! |     24 |     4 | CRC-32C of the content, where it is in a file                            |
//! |     28 |     4 | length `s` of the standings; 0 for a new message, whose are all pending  |
//! |     32 | `e`   | envelope                                                                 |
//! | 32+`e` | `s`   | standings, where the message was copied forward                          |
//! |        |       | content, where it is not in a file                                       |
//!
//! All others but the footer begin with the queue id (8 bytes) and the sequence number of the record that
//! holds the message (8 bytes): as long as the segment of that record is in use, theirs must be, too.
//! What follows is written next to each variant of [`Change`].

use std::rc::Rc;

use mail::{Envelope, QueueId, Recipient, Status, Time};

use crate::codec::{HEADER_BYTES, Kind, record_bytes, u32_at, u64_at};
use crate::entry::{
    Attempt, Entry, Home, IN_FILE, Standing, Stored, attempt, put_attempt, put_standings, standings,
};
use crate::envelope;
use crate::fields::{Fields, Malformed, put_u32, put_u64};

/// Bytes of an `Accepted` payload before the envelope.
pub(crate) const ACCEPTED_BYTES: usize = 32;

/// Why a message is gone before all its recipients have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// An operator deleted it.
    Deleted = 1,
    /// Its failed recipients were answered for: a notice is in the queue, or none was wanted.
    Answered = 2,
    /// It cannot be read; what is left of it is in `corrupt/`.
    Corrupt = 3,
}

/// What happens to a message between its acceptance and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// number u32, time u64
    Delivered { number: u32, at: Time },
    /// number u32, next attempt u64, attempt
    Deferred { number: u32, retry: Time, attempt: Attempt },
    /// number u32, attempt
    Failed { number: u32, attempt: Attempt },
    /// number u32, time u64, recipients (they are appended to the envelope's)
    Redirected { number: u32, at: Time, recipients: Vec<Recipient> },
    /// nothing
    Hold,
    /// time u64
    Release { at: Time },
    /// time u64
    Requeue { at: Time },
    /// time u64
    Expire { at: Time },
    /// reason u8
    Delete { reason: Reason },
    /// envelope; recipients that are not in the old one are pending
    Rewrite { envelope: Rc<Envelope> },
    /// the message's entry as the index has it (see `entry.rs`): all that earlier records say, and where
    /// the message lies
    Snapshot { entry: Box<Entry> },
}

impl Change {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Delivered { .. } => Kind::Delivered,
            Self::Deferred { .. } => Kind::Deferred,
            Self::Failed { .. } => Kind::Failed,
            Self::Redirected { .. } => Kind::Redirected,
            Self::Hold => Kind::Hold,
            Self::Release { .. } => Kind::Release,
            Self::Requeue { .. } => Kind::Requeue,
            Self::Expire { .. } => Kind::Expire,
            Self::Delete { .. } => Kind::Delete,
            Self::Rewrite { .. } => Kind::Rewrite,
            Self::Snapshot { .. } => Kind::Snapshot,
        }
    }

    /// Appends the payload of the record that says it.
    pub(crate) fn encode(&self, id: QueueId, home_seq: u64, out: &mut Vec<u8>) {
        put_u64(out, id.as_u64());
        put_u64(out, home_seq);
        match self {
            Self::Delivered { number, at } => {
                put_u32(out, *number);
                put_u64(out, at.0);
            }
            Self::Deferred { number, retry, attempt } => {
                put_u32(out, *number);
                put_u64(out, retry.0);
                put_attempt(out, attempt);
            }
            Self::Failed { number, attempt } => {
                put_u32(out, *number);
                put_attempt(out, attempt);
            }
            Self::Redirected { number, at, recipients } => {
                put_u32(out, *number);
                put_u64(out, at.0);
                envelope::put_recipients(out, recipients);
            }
            Self::Hold => {}
            Self::Release { at } | Self::Requeue { at } | Self::Expire { at } => put_u64(out, at.0),
            Self::Delete { reason } => out.push(*reason as u8),
            Self::Rewrite { envelope } => envelope::encode(envelope, out),
            Self::Snapshot { entry } => entry.encode(out),
        }
    }

    /// Reads the payload of a record of this kind, which is neither `Accepted` nor part of a footer.
    pub(crate) fn decode(kind: Kind, payload: &[u8]) -> Result<(QueueId, u64, Self), Malformed> {
        let mut fields = Fields::new(payload);
        let id = QueueId::from_u64(fields.u64()?);
        let home_seq = fields.u64()?;
        let change = match kind {
            Kind::Accepted | Kind::Footer | Kind::Digest => return Err(Malformed),
            Kind::Delivered => Self::Delivered { number: fields.u32()?, at: fields.time()? },
            Kind::Deferred => {
                let (number, retry) = (fields.u32()?, fields.time()?);
                Self::Deferred { number, retry, attempt: attempt(&mut fields)? }
            }
            Kind::Failed => {
                let number = fields.u32()?;
                Self::Failed { number, attempt: attempt(&mut fields)? }
            }
            Kind::Redirected => {
                let (number, at) = (fields.u32()?, fields.time()?);
                let recipients = envelope::recipients(&mut fields)?;
                Self::Redirected { number, at, recipients }
            }
            Kind::Hold => Self::Hold,
            Kind::Release => Self::Release { at: fields.time()? },
            Kind::Requeue => Self::Requeue { at: fields.time()? },
            Kind::Expire => Self::Expire { at: fields.time()? },
            Kind::Delete => Self::Delete {
                reason: match fields.u8()? {
                    1 => Reason::Deleted,
                    2 => Reason::Answered,
                    3 => Reason::Corrupt,
                    _ => return Err(Malformed),
                },
            },
            Kind::Rewrite => {
                let envelope = Rc::new(envelope::decode(fields.rest())?);
                return Ok((id, home_seq, Self::Rewrite { envelope }));
            }
            Kind::Snapshot => {
                let entry = Box::new(Entry::decode(id, fields.rest())?);
                return Ok((id, home_seq, Self::Snapshot { entry }));
            }
        };
        fields.end()?;
        Ok((id, home_seq, change))
    }
}

impl Entry {
    /// Applies the record with this sequence number. A recipient number that the message does not have
    /// changes nothing: the log may have lost the record that made it (damage).
    pub(crate) fn apply(&mut self, seq: u64, change: &Change) {
        self.last_seq = seq;
        match change {
            Change::Delivered { number, .. } => self.stand(*number, Standing::Delivered),
            Change::Deferred { number, retry, attempt } => {
                let last = Some(Box::new(attempt.clone()));
                self.stand(*number, Standing::Pending { retry: *retry, last });
            }
            Change::Failed { number, attempt } => {
                self.stand(*number, Standing::Failed(Box::new(attempt.clone())));
            }
            Change::Redirected { number, at, recipients } => {
                self.stand(*number, Standing::Redirected);
                self.open += recipients.len() as u32;
                let pending = Standing::Pending { retry: *at, last: None };
                self.standings.extend(recipients.iter().map(|_| pending.clone()));
                Rc::make_mut(&mut self.envelope).recipients.extend_from_slice(recipients);
            }
            Change::Hold => self.held = true,
            Change::Release { at } => {
                self.held = false;
                self.try_at(*at);
            }
            Change::Requeue { at } => self.try_at(*at),
            Change::Expire { at } => {
                self.expired = true;
                self.try_at(*at);
            }
            Change::Delete { .. } => self.open = 0,
            Change::Rewrite { envelope } => {
                let pending = Standing::Pending { retry: envelope.arrival, last: None };
                self.standings.resize(envelope.recipients.len(), pending);
                self.envelope = Rc::clone(envelope);
                self.open = Self::count_open(&self.standings);
            }
            // Whoever wrote it had it from here; a start uses it whole.
            Change::Snapshot { .. } => {}
        }
    }

    fn stand(&mut self, number: u32, new: Standing) {
        if let Some(standing) = self.standings.get_mut(number as usize) {
            let before = Self::count_open(std::slice::from_ref(standing));
            *standing = new;
            self.open = self.open + Self::count_open(std::slice::from_ref(standing)) - before;
        }
    }

    fn try_at(&mut self, at: Time) {
        for standing in &mut self.standings {
            if let Standing::Pending { retry, .. } = standing {
                *retry = at;
            }
        }
    }
}

/// Appends the payload of an `Accepted` record up to where the content begins.
pub(crate) fn put_accepted(
    out: &mut Vec<u8>,
    id: QueueId,
    flags: u8,
    envelope: &Envelope,
    copied: Option<&[Standing]>,
    stored: Stored,
) {
    let start = out.len();
    put_u64(out, id.as_u64());
    out.extend_from_slice(&[flags, 0, 0, 0]);
    put_u32(out, 0);
    put_u64(out, stored.len());
    put_u32(out, if let Stored::File { crc, .. } = stored { crc } else { 0 });
    put_u32(out, 0);
    envelope::encode(envelope, out);
    let standings_at = out.len();
    if let Some(standings) = copied {
        put_standings(out, standings);
    }
    let bytes = |from: usize, to: usize| {
        u32::try_from(to - from).expect("an envelope is smaller than a segment").to_le_bytes()
    };
    let envelope_bytes = bytes(start + ACCEPTED_BYTES, standings_at);
    let standings_bytes = bytes(standings_at, out.len());
    out[start + 12..start + 16].copy_from_slice(&envelope_bytes);
    out[start + 28..start + 32].copy_from_slice(&standings_bytes);
}

/// Writes what is known only after the content was taken: its length and the flags.
pub(crate) fn amend_accepted(payload: &mut [u8], flags: u8, content_bytes: u64) {
    payload[8] = flags;
    payload[16..24].copy_from_slice(&content_bytes.to_le_bytes());
}

/// The id that an `Accepted` payload is for, though the rest of it may be damaged.
pub(crate) fn accepted_id(payload: &[u8]) -> Option<QueueId> {
    (payload.len() >= 8).then(|| QueueId::from_u64(u64_at(payload, 0)))
}

/// How long the head of an `Accepted` payload is: all of it but the content.
pub(crate) fn accepted_head_bytes(payload: &[u8]) -> Result<usize, Malformed> {
    if payload.len() < ACCEPTED_BYTES {
        return Err(Malformed);
    }
    let (envelope_bytes, standings_bytes) = (u32_at(payload, 12), u32_at(payload, 28));
    (envelope_bytes as usize)
        .checked_add(standings_bytes as usize)
        .and_then(|bytes| bytes.checked_add(ACCEPTED_BYTES))
        .filter(|&bytes| bytes <= payload.len())
        .ok_or(Malformed)
}

/// Whether an `Accepted` payload is of a message that was there before: a copy has standings.
pub(crate) fn is_copy(payload: &[u8]) -> bool {
    payload.len() >= ACCEPTED_BYTES && u32_at(payload, 28) > 0
}

/// The message in the `Accepted` record at `home`. Of its payload the head is enough.
pub(crate) fn accepted(payload: &[u8], home: Home) -> Result<Entry, Malformed> {
    let head_bytes = accepted_head_bytes(payload)?;
    let id = QueueId::from_u64(u64_at(payload, 0));
    let flags = payload[8];
    let envelope_end = ACCEPTED_BYTES + u32_at(payload, 12) as usize;
    let content_bytes = u64_at(payload, 16);
    let envelope = Rc::new(envelope::decode(&payload[ACCEPTED_BYTES..envelope_end])?);
    let standings = if is_copy(payload) {
        let mut fields = Fields::new(&payload[envelope_end..head_bytes]);
        let standings = standings(&mut fields, envelope.recipients.len())?;
        fields.end()?;
        standings
    } else {
        Entry::untried(&envelope)
    };
    let (stored, inline_bytes) = if flags & IN_FILE != 0 {
        (Stored::File { len: content_bytes, crc: u32_at(payload, 24) }, 0)
    } else {
        let len = u32::try_from(content_bytes).map_err(|_| Malformed)?;
        let offset = home.offset.saturating_add((HEADER_BYTES + head_bytes) as u32);
        (Stored::Inline { offset, len }, len as usize)
    };
    // What it says of itself and what the log says must agree, or content would be read elsewhere.
    let fills_record = head_bytes
        .checked_add(inline_bytes)
        .is_some_and(|bytes| record_bytes(bytes) == home.bytes as usize);
    if !fills_record {
        return Err(Malformed);
    }
    Ok(Entry::new(id, home, stored, flags, envelope, standings))
}

/// What a deferral or failure says.
pub(crate) fn attempt_of(at: Time, status: Status, text: &str) -> Attempt {
    Attempt { at, status, text: text.into() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::codec::ALIGN;
    use mail::{Address, Body, Client, Protocol};

    pub(crate) fn entry() -> Entry {
        let recipient = |text: &str| Recipient::new(Address::parse(text.as_bytes()).unwrap());
        let envelope = Envelope {
            sender: None,
            recipients: vec![recipient("a@mx.example"), recipient("b@mx.example")],
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
        };
        let failed = attempt_of(Time(9), Status(5, 1, 1), "no such user");
        Entry {
            id: QueueId::from_u64(0x1234_5600),
            home_seq: 7,
            last_seq: 11,
            slot: 3,
            record_offset: 8192,
            record_bytes: 400,
            stored: Stored::Inline { offset: 8300, len: 42 },
            has_delivered_to: true,
            held: true,
            expired: false,
            standings: vec![Standing::Delivered, Standing::Failed(Box::new(failed))],
            open: 1,
            envelope: Rc::new(envelope),
        }
    }

    fn every_change() -> Vec<Change> {
        let entry = entry();
        let attempt = attempt_of(Time(9), Status(4, 2, 2), "mailbox full");
        vec![
            Change::Delivered { number: 1, at: Time(8) },
            Change::Deferred { number: 1, retry: Time(99), attempt: attempt.clone() },
            Change::Failed { number: 0, attempt },
            Change::Redirected {
                number: 0,
                at: Time(8),
                recipients: entry.envelope.recipients.clone(),
            },
            Change::Hold,
            Change::Release { at: Time(8) },
            Change::Requeue { at: Time(8) },
            Change::Expire { at: Time(8) },
            Change::Delete { reason: Reason::Answered },
            Change::Rewrite { envelope: Rc::clone(&entry.envelope) },
            Change::Snapshot { entry: Box::new(entry) },
        ]
    }

    #[test]
    fn every_change_reads_back_and_none_is_read_from_a_part_of_it() {
        let id = entry().id;
        for change in every_change() {
            let mut payload = Vec::new();
            change.encode(id, 7, &mut payload);
            let kind = change.kind();
            assert_eq!(Change::decode(kind, &payload), Ok((id, 7, change)));
            for cut in 0..payload.len() {
                assert_eq!(Change::decode(kind, &payload[..cut]), Err(Malformed), "{kind:?} {cut}");
            }
        }
    }

    #[test]
    fn a_message_reads_back_and_none_is_read_from_a_part_of_it() {
        let entry = entry();
        let mut payload = Vec::new();
        let standings = Some(&entry.standings[..]);
        put_accepted(
            &mut payload,
            entry.id,
            entry.flags(),
            &entry.envelope,
            standings,
            entry.stored,
        );
        let content_at = payload.len();
        payload.extend_from_slice(&[b'x'; 42]);
        let bytes = record_bytes(payload.len()) as u32;
        let home = Home { seq: 7, slot: 3, offset: 8192, bytes };
        let read = accepted(&payload, home).unwrap();
        let offset = 8192 + (HEADER_BYTES + content_at) as u32;
        let stored = Stored::Inline { offset, len: 42 };
        assert_eq!(read, Entry { last_seq: 7, stored, record_bytes: bytes, ..entry });
        for cut in 0..content_at {
            assert_eq!(accepted(&payload[..cut], home), Err(Malformed), "{cut}");
        }
        let head = &payload[..content_at];
        assert_eq!(accepted(head, home).as_ref(), Ok(&read), "the content is not looked at");
        let longer = Home { bytes: bytes + ALIGN as u32, ..home };
        assert_eq!(accepted(&payload, longer), Err(Malformed), "the log says another length");
    }

    #[test]
    fn a_number_that_the_message_does_not_have_changes_nothing() {
        let mut changed = entry();
        changed.apply(12, &Change::Delivered { number: 2, at: Time(8) });
        assert_eq!(changed, Entry { last_seq: 12, ..entry() });
    }

    #[test]
    fn a_failed_recipient_keeps_the_message_until_it_is_answered_for() {
        let mut entry = entry();
        assert!(!entry.is_finished());
        entry.held = false;
        assert_eq!(entry.due(), Some(Time(9)), "due at once, to be answered for");
        entry.apply(12, &Change::Delete { reason: Reason::Answered });
        assert!(entry.is_finished());
    }
}
