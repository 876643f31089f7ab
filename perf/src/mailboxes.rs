//! The Maildirs of a server under measurement: emptied before a run, counted and verified after it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, statat};

use crate::failure::{Doing, Result};

#[derive(Debug)]
pub(crate) struct Mailboxes {
    domain: PathBuf,
}

/// What is in the mailboxes after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) files: usize,
    /// Files with a Message-ID no other file has.
    pub(crate) distinct: usize,
    /// Files still in `tmp/`.
    pub(crate) unfinished: usize,
    pub(crate) last: Option<SystemTime>,
}

impl Mailboxes {
    /// Those of a server that keeps everything below `directory`.
    pub(crate) fn of(directory: &Path) -> Self {
        Self { domain: directory.join("mail/test.example") }
    }

    /// Removes all mail.
    pub(crate) fn clear(&self) -> Result<()> {
        for part in ["new", "tmp", "cur"] {
            for file in self.files(part) {
                let path = file.path();
                fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.files("new").count()
    }

    /// Reads all mail: how much arrived, whether once, and when the last of it.
    pub(crate) fn verify(&self) -> Arrived {
        let (mut files, mut ids, mut last) = (0, HashSet::new(), None);
        for file in self.files("new") {
            files += 1;
            let path = file.path();
            if let Some(id) = message_id(&path) {
                ids.insert(id);
            }
            // The link or rename into new/ sets the change time.
            last = last.max(changed(&path));
        }
        Arrived { files, distinct: ids.len(), unfinished: self.files("tmp").count(), last }
    }

    fn files(&self, part: &'static str) -> impl Iterator<Item = DirEntry> {
        let mailboxes = fs::read_dir(&self.domain).into_iter().flatten().flatten();
        mailboxes
            .map(move |mailbox| mailbox.path().join(part))
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flat_map(|entries| entries.flatten())
            // Control files of a server are not mail.
            .filter(|entry| !is_hidden(&entry.file_name()))
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

fn message_id(path: &Path) -> Option<String> {
    let file = BufReader::new(fs::File::open(path).ok()?);
    for line in file.lines() {
        let line = line.ok()?;
        if line.is_empty() {
            return None;
        }
        if line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("message-id:")) {
            return Some(line[11..].trim().to_owned());
        }
    }
    None
}

fn changed(path: &Path) -> Option<SystemTime> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let seconds = Duration::from_secs(u64::try_from(stat.st_ctime).ok()?);
    Some(SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(stat.st_ctime_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_that_arrived_twice_is_not_distinct() {
        let directory = tempfile::tempdir().unwrap();
        let mailboxes = Mailboxes::of(directory.path());
        assert_eq!(mailboxes.count(), 0);
        let mailbox = directory.path().join("mail/test.example/u0");
        for part in ["new", "tmp", "cur"] {
            fs::create_dir_all(mailbox.join(part)).unwrap();
        }
        for (name, id) in [("new/a", "<1@x>"), ("new/b", "<1@x>"), ("new/c", "<2@x>")] {
            let text = format!("From: x\nMessage-Id: {id}\n\nMessage-ID: <body@x>\n");
            fs::write(mailbox.join(name), text).unwrap();
        }
        fs::write(mailbox.join("tmp/d"), "partial").unwrap();
        fs::write(mailbox.join("new/.hidden"), "").unwrap();
        let arrived = mailboxes.verify();
        assert_eq!((arrived.files, arrived.distinct, arrived.unfinished), (3, 2, 1));
        assert!(arrived.last.unwrap().elapsed().unwrap() < Duration::from_secs(60));
        mailboxes.clear().unwrap();
        assert_eq!(mailboxes.verify().files, 0);
    }
}
