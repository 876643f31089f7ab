//! Delivery to mbox files: one file for a whole mailbox, messages one behind the other.
//!
//! A message is appended under the locks that mail readers use, and is on the disk before it
//! counts. Whatever fails, the file is cut back to what it was. A crash of the machine in the
//! middle of a write is the weakness of the format: no one can take back half a message then, and a
//! message that is delivered again after a crash is there twice. Maildir has neither.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use mail::{Job, Time};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::beneath::{self, LastStep, Missing, Refused};
use crate::letter::{put_headers, read_exactly, write_parts};
use crate::lock::{DotLock, lock_open};
use crate::maildir::{denied, relative};
use crate::quote::FromQuoter;
use crate::{Acting, InUse, Letter, LockTimes, Locking, MailboxError, Owner, Text};

/// What is quoted and written in one piece.
const WRITE_BYTES: usize = 256 * 1024;

/// What all mbox files have in common.
#[derive(Clone, Debug)]
pub struct MboxSettings {
    /// All mailboxes lie beneath it. It must be there.
    pub base: PathBuf,
    /// The largest mailbox, in bytes; 0 for any size (`virtual_mailbox_limit`).
    pub limit_bytes: u64,
    /// Which locks are taken.
    pub locking: Locking,
    /// How long others' locks are respected.
    pub times: LockTimes,
    /// The mailbox must belong to its owner (`strict_mailbox_ownership`).
    pub strict_owner: bool,
}

/// The mbox files beneath one base.
pub struct Mboxes {
    settings: MboxSettings,
    in_use: InUse,
}

impl Mboxes {
    /// `in_use` is shared by all threads of the process that write mbox files.
    pub fn new(settings: MboxSettings, in_use: InUse) -> Self {
        Self { settings, in_use }
    }

    /// Appends a letter to the file at `mailbox`, a path beneath the base, with its owner's rights
    /// (`None`: the process's own). [`MailboxError::Locked`] is worth another attempt soon.
    pub fn deliver(
        &self,
        acting: &mut Acting<'_>,
        mailbox: &str,
        owner: Option<Owner>,
        letter: Letter<'_>,
        now: Time,
    ) -> Result<(), MailboxError> {
        let path = relative(mailbox)?;
        let full = self.settings.base.join(&path);
        let name = path.file_name().unwrap_or_default();
        acting.restore();
        let base = self.open_base()?;
        acting.become_owner(owner)?;
        let failed = |doing| {
            let full = &full;
            move |error| MailboxError::io(doing, full, error)
        };

        let parent = path.parent().unwrap_or(Path::new(""));
        let dir = beneath::walk(base.as_fd(), parent, Missing::Fail, LastStep::Any)
            .map_err(|refused| denied("open directory of", full.clone(), refused))?;
        let held = self.in_use.take(dir.as_fd(), name).map_err(failed("open directory of"))?;
        let Some(_held) = held else {
            return Err(MailboxError::Locked { path: full, doing: "unable to lock" });
        };
        let link = check_before_lock(dir.as_fd(), name, &full)?;
        let dotlock = self
            .settings
            .locking
            .dotlock
            .then(|| DotLock::take(dir.as_fd(), name, &full, self.settings.times.stale, now));
        let _dotlock = dotlock.transpose()?;

        let (file, created) = open(dir.as_fd(), name, link)
            .map_err(|refused| denied("cannot open file", full.clone(), refused))?;
        self.check_open(&file, &full, owner)?;
        lock_open(file.as_fd(), &full, self.settings.locking)?;
        // A reader may have replaced the file while we waited for its lock.
        let stat = self.check_open(&file, &full, owner)?;
        append(&file, stat.st_size.cast_unsigned(), self.settings.limit_bytes, letter, now, &full)?;
        if created {
            sync_dir_of(dir.as_fd())
                .map_err(|source| MailboxError::Sync { path: full.clone(), source })?;
        }
        Ok(())
    }

    fn open_base(&self) -> Result<OwnedFd, MailboxError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.settings.base, flags, Mode::empty())
            .map_err(|error| MailboxError::io("open mailbox base", &*self.settings.base, error))
    }

    /// Postfix `src/util/safe_open.c` and `src/global/mbox_open.c`: a regular file with one name,
    /// the recipient's own.
    fn check_open(
        &self,
        file: &OwnedFd,
        path: &Path,
        owner: Option<Owner>,
    ) -> Result<Stat, MailboxError> {
        let stat = rustix::fs::fstat(file)
            .map_err(|error| MailboxError::io("bad open file status of", path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(MailboxError::NotAFile(path.to_owned()));
        }
        if stat.st_nlink != 1 {
            #[allow(clippy::useless_conversion, reason = "a u32 on some machines")]
            let links = u64::from(stat.st_nlink);
            return Err(MailboxError::HardLinks { path: path.to_owned(), links });
        }
        let uid = owner.map_or_else(|| rustix::process::geteuid().as_raw(), |owner| owner.uid);
        if self.settings.strict_owner && stat.st_uid != uid {
            return Err(MailboxError::NotOwned(path.to_owned()));
        }
        Ok(stat)
    }
}

/// Whether the last step of the path may be a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    /// Root made it where only root writes.
    OfRoot,
}

/// No lock file is made beside what cannot be a mailbox.
fn check_before_lock(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<Link, MailboxError> {
    let failed = |error| MailboxError::io("cannot open file", path, error);
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Link::None),
        Err(error) => return Err(failed(error)),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Link::None),
        FileType::Symlink if beneath::is_roots_own(dir, &stat).map_err(failed)? => Ok(Link::OfRoot),
        FileType::Symlink => Err(MailboxError::Symlink(path.to_owned())),
        _ => Err(MailboxError::NotAFile(path.to_owned())),
    }
}

/// Opens the file, or creates it; true where it was created. Without blocking: what was a file a
/// moment ago may be a FIFO now.
fn open(dir: BorrowedFd<'_>, name: &OsStr, link: Link) -> Result<(OwnedFd, bool), Refused> {
    let append = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let existing = if link == Link::None { append | OFlags::NOFOLLOW } else { append };
    match rustix::fs::openat(dir, name, existing, Mode::empty()) {
        Ok(file) => return Ok((file, false)),
        Err(Errno::NOENT) => {}
        Err(Errno::LOOP) => return Err(Refused::Symlink),
        Err(error) => return Err(error.into()),
    }
    let create = append | OFlags::CREATE | OFlags::EXCL;
    let file = rustix::fs::openat(dir, name, create, Mode::RUSR | Mode::WUSR)?;
    Ok((file, true))
}

/// Appends and syncs, or cuts the file back to `old_len`.
fn append(
    file: &OwnedFd,
    old_len: u64,
    limit_bytes: u64,
    letter: Letter<'_>,
    now: Time,
    path: &Path,
) -> Result<(), MailboxError> {
    let mut output = Output { file: file.as_fd(), end: old_len, limit_bytes, path };
    let written = put_letter(&mut output, letter, now).and_then(|()| {
        rustix::fs::fsync(file)
            .map_err(|source| MailboxError::Sync { path: path.to_owned(), source })
    });
    if written.is_err() {
        // There is nothing better to do where this fails too; the error that is reported is the
        // first.
        let _ = rustix::fs::ftruncate(file, old_len);
        let _ = rustix::fs::fsync(file);
    }
    written
}

struct Output<'a> {
    file: BorrowedFd<'a>,
    end: u64,
    limit_bytes: u64,
    path: &'a Path,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), MailboxError> {
        let size_bytes = self.end + bytes.len() as u64;
        if self.limit_bytes > 0 && size_bytes > self.limit_bytes {
            let (path, limit_bytes) = (self.path.to_owned(), self.limit_bytes);
            return Err(MailboxError::OverLimit { path, size_bytes, limit_bytes });
        }
        write_parts(self.file, &mut [IoSlice::new(bytes)])
            .map_err(|error| MailboxError::io("write to", self.path, error))?;
        self.end = size_bytes;
        Ok(())
    }
}

/// One write for most messages, so that not even a kill can leave half of one.
fn put_letter(output: &mut Output<'_>, letter: Letter<'_>, now: Time) -> Result<(), MailboxError> {
    let unreadable = |error| MailboxError::io("read message for", output.path, error);
    let end = letter.text.missing_newline().map_err(unreadable)?;
    let mut pending = Vec::with_capacity(WRITE_BYTES.min(letter.text.len() as usize + 1024));
    put_from_line(&mut pending, letter.job, now);
    put_headers(&mut pending, letter.job);
    let mut quoter = FromQuoter::new();
    match letter.text {
        Text::Bytes(bytes) => {
            for piece in bytes.chunks(WRITE_BYTES) {
                quoter.feed(piece, &mut pending);
                flush_full(output, &mut pending)?;
            }
        }
        Text::File { file, len } => {
            let mut piece = vec![0; WRITE_BYTES];
            let mut offset = 0;
            while offset < len {
                let count = usize::try_from(len - offset).unwrap_or(WRITE_BYTES).min(WRITE_BYTES);
                read_exactly(file, &mut piece[..count], offset)
                    .map_err(|error| MailboxError::io("read message for", output.path, error))?;
                quoter.feed(&piece[..count], &mut pending);
                flush_full(output, &mut pending)?;
                offset += count as u64;
            }
        }
    }
    quoter.finish(&mut pending);
    pending.extend_from_slice(end);
    // The blank line that ends a message.
    pending.push(b'\n');
    output.put(&pending)
}

fn flush_full(output: &mut Output<'_>, pending: &mut Vec<u8>) -> Result<(), MailboxError> {
    if pending.len() >= WRITE_BYTES {
        output.put(pending)?;
        pending.clear();
    }
    Ok(())
}

/// `From sender  Thu Nov 20 09:00:00 2025`, in the host's own time.
fn put_from_line(out: &mut Vec<u8>, job: &Job, now: Time) {
    let secs = i64::try_from(now.secs()).unwrap_or(i64::MAX);
    let date = jiff::Timestamp::from_second(secs)
        .unwrap_or_default()
        .to_zoned(TimeZone::system())
        .strftime("%a %b %e %H:%M:%S %Y")
        .to_string();
    let sender = job.sender.as_ref().map_or("MAILER-DAEMON", |sender| sender.as_str());
    for part in ["From ", sender, "  ", &date, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn sync_dir_of(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fsync(rustix::fs::openat(dir, ".", flags, Mode::empty())?)
}
