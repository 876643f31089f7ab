//! A segment's bytes taken apart, without a slice around them: for tools that look at a copy of a queue, and
//! for the fuzzer.

use crate::change::{Change, accepted};
use crate::codec::{Kind, record_bytes};
use crate::entry::Home;
use crate::footer::Digested;
use crate::segment::{Found, Head, scan};

/// What the bytes of a segment hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Records with messages that can be read.
    pub messages: usize,
    /// Other records that can be read.
    pub changes: usize,
    /// Records whose checksum is right and whose payload means nothing to this version.
    pub unknown: usize,
    /// Places where something cannot be read.
    pub gaps: usize,
}

/// Takes a segment apart; `None` where neither copy of its head can be read.
pub fn survey(segment: &[u8]) -> Option<Survey> {
    let head = Head::decode(segment)?;
    let mut survey = Survey::default();
    for found in scan(segment, &head) {
        let Found::Record { record, .. } = found else {
            survey.gaps += 1;
            continue;
        };
        let counter = match record.kind {
            kind if kind.is_of_footer() => continue,
            kind if !is_readable(kind as u8, record.payload) => &mut survey.unknown,
            Kind::Accepted => &mut survey.messages,
            _ => &mut survey.changes,
        };
        *counter += 1;
    }
    Some(survey)
}

/// Whether a payload of this kind can be read. A right checksum is no promise that it can.
pub fn is_readable(kind: u8, payload: &[u8]) -> bool {
    match Kind::from_u8(kind) {
        Some(Kind::Accepted) => {
            let bytes = record_bytes(payload.len()) as u32;
            accepted(payload, Home { seq: 1, slot: 0, offset: 0, bytes }).is_ok()
        }
        Some(Kind::Footer) => payload.len() == 8,
        // A part of one cannot be read alone; this is for digests that are not cut into pieces.
        Some(Kind::Digest) => Digested::decode(payload).is_ok(),
        Some(kind) => Change::decode(kind, payload).is_ok(),
        None => false,
    }
}
