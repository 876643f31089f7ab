//! Why the queue did not do what it was asked.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mail::QueueId;

/// Why a slice takes no message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A write or sync failed. It is never retried: what the disk holds is not known. 451 4.3.0
    Failed,
    /// The disk is full: no segment can be made. Heals by itself. 452 4.3.1
    NoSpace,
    /// All batch memory is waiting for the disk. 452 4.3.1
    NoMemory,
    /// The record would be larger than a record may be: the content belongs into a file. 552 5.3.4
    TooLarge,
    /// The slice is being closed. 421 4.3.2
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "a write to the queue failed; nothing more is accepted until a restart",
            Self::NoSpace => "no space for the queue",
            Self::NoMemory => "no memory for the queue: the disk does not keep up",
            Self::TooLarge => "too large for one queue record",
            Self::Closed => "the queue is being closed",
        })
    }
}

impl std::error::Error for Refusal {}

/// Why [`crate::Slice::append`] did not take a message.
#[derive(Debug, PartialEq, Eq)]
pub enum AppendError<E> {
    /// The slice's own reason.
    Refused(Refusal),
    /// What the closure that makes the content said.
    Content(E),
}

/// Why an operation on a queued message was not done.
#[derive(Debug)]
pub enum SliceError {
    /// Nothing can be recorded at the moment.
    Refused(Refusal),
    /// There is no such message (any more).
    NoMessage(QueueId),
    /// It cannot be read; what is left of it is in this file.
    Corrupt {
        /// The message.
        id: QueueId,
        /// Relative to the directory of the slice.
        kept: String,
    },
    /// Reading failed: try later.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file, relative to the directory of the slice.
        file: String,
        /// The cause.
        source: io::Error,
    },
    /// The index does not answer.
    Index(IndexError),
}

impl fmt::Display for SliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoMessage(id) => write!(f, "{id}: no such message in the queue"),
            Self::Corrupt { id, kept } => {
                write!(f, "{id}: damaged; what is left of it is in {kept}")
            }
            Self::Io { doing, file, source } => write!(f, "{doing} {file}: {source}"),
            Self::Index(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SliceError {}

impl From<Refusal> for SliceError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<IndexError> for SliceError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// What LMDB said, or why its answer is not believed.
#[derive(Debug)]
pub enum IndexError {
    /// From LMDB.
    Lmdb(heed::Error),
    /// An entry that does not decode.
    Malformed(QueueId),
    /// The file is not what it should be; the cause in words.
    Damaged(&'static str),
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lmdb(error) => write!(f, "queue index: {error}"),
            Self::Malformed(id) => write!(f, "queue index: the entry of {id} cannot be read"),
            Self::Damaged(why) => write!(f, "queue index: {why}"),
        }
    }
}

impl std::error::Error for IndexError {}

impl From<heed::Error> for IndexError {
    fn from(error: heed::Error) -> Self {
        Self::Lmdb(error)
    }
}

/// Why a slice or the queue directory could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse {
        /// The queue directory.
        directory: PathBuf,
        /// Its process id, as it wrote it down.
        holder: String,
    },
    /// A file could not be read or written.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        file: String,
        /// The cause.
        source: io::Error,
    },
    /// The index cannot be used, and not be made anew either.
    Index(IndexError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { directory, holder } => {
                write!(f, "{} is in use by process {holder}", directory.display())
            }
            Self::Io { doing, file, source } => write!(f, "{doing} {file}: {source}"),
            Self::Index(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<IndexError> for OpenError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}
