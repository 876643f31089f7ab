//! The file that log lines are added to: `maillog_file`.
//!
//! Whoever writes to it has a shared lock on it (flock(2)), which is passed on with its descriptor and ends with the
//! last of them. So whoever moves the file away can tell when nothing more comes into it. Nobody waits for a lock in
//! order to write, and a file system that has none costs no line.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use config::FileMode;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

/// Between two looks at whether somebody still writes to it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Opens it for adding lines, and makes it where it is missing.
pub(crate) fn open(path: &Path, mode: FileMode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Never more than that, not for a moment.
    options.append(true).mode(mode.0);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // What the umask took away. Where there are no permissions, there is a log all the same.
            let _ = file.set_permissions(Permissions::from_mode(mode.0));
            file
        }
        // Also a link whose file is still to be made.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).open(path)?
        }
        Err(error) => return Err(error),
    };
    let _ = flock(&file, FlockOperation::NonBlockingLockShared);
    Ok(file)
}

/// Gives it another name, which nothing has yet.
pub(crate) fn put_aside(path: &Path, aside: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, path, CWD, aside, RenameFlags::NOREPLACE)?)
}

/// Waits until nobody has it open for adding lines; false where that takes longer.
pub(crate) fn is_finished_within(aside: &Path, limit: Duration) -> io::Result<bool> {
    let file = File::open(aside)?;
    let deadline = Instant::now() + limit;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("a file").permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_file_is_for_those_who_may_read_it_and_an_old_one_stays_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        writeln!(open(&path, FileMode(0o644)).expect("a log"), "first").expect("written");
        assert_eq!(mode(&path), 0o644);
        writeln!(open(&path, FileMode(0o600)).expect("a log"), "second").expect("written");
        assert_eq!(mode(&path), 0o644);
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "first\nsecond\n");
    }

    #[test]
    fn through_a_link_the_file_is_made_where_it_leads() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, target) = (directory.path().join("log"), directory.path().join("target"));
        std::os::unix::fs::symlink(&target, &path).expect("a link");
        writeln!(open(&path, FileMode(0o640)).expect("a log"), "line").expect("written");
        assert_eq!(std::fs::read_to_string(&target).expect("text"), "line\n");
    }

    #[test]
    fn it_is_finished_when_the_last_descriptor_is_closed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let log = open(&path, FileMode(0o640)).expect("a log");
        let passed_on = log.try_clone().expect("a descriptor");
        let another = open(&path, FileMode(0o640)).expect("a log");
        let finished = || is_finished_within(&path, Duration::ZERO).expect("a file");
        drop(log);
        assert!(!finished());
        drop(passed_on);
        assert!(!finished());
        drop(another);
        assert!(finished());
    }

    #[test]
    fn nothing_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, aside) = (directory.path().join("log"), directory.path().join("log.1"));
        for path in [&path, &aside] {
            open(path, FileMode(0o640)).expect("a log");
        }
        let refused = put_aside(&path, &aside).expect_err("a file is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }
}
