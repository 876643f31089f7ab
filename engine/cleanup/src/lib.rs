//! Cleanup: turns what a client sent into what the queue stores.
//!
//! Prepends `Received:`, adds what is missing, drops what must not travel, counts hops. One pass over
//! the content, because a message may be larger than memory: it comes in pieces, and goes to a
//! [`Sink`](mail::Sink) in pieces. The body passes through untouched; a header is gathered first, up
//! to `header_size_limit`, since a rule wants it whole. That is a second copy of the head, some ten
//! nanoseconds of a message; a sink that could be read and taken back from would save it, and would have
//! to keep a head together across its buffers.
//!
//! It opens nothing, asks nobody and reads no clock: the time is in the [`Message`].

mod cleanup;
mod date;
mod header;
mod received;
mod rules;

pub use cleanup::{Cleanup, Onto, Summary};
pub use date::{Zone, rfc5322_date};
pub use rules::{Message, Rules};
