//! What crosses the socket between a shard and its agent.
//!
//! A frame is one SOCK_SEQPACKET message of at most [`FRAME_BYTES_MAX`] bytes: a byte that tells
//! its kind, then its fields without padding. Integers are little-endian; a text is its length in
//! bytes (u16) and UTF-8.
//!
//! | kind | name     | descriptor   | fields                                           |
//! |-----:|----------|--------------|--------------------------------------------------|
//! |    1 | Hello    | arena or none | version u16, arena bytes u64 (0: there is none) |
//! |    2 | Segment  | the segment  | slice u8, segment u64                            |
//! |    3 | File     | the content  | tag u64 of the job it belongs to                 |
//! |    4 | Jobs     |              | count u16, jobs                                  |
//! |    5 | Outcomes |              | count u16, outcomes                              |
//!
//! A job:
//!
//! | field      | type                                                                        |
//! |------------|-----------------------------------------------------------------------------|
//! | tag        | u64                                                                         |
//! | queue id   | u64                                                                         |
//! | number     | u32                                                                         |
//! | arrival    | u64, microseconds                                                           |
//! | flags      | u8: 1 has a sender, 2 seen before, 4 has Delivered-To, 8 has a service      |
//! | content    | u8 0, arena: offset u64, len u32                                            |
//! |            | u8 1, segment: slice u8, segment u64, offset u64, len u32                   |
//! |            | u8 2, file: len u64                                                         |
//! | service    | text, where flagged                                                         |
//! | sender     | text, where flagged                                                         |
//! | recipient  | flags u8: 1 original, 2 ORCPT, 4 NOTIFY, 8 never, 16 success, 32 failure,   |
//! |            | 64 delay; address text; original text and ORCPT text, where flagged         |
//!
//! An outcome:
//!
//! | field      | type                                                                        |
//! |------------|-----------------------------------------------------------------------------|
//! | tag        | u64                                                                         |
//! | verdict    | u8: 0 delivered, 1 deferred, 2 failed, 3 redirect                           |
//! | status     | u8, u16, u16                                                                |
//! | text       | text                                                                        |
//! | recipients | for a redirect: count u16, recipients as above                              |
//!
//! The engine talks to strangers, so agentd reads a frame as hostile input: every address is judged
//! again, unknown flags and left-over bytes are refused, and nothing is allocated for a count
//! before the bytes for it were seen.

use std::fmt;

use mail::{
    Address, AddressError, Content, Job, Notify, Outcome, QueueId, Recipient, Status, Time, Verdict,
};

use crate::BATCH_JOBS_MAX;

/// Changes whenever a frame's layout does. Engine and agentd are one binary, but not during an
/// upgrade.
pub const VERSION: u16 = 3;

/// A frame's greatest size.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What is kept of an outcome's text; the log cuts lines long before.
pub const TEXT_BYTES_MAX: usize = 1024;

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame: how to read the others, and how large the arena is.
    Hello {
        /// See [`VERSION`].
        version: u16,
        /// Zero where no arena comes with it.
        arena_bytes: u64,
    },
    /// A segment that jobs will point into.
    Segment {
        /// The slice it belongs to.
        slice: u8,
        /// Its number within the slice.
        segment: u64,
    },
    /// The content of one large message.
    File {
        /// The job that it is for.
        tag: u64,
    },
    /// Work.
    Jobs(Vec<Job>),
    /// What became of it.
    Outcomes(Vec<Outcome>),
}

/// Why bytes are not a frame, or a value does not fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// It ends before its fields do.
    Short,
    /// Bytes are left over.
    Trailing,
    /// No frame has this kind.
    Kind(u8),
    /// A flag or a choice that this version does not know.
    Unknown(&'static str),
    /// A text is not UTF-8.
    Text,
    /// What should be an address is none.
    Address(AddressError),
    /// A verdict and a status that contradict each other.
    Contradiction,
    /// More jobs than a frame may hold.
    Count,
    /// One record alone is larger than a frame.
    TooLarge,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("frame ends before its fields do"),
            Self::Trailing => f.write_str("bytes left over behind a frame"),
            Self::Kind(kind) => write!(f, "no frame has kind {kind}"),
            Self::Unknown(what) => write!(f, "unknown {what}"),
            Self::Text => f.write_str("text that is not UTF-8"),
            Self::Address(error) => write!(f, "bad address: {error}"),
            Self::Contradiction => f.write_str("verdict and status contradict each other"),
            Self::Count => write!(f, "more than {BATCH_JOBS_MAX} records in one frame"),
            Self::TooLarge => f.write_str("record larger than a frame"),
        }
    }
}

impl std::error::Error for FrameError {}

const HELLO: u8 = 1;
const SEGMENT: u8 = 2;
const FILE: u8 = 3;
const JOBS: u8 = 4;
const OUTCOMES: u8 = 5;

mod job_flag {
    pub(super) const SENDER: u8 = 1;
    pub(super) const SEEN_BEFORE: u8 = 2;
    pub(super) const HAS_DELIVERED_TO: u8 = 4;
    pub(super) const SERVICE: u8 = 8;
    pub(super) const ALL: u8 = 15;
}

mod recipient_flag {
    pub(super) const ORIGINAL: u8 = 1;
    pub(super) const ORCPT: u8 = 2;
    pub(super) const NOTIFY: u8 = 4;
    pub(super) const NEVER: u8 = 8;
    pub(super) const SUCCESS: u8 = 16;
    pub(super) const FAILURE: u8 = 32;
    pub(super) const DELAY: u8 = 64;
    pub(super) const ALL: u8 = 127;
}

/// Reads one frame.
pub fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    let mut fields = Fields(bytes);
    let frame = match fields.u8()? {
        HELLO => Frame::Hello { version: fields.u16()?, arena_bytes: fields.u64()? },
        SEGMENT => Frame::Segment { slice: fields.u8()?, segment: fields.u64()? },
        FILE => Frame::File { tag: fields.u64()? },
        JOBS => Frame::Jobs(fields.list(Fields::job)?),
        OUTCOMES => Frame::Outcomes(fields.list(Fields::outcome)?),
        kind => return Err(FrameError::Kind(kind)),
    };
    if fields.0.is_empty() { Ok(frame) } else { Err(FrameError::Trailing) }
}

/// The Hello of this version.
pub fn hello(arena_bytes: u64) -> Vec<u8> {
    let mut frame = vec![HELLO];
    frame.extend(VERSION.to_le_bytes());
    frame.extend(arena_bytes.to_le_bytes());
    frame
}

/// Announces the segment whose descriptor comes with the frame.
pub fn segment(slice: u8, segment: u64) -> Vec<u8> {
    let mut frame = vec![SEGMENT, slice];
    frame.extend(segment.to_le_bytes());
    frame
}

/// Announces the content of the job `tag`, whose descriptor comes with the frame.
pub fn file(tag: u64) -> Vec<u8> {
    let mut frame = vec![FILE];
    frame.extend(tag.to_le_bytes());
    frame
}

/// A frame of jobs or of outcomes in the making.
#[derive(Debug)]
pub struct Packer {
    bytes: Vec<u8>,
    count: u16,
}

/// Whether a record went into the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// It is in.
    Yes,
    /// The frame is full; the record belongs into the next one.
    NoRoom,
}

impl Packer {
    /// An empty frame for jobs.
    pub fn jobs() -> Self {
        Self { bytes: vec![JOBS, 0, 0], count: 0 }
    }

    /// An empty frame for outcomes.
    pub fn outcomes() -> Self {
        Self { bytes: vec![OUTCOMES, 0, 0], count: 0 }
    }

    /// Adds a job to a frame made with [`Packer::jobs`].
    pub fn push_job(&mut self, job: &Job) -> Result<Packed, FrameError> {
        debug_assert_eq!(self.bytes[0], JOBS);
        self.push(|bytes| put_job(bytes, job))
    }

    /// Adds an outcome to a frame made with [`Packer::outcomes`].
    pub fn push_outcome(&mut self, outcome: &Outcome) -> Result<Packed, FrameError> {
        debug_assert_eq!(self.bytes[0], OUTCOMES);
        self.push(|bytes| put_outcome(bytes, outcome))
    }

    /// How many records are in it.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// True where nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frame, ready to be sent.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[1..3].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }

    fn push(
        &mut self,
        put: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<Packed, FrameError> {
        if self.len() == BATCH_JOBS_MAX {
            return Ok(Packed::NoRoom);
        }
        let before = self.bytes.len();
        let fits = put(&mut self.bytes).map(|()| self.bytes.len() <= FRAME_BYTES_MAX);
        match fits {
            Ok(true) => {
                self.count += 1;
                return Ok(Packed::Yes);
            }
            Ok(false) if self.count > 0 => {
                self.bytes.truncate(before);
                return Ok(Packed::NoRoom);
            }
            _ => self.bytes.truncate(before),
        }
        Err(FrameError::TooLarge)
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), FrameError> {
    let len = u16::try_from(text.len()).map_err(|_| FrameError::TooLarge)?;
    bytes.extend(len.to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}

fn put_job(bytes: &mut Vec<u8>, job: &Job) -> Result<(), FrameError> {
    bytes.extend(job.tag.to_le_bytes());
    bytes.extend(job.id.as_u64().to_le_bytes());
    bytes.extend(job.number.to_le_bytes());
    bytes.extend(job.arrival.0.to_le_bytes());
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    bytes.push(
        flag(job.sender.is_some(), job_flag::SENDER)
            | flag(job.seen_before, job_flag::SEEN_BEFORE)
            | flag(job.has_delivered_to, job_flag::HAS_DELIVERED_TO)
            | flag(job.service.is_some(), job_flag::SERVICE),
    );
    match job.content {
        Content::Arena { offset, len } => {
            bytes.push(0);
            bytes.extend(offset.to_le_bytes());
            bytes.extend(len.to_le_bytes());
        }
        Content::Segment { slice, segment, offset, len, crc } => {
            bytes.extend([1, slice]);
            bytes.extend(segment.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(crc.to_le_bytes());
        }
        Content::File { len } => {
            bytes.push(2);
            bytes.extend(len.to_le_bytes());
        }
    }
    if let Some(service) = &job.service {
        put_text(bytes, service)?;
    }
    if let Some(sender) = &job.sender {
        put_text(bytes, sender.as_str())?;
    }
    put_recipient(bytes, &job.recipient)
}

fn put_recipient(bytes: &mut Vec<u8>, recipient: &Recipient) -> Result<(), FrameError> {
    use recipient_flag::{DELAY, FAILURE, NEVER, NOTIFY, ORCPT, ORIGINAL, SUCCESS};

    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let notify = recipient.notify.unwrap_or_default();
    bytes.push(
        flag(recipient.original.is_some(), ORIGINAL)
            | flag(recipient.orcpt.is_some(), ORCPT)
            | flag(recipient.notify.is_some(), NOTIFY)
            | flag(notify.never, NEVER)
            | flag(notify.success, SUCCESS)
            | flag(notify.failure, FAILURE)
            | flag(notify.delay, DELAY),
    );
    put_text(bytes, recipient.address.as_str())?;
    if let Some(original) = &recipient.original {
        put_text(bytes, original.as_str())?;
    }
    if let Some(orcpt) = &recipient.orcpt {
        put_text(bytes, orcpt)?;
    }
    Ok(())
}

/// The text's first [`TEXT_BYTES_MAX`] bytes, less the beginning of a character.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn put_outcome(bytes: &mut Vec<u8>, outcome: &Outcome) -> Result<(), FrameError> {
    bytes.extend(outcome.tag.to_le_bytes());
    bytes.push(match outcome.verdict {
        Verdict::Delivered => 0,
        Verdict::Deferred => 1,
        Verdict::Failed => 2,
        Verdict::Redirect(_) => 3,
    });
    let Status(class, subject, detail) = outcome.status;
    bytes.push(class);
    bytes.extend(subject.to_le_bytes());
    bytes.extend(detail.to_le_bytes());
    put_text(bytes, cut(&outcome.text))?;
    if let Verdict::Redirect(recipients) = &outcome.verdict {
        let count = u16::try_from(recipients.len()).map_err(|_| FrameError::TooLarge)?;
        bytes.extend(count.to_le_bytes());
        for recipient in recipients {
            put_recipient(bytes, recipient)?;
        }
    }
    Ok(())
}

/// The fields that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    fn flags(&mut self, known: u8, what: &'static str) -> Result<u8, FrameError> {
        let flags = self.u8()?;
        if flags & !known == 0 { Ok(flags) } else { Err(FrameError::Unknown(what)) }
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let len = self.u16()?;
        std::str::from_utf8(self.bytes(usize::from(len))?).map_err(|_| FrameError::Text)
    }

    fn address(&mut self) -> Result<Address, FrameError> {
        Address::parse(self.text()?.as_bytes()).map_err(FrameError::Address)
    }

    /// A counted list of records. It grows as they are read, never ahead of them.
    fn list<T>(
        &mut self,
        mut record: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = usize::from(self.u16()?);
        if count > BATCH_JOBS_MAX {
            return Err(FrameError::Count);
        }
        (0..count).map(|_| record(self)).collect()
    }

    fn job(&mut self) -> Result<Job, FrameError> {
        let (tag, id, number, arrival) = (self.u64()?, self.u64()?, self.u32()?, self.u64()?);
        let flags = self.flags(job_flag::ALL, "job flag")?;
        let content = match self.u8()? {
            0 => Content::Arena { offset: self.u64()?, len: self.u32()? },
            1 => Content::Segment {
                slice: self.u8()?,
                segment: self.u64()?,
                offset: self.u64()?,
                len: self.u32()?,
                crc: self.u32()?,
            },
            2 => Content::File { len: self.u64()? },
            _ => return Err(FrameError::Unknown("place of content")),
        };
        let service = if flags & job_flag::SERVICE != 0 { Some(self.text()?.into()) } else { None };
        let sender = if flags & job_flag::SENDER != 0 { Some(self.address()?) } else { None };
        Ok(Job {
            tag,
            id: QueueId::from_u64(id),
            sender,
            recipient: self.recipient()?,
            number,
            arrival: Time(arrival),
            content,
            seen_before: flags & job_flag::SEEN_BEFORE != 0,
            has_delivered_to: flags & job_flag::HAS_DELIVERED_TO != 0,
            service,
        })
    }

    fn recipient(&mut self) -> Result<Recipient, FrameError> {
        use recipient_flag::{ALL, DELAY, FAILURE, NEVER, NOTIFY, ORCPT, ORIGINAL, SUCCESS};

        let flags = self.flags(ALL, "recipient flag")?;
        let has = |flag: u8| flags & flag != 0;
        let notify = Notify {
            never: has(NEVER),
            success: has(SUCCESS),
            failure: has(FAILURE),
            delay: has(DELAY),
        };
        if !has(NOTIFY) && notify != Notify::default() {
            return Err(FrameError::Unknown("recipient flag"));
        }
        Ok(Recipient {
            address: self.address()?,
            original: if has(ORIGINAL) { Some(self.address()?) } else { None },
            orcpt: if has(ORCPT) { Some(self.text()?.into()) } else { None },
            notify: has(NOTIFY).then_some(notify),
        })
    }

    fn outcome(&mut self) -> Result<Outcome, FrameError> {
        let (tag, verdict) = (self.u64()?, self.u8()?);
        let status = Status(self.u8()?, self.u16()?, self.u16()?);
        let text = self.text()?.into();
        let verdict = match (verdict, status.0) {
            (0, 2) => Verdict::Delivered,
            (1, 4) => Verdict::Deferred,
            (2, 5) => Verdict::Failed,
            (3, _) => Verdict::Redirect(self.redirected()?),
            (0..=2, _) => return Err(FrameError::Contradiction),
            _ => return Err(FrameError::Unknown("verdict")),
        };
        Ok(Outcome { tag, verdict, status, text })
    }

    /// An alias may have more recipients than a frame has jobs; the frame's size is their limit.
    fn redirected(&mut self) -> Result<Vec<Recipient>, FrameError> {
        let count = self.u16()?;
        (0..count).map(|_| self.recipient()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses() -> impl Strategy<Value = Address> {
        "[a-z+.'é]{1,40}(@[a-z]{1,20}\\.example)?|\"[a-z @]{1,9}\"@example\\.com"
            .prop_filter_map("an address", |text| Address::parse(text.as_bytes()).ok())
    }

    fn notifies() -> impl Strategy<Value = Notify> {
        any::<[bool; 4]>().prop_map(|[never, success, failure, delay]| Notify {
            never,
            success,
            failure,
            delay,
        })
    }

    fn recipients() -> impl Strategy<Value = Recipient> {
        let option = prop::option::of::<BoxedStrategy<Address>>;
        (
            addresses(),
            option(addresses().boxed()),
            prop::option::of("rfc822;[!-~]{0,60}"),
            prop::option::of(notifies()),
        )
            .prop_map(|(address, original, orcpt, notify)| Recipient {
                address,
                original,
                orcpt: orcpt.map(Into::into),
                notify,
            })
    }

    fn contents() -> impl Strategy<Value = Content> {
        prop_oneof![
            any::<(u64, u32)>().prop_map(|(offset, len)| Content::Arena { offset, len }),
            any::<(u8, u64, u64, u32, u32)>().prop_map(|(slice, segment, offset, len, crc)| {
                Content::Segment { slice, segment, offset, len, crc }
            }),
            any::<u64>().prop_map(|len| Content::File { len }),
        ]
    }

    fn jobs() -> impl Strategy<Value = Job> {
        (
            any::<(u64, u64, u32, u64, bool, bool)>(),
            prop::option::of(addresses()),
            recipients(),
            contents(),
            prop::option::of("[a-z-]{1,20}"),
        )
            .prop_map(
                |(
                    (tag, id, number, arrival, seen_before, looped),
                    sender,
                    recipient,
                    content,
                    service,
                )| {
                    Job {
                        tag,
                        id: QueueId::from_u64(id),
                        sender,
                        recipient,
                        number,
                        arrival: Time(arrival),
                        content,
                        seen_before,
                        has_delivered_to: looped,
                        service: service.map(String::into_boxed_str),
                    }
                },
            )
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        (
            any::<u64>(),
            0..4u8,
            any::<(u16, u16)>(),
            ".{0,80}",
            prop::collection::vec(recipients(), 0..4),
        )
            .prop_map(|(tag, verdict, (subject, detail), text, to)| {
                let (verdict, class) = match verdict {
                    0 => (Verdict::Delivered, 2),
                    1 => (Verdict::Deferred, 4),
                    2 => (Verdict::Failed, 5),
                    _ => (Verdict::Redirect(to), 2),
                };
                Outcome { tag, verdict, status: Status(class, subject, detail), text: text.into() }
            })
    }

    fn packed(jobs: &[Job]) -> Vec<u8> {
        let mut frame = Packer::jobs();
        for job in jobs {
            assert_eq!(frame.push_job(job), Ok(Packed::Yes));
        }
        frame.finish()
    }

    proptest! {
        #[test]
        fn jobs_read_back_as_they_were_packed(jobs in prop::collection::vec(jobs(), 0..20)) {
            prop_assert_eq!(decode(&packed(&jobs)), Ok(Frame::Jobs(jobs)));
        }

        #[test]
        fn outcomes_read_back_as_they_were_packed(
            outcomes in prop::collection::vec(outcomes(), 0..20),
        ) {
            let mut frame = Packer::outcomes();
            for outcome in &outcomes {
                prop_assert_eq!(frame.push_outcome(outcome), Ok(Packed::Yes));
            }
            prop_assert_eq!(decode(&frame.finish()), Ok(Frame::Outcomes(outcomes)));
        }

        #[test]
        fn a_frame_that_is_cut_or_longer_is_refused(job in jobs()) {
            let frame = packed(&[job]);
            for cut in 0..frame.len() {
                prop_assert!(decode(&frame[..cut]).is_err(), "cut at {}", cut);
            }
            let mut longer = frame;
            longer.push(0);
            prop_assert_eq!(decode(&longer), Err(FrameError::Trailing));
        }

        #[test]
        fn hostile_bytes_are_read_without_a_panic(
            kind in 0..7u8,
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            // What is read from noise can be packed again: nothing half-valid comes out.
            if let Ok(Frame::Jobs(jobs)) = decode(&bytes) {
                prop_assert_eq!(decode(&packed(&jobs)), Ok(Frame::Jobs(jobs)));
            }
        }

        #[test]
        fn a_flipped_bit_gives_an_error_or_another_valid_frame(
            job in jobs(),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let frame = packed(std::slice::from_ref(&job));
            let mut flipped = frame.clone();
            flipped[at.index(frame.len())] ^= 1u8 << bit;
            if let Ok(other) = decode(&flipped) {
                prop_assert_ne!(other, Frame::Jobs(vec![job]));
            }
        }
    }

    #[test]
    fn frames_with_descriptors_read_back() {
        assert_eq!(decode(&hello(4096)), Ok(Frame::Hello { version: VERSION, arena_bytes: 4096 }));
        assert_eq!(decode(&segment(3, 9)), Ok(Frame::Segment { slice: 3, segment: 9 }));
        assert_eq!(decode(&file(77)), Ok(Frame::File { tag: 77 }));
        assert_eq!(decode(&[]), Err(FrameError::Short));
        assert_eq!(decode(&[9]), Err(FrameError::Kind(9)));
    }

    #[test]
    fn a_frame_takes_no_more_than_its_limits() {
        let outcome = |text: &str| Outcome::new(1, Status(4, 3, 0), text);
        let mut frame = Packer::outcomes();
        let mut pushed = 0;
        while frame.push_outcome(&outcome(&"x".repeat(TEXT_BYTES_MAX))) == Ok(Packed::Yes) {
            pushed += 1;
        }
        assert_eq!(pushed, frame.len());
        assert!(frame.finish().len() <= FRAME_BYTES_MAX);

        let mut frame = Packer::outcomes();
        for _ in 0..BATCH_JOBS_MAX {
            assert_eq!(frame.push_outcome(&outcome("")), Ok(Packed::Yes));
        }
        assert_eq!(frame.push_outcome(&outcome("")), Ok(Packed::NoRoom));
        assert_eq!(decode(&[JOBS, 1, 1]), Err(FrameError::Count));
    }

    #[test]
    fn a_record_that_no_frame_can_hold_is_an_error_and_leaves_the_frame_usable() {
        let to = Recipient {
            orcpt: Some("x".repeat(70_000).into()),
            ..Recipient::new(Address::parse(b"a@example.com").unwrap())
        };
        let outcome = Outcome {
            verdict: Verdict::Redirect(vec![to]),
            ..Outcome::new(1, Status(2, 0, 0), "forwarded")
        };
        let mut frame = Packer::outcomes();
        assert_eq!(frame.push_outcome(&outcome), Err(FrameError::TooLarge));
        assert_eq!(decode(&frame.finish()), Ok(Frame::Outcomes(vec![])));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(TEXT_BYTES_MAX);
        let mut frame = Packer::outcomes();
        frame.push_outcome(&Outcome::new(1, Status(5, 1, 1), text.as_str())).unwrap();
        let Ok(Frame::Outcomes(read)) = decode(&frame.finish()) else { panic!("not outcomes") };
        assert_eq!(*read[0].text, text[..TEXT_BYTES_MAX]);
    }

    #[test]
    fn a_delivery_with_a_failure_code_is_refused() {
        let lie = Outcome { verdict: Verdict::Delivered, ..Outcome::new(1, Status(5, 1, 1), "") };
        let mut frame = Packer::outcomes();
        frame.push_outcome(&lie).unwrap();
        assert_eq!(decode(&frame.finish()), Err(FrameError::Contradiction));
    }
}
