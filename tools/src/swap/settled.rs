//! The host's files as they are read at the start.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use table::{Disk, Files, ReadAt};

use super::settle::TEXT_QUIET;

/// How long the start may wait for one text that is being written.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Files of the disk. A text that is being written at this moment is waited for: the server that starts
/// would turn away the users who are not in it yet, and so would the one that is started again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled;

impl Files for Settled {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let before = modified(path);
            let late = Instant::now() >= deadline;
            if before.is_some_and(|time| is_hot(time, SystemTime::now())) && !late {
                thread::sleep(LOOK_AGAIN);
                continue;
            }
            let text = Disk.read(path)?;
            if late || modified(path) == before {
                return Ok(text);
            }
        }
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        Disk.map(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        Disk.open(path)
    }
}

/// When it was written to last, if that can be known.
fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// A time to come is a clock that is wrong, and says nothing.
fn is_hot(modified: SystemTime, now: SystemTime) -> bool {
    now.duration_since(modified).is_ok_and(|age| age < TEXT_QUIET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_hot_for_as_long_as_it_takes_to_be_settled() {
        let now = SystemTime::now();
        assert!(is_hot(now, now));
        assert!(is_hot(now - TEXT_QUIET + Duration::from_millis(1), now));
        assert!(!is_hot(now - TEXT_QUIET, now));
        assert!(!is_hot(now + Duration::from_secs(3600), now));
    }

    #[test]
    fn a_text_that_was_written_just_now_is_read_when_it_is_settled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, "a 1\n").unwrap();
        let written = modified(&path).unwrap();
        assert_eq!(Settled.read(&path).unwrap(), b"a 1\n");
        assert!(!is_hot(written, SystemTime::now()));
        assert!(Settled.read(&directory.path().join("none")).is_err());
    }
}
