//! Where an agent reads the content of its jobs.
//!
//! What was just accepted lies in the arena and is used where it lies. What is older is read from a
//! log segment into one buffer that all jobs share. A large message has a file and is streamed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mail::{Content, Job};
use ring::ArenaView;

use crate::{FILES_MAX, SEGMENTS_MAX};

/// The largest extent that is read from a segment at once. Larger messages have files of their own,
/// and a length that says otherwise must not cost memory.
pub const EXTENT_BYTES_MAX: u32 = 16 << 20;

/// A message's content: LF-terminated lines, headers first.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file, from its start.
    File {
        /// Open for reading; its offset is nobody's, read with pread.
        file: BorrowedFd<'a>,
        /// In bytes.
        len: u64,
    },
}

/// Why the content of a job cannot be read.
#[derive(Debug)]
pub enum ContentError {
    /// The extent does not lie within the arena, or there is no arena.
    OutsideArena,
    /// The job names a segment that was not announced.
    UnknownSegment {
        /// Its slice.
        slice: u8,
        /// Its number.
        segment: u64,
    },
    /// No file was announced for the job.
    NoFile,
    /// Larger than [`EXTENT_BYTES_MAX`].
    TooLarge,
    /// The segment ends before the extent does.
    CutShort,
    /// The bytes in the extent are not the message's any more.
    Overwritten,
    /// Reading the segment failed.
    Read(io::Error),
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideArena => f.write_str("content lies outside the shared arena"),
            Self::UnknownSegment { slice, segment } => {
                write!(f, "segment {segment} of slice {slice} is not known")
            }
            Self::NoFile => f.write_str("content file is missing"),
            Self::TooLarge => f.write_str("content is too large to be read at once"),
            Self::CutShort => f.write_str("log segment ends before the content does"),
            Self::Overwritten => f.write_str("log segment holds something else by now"),
            Self::Read(error) => write!(f, "error reading log segment: {error}"),
        }
    }
}

impl std::error::Error for ContentError {}

/// Everything one shard has shown its agent.
#[derive(Default)]
pub struct Contents {
    arena: Option<ArenaView>,
    /// In the order they were announced; the engine's end keeps the same list, so that it knows
    /// which segments are no longer here.
    segments: VecDeque<(u8, u64, OwnedFd)>,
    files: HashMap<u64, OwnedFd>,
    buffer: Vec<u8>,
}

impl Contents {
    /// Of a shard that has shown nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The content of one job. What it borrows is good until the next call.
    pub fn body(&mut self, job: &Job) -> Result<Body<'_>, ContentError> {
        match job.content {
            Content::Arena { offset, len } => self
                .arena
                .as_ref()
                .and_then(|arena| arena.get(offset, len))
                .map(Body::Bytes)
                .ok_or(ContentError::OutsideArena),
            Content::Segment { slice, segment, offset, len, crc } => {
                let extent = self.extent(slice, segment, offset, len)?;
                // The engine that gave out the job may be gone, and its successor may have delivered the
                // message and used the segment again.
                if crc32c::crc32c(extent) != crc {
                    return Err(ContentError::Overwritten);
                }
                Ok(Body::Bytes(extent))
            }
            Content::File { len } => {
                let file = self.files.get(&job.tag).ok_or(ContentError::NoFile)?;
                Ok(Body::File { file: file.as_fd(), len })
            }
        }
    }

    fn extent(
        &mut self,
        slice: u8,
        segment: u64,
        offset: u64,
        len: u32,
    ) -> Result<&[u8], ContentError> {
        if len > EXTENT_BYTES_MAX {
            return Err(ContentError::TooLarge);
        }
        let (.., file) = self
            .segments
            .iter()
            .rev()
            .find(|known| (known.0, known.1) == (slice, segment))
            .ok_or(ContentError::UnknownSegment { slice, segment })?;
        let len = len as usize;
        if self.buffer.len() < len {
            self.buffer.resize(len.next_power_of_two(), 0);
        }
        let mut read = 0;
        while read < len {
            match rustix::io::pread(file, &mut self.buffer[read..len], offset + read as u64) {
                Ok(0) => return Err(ContentError::CutShort),
                Ok(bytes) => read += bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(ContentError::Read(error.into())),
            }
        }
        Ok(&self.buffer[..len])
    }

    /// The memory that the shard builds its batches in.
    pub fn set_arena(&mut self, arena: ArenaView) {
        self.arena = Some(arena);
    }

    /// A segment that jobs will point into. The oldest of [`SEGMENTS_MAX`] gives way.
    pub fn add_segment(&mut self, slice: u8, segment: u64, file: OwnedFd) {
        if self.segments.len() == SEGMENTS_MAX {
            self.segments.pop_front();
        }
        self.segments.push_back((slice, segment, file));
    }

    /// The content of the job `tag`; false where there are too many already.
    #[must_use]
    pub fn add_file(&mut self, tag: u64, file: OwnedFd) -> bool {
        if self.files.len() == FILES_MAX && !self.files.contains_key(&tag) {
            return false;
        }
        self.files.insert(tag, file);
        true
    }

    /// The job `tag` is done with: its file, where it has one, is closed.
    pub fn forget_file(&mut self, tag: u64) {
        self.files.remove(&tag);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use mail::{Address, QueueId, Recipient, Time};

    use super::*;

    fn job(content: Content) -> Job {
        Job {
            tag: 1,
            id: QueueId::from_u64(1 << 8),
            sender: None,
            recipient: Recipient::new(Address::parse(b"a@example.com").unwrap()),
            number: 0,
            arrival: Time(0),
            content,
            seen_before: false,
            has_delivered_to: false,
            service: None,
        }
    }

    fn file(text: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.into()
    }

    #[test]
    fn extents_come_from_the_segment_that_the_job_names() {
        let mut contents = Contents::new();
        contents.add_segment(0, 1, file(b"one"));
        contents.add_segment(0, 2, file(b"xxtwo"));
        let crc = crc32c::crc32c(b"two");
        let content = Content::Segment { slice: 0, segment: 2, offset: 2, len: 3, crc };
        assert!(matches!(contents.body(&job(content)), Ok(Body::Bytes(b"two"))));
        let used_again = Content::Segment { slice: 0, segment: 1, offset: 0, len: 3, crc };
        assert!(matches!(contents.body(&job(used_again)), Err(ContentError::Overwritten)));
        let cut = Content::Segment { slice: 0, segment: 2, offset: 2, len: 4, crc };
        assert!(matches!(contents.body(&job(cut)), Err(ContentError::CutShort)));
        let other = Content::Segment { slice: 1, segment: 2, offset: 0, len: 1, crc };
        assert!(matches!(contents.body(&job(other)), Err(ContentError::UnknownSegment { .. })));
    }

    #[test]
    fn lengths_from_the_other_side_cost_no_memory() {
        let mut contents = Contents::new();
        contents.add_segment(0, 1, file(b"one"));
        let content = Content::Segment { slice: 0, segment: 1, offset: 0, len: u32::MAX, crc: 0 };
        assert!(matches!(contents.body(&job(content)), Err(ContentError::TooLarge)));
        assert_eq!(contents.buffer.len(), 0);
    }

    #[test]
    fn only_the_last_segments_and_a_bounded_number_of_files_are_open() {
        let mut contents = Contents::new();
        for number in 0..=SEGMENTS_MAX as u64 {
            contents.add_segment(0, number, file(b"x"));
        }
        let crc = crc32c::crc32c(b"x");
        let extent = |segment| Content::Segment { slice: 0, segment, offset: 0, len: 1, crc };
        assert!(contents.body(&job(extent(0))).is_err());
        assert!(contents.body(&job(extent(1))).is_ok());

        for tag in 0..FILES_MAX as u64 {
            assert!(contents.add_file(tag, file(b"x")));
        }
        assert!(!contents.add_file(u64::MAX, file(b"x")));
        contents.forget_file(0);
        assert!(contents.add_file(u64::MAX, file(b"x")));
    }

    #[test]
    fn without_an_arena_there_is_nothing_in_it() {
        let content = Content::Arena { offset: 0, len: 0 };
        assert!(matches!(Contents::new().body(&job(content)), Err(ContentError::OutsideArena)));
    }
}
