//! Pickup: takes what `sendmail` left in the maildrop (postfix `src/pickup/pickup.c`).
//!
//! A thread of its own looks through the directory ([`Collector`]), opens what is there, and gives it to the
//! shards in turn as a [`Parcel`]; it also removes or sets aside what they are done with. A shard ([`Pickup`])
//! reads the file and makes a message of it as of one that came over the network. The file is removed only
//! after the message is durable: a crash in between makes two of it, never none.

mod collector;
mod parcel;
mod shard;

pub use collector::Collector;
pub use parcel::{Bell, Parcel, Ring};
pub use shard::{Pickup, PickupEntrance};
