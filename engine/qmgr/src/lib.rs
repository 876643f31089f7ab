//! The queue manager: decides what is delivered when.
//!
//! A pure core: arrivals, outcomes and time go in; jobs, changes to the queue, log lines and the
//! time of the next look come out. It opens nothing and reads no clock, so a simulated year runs in
//! seconds and every race has a test. One [`Scheduler`] serves one shard; shards share nothing.
//!
//! - The *active queue* is bounded. New mail enters it at once and is delivered from memory; when it
//!   is full, mail stays in the index, and the scheduler asks for it later with a [`Pull`], oldest
//!   first, new and deferred mail in turn.
//! - Each destination has a *lane* with a window of its own, opened and closed by what its
//!   deliveries come to, and lanes take turns. A dead destination gives its mail back to the
//!   deferred queue at once: a million messages for it hold nothing that another needs.
//! - A message that could not be delivered waits as long as it has been here, within
//!   `minimal_backoff_time` and `maximal_backoff_time`, and is tried at the next queue run.
//!
//! What it does not do: resolve a recipient to a transport (the caller does, see [`Pending`]), write
//! notices (mail with recipients that failed is put on [`Hold`]), or keep anything through a crash
//! (the queue does, from each [`Change`]).
//!
//! ```
//! use mail::{Address, Content, Outcome, QueueId, Recipient, Status, Time};
//! use qmgr::{Admission, Change, Effects, Message, Parameters, Pending, Scheduler, Transport,
//!            TransportParameters};
//!
//! let mut scheduler = Scheduler::new(Parameters {
//!     transports: vec![TransportParameters::mailboxes("virtual")],
//!     ..Parameters::default()
//! });
//! let mut effects = Effects::default();
//! let now = Time::from_secs(1_800_000_000);
//!
//! // At start it asks for what the index holds; here, nothing.
//! scheduler.poll(now, 100, &mut effects);
//! assert!(effects.pull.take().is_some());
//! scheduler.pulled([], None, now);
//!
//! // A message was committed.
//! let id = QueueId::from_u64(0x1234_5678_9ABC);
//! let admission = scheduler.arrived(
//!     Message {
//!         id,
//!         arrival: now,
//!         sender: None,
//!         recipients: vec![Pending {
//!             number: 0,
//!             recipient: Recipient::new(Address::parse(b"user@example.com").unwrap()),
//!             transport: Transport(0),
//!             next_hop: None,
//!         }],
//!         unresolved: 0,
//!         recipients_total: 1,
//!         content: Content::Arena { offset: 0, len: 4096 },
//!         has_delivered_to: false,
//!         seen_before: false,
//!         failed_before: false,
//!     },
//!     now,
//! );
//! assert_eq!(admission, Admission::Active);
//!
//! // It goes to the agent, the agent answers, and the queue is told.
//! scheduler.poll(now, 100, &mut effects);
//! let job = effects.jobs.pop().unwrap().job;
//! scheduler.outcome(Outcome::new(job.tag, Status(2, 0, 0), "delivered to maildir"), now);
//! scheduler.poll(now, 100, &mut effects);
//! assert_eq!(effects.changes, [Change::Delivered { id, number: 0 }, Change::Finished { id }]);
//! assert_eq!(effects.log.last(), Some(&qmgr::Log::Removed { id }));
//! ```

mod clock;
mod effects;
mod entries;
mod lane;
mod log;
mod message;
mod parameters;
mod runs;
mod scheduler;

pub use effects::{Change, Effects, Hold, Resolve, Submit};
pub use log::{Delivery, Log};
pub use message::{Admission, Cursor, Message, Pending, Pull, Source};
pub use parameters::{Feedback, Parameters, Transport, TransportParameters};
pub use scheduler::Scheduler;
