//! `pid/master.pid` in the queue directory: which process is the mail system's master.
//!
//! The number in the file is for people and for what watches services. What counts is the lock on it: the
//! kernel takes it from a process that ends, however it ends, and tells whose it is. The queue directory
//! may belong to the mail owner, who talks to the network, so nothing in it is believed: links are not
//! followed, and the holder of the lock must run as the owner of the file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, fcntl_lock, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{
    Flock, FlockType, Pid, PidfdFlags, Signal, fcntl_getlk, geteuid, pidfd_open, pidfd_send_signal,
};

/// Below the queue directory, as Postfix has it.
const DIRECTORY: &str = "pid";
/// In there.
const NAME: &str = "master.pid";
/// Everyone may see who is master.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// This process is master for as long as it has this.
#[derive(Debug)]
pub(crate) struct PidFile(File);

/// Why it is not.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another one is.
    Running(Pid),
    /// What went wrong with the file.
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl PidFile {
    /// Takes the lock and writes this process's number. The queue directory exists.
    pub(crate) fn claim(queue: &Path) -> Result<Self, Refused> {
        let directory = open_directory(queue, true)?;
        let mut file = open_locked(&directory, OFlags::CREATE)?;
        if file.metadata()?.uid() != geteuid().as_raw() {
            // Left by another user, who may still have it open and linked elsewhere: not to be given rights.
            unlinkat(&directory, NAME, AtFlags::empty()).map_err(io::Error::from)?;
            file = open_locked(&directory, OFlags::CREATE | OFlags::EXCL)?;
        }
        file.set_len(0)?;
        writeln!(file, "{:5}", std::process::id())?;
        Ok(Self(file))
    }
}

impl Drop for PidFile {
    /// The file stays, without a number. Were it removed, one process could hold the lock of the old file
    /// and another one that of a new.
    fn drop(&mut self) {
        // Whoever reads a number that has stayed finds no lock.
        let _ = self.0.set_len(0);
    }
}

/// A master that runs.
#[derive(Debug)]
pub(crate) struct Master {
    /// Its process.
    pub(crate) pid: Pid,
    /// The same, which cannot become another.
    process: OwnedFd,
}

impl Master {
    /// Who is master of the mail system that has its queue here, if anybody is.
    pub(crate) fn of(queue: &Path) -> io::Result<Option<Self>> {
        let file = match open_directory(queue, false)
            .and_then(|pid| Ok(openat(pid, NAME, OFlags::RDONLY | NEVER_ELSEWHERE, Mode::empty())?))
        {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(pid) = holder(&file)? else { return Ok(None) };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (runs_as, owner) = match std::fs::metadata(format!("/proc/{pid}")) {
            Ok(process) => (process.uid(), file.metadata()?.uid()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if runs_as != owner {
            return Err(io::Error::other(format!(
                "{DIRECTORY}/{NAME} belongs to user {owner}, but process {pid} that has its lock runs as \
                 user {runs_as}"
            )));
        }
        // It still holds the lock: the number has not gone to another process meanwhile.
        Ok((holder(&file)? == Some(pid)).then_some(Self { pid, process }))
    }

    /// Sends it a signal; one that has ended needs none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.process, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end; false where it takes longer.
    pub(crate) fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        loop {
            let mut process = [PollFd::new(&self.process, PollFlags::IN)];
            match poll(&mut process, Some(&limit)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Not through a link, not waiting for whoever has the other end.
const NEVER_ELSEWHERE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// The file, with its lock.
fn open_locked(directory: &OwnedFd, how: OFlags) -> Result<File, Refused> {
    let flags = OFlags::RDWR | how | NEVER_ELSEWHERE;
    let file = File::from(openat(directory, NAME, flags, FILE_MODE).map_err(io::Error::from)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file; remove it").into());
    }
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::AGAIN | Errno::ACCESS) => Err(match holder(&file)? {
            Some(pid) => Refused::Running(pid),
            None => {
                let why = "a process that cannot be seen from here has its lock: stop the mail system in \
                           the container or name space that it runs in";
                Refused::Io(io::Error::other(why))
            }
        }),
        Err(error) => Err(Refused::Io(error.into())),
    }
}

fn open_directory(queue: &Path, make: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let queue = openat(CWD, queue, flags, Mode::empty())?;
    if make {
        match mkdirat(&queue, DIRECTORY, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(openat(&queue, DIRECTORY, flags | OFlags::NOFOLLOW, Mode::empty())?)
}

/// The process that has the lock.
fn holder(file: &File) -> io::Result<Option<Pid>> {
    let whole = Flock::from(FlockType::WriteLock);
    let lock = fcntl_getlk(file, &whole)?;
    Ok(lock.and_then(|lock| lock.pid))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    use super::*;

    /// The lock is this process's, which does not see it as a hindrance; another has to look.
    fn seen_from_outside(queue: &Path) -> String {
        let file = queue.join(DIRECTORY).join(NAME);
        let text = std::fs::read_to_string(file).expect("a file");
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        text.trim().to_owned()
    }

    #[test]
    fn a_number_without_a_lock_is_nobody() {
        let queue = tempfile::tempdir().expect("a directory");
        assert!(Master::of(queue.path()).expect("no file, no master").is_none());
        drop(PidFile::claim(queue.path()).expect("the lock"));
        assert_eq!(seen_from_outside(queue.path()), "");
        let mut other = Command::new("true").stdin(Stdio::null()).spawn().expect("a process");
        std::fs::write(queue.path().join("pid/master.pid"), format!("{}\n", other.id()))
            .expect("a file");
        assert!(Master::of(queue.path()).expect("a file").is_none());
        other.wait().expect("its end");
    }

    #[test]
    fn the_number_is_this_process_s_for_as_long_as_it_is_master() {
        let queue = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(queue.path().join(DIRECTORY)).expect("a directory");
        std::fs::write(queue.path().join("pid/master.pid"), "4711 of long ago\n").expect("a file");
        let claim = PidFile::claim(queue.path()).expect("the lock");
        assert_eq!(seen_from_outside(queue.path()), std::process::id().to_string());
        drop(claim);
        assert_eq!(seen_from_outside(queue.path()), "");
    }

    #[test]
    fn a_file_of_another_user_is_replaced_and_gets_no_rights() {
        let queue = tempfile::tempdir().expect("a directory");
        let pid = queue.path().join(DIRECTORY);
        std::fs::create_dir(&pid).expect("a directory");
        let (old, kept) = (pid.join(NAME), queue.path().join("kept"));
        std::fs::write(&old, "theirs").expect("a file");
        std::fs::hard_link(&old, &kept).expect("a second name");
        let theirs = if geteuid().is_root() { 65534 } else { geteuid().as_raw() };
        std::os::unix::fs::chown(&old, Some(theirs), None).expect("root may give it away");
        let _claim = PidFile::claim(queue.path()).expect("the lock");
        assert_eq!(seen_from_outside(queue.path()), std::process::id().to_string());
        let owner = |path| std::fs::metadata(path).expect("a file").uid();
        assert_eq!((owner(&old), owner(&kept)), (geteuid().as_raw(), theirs));
    }

    #[test]
    fn links_are_not_followed() {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let precious = elsewhere.path().join(NAME);
        std::fs::write(&precious, "precious").expect("a file");
        for link_to_directory in [true, false] {
            let queue = tempfile::tempdir().expect("a directory");
            let pid = queue.path().join(DIRECTORY);
            if link_to_directory {
                symlink(elsewhere.path(), &pid).expect("a link");
            } else {
                std::fs::create_dir(&pid).expect("a directory");
                symlink(&precious, pid.join(NAME)).expect("a link");
            }
            assert!(matches!(PidFile::claim(queue.path()), Err(Refused::Io(_))));
            assert!(Master::of(queue.path()).is_err());
        }
        assert_eq!(std::fs::read_to_string(&precious).expect("it is there"), "precious");
    }
}
