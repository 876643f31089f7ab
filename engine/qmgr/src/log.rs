//! What the log says about a message on its way. Values that keep what they speak of, because a line is
//! written only after the changes it tells of are with the queue; `mail::log` has the words.

use std::sync::Arc;

use mail::log::{self, Delays, Event};
use mail::{Address, QueueId, Status};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// A message became active.
    Active {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<Address>,
        /// Of its content, in bytes.
        size: u64,
        /// Recipients to be tried.
        nrcpt: u32,
    },
    /// What became of a recipient.
    Delivery(Delivery),
    /// The message has left the queue.
    Removed {
        /// The message.
        id: QueueId,
    },
    /// The message was tried for as long as the configuration says, and is kept on hold.
    Expired {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<Address>,
    },
    /// A recipient failed for good, and the message is kept on hold.
    Undeliverable {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<Address>,
    },
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub id: QueueId,
    /// The recipient.
    pub to: Address,
    /// What it was before rewriting.
    pub orig_to: Option<Address>,
    /// The agent that tried; `None` where the scheduler did not even start.
    pub agent: Option<Arc<str>>,
    /// Whether the agent hands mail to somebody.
    pub relays: bool,
    /// Where the time went.
    pub delays: Delays,
    /// RFC 3463
    pub dsn: Status,
    /// The word after `status=`.
    pub status: &'static str,
    /// What stands in the parentheses.
    pub text: Box<str>,
}

impl Log {
    /// The service whose line this is.
    pub fn service(&self) -> &str {
        match self {
            // Postfix lets its `error` agent write down what it did not try.
            Self::Delivery(delivery) => delivery.agent.as_deref().unwrap_or("error"),
            _ => "qmgr",
        }
    }

    /// The message it is about.
    pub fn id(&self) -> QueueId {
        match self {
            Self::Delivery(delivery) => delivery.id,
            Self::Active { id, .. }
            | Self::Removed { id }
            | Self::Expired { id, .. }
            | Self::Undeliverable { id, .. } => *id,
        }
    }
}

/// What is done with a message that is not tried any more, until its sender can be told.
const ON_HOLD: &str = "placed on hold";

impl Log {
    /// The line as the log takes it.
    pub fn event(&self) -> Event<'_> {
        match self {
            Self::Active { id, from, size, nrcpt } => {
                Event::Active { id: *id, from: from.as_ref(), size: *size, recipients: *nrcpt }
            }
            Self::Delivery(delivery) => Event::Delivery(log::Delivery {
                id: delivery.id,
                to: &delivery.to,
                orig_to: delivery.orig_to.as_ref(),
                relay: delivery.agent.as_deref().filter(|_| delivery.relays).unwrap_or("none"),
                connection_use: 0,
                delays: delivery.delays,
                dsn: delivery.dsn,
                status: delivery.status,
                text: &delivery.text,
            }),
            Self::Removed { id } => Event::Removed { id: *id },
            Self::Expired { id, from } => given_up(*id, from, "expired"),
            Self::Undeliverable { id, from } => given_up(*id, from, "undeliverable"),
        }
    }
}

fn given_up<'a>(id: QueueId, from: &'a Option<Address>, status: &'a str) -> Event<'a> {
    Event::GivenUp { id, from: from.as_ref(), status, action: ON_HOLD }
}
