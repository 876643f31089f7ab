//! Reading, in pieces that are cut anywhere.

use mail::{ADDRESS_BYTES_MAX, Address, Body, Notify, Ret, Sink};

use crate::{
    CONTENT, CONTENT_BYTES_MAX, DELAY, EIGHT_BIT, END, ENVELOPE_BYTES_MAX, ENVID, FAILURE,
    FULL_NAME, FULL_NAME_BYTES_MAX, Malformed, NEVER, NOTIFY, OPTIONS, RECIPIENT,
    RECORD_HEAD_BYTES, REMOTE, RET_FULL, RET_HEADERS, SENDER, SMTPUTF8, SUCCESS, Submission,
    VERSION,
};

/// Reads one submission.
#[derive(Debug)]
pub struct Decoder {
    next: Next,
    /// As much as there is of what comes next.
    gathered: Vec<u8>,
    /// Kinds of which there was a record.
    seen: Vec<u8>,
    submission: Submission,
    envelope_bytes: usize,
    content_bytes: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Version,
    /// Of a record before the content.
    Head,
    Payload {
        kind: u8,
        bytes: usize,
    },
    /// Of a record behind the envelope.
    LaterHead,
    Content {
        left: usize,
    },
    Total,
    Nothing,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            next: Next::Version,
            gathered: Vec::new(),
            seen: Vec::new(),
            submission: Submission::default(),
            envelope_bytes: 0,
            content_bytes: 0,
        }
    }
}

impl Decoder {
    /// Takes the next piece; content in it goes to `sink`. After an error nothing more can come of it.
    pub fn put<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            if let Next::Content { left } = self.next {
                let (piece, rest) = bytes.split_at(left.min(bytes.len()));
                sink.put(piece);
                self.content_bytes += piece.len() as u64;
                self.next = match left - piece.len() {
                    0 => Next::LaterHead,
                    left => Next::Content { left },
                };
                bytes = rest;
                continue;
            }
            let wanted = match self.next {
                Next::Version => VERSION.len(),
                Next::Head | Next::LaterHead => RECORD_HEAD_BYTES,
                Next::Payload { bytes, .. } => bytes,
                Next::Total => size_of::<u64>(),
                Next::Content { .. } | Next::Nothing => return Err(Malformed::Behind),
            };
            let missing = wanted - self.gathered.len();
            let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
            self.gathered.extend_from_slice(piece);
            bytes = rest;
            if self.gathered.len() == wanted {
                let field = std::mem::take(&mut self.gathered);
                self.next = self.field(&field)?;
                self.gathered = field;
                self.gathered.clear();
            }
        }
        Ok(())
    }

    /// What is said of the message, once all of that is known: its content comes behind it.
    pub fn submission(&self) -> Option<&Submission> {
        let is_known = matches!(
            self.next,
            Next::LaterHead | Next::Content { .. } | Next::Total | Next::Nothing
        );
        is_known.then_some(&self.submission)
    }

    /// Whether the end is there.
    pub fn is_finished(&self) -> bool {
        self.next == Next::Nothing
    }

    /// Nothing more comes.
    pub fn finish(self) -> Result<Submission, Malformed> {
        if self.is_finished() { Ok(self.submission) } else { Err(Malformed::Unfinished) }
    }

    fn field(&mut self, field: &[u8]) -> Result<Next, Malformed> {
        match self.next {
            Next::Version if field == VERSION => Ok(Next::Head),
            Next::Version => Err(Malformed::Version),
            Next::Head => self.head(field),
            Next::LaterHead => later_head(field),
            Next::Payload { kind, .. } => {
                self.payload(kind, field)?;
                Ok(Next::Head)
            }
            Next::Total => match <[u8; 8]>::try_from(field).map(u64::from_le_bytes) {
                Ok(total) if total == self.content_bytes => Ok(Next::Nothing),
                _ => Err(Malformed::Content),
            },
            Next::Content { .. } | Next::Nothing => Err(Malformed::Behind),
        }
    }

    fn head(&mut self, head: &[u8]) -> Result<Next, Malformed> {
        let (kind, bytes) = kind_and_length(head);
        let name = char::from(kind);
        let (min, max) = match kind {
            CONTENT | END if self.submission.recipients.is_empty() => {
                return Err(Malformed::Order(name));
            }
            CONTENT | END => return later_head(head),
            SENDER => (0, ADDRESS_BYTES_MAX),
            RECIPIENT => (1, ADDRESS_BYTES_MAX),
            FULL_NAME => (0, FULL_NAME_BYTES_MAX),
            OPTIONS | NOTIFY => (1, 1),
            ENVID => (1, ADDRESS_BYTES_MAX),
            _ => return Err(Malformed::Kind(kind)),
        };
        let is_first = self.seen.is_empty();
        if (kind == SENDER) != is_first || kind != RECIPIENT && self.seen.contains(&kind) {
            return Err(Malformed::Order(name));
        }
        self.envelope_bytes += head.len() + bytes.min(ENVELOPE_BYTES_MAX);
        if !(min..=max).contains(&bytes) || self.envelope_bytes > ENVELOPE_BYTES_MAX {
            return Err(Malformed::Length(name));
        }
        if kind != RECIPIENT {
            self.seen.push(kind);
        }
        // Nothing would come of waiting for nothing.
        if bytes == 0 {
            self.payload(kind, b"")?;
            return Ok(Next::Head);
        }
        Ok(Next::Payload { kind, bytes })
    }

    fn payload(&mut self, kind: u8, payload: &[u8]) -> Result<(), Malformed> {
        let bad = || Malformed::Flags(char::from(kind));
        let submission = &mut self.submission;
        match kind {
            SENDER if payload.is_empty() => {}
            SENDER => submission.sender = Some(address(payload)?),
            RECIPIENT => submission.recipients.push(address(payload)?),
            FULL_NAME => submission.full_name = Some(line(kind, payload)?.into()),
            ENVID => {
                let envid = wire::parse_envid(payload).map_err(|_| Malformed::Text(kind.into()))?;
                submission.envid = Some(envid);
            }
            NOTIFY => submission.notify = Some(notify(payload[0]).ok_or_else(bad)?),
            _ => options(submission, payload[0]).ok_or_else(bad)?,
        }
        Ok(())
    }
}

fn later_head(head: &[u8]) -> Result<Next, Malformed> {
    match kind_and_length(head) {
        (CONTENT, left @ 1..=CONTENT_BYTES_MAX) => Ok(Next::Content { left }),
        (END, 8) => Ok(Next::Total),
        (kind @ (CONTENT | END), _) => Err(Malformed::Length(kind.into())),
        (kind, _) => Err(Malformed::Order(kind.into())),
    }
}

fn kind_and_length(head: &[u8]) -> (u8, usize) {
    let length = head[1..].try_into().map_or(u32::MAX, u32::from_le_bytes);
    (head[0], usize::try_from(length).unwrap_or(usize::MAX))
}

fn address(payload: &[u8]) -> Result<Address, Malformed> {
    Address::parse(payload).map_err(Malformed::Address)
}

/// One line of text.
fn line(kind: u8, payload: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(payload).ok();
    let text = text.filter(|text| !text.chars().any(char::is_control));
    text.ok_or(Malformed::Text(kind.into()))
}

fn notify(flags: u8) -> Option<Notify> {
    let is = |bit| flags & bit != 0;
    let wanted =
        Notify { never: is(NEVER), success: is(SUCCESS), failure: is(FAILURE), delay: is(DELAY) };
    // RFC 3461 section 4.1: never, or some of the others.
    let sound = match flags {
        0 => false,
        NEVER => true,
        _ => !wanted.never && flags & !(SUCCESS | FAILURE | DELAY) == 0,
    };
    sound.then_some(wanted)
}

fn options(submission: &mut Submission, flags: u8) -> Option<()> {
    if flags & !(EIGHT_BIT | SMTPUTF8 | REMOTE | RET_FULL | RET_HEADERS) != 0 {
        return None;
    }
    if flags & EIGHT_BIT != 0 {
        submission.body = Body::EightBitMime;
    }
    submission.smtputf8 = flags & SMTPUTF8 != 0;
    submission.is_remote = flags & REMOTE != 0;
    submission.ret = match flags & (RET_FULL | RET_HEADERS) {
        0 => None,
        RET_FULL => Some(Ret::Full),
        RET_HEADERS => Some(Ret::Headers),
        _ => return None,
    };
    Some(())
}
