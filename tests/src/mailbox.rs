//! Maildirs as their owner sees them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::wait;

/// One Maildir.
#[derive(Clone, Debug)]
pub struct Maildir(pub PathBuf);

/// One message in a Maildir.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its file.
    pub path: PathBuf,
    /// The file, byte for byte.
    pub bytes: Vec<u8>,
}

impl Maildir {
    /// The messages in `new/` and `cur/`, oldest name first. A directory that is not there is empty.
    pub fn mails(&self) -> Vec<Mail> {
        let mut mails = Vec::new();
        for path in self.files("new").into_iter().chain(self.files("cur")) {
            match fs::read(&path) {
                Ok(bytes) => mails.push(Mail { path, bytes }),
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
        mails
    }

    /// How many messages there are, without reading them.
    pub fn count(&self) -> usize {
        self.files("new").len() + self.files("cur").len()
    }

    /// The files of `tmp/`: what a crash may leave, and nothing else.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        self.files("tmp")
    }

    /// Waits until there are `count` messages, and returns them.
    pub fn wait_for(&self, count: usize) -> Vec<Mail> {
        let what = format!("{count} messages in {}", self.0.display());
        wait::until_true(&what, || self.count() >= count);
        let mails = self.mails();
        assert_eq!(mails.len(), count, "messages in {}", self.0.display());
        mails
    }

    /// Waits for the one message there is to be.
    pub fn wait_for_one(&self) -> Mail {
        self.wait_for(1).swap_remove(0)
    }

    fn files(&self, part: &str) -> Vec<PathBuf> {
        let directory = self.0.join(part);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Vec::new(),
            Err(error) => panic!("{}: {error}", directory.display()),
        };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}

impl Mail {
    /// Everything up to the empty line.
    pub fn headers(&self) -> &[u8] {
        self.split().0
    }

    /// Everything behind the empty line.
    pub fn body(&self) -> &[u8] {
        self.split().1
    }

    /// The header called `name`, unfolded, without white space at its ends.
    pub fn header(&self, name: &str) -> Option<String> {
        self.all_headers(name).into_iter().next()
    }

    /// All headers called `name`, in their order.
    pub fn all_headers(&self, name: &str) -> Vec<String> {
        let headers = String::from_utf8_lossy(self.headers()).into_owned();
        let mut found: Vec<String> = Vec::new();
        let mut inside = false;
        for line in headers.lines() {
            if line.starts_with([' ', '\t']) {
                if inside && let Some(last) = found.last_mut() {
                    last.push_str(line);
                }
                continue;
            }
            inside = false;
            if let Some((this, value)) = line.split_once(':')
                && this.eq_ignore_ascii_case(name)
            {
                found.push(value.trim().to_owned());
                inside = true;
            }
        }
        found
    }

    /// What the file name says: `<secs>.M<usec>Q<queue id>R<recipient>.<host>,S=<size>`.
    pub fn named(&self) -> Option<Named> {
        let name = self.path.file_name()?.to_str()?;
        let (unique, flags) = name.split_once(',')?;
        let size = flags.strip_prefix("S=")?.split([',', ':']).next()?.parse().ok()?;
        let mut parts = unique.splitn(3, '.');
        let secs = parts.next()?.parse().ok()?;
        let (usec, rest) = parts.next()?.strip_prefix('M')?.split_once('Q')?;
        let usec = usec.parse().ok()?;
        let (id, recipient) = rest.split_once('R')?;
        let recipient = recipient.parse().ok()?;
        let host = parts.next()?.to_owned();
        Some(Named { secs, usec, id: id.to_owned(), recipient, host, size })
    }

    fn split(&self) -> (&[u8], &[u8]) {
        if self.bytes.starts_with(b"\n") {
            return (&[], &self.bytes[1..]);
        }
        let end = self.bytes.windows(2).position(|two| two == b"\n\n");
        end.map_or((&self.bytes[..], &[]), |end| (&self.bytes[..=end], &self.bytes[end + 2..]))
    }
}

/// The parts of a Maildir file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Seconds since 1970.
    pub secs: u64,
    /// And microseconds.
    pub usec: u32,
    /// The queue id.
    pub id: String,
    /// The recipient's number within the message.
    pub recipient: u32,
    /// Whose Maildir it is.
    pub host: String,
    /// The file's size.
    pub size: u64,
}

/// Every Maildir below `base`, by its path relative to it.
pub fn maildirs(base: &Path) -> BTreeMap<PathBuf, Maildir> {
    let mut found = BTreeMap::new();
    let mut open = vec![base.to_owned()];
    while let Some(directory) = open.pop() {
        if directory.join("new").is_dir() {
            let name = directory.strip_prefix(base).unwrap_or(&directory).to_owned();
            found.insert(name, Maildir(directory));
            continue;
        }
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        open.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found
}
