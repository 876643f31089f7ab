//! The two ways to make a file that appears in `new/` whole or not at all.
//!
//! * [`Unnamed`]: O_TMPFILE, then a link. What is not linked vanishes by itself, so a crash leaves
//!   no litter in `tmp/`, and it is the cheapest way on a file system with a journal.
//! * [`Renamed`]: a file in `tmp/`, then a rename: the Maildir way, for file systems without
//!   O_TMPFILE (NFS).
//!
//! Neither replaces a file that is there. Both are called with the owner's rights.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Creation {
    /// Unnamed files where the file system has them, else renamed ones.
    #[default]
    Auto,
    /// Unnamed files only.
    Unnamed,
    /// Renamed files only.
    Renamed,
}

/// A file with content that no reader of the mailbox sees yet.
pub(crate) struct Hidden {
    pub(crate) file: OwnedFd,
    /// `tmp/`, where the file has a name there.
    tmp: Option<OwnedFd>,
}

/// What came of giving a file its name in `new/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It has it.
    Now,
    /// The name was there: this very message was delivered before.
    Before,
}

/// One way to create.
pub(crate) trait Create {
    /// An empty file for writing. `new` is the mailbox's `new/`.
    fn hidden(&self, new: BorrowedFd<'_>, name: &str) -> Result<Hidden, Errno>;

    /// Gives it its name in `new/`.
    fn publish(&self, hidden: &Hidden, new: BorrowedFd<'_>, name: &str)
    -> Result<Published, Errno>;

    /// Takes it away, as far as it does not go by itself.
    fn discard(&self, hidden: &Hidden, name: &str);
}

/// Mailbox files are their owner's alone.
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// O_TMPFILE and linkat.
pub(crate) struct Unnamed {
    /// `/proc/self/fd`, by which an unnamed file can be linked without any capability.
    descriptors: Option<OwnedFd>,
}

impl Unnamed {
    pub(crate) fn new() -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self { descriptors: rustix::fs::open("/proc/self/fd", flags, Mode::empty()).ok() }
    }
}

impl Create for Unnamed {
    fn hidden(&self, new: BorrowedFd<'_>, _: &str) -> Result<Hidden, Errno> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(new, ".", flags, PRIVATE_FILE)?;
        Ok(Hidden { file, tmp: None })
    }

    fn publish(
        &self,
        hidden: &Hidden,
        new: BorrowedFd<'_>,
        name: &str,
    ) -> Result<Published, Errno> {
        let linked = match &self.descriptors {
            Some(descriptors) => {
                let number = rustix::path::DecInt::new(hidden.file.as_raw_fd());
                rustix::fs::linkat(descriptors, number, new, name, AtFlags::SYMLINK_FOLLOW)
            }
            // Without /proc: needs CAP_DAC_READ_SEARCH, or since Linux 6.10 the credentials that
            // the file was opened with.
            None => rustix::fs::linkat(&hidden.file, "", new, name, AtFlags::EMPTY_PATH),
        };
        published(linked)
    }

    fn discard(&self, _: &Hidden, _: &str) {}
}

/// tmp/ and rename.
pub(crate) struct Renamed;

impl Create for Renamed {
    fn hidden(&self, new: BorrowedFd<'_>, name: &str) -> Result<Hidden, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let tmp = rustix::fs::openat(new, "../tmp", flags, Mode::empty())?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&tmp, name, flags, PRIVATE_FILE) {
            // Left by an attempt at this same delivery that a crash ended.
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(&tmp, name, AtFlags::empty())?;
                rustix::fs::openat(&tmp, name, flags, PRIVATE_FILE)?
            }
            opened => opened?,
        };
        Ok(Hidden { file, tmp: Some(tmp) })
    }

    fn publish(
        &self,
        hidden: &Hidden,
        new: BorrowedFd<'_>,
        name: &str,
    ) -> Result<Published, Errno> {
        let Some(tmp) = &hidden.tmp else { return Err(Errno::NOENT) };
        let renamed = match rustix::fs::renameat_with(tmp, name, new, name, RenameFlags::NOREPLACE)
        {
            // A file system that cannot rename without replacing (NFS). Link, then unlink.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let linked = rustix::fs::linkat(tmp, name, new, name, AtFlags::empty());
                self.discard(hidden, name);
                linked
            }
            // The same delivery twice in one batch: the first has taken the file of both.
            Err(Errno::NOENT)
                if rustix::fs::statat(new, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() =>
            {
                Err(Errno::EXIST)
            }
            renamed => renamed,
        };
        let published = published(renamed);
        if published != Ok(Published::Now) {
            self.discard(hidden, name);
        }
        published
    }

    fn discard(&self, hidden: &Hidden, name: &str) {
        if let Some(tmp) = &hidden.tmp {
            // What cannot be removed is litter in tmp/, which readers clean up after 36 hours.
            let _ = rustix::fs::unlinkat(tmp.as_fd(), name, AtFlags::empty());
        }
    }
}

fn published(result: Result<(), Errno>) -> Result<Published, Errno> {
    match result {
        Ok(()) => Ok(Published::Now),
        Err(Errno::EXIST) => Ok(Published::Before),
        Err(error) => Err(error),
    }
}
