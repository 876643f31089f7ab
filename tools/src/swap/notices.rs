//! What the kernel tells about files: inotify, on the directories that hold them.
//!
//! On the directories and not on the files, because a file that is replaced by a rename is another one,
//! and so is the watch that was on it. It makes changes noticed at once, and tells who has a file open
//! for writing; nothing is missed without it, only found later, by the poll. It is not there on network
//! file systems for what other hosts do, and where the user's watches are used up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::settle::Hint;

/// Room for what is read at once.
const EVENTS_BYTES: usize = 16 * 1024;

/// The directories being watched.
pub(crate) struct Notices {
    inotify: OwnedFd,
    /// Which files a name in a watched directory stands for.
    names: HashMap<(i32, OsString), Vec<PathBuf>>,
    /// All files that have something to do with a directory.
    directories: HashMap<i32, BTreeSet<PathBuf>>,
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// About the files themselves, in order.
    pub(crate) hints: Vec<(PathBuf, Hint)>,
    /// Files to look at: something about their directories has changed.
    pub(crate) look_at: HashSet<PathBuf>,
    /// Events were lost, or a directory is gone: watch anew, and look at everything.
    pub(crate) stale: bool,
}

impl Notices {
    /// Watches where these files are. Fails where the kernel has no inotify for us; a directory that
    /// cannot be watched is left to the poll.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let (names, directories) = Default::default();
        let mut notices = Self { inotify, names, directories };
        for file in files {
            notices.add(file);
        }
        Ok(notices)
    }

    /// Watches the directory of a file, and that of the file it is a link to.
    pub(crate) fn add(&mut self, file: &Path) {
        self.add_name(file, file);
        if let Ok(real) = file.canonicalize()
            && real != file
        {
            self.add_name(&real, file);
        }
    }

    fn add_name(&mut self, name: &Path, file: &Path) {
        let (Some(directory), Some(name)) = (name.parent(), name.file_name()) else { return };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let events = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let Ok(watch) = inotify::add_watch(&self.inotify, directory, events) else { return };
        let files = self.names.entry((watch, name.to_owned())).or_default();
        if !files.iter().any(|known| known == file) {
            files.push(file.to_owned());
        }
        self.directories.entry(watch).or_default().insert(file.to_owned());
    }

    /// Reads what there is, without waiting.
    pub(crate) fn read(&self) -> News {
        let mut news = News::default();
        let mut space = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut space);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    self.tell(event.wd(), event.events(), name, &mut news);
                }
                Err(Errno::INTR) => {}
                // AGAIN: that was all. With any other error nothing more will come; the poll goes on.
                Err(_) => return news,
            }
        }
    }

    fn tell(&self, watch: i32, events: ReadFlags, name: Option<&OsStr>, news: &mut News) {
        let self_changed = ReadFlags::DELETE_SELF
            | ReadFlags::MOVE_SELF
            | ReadFlags::UNMOUNT
            | ReadFlags::IGNORED
            | ReadFlags::QUEUE_OVERFLOW;
        if events.intersects(self_changed) {
            news.stale = true;
            return;
        }
        let Some(name) = name else { return };
        let Some(files) = self.names.get(&(watch, name.to_owned())) else {
            // It may be a link on the way to a file. Writing to what it is changes no link.
            let in_place = ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE;
            if !events.intersects(in_place) {
                let near = self.directories.get(&watch).into_iter().flatten();
                news.look_at.extend(near.cloned());
            }
            return;
        };
        let hint = [
            (ReadFlags::CREATE, Hint::Created),
            (ReadFlags::MODIFY, Hint::Written),
            (ReadFlags::CLOSE_WRITE, Hint::Closed),
            (ReadFlags::MOVED_TO, Hint::Moved),
        ];
        let hint = hint.into_iter().find(|(event, _)| events.contains(*event));
        for file in files {
            news.look_at.insert(file.clone());
            if let Some((_, hint)) = hint {
                news.hints.push((file.clone(), hint));
            }
        }
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
