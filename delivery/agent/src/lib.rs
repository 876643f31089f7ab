//! Between the engine and its delivery agents: a [`mail::Job`] goes out, a [`mail::Outcome`] comes
//! back.
//!
//! Each shard has one socket to agentd. The engine's end is a [`Link`], driven by the shard; the
//! agent's end is [`serve`], a blocking loop on a thread of its own. Both work the same whether
//! agentd is a process that runs as root or a thread of an unprivileged server: there is one code
//! path.
//!
//! Jobs are batched and content does not travel: the agent maps the shard's arena and reads the
//! extents of log segments through descriptors that come over the socket once (see [`frame`]).
//!
//! The loop clocks itself. While the agent syncs one batch, the next one gathers in the socket;
//! where nothing else is there, a lone job is delivered at once.

pub mod frame;

mod contents;
mod link;
mod serve;
mod socket;
mod undelivered;

pub use contents::{Body, ContentError, Contents, EXTENT_BYTES_MAX};
pub use link::{Gone, Link, Sources, Submitted};
pub use serve::{Answer, Attempt, Deliver, ServeError, serve};
pub use socket::pair;

/// Jobs that are delivered, and synced, together.
pub const BATCH_JOBS_MAX: usize = 256;

/// Jobs that one shard may have with its agent: one batch being synced, and the next ones waiting.
pub const WINDOW_JOBS_MAX: usize = 1024;

/// Segments whose descriptors the agent keeps open for one shard; the oldest gives way.
pub const SEGMENTS_MAX: usize = 64;

/// Large messages, each with a file of its own, that one shard may have with its agent.
pub const FILES_MAX: usize = 64;
pub use undelivered::{discard, error, retry};
