//! How a slice is set up.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of one slice. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its number: the last byte of its queue ids.
    pub slice: u8,
    /// Where its index lies.
    pub index: PathBuf,
    /// Names the time since the machine was started: see [`boot_id`].
    pub boot_id: String,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Size of the first segment of a new slice: small, so that the first start is quick.
    pub first_segment_bytes: u64,
    /// The largest record: envelope and content together. Larger content belongs into a file.
    pub record_bytes_max: usize,
    /// A batch that has reached this is closed.
    pub batch_bytes: usize,
    /// How large the index can grow. Address space only.
    pub index_bytes_max: usize,
    /// How far the index may lag behind the log under load.
    pub index_lag: Duration,
    /// How many messages may be waiting to be written to the index.
    pub index_lag_messages: usize,
}

/// Content up to this size goes into a record; more is streamed to a file.
pub const CONTENT_INLINE_BYTES_MAX: usize = 1 << 20;
const SEGMENT_BYTES: u64 = 64 << 20;
const FIRST_SEGMENT_BYTES: u64 = 8 << 20;
/// A large envelope (50,000 recipients) and inline content.
const RECORD_BYTES_MAX: usize = 6 << 20;
const BATCH_BYTES: usize = 512 << 10;
const INDEX_BYTES_MAX: usize = 64 << 30;
/// Most messages are delivered within this time under load, and then never touch the index.
const INDEX_LAG: Duration = Duration::from_secs(1);
const INDEX_LAG_MESSAGES: usize = 16_384;
/// This part of a segment is kept free for outcomes when the disk is full: what is in the queue can still
/// be finished.
const RESERVE_PART: u64 = 16;

impl Options {
    /// The defaults, for the slice in this directory.
    pub fn new(slice: u8, directory: &std::path::Path) -> Self {
        Self {
            slice,
            index: directory.join("index"),
            boot_id: boot_id(),
            segment_bytes: SEGMENT_BYTES,
            first_segment_bytes: FIRST_SEGMENT_BYTES,
            record_bytes_max: RECORD_BYTES_MAX,
            batch_bytes: BATCH_BYTES,
            index_bytes_max: INDEX_BYTES_MAX,
            index_lag: INDEX_LAG,
            index_lag_messages: INDEX_LAG_MESSAGES,
        }
    }

    pub(crate) fn reserve_bytes(&self) -> u64 {
        self.segment_bytes / RESERVE_PART
    }
}

/// The kernel's name for the time since it was started; empty where it does not say, which no two runs
/// agree on: the index is then made anew after each crash.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
