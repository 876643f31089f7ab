//! What tells one state of a file from another without reading it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

/// One state of a file.
///
/// The time of the inode's last change is in it: two files that were renamed into the same place one
/// after the other can agree in everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(crate) bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
    /// Empty to look at, and its blocks are not given back yet: somebody is emptying it at this moment,
    /// which takes long on a busy disk.
    pub(crate) emptying: bool,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            emptying: metadata.size() == 0 && metadata.blocks() > 0,
        }
    }

    /// Whether this is the same file, if perhaps another state of it.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether the open file still has the content it had. Its name may be another's by now.
    pub(crate) fn is_content_of(&self, file: &File) -> io::Result<bool> {
        let now = Self::new(&file.metadata()?);
        Ok((self.bytes, self.modified) == (now.bytes, now.modified))
    }
}

/// Why there is no file to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Missing {
    /// The kernel's error number.
    Os(i32),
    /// Another cause, in words.
    Other(String),
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::Os(number),
            None => Self::Other(error.to_string()),
        }
    }
}

impl From<&Missing> for io::Error {
    fn from(missing: &Missing) -> Self {
        match missing {
            Missing::Os(number) => Self::from_raw_os_error(*number),
            Missing::Other(text) => Self::other(text.clone()),
        }
    }
}

/// What is to be seen of a file.
pub(crate) type Seen = Result<Stamp, Missing>;

/// A file that was opened, as it was then.
pub(crate) type Opened = Result<(File, Stamp), Missing>;

/// Looks at a file without opening it.
pub(crate) fn look(path: &Path) -> Seen {
    regular(&std::fs::metadata(path)?)
}

/// Opens a file for reading. Never waits: what has become a FIFO has nobody at its other end.
pub(crate) fn open(path: &Path) -> Opened {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let stamp = regular(&file.metadata()?)?;
    Ok((file, stamp))
}

fn regular(metadata: &Metadata) -> Seen {
    if metadata.is_dir() {
        Err(io::Error::from(rustix::io::Errno::ISDIR).into())
    } else if metadata.is_file() {
        Ok(Stamp::new(metadata))
    } else {
        Err(Missing::Other("not a regular file".to_owned()))
    }
}

#[cfg(test)]
impl Stamp {
    /// A file that was written at that time.
    pub(crate) const fn test(inode: u64, bytes: u64, modified: i64) -> Self {
        let time = (modified, 0);
        Self { device: 1, inode, bytes, modified: time, changed: time, emptying: false }
    }

    /// The same, while somebody empties it.
    pub(crate) const fn while_emptied(self) -> Self {
        Self { emptying: true, ..self }
    }
}
