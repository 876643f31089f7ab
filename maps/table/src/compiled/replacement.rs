//! A file that takes another's place at once and whole, or not at all.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

/// What could not be done to a file of a table.
#[derive(Debug)]
pub struct FileError {
    /// `rename`
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl FileError {
    pub(super) fn new(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { doing, path: path.to_owned(), source: source.into() }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.doing, self.path.display(), self.source)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A new file beside the one it is to replace, under a name that is always the same and a lock: a second
/// postmap waits for the first, and what a killed one left behind is used again.
#[derive(Debug)]
pub(super) struct Replacement {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    done: bool,
}

impl Replacement {
    /// An empty file; `mode` is for a target that does not exist yet.
    pub(super) fn create(target: &Path, mode: u32) -> Result<Self, FileError> {
        let mut temporary = target.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let failed = |doing, error: io::Error| FileError::new(doing, &temporary, error);
        let file = open_locked(&temporary).map_err(|error| failed("create", error))?;
        let new =
            Self { file, temporary: temporary.clone(), target: target.to_owned(), done: false };
        new.file.set_len(0).map_err(|error| failed("truncate", error))?;
        new.inherit(mode).map_err(|error| failed("set mode of", error))?;
        Ok(new)
    }

    /// Where it is written.
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|error| FileError::new("write", &self.temporary, error))
    }

    pub(super) fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|error| FileError::new("write", &self.temporary, error))
    }

    /// Makes it durable, then puts it in its place. Who has the old file open keeps the old file.
    pub(super) fn commit(mut self) -> Result<(), FileError> {
        self.file.sync_all().map_err(|error| FileError::new("sync", &self.temporary, error))?;
        fs::rename(&self.temporary, &self.target)
            .map_err(|error| FileError::new("rename to", &self.target, error))?;
        self.done = true;
        let directory = match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| FileError::new("sync", directory, error))
    }

    /// Whoever could read the old file, and whose it was: the new one is no different. Its owner can be
    /// kept only by root or the owner.
    fn inherit(&self, mode: u32) -> io::Result<()> {
        let mode = match fs::metadata(&self.target) {
            Ok(old) => {
                let _ = fchown(&self.file, Some(old.uid()), Some(old.gid()));
                old.mode() & 0o777
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => mode,
            Err(error) => return Err(error),
        };
        self.file.set_permissions(Permissions::from_mode(mode))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed is used again by the next one.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        let ours = file.metadata()?;
        if !ours.is_file() || ours.nlink() > 1 {
            return Err(io::Error::other("it is there already, and not a file that postmap left"));
        }
        // Whoever had the lock before may have put the file in its place or removed it.
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(target: &Path, text: &str) {
        let mut new = Replacement::create(target, 0o640).unwrap();
        new.write(text.as_bytes()).unwrap();
        new.commit().unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn the_old_file_is_there_until_the_new_one_is_and_gives_it_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.db");
        write(&target, "old");
        assert_eq!(mode(&target), 0o640);
        fs::set_permissions(&target, Permissions::from_mode(0o604)).unwrap();
        let open = File::open(&target).unwrap();

        let mut new = Replacement::create(&target, 0o640).unwrap();
        new.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        new.commit().unwrap();

        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(mode(&target), 0o604);
        assert_eq!(io::read_to_string(open).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing_and_one_that_was_killed_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.db");
        drop(Replacement::create(&target, 0o644).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(directory.path().join("t.db.tmp"), "half of something").unwrap();
        write(&target, "new");
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn what_somebody_else_put_in_its_place_is_not_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.db");
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let temporary = directory.path().join("t.db.tmp");
        std::os::unix::fs::symlink(&victim, &temporary).unwrap();
        assert!(Replacement::create(&target, 0o644).is_err());
        fs::remove_file(&temporary).unwrap();
        fs::hard_link(&victim, &temporary).unwrap();
        assert!(Replacement::create(&target, 0o644).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn two_that_write_at_once_follow_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("t.db");
        std::thread::scope(|scope| {
            for text in ["one", "two", "three", "four"] {
                let target = &target;
                scope.spawn(move || (0..5).for_each(|_| write(target, text)));
            }
        });
        let text = fs::read_to_string(&target).unwrap();
        assert!(["one", "two", "three", "four"].contains(&&*text), "{text}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
