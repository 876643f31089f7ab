//! Intake: the shell of the SMTP server.
//!
//! It moves bytes between the ring, the dialogue and the queue, asks the tables what the dialogue wants
//! to know, and writes the log. What is said when is decided in `wire`; what a message looks like when it
//! is stored, in `cleanup`; when it is safe, in `queue`.
//!
//! One [`Service`] serves one shard. A session is one task; while it waits for its client it holds a few
//! hundred bytes.

#[cfg(test)]
mod allocations;
mod anvil;
mod content;
mod journal;
mod judge;
mod pace;
mod policy;
mod receive;
mod service;
mod session;
mod sessions;
mod store;

pub use anvil::Anvil;
pub use journal::Log;
pub use service::{Accepted, Limits, Service};
pub use sessions::Sessions;
