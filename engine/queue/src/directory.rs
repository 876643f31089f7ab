//! The queue directory: one process at a time, and one directory for each slice in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::OpenError;

const LOCK: &str = "lock";
const SLICE_PREFIX: &str = "slice-";
const DIRECTORY_MODE: u32 = 0o700;

/// A queue directory that is ours until this is dropped or the process ends, however it ends.
pub struct QueueDirectory {
    path: PathBuf,
    _lock: File,
}

impl QueueDirectory {
    /// Locks the directory, making it where it is missing.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE);
        builder.create(path).map_err(io("create", path))?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = number_in(lock);
                return Err(OpenError::InUse { directory: path.to_owned(), holder });
            }
            Err(error) => return Err(io("lock", &lock_path)(error.into())),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(io("write", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The number of the process that has the directory, if there is one. To ask leaves nothing behind, but who
    /// takes the directory at this very moment may have to try again.
    pub fn holder(path: &Path) -> Result<Option<String>, OpenError> {
        let lock_path = path.join(LOCK);
        let lock = match File::open(&lock_path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("open", &lock_path)(error)),
        };
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(number_in(lock))),
            Err(error) => Err(io("lock", &lock_path)(error.into())),
        }
    }

    /// The numbers of the slices that exist, lowest first: those of an earlier run with more cores
    /// must be opened, too.
    pub fn slices(&self) -> io::Result<Vec<u8>> {
        slices(&self.path)
    }

    /// Where a slice lives.
    pub fn slice(&self, slice: u8) -> PathBuf {
        slice_path(&self.path, slice)
    }
}

fn io(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let file = file.display().to_string();
    move |source| OpenError::Io { doing, file, source }
}

/// The holder writes its number after it has the lock: there may be none yet.
fn number_in(mut lock: File) -> String {
    let mut holder = String::new();
    let _ = lock.read_to_string(&mut holder);
    match holder.trim() {
        "" => "unknown".to_owned(),
        pid => pid.to_owned(),
    }
}

pub(crate) fn slices(queue: &Path) -> io::Result<Vec<u8>> {
    let mut slices = Vec::new();
    for entry in fs::read_dir(queue)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(SLICE_PREFIX));
        slices.extend(number.and_then(|digits| u8::from_str_radix(digits, 16).ok()));
    }
    slices.sort_unstable();
    Ok(slices)
}

pub(crate) fn slice_path(queue: &Path, slice: u8) -> PathBuf {
    queue.join(format!("{SLICE_PREFIX}{slice:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_and_told_who_holds_the_queue() {
        let directory = tempfile::tempdir().unwrap();
        let first = QueueDirectory::lock(directory.path()).unwrap();
        match QueueDirectory::lock(directory.path()) {
            Err(OpenError::InUse { holder, .. }) => {
                assert_eq!(holder, std::process::id().to_string());
            }
            other => panic!("locked twice: {:?}", other.err()),
        }
        drop(first);
        assert!(QueueDirectory::lock(directory.path()).is_ok());
    }

    #[test]
    fn to_ask_for_the_holder_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(QueueDirectory::holder(directory.path()).unwrap(), None);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        let lock = QueueDirectory::lock(directory.path()).unwrap();
        let ours = std::process::id().to_string();
        assert_eq!(QueueDirectory::holder(directory.path()).unwrap(), Some(ours));
        drop(lock);
        fs::write(directory.path().join(LOCK), "4711\n").unwrap();
        assert_eq!(QueueDirectory::holder(directory.path()).unwrap(), None);
        assert_eq!(fs::read_to_string(directory.path().join(LOCK)).unwrap(), "4711\n");
    }

    #[test]
    fn the_slices_of_an_earlier_run_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let queue = QueueDirectory::lock(directory.path()).unwrap();
        for slice in [2, 0, 0x1f] {
            fs::create_dir(queue.slice(slice)).unwrap();
        }
        assert_eq!(queue.slices().unwrap(), [0, 2, 0x1f]);
    }
}
