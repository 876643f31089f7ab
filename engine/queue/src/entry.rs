//! What the queue knows of one message, and how it is stored in the index.
//!
//! | bytes  | field                                                                        |
//! |--------|------------------------------------------------------------------------------|
//! | 1      | version, 1                                                                   |
//! | 1      | flags: 1 has Delivered-To, 2 content in a file, 4 held, 8 expired             |
//! | 8      | sequence number of the record that holds the message                         |
//! | 8      | sequence number of the last record that changed it                           |
//! | 4 4 4  | segment, offset and length of that record                                    |
//! | 4 8    | offset of the content in the segment (or CRC-32C of the file), its length    |
//! | count  | length of the envelope, then the envelope                                    |
//! | rest   | standings, one for each recipient, see [`put_standings`]                     |

use std::rc::Rc;

use mail::{Envelope, QueueId, Status, Time};

use crate::envelope;
use crate::fields::{Fields, Malformed, put_count, put_text, put_u32, put_u64};

const VERSION: u8 = 1;

pub(crate) const HAS_DELIVERED_TO: u8 = 1;
pub(crate) const IN_FILE: u8 = 2;
pub(crate) const HELD: u8 = 4;
pub(crate) const EXPIRED: u8 = 8;

/// An attempt that did not succeed: when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When its outcome came.
    pub at: Time,
    /// RFC 3463.
    pub status: Status,
    /// The cause, as it stands in the log's parentheses.
    pub text: Box<str>,
}

/// Where a recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// To be delivered to, not before `retry`.
    Pending {
        /// When to try.
        retry: Time,
        /// Why it is still here, where it was tried before.
        last: Option<Box<Attempt>>,
    },
    /// Done.
    Delivered,
    /// Will never be delivered; the message stays until someone answers for it.
    Failed(Box<Attempt>),
    /// Done: others get it instead, as recipients of their own further on.
    Redirected,
}

/// Where the content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In the segment of the record.
    Inline { offset: u32, len: u32 },
    /// In `content/<id>`.
    File { len: u64, crc: u32 },
}

impl Stored {
    pub(crate) fn len(self) -> u64 {
        match self {
            Self::Inline { len, .. } => u64::from(len),
            Self::File { len, .. } => len,
        }
    }
}

/// Where the record that holds a message lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    pub(crate) seq: u64,
    pub(crate) slot: u32,
    pub(crate) offset: u32,
    /// Header and padding included.
    pub(crate) bytes: u32,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: QueueId,
    /// Of the record that holds the message; it tells the segment that later records depend on.
    pub(crate) home_seq: u64,
    /// Of the last record that is applied here: replaying an older one changes nothing.
    pub(crate) last_seq: u64,
    pub(crate) slot: u32,
    pub(crate) record_offset: u32,
    pub(crate) record_bytes: u32,
    pub(crate) stored: Stored,
    pub(crate) has_delivered_to: bool,
    pub(crate) held: bool,
    pub(crate) expired: bool,
    pub(crate) envelope: Rc<Envelope>,
    pub(crate) standings: Vec<Standing>,
    /// How many recipients are pending or failed: the message lives until none is.
    pub(crate) open: u32,
}

impl Entry {
    /// The message as the record in its home says it, with the flags of that record.
    pub(crate) fn new(
        id: QueueId,
        home: Home,
        stored: Stored,
        flags: u8,
        envelope: Rc<Envelope>,
        standings: Vec<Standing>,
    ) -> Self {
        Self {
            id,
            home_seq: home.seq,
            last_seq: home.seq,
            slot: home.slot,
            record_offset: home.offset,
            record_bytes: home.bytes,
            stored,
            has_delivered_to: flags & HAS_DELIVERED_TO != 0,
            held: flags & HELD != 0,
            expired: flags & EXPIRED != 0,
            open: Self::count_open(&standings),
            envelope,
            standings,
        }
    }

    pub(crate) fn untried(envelope: &Envelope) -> Vec<Standing> {
        let retry = envelope.not_before.unwrap_or(envelope.arrival);
        envelope.recipients.iter().map(|_| Standing::Pending { retry, last: None }).collect()
    }

    /// When the scheduler should look at it next; `None` while it is held.
    ///
    /// Failed recipients that nobody answered for make a message due at once, so that a crash between
    /// the failure and its notice loses neither.
    pub(crate) fn due(&self) -> Option<Time> {
        if self.held {
            return None;
        }
        let due = self.standings.iter().filter_map(|standing| match standing {
            Standing::Pending { retry, .. } => Some(*retry),
            Standing::Failed(attempt) => Some(attempt.at),
            Standing::Delivered | Standing::Redirected => None,
        });
        Some(due.min().unwrap_or(self.envelope.arrival))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn count_open(standings: &[Standing]) -> u32 {
        let open = |s: &&Standing| matches!(s, Standing::Pending { .. } | Standing::Failed(_));
        standings.iter().filter(open).count() as u32
    }

    pub(crate) fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        flag(self.has_delivered_to, HAS_DELIVERED_TO)
            | flag(matches!(self.stored, Stored::File { .. }), IN_FILE)
            | flag(self.held, HELD)
            | flag(self.expired, EXPIRED)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.flags()]);
        put_u64(out, self.home_seq);
        put_u64(out, self.last_seq);
        put_u32(out, self.slot);
        put_u32(out, self.record_offset);
        put_u32(out, self.record_bytes);
        match self.stored {
            Stored::Inline { offset, .. } => put_u32(out, offset),
            Stored::File { crc, .. } => put_u32(out, crc),
        }
        put_u64(out, self.stored.len());
        let mut bytes = Vec::with_capacity(256);
        envelope::encode(&self.envelope, &mut bytes);
        put_count(out, bytes.len());
        out.extend_from_slice(&bytes);
        put_standings(out, &self.standings);
    }

    pub(crate) fn decode(id: QueueId, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(bytes);
        if fields.u8()? != VERSION {
            return Err(Malformed);
        }
        let flags = fields.u8()?;
        let (home_seq, last_seq) = (fields.u64()?, fields.u64()?);
        let (slot, offset, bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let home = Home { seq: home_seq, slot, offset, bytes };
        let (word, len) = (fields.u32()?, fields.u64()?);
        let stored = if flags & IN_FILE != 0 {
            Stored::File { len, crc: word }
        } else {
            Stored::Inline { offset: word, len: u32::try_from(len).map_err(|_| Malformed)? }
        };
        let envelope_bytes = fields.varint()? as usize;
        let envelope = Rc::new(envelope::decode(fields.bytes(envelope_bytes)?)?);
        let standings = standings(&mut fields, envelope.recipients.len())?;
        fields.end()?;
        Ok(Self { last_seq, ..Self::new(id, home, stored, flags, envelope, standings) })
    }
}

const PENDING: u8 = 0;
const TRIED: u8 = 1;
const DELIVERED: u8 = 2;
const FAILED: u8 = 3;
const REDIRECTED: u8 = 4;

/// One byte each (0 pending, 1 tried, 2 delivered, 3 failed, 4 redirected), then for 0 and 1 the time of
/// the next attempt, and for 1 and 3 the last one: its time, status and text.
pub(crate) fn put_standings(out: &mut Vec<u8>, standings: &[Standing]) {
    for standing in standings {
        match standing {
            Standing::Pending { retry, last: None } => {
                out.push(PENDING);
                put_u64(out, retry.0);
            }
            Standing::Pending { retry, last: Some(attempt) } => {
                out.push(TRIED);
                put_u64(out, retry.0);
                put_attempt(out, attempt);
            }
            Standing::Delivered => out.push(DELIVERED),
            Standing::Failed(attempt) => {
                out.push(FAILED);
                put_attempt(out, attempt);
            }
            Standing::Redirected => out.push(REDIRECTED),
        }
    }
}

pub(crate) fn standings(
    fields: &mut Fields<'_>,
    recipients: usize,
) -> Result<Vec<Standing>, Malformed> {
    let mut standings = Vec::with_capacity(recipients);
    for _ in 0..recipients {
        standings.push(match fields.u8()? {
            PENDING => Standing::Pending { retry: fields.time()?, last: None },
            TRIED => {
                let retry = fields.time()?;
                Standing::Pending { retry, last: Some(Box::new(attempt(fields)?)) }
            }
            DELIVERED => Standing::Delivered,
            FAILED => Standing::Failed(Box::new(attempt(fields)?)),
            REDIRECTED => Standing::Redirected,
            _ => return Err(Malformed),
        });
    }
    Ok(standings)
}

pub(crate) fn put_attempt(out: &mut Vec<u8>, attempt: &Attempt) {
    put_u64(out, attempt.at.0);
    out.push(attempt.status.0);
    out.extend_from_slice(&attempt.status.1.to_le_bytes());
    out.extend_from_slice(&attempt.status.2.to_le_bytes());
    put_text(out, &attempt.text);
}

pub(crate) fn attempt(fields: &mut Fields<'_>) -> Result<Attempt, Malformed> {
    let at = fields.time()?;
    let status = Status(fields.u8()?, fields.u16()?, fields.u16()?);
    Ok(Attempt { at, status, text: fields.text()?.into() })
}
