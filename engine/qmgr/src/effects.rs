//! What comes out of the scheduler.

use mail::{Job, QueueId, Recipient, Status, Time};

use crate::{Log, Pull, Transport};

/// What is to be done, collected by [`Scheduler::poll`](crate::Scheduler::poll). The caller drains
/// the lists and hands the same value in again, so that its memory is reused.
#[derive(Debug, Default)]
pub struct Effects {
    /// Deliveries to start.
    pub jobs: Vec<Submit>,
    /// What the queue must remember, in this order.
    pub changes: Vec<Change>,
    /// What the log says about it. A line may be printed once the changes of the same poll are with
    /// the queue.
    pub log: Vec<Log>,
    /// Recipients gained by redirection, to be given a way and handed to
    /// [`Scheduler::resolved`](crate::Scheduler::resolved).
    pub resolve: Vec<Resolve>,
    /// A question to the index.
    pub pull: Option<Pull>,
    /// When to poll again, whatever happens before.
    pub wake: Time,
}

/// A delivery to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Which agent.
    pub transport: Transport,
    /// Where to, if that is not the recipient's domain.
    pub next_hop: Option<Box<str>>,
    /// What.
    pub job: Job,
}

/// Recipients that need a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// Their message.
    pub id: QueueId,
    /// The number of the first; the others count on from it.
    pub first_number: u32,
    /// The recipients.
    pub recipients: Vec<Recipient>,
}

/// A change to what the queue stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One recipient has it. The last recipient's is followed by [`Change::Finished`] in the same
    /// poll, so the queue can write both as one record.
    Delivered {
        /// The message.
        id: QueueId,
        /// The recipient.
        number: u32,
    },
    /// One recipient has to be tried again; when, is said for the whole message by
    /// [`Change::Until`], once each of its recipients has been tried.
    Deferred {
        /// The message.
        id: QueueId,
        /// The recipient.
        number: u32,
        /// RFC 3463
        status: Status,
        /// For the queue listing.
        reason: Box<str>,
    },
    /// One recipient can never have it.
    Failed {
        /// The message.
        id: QueueId,
        /// The recipient.
        number: u32,
        /// RFC 3463
        status: Status,
        /// For the queue listing and the bounce.
        reason: Box<str>,
    },
    /// Others get it in place of one recipient.
    Redirected {
        /// The message.
        id: QueueId,
        /// The recipient that is done with.
        number: u32,
        /// The number of the first new one; the others count on from it.
        first_number: u32,
        /// The new ones.
        to: Vec<Recipient>,
    },
    /// Every recipient is done with: the message goes.
    Finished {
        /// The message.
        id: QueueId,
    },
    /// The message is in `deferred` until then.
    Until {
        /// The message.
        id: QueueId,
        /// The next attempt is at the first queue run from here on.
        next_attempt: Time,
    },
    /// The message is in `hold`.
    Held {
        /// The message.
        id: QueueId,
        /// Why.
        why: Hold,
    },
    /// The message is deleted, as asked.
    Deleted {
        /// The message.
        id: QueueId,
    },
}

/// Why a message is on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Someone asked for it (`postsuper -h`).
    Asked,
    /// It could not be delivered for `maximal_queue_lifetime`.
    Expired,
    /// A recipient failed for good. The message is kept until its sender can be told.
    Undeliverable,
}
