//! The durable queue: log, group commit, index, recovery.
//!
//! The log is the truth: what a client was told is safe is a record in a segment, written with
//! O_DIRECT and O_DSYNC in batches that many messages share. LMDB is the index, and could be lost without
//! losing a message. The byte layouts and what is promised about them are in `docs/queue-format.md`.
//!
//! A message's way through here: [`Slice::append`] makes its record in shared memory, the [`Commit`]
//! resolves when the batch is durable, the scheduler delivers from memory ([`Place::lease`]), and
//! [`Slice::outcome`] records what became of it.

mod batch;
mod change;
mod codec;
mod committer;
mod copy_forward;
mod corrupt;
mod directory;
mod disk;
mod entry;
mod envelope;
mod error;
mod fields;
mod footer;
mod group;
mod index;
mod large;
mod options;
mod read;
mod reader;
mod reading;
mod recovery;
mod ring_disk;
mod segment;
mod slice;
mod space;
mod store;
mod survey;
mod upkeep;

pub use batch::{Commit, Committed, Lease, Place, Settled, Sink};
pub use change::Reason;
pub use corrupt::Damage;
pub use directory::QueueDirectory;
pub use disk::{Buf, CONTENT, CORRUPT, Disk, ROOT};
pub use entry::{Attempt, Standing};
pub use error::{AppendError, IndexError, OpenError, Refusal, SliceError};
pub use group::{GROUP_DELAY, LAZY_DELAY, SIBLINGS_MIN};
pub use large::{LargeContent, StoredFile};
pub use options::{CONTENT_INLINE_BYTES_MAX, Options, boot_id};
pub use reader::{Listed, Queue, Reader, Selector};
pub use recovery::{Cause, Opened, Report, Start};
pub use ring_disk::{RingDisk, RingFile};
pub use slice::{Counters, Message, Notes, Remaining, Slice, Transaction};
pub use survey::{Survey, is_readable, survey};
pub use upkeep::Driver;
