//! Locks on mbox files.
//!
//! None of them waits: a mailbox that somebody holds is reported as locked, and the caller comes
//! back later. A thread that slept for one user's lock would keep everybody else's mail waiting.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail::Time;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::MailboxError;

/// Which locks are taken (`virtual_mailbox_lock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locking {
    /// fcntl(2), over the whole file.
    pub fcntl: bool,
    /// flock(2).
    pub flock: bool,
    /// A file named like the mailbox, with `.lock` behind it.
    pub dotlock: bool,
}

impl Default for Locking {
    /// `fcntl, dotlock`
    fn default() -> Self {
        Self { fcntl: true, flock: false, dotlock: true }
    }
}

/// How patient deliveries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTimes {
    /// How often a locked mailbox is tried in all (`deliver_lock_attempts`).
    pub attempts: u32,
    /// How long between (`deliver_lock_delay`).
    pub delay: Duration,
    /// A lock file that is older belongs to nobody (`stale_lock_time`).
    pub stale: Duration,
}

impl Default for LockTimes {
    fn default() -> Self {
        Self { attempts: 20, delay: Duration::from_secs(1), stale: Duration::from_secs(500) }
    }
}

/// The mbox files that this process's own threads are writing, shared among them.
///
/// fcntl locks belong to a process: they do not keep its threads apart, and closing any descriptor
/// of a file drops them all. So no thread opens a file that another one holds.
#[derive(Clone, Debug, Default)]
pub struct InUse(Arc<Mutex<HashSet<FileId>>>);

/// Device and inode of its directory, and its name there.
type FileId = (u64, u64, OsString);

impl InUse {
    /// Of a process that writes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn take(&self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Holding>, Errno> {
        let stat = rustix::fs::fstat(dir)?;
        let file = (stat.st_dev, stat.st_ino, name.to_owned());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.insert(file.clone()).then(|| Holding { of: self.clone(), file }))
    }
}

/// One file is this thread's until this is dropped.
pub(crate) struct Holding {
    of: InUse,
    file: FileId,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.file);
    }
}

/// A lock file; removed when dropped.
pub(crate) struct DotLock {
    dir: OwnedFd,
    name: OsString,
}

impl DotLock {
    /// Creates `NAME.lock`. One that is older than `stale` is taken away first.
    pub(crate) fn take(
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stale: Duration,
        now: Time,
    ) -> Result<Self, MailboxError> {
        const DOING: &str = "unable to create lock file";
        let mut name = name.to_owned();
        name.push(".lock");
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let failed = |error| MailboxError::io(DOING, &lock_path, error);
        // O_EXCL follows no link. The mode is Postfix's: a lock file is nobody's to read.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _ in 0..2 {
            match rustix::fs::openat(dir, &name, flags, Mode::empty()) {
                Ok(_) => {
                    let dir = dir.try_clone_to_owned().map_err(|_| failed(Errno::MFILE))?;
                    return Ok(Self { dir, name });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
            match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if is_stale(stat.st_ctime, stale, now) => {
                    match rustix::fs::unlinkat(dir, &name, AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(error) => return Err(failed(error)),
                    }
                }
                // Gone just now.
                Err(Errno::NOENT) => {}
                _ => break,
            }
        }
        Err(MailboxError::Locked { path: lock_path.into(), doing: DOING })
    }
}

fn is_stale(changed_secs: i64, stale: Duration, now: Time) -> bool {
    u64::try_from(changed_secs).is_ok_and(|changed| now.secs() > changed + stale.as_secs())
}

impl Drop for DotLock {
    fn drop(&mut self) {
        // Where it cannot be removed it grows stale.
        let _ = rustix::fs::unlinkat(self.dir.as_fd(), &self.name, AtFlags::empty());
    }
}

/// Takes the locks that live in the kernel; they end with the descriptor.
pub(crate) fn lock_open(
    file: BorrowedFd<'_>,
    path: &Path,
    locking: Locking,
) -> Result<(), MailboxError> {
    const DOING: &str = "unable to lock for exclusive access";
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    let locked = |result| match result {
        Ok(()) => Ok(()),
        // fcntl(2): EACCES on some systems.
        Err(Errno::AGAIN | Errno::ACCESS) => {
            Err(MailboxError::Locked { path: path.to_owned(), doing: DOING })
        }
        Err(error) => Err(MailboxError::io(DOING, path, error)),
    };
    if locking.flock {
        locked(rustix::fs::flock(file, exclusive))?;
    }
    if locking.fcntl {
        locked(rustix::fs::fcntl_lock(file, exclusive))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_has_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let fd = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let in_use = InUse::new();
        let held = in_use.take(fd.as_fd(), OsStr::new("box")).unwrap().unwrap();
        assert!(in_use.clone().take(fd.as_fd(), OsStr::new("box")).unwrap().is_none());
        assert!(in_use.take(fd.as_fd(), OsStr::new("other")).unwrap().is_some());
        drop(held);
        assert!(in_use.take(fd.as_fd(), OsStr::new("box")).unwrap().is_some());
    }

    #[test]
    fn a_lock_file_counts_until_it_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let fd = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        std::fs::write(dir.path().join("box.lock"), "").unwrap();
        let (path, stale) = (dir.path().join("box"), Duration::from_secs(500));
        let take = |now| DotLock::take(fd.as_fd(), OsStr::new("box"), &path, stale, now);
        let now = Time::now();
        assert!(matches!(take(now), Err(MailboxError::Locked { .. })));
        let lock = take(now.after(Duration::from_secs(502))).unwrap();
        assert!(dir.path().join("box.lock").exists());
        drop(lock);
        assert!(!dir.path().join("box.lock").exists());
    }
}
