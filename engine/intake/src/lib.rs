//! Intake: the shell of the SMTP server.
//!
//! It moves bytes between the ring, the dialogue and the queue, asks the tables what the dialogue wants
//! to know, and writes the log. What is said when is decided in `wire`; what a message looks like when it
//! is stored, in `cleanup`; when it is safe, in `queue`.
//!
//! A [`Shard`] is what one core has for all its sessions, a [`Service`] the settings that some of them
//! follow, an [`Entrance`] where they come in. A session is one task; while it waits for its client it holds a few
//! hundred bytes.

mod addresses;
#[cfg(test)]
mod allocations;
mod anvil;
mod cleaning;
mod content;
mod filter;
mod footer;
mod journal;
mod judge;
mod pace;
mod pickup;
mod policy;
mod rates;
mod receive;
mod service;
mod session;
mod sessions;
mod shard;
mod store;
mod warned;
mod wording;

pub use anvil::Anvil;
pub use cleaning::CleanupService;
pub use journal::Log;
pub use judge::Transports;
pub use pickup::{Bell, Collector, Parcel, Pickup, PickupEntrance, Ring};
pub use service::{Entrance, Gate, Service};
pub use sessions::Sessions;
pub use shard::{Accepted, Limits, Shard};
