//! What goes into the scheduler: messages, and the questions it asks to get older ones.

use mail::{Address, Content, QueueId, Recipient, Time};

use crate::Transport;

/// A message with recipients that are still to be tried.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: QueueId,
    /// When it arrived; back-off and lifetime count from here.
    pub arrival: Time,
    /// `None` is `<>`.
    pub sender: Option<Address>,
    /// The recipients without a final outcome.
    pub recipients: Vec<Pending>,
    /// Further recipients, whose ways are still being looked for. Each is handed to
    /// [`Scheduler::resolved`](crate::Scheduler::resolved) in the end.
    pub unresolved: u32,
    /// How many recipients it has had in all, so that recipients gained by redirection get numbers
    /// of their own.
    pub recipients_total: u32,
    /// Where its content lies.
    pub content: Content,
    /// The content has a `Delivered-To:` header.
    pub has_delivered_to: bool,
    /// An earlier attempt may have succeeded without a record of it: true for what comes from a
    /// [`Pull`], since that may have been with an agent when the process, or the agent, was killed.
    pub seen_before: bool,
    /// A recipient failed for good in an earlier attempt, and its sender has not been told.
    pub failed_before: bool,
}

/// A recipient and the way to it.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its number in the message.
    pub number: u32,
    /// Whom to deliver to.
    pub recipient: Recipient,
    /// Which agent delivers.
    pub transport: Transport,
    /// Where to, if that is not the recipient's domain.
    pub next_hop: Option<Box<str>>,
}

/// Whether the scheduler took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It is active.
    Active,
    /// The active queue is full, or older messages wait to enter it. The message stays in the index
    /// only, and a [`Pull`] asks for it later: nothing of it needs to be kept in memory.
    Queued,
}

/// The scheduler has room: a question to the index, answered with
/// [`Scheduler::pulled`](crate::Scheduler::pulled). One is open at a time.
///
/// The answer must come from an index that has seen every [`Change`](crate::Change) handed out
/// before the question, or a message that was just delivered would come back and be delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Which messages.
    pub source: Source,
    /// Only what comes after this place in the source's order.
    pub after: Option<Cursor>,
    /// No more messages than this.
    pub at_most: usize,
    /// Stop after the message that brings the recipients to this number.
    pub recipients_at_most: usize,
}

/// Where a [`Pull`] looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Messages never tried, by id, so oldest first.
    Incoming,
    /// Deferred messages by next attempt and id: those with a next attempt up to and including `by`,
    /// then those after `beyond`. Nothing is put off that far: the clock was wrong when it was.
    Due {
        /// The moment the queue run began.
        by: Time,
        /// The furthest honest next attempt.
        beyond: Time,
    },
    /// All deferred messages, by id (`postqueue -f`).
    Deferred,
    /// Deferred messages with a recipient at this domain, in lower case, by id (`postqueue -s`).
    Site(Box<str>),
}

/// A place in a [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The next attempt of the last message seen, for [`Source::Due`]; zero for the others.
    pub time: Time,
    /// The last message seen.
    pub id: QueueId,
}
