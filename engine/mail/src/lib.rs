//! The vocabulary of mail: what every other room passes around.
//!
//! Values only. Nothing here opens a file, reads a clock or knows how a message is stored.

mod address;
pub mod domain;
mod envelope;
mod id;
mod job;
pub mod log;
pub mod push;
pub mod rfc5322;
mod sink;
mod status;
mod time;

pub use address::{ADDRESS_BYTES_MAX, Address, AddressError};
pub use envelope::{Body, Client, Envelope, Notify, Protocol, Recipient, Ret};
pub use id::{IdSource, QueueId, QueueIdError};
pub use job::{Content, Job, Outcome, Verdict};
pub use sink::Sink;
pub use status::Status;
pub use time::Time;
