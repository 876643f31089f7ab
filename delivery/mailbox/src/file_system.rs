//! One open descriptor for each file system that mailboxes lie on.
//!
//! syncfs(2) reports a failed write-back once to every descriptor that was open when it failed. So
//! the descriptor is kept for as long as the agent lives: one opened for each sync could miss the
//! failure.

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// File systems whose descriptors are kept; the oldest gives way.
const FILE_SYSTEMS_MAX: usize = 64;

/// A file system, by its device number.
#[derive(Debug)]
pub(crate) struct FileSystem {
    device: u64,
    any_dir: OwnedFd,
}

impl FileSystem {
    /// Writes all that is dirty, for everybody. An error means that something was lost, and after
    /// it the kernel calls the same pages clean: nothing may be tried again in the hope of a better
    /// answer.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        rustix::fs::syncfs(&self.any_dir)
    }
}

/// The known ones.
#[derive(Debug, Default)]
pub(crate) struct FileSystems(VecDeque<Rc<FileSystem>>);

impl FileSystems {
    /// The file system that `dir` lies on.
    pub(crate) fn of(&mut self, dir: BorrowedFd<'_>) -> Result<Rc<FileSystem>, Errno> {
        let device = rustix::fs::fstat(dir)?.st_dev;
        if let Some(known) = self.0.iter().find(|known| known.device == device) {
            return Ok(Rc::clone(known));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let any_dir = rustix::fs::openat(dir, ".", flags, Mode::empty())?;
        if self.0.len() == FILE_SYSTEMS_MAX {
            self.0.pop_front();
        }
        let known = Rc::new(FileSystem { device, any_dir });
        self.0.push_back(Rc::clone(&known));
        Ok(known)
    }
}

#[cfg(test)]
impl FileSystem {
    /// One whose sync fails: a descriptor that is good for paths alone cannot be synced.
    pub(crate) fn failing() -> Rc<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let any_dir = rustix::fs::open("/", flags, Mode::empty()).expect("there is a root");
        Rc::new(Self { device: u64::MAX, any_dir })
    }
}
