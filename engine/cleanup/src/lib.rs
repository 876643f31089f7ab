//! Cleanup: turns what a client sent into what the queue stores.
//!
//! Prepends `Received:`, adds what is missing, drops what must not travel, counts hops, and does what checks
//! of headers and bodies say. One pass over the content, because a message may be larger than memory: it
//! comes in pieces, and goes to a [`Sink`](mail::Sink) in pieces. A header is gathered first, up
//! to `header_size_limit`, since a rule wants it whole. That is a second copy of the head, some ten
//! nanoseconds of a message; a sink that could be read and taken back from would save it, and would have
//! to keep a head together across its buffers. The body passes through untouched and unread, unless a rule
//! wants to see its lines.
//!
//! It opens nothing and reads no clock: the time is in the [`Message`], tables are in the [`Rules`]. Those
//! that answer at once are asked on the way ([`Rules::is_immediate`]), so the pass can write straight into
//! the queue's open batch:
//!
//! ```text
//! start(sink)  put(piece, sink) ...  finish(sink) -> Summary
//! ```
//!
//! Where a table may have to be waited for, the same pass goes into memory of the caller's own, and the
//! caller waits between the pieces:
//!
//! ```text
//! start(&mut own)  { put(piece, &mut own)  settle(&mut own).await } ...  finish_settled(&mut own).await
//! ```
//!
//! A caller that does not wait gets the message refused for now, never accepted unchecked.

mod action;
mod characters;
mod cleanup;
mod date;
mod downgrade;
mod envelope;
mod extract;
mod filter;
mod from;
mod header;
mod heads;
mod lines;
mod mime;
mod obey;
mod outcome;
mod received;
mod rewriting;
mod rules;
mod stage;
mod tokens;

pub use action::{Action, Part, Reading, Refusal, Scope};
pub use characters::Characters;
pub use cleanup::{Cleanup, Onto};
pub use date::{Zone, rfc5322_date};
pub use downgrade::Downgrade;
pub use envelope::{Addresses, Cleaned, EnvelopeRules, apply_orders, envelope};
pub use extract::{Extract, ExtractError, ExtractLimits};
pub use from::FromFormat;
pub use header::Role;
pub use mime::{Behind, Boundary, Class, MimeError, MimeLimits, Scanner};
pub use outcome::{BCC_MAX, EVENTS_MAX, Event, Orders, Summary, Verdict};
pub use rewriting::{AddressHeader, Context, HeaderRewriter, Rewriting, Rewritten};
pub use rules::{Message, NonEmptyEndOfHead, Receive, Rules, Strict, is_immediate};
