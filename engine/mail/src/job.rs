//! What goes out to a delivery agent, and what comes back.

use crate::{Address, QueueId, Recipient, Status, Time};

/// One delivery: one message, one recipient. An agent knows nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The scheduler's own number for this delivery; comes back with the outcome.
    pub tag: u64,
    /// The service of master.cf that delivers, where it is not called as its agent is: `virtual`.
    pub service: Option<Box<str>>,
    /// The message.
    pub id: QueueId,
    /// `None` is `<>`.
    pub sender: Option<Address>,
    /// Whom to deliver to.
    pub recipient: Recipient,
    /// The recipient's number in the message: names stay the same from attempt to attempt.
    pub number: u32,
    /// When the message arrived.
    pub arrival: Time,
    /// Where the content lies.
    pub content: Content,
    /// An earlier attempt may have succeeded without our having learnt of it (a crash), so the agent
    /// must look before it delivers.
    pub seen_before: bool,
    /// The content has at least one `Delivered-To:` header, so a loop is possible.
    pub has_delivered_to: bool,
}

/// Where a message's content lies: LF-terminated lines, headers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the memory that the shard shares with its agent.
    Arena {
        /// From the start of the arena, in bytes.
        offset: u64,
        /// In bytes.
        len: u32,
    },
    /// In a segment of the log.
    Segment {
        /// The slice, as in [`QueueId::slice`].
        slice: u8,
        /// The segment's number within the slice.
        segment: u64,
        /// From the start of the segment's file, in bytes.
        offset: u64,
        /// In bytes.
        len: u32,
        /// CRC-32C of the content. Whoever outlives the shard that gave out the job may find the bytes of
        /// other messages there.
        crc: u32,
    },
    /// In a file of its own, named by the queue id.
    File {
        /// In bytes.
        len: u64,
    },
}

impl Content {
    /// Its size in bytes.
    pub const fn len(&self) -> u64 {
        match *self {
            Self::Arena { len, .. } | Self::Segment { len, .. } => len as u64,
            Self::File { len } => len,
        }
    }

    /// True for a message without a single byte.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of a [`Job`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The job's tag.
    pub tag: u64,
    /// Delivered, deferred, failed or redirected.
    pub verdict: Verdict,
    /// RFC 3463; its class agrees with the verdict.
    pub status: Status,
    /// For the log's parentheses and the bounce: `delivered to maildir`, or the cause.
    pub text: Box<str>,
}

/// The four things that can become of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the mailbox, durably.
    Delivered,
    /// Not now: try again.
    Deferred,
    /// Never: the sender is told.
    Failed,
    /// These get it instead (aliases, `.forward`).
    Redirect(Vec<Recipient>),
}

impl Outcome {
    /// The class of `status` is the verdict, for everything but a redirection.
    pub fn new(tag: u64, status: Status, text: impl Into<Box<str>>) -> Self {
        let verdict = match status.0 {
            2 => Verdict::Delivered,
            5 => Verdict::Failed,
            // When in doubt, defer.
            _ => Verdict::Deferred,
        };
        Self { tag, verdict, status, text: text.into() }
    }
}
