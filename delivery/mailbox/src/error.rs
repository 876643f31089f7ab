//! Why a message did not reach a mailbox, and what that means for it.

use std::fmt;
use std::path::PathBuf;

use mail::Status;
use rustix::io::Errno;

use crate::Owner;

/// Why a message did not reach a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxError {
    /// A system call failed.
    Io {
        /// What was being done: `create maildir file`.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// The sync that would have made the delivery durable failed. What was written is not trusted,
    /// and nothing of it is left under a name.
    Sync {
        /// The mailbox.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// The message, or the mailbox with it, would be larger than `virtual_mailbox_limit`.
    OverLimit {
        /// The mailbox.
        path: PathBuf,
        /// What it would be, in bytes.
        size_bytes: u64,
        /// What is allowed, in bytes.
        limit_bytes: u64,
    },
    /// The path leads through a symbolic link that somebody other than root may have made.
    Symlink(PathBuf),
    /// The file has other names, so writing to it may write to somebody else's file.
    HardLinks {
        /// The mailbox.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// A directory, FIFO, socket or device where a file should be.
    NotAFile(PathBuf),
    /// The file belongs to somebody else (`strict_mailbox_ownership`).
    NotOwned(PathBuf),
    /// The path is empty, absolute, or has a `..` in it.
    BadPath(String),
    /// Somebody else holds the mailbox. Try again in a moment, then later.
    Locked {
        /// The mailbox or its lock file.
        path: PathBuf,
        /// What was tried: `unable to create lock file`.
        doing: &'static str,
    },
    /// This process may not act as the mailbox's owner.
    Identity {
        /// Who should have written the mailbox.
        owner: Owner,
        /// Why that is not possible.
        why: &'static str,
        /// The system's answer, where it was asked.
        source: Option<Errno>,
    },
}

impl MailboxError {
    /// RFC 3463. The only place that decides whether a failure defers (4.x.x) or bounces (5.x.x).
    ///
    /// As postfix `src/global/mbox_open.c` has it, except that only a limit of the mail system
    /// itself bounces: a full disk, a file system's quota and an error of a device are no fault of
    /// the sender and may be mended, so those are deferred.
    pub const fn status(&self) -> Status {
        match self {
            Self::OverLimit { .. } => Status(5, 2, 2),
            Self::Io { source, .. } | Self::Sync { source, .. } => match *source {
                Errno::DQUOT => Status(4, 2, 2),
                Errno::AGAIN | Errno::STALE | Errno::ACCESS | Errno::PERM | Errno::NOENT => {
                    Status(4, 2, 0)
                }
                _ => Status(4, 3, 0),
            },
            Self::Symlink(_) | Self::HardLinks { .. } | Self::NotOwned(_) | Self::Locked { .. } => {
                Status(4, 2, 0)
            }
            Self::NotAFile(_) | Self::BadPath(_) | Self::Identity { .. } => Status(4, 3, 5),
        }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: Errno) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}

impl fmt::Display for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => {
                write!(f, "{doing} {}: {}", path.display(), cause(*source))
            }
            Self::Sync { path, source } => {
                write!(f, "sync {}: {}", path.display(), cause(*source))
            }
            Self::OverLimit { path, size_bytes, limit_bytes } => write!(
                f,
                "{} would have {size_bytes} bytes, the limit is {limit_bytes}",
                path.display()
            ),
            Self::Symlink(path) => write!(f, "{} is a symbolic link", path.display()),
            Self::HardLinks { path, links } => {
                write!(f, "{} has {links} hard links", path.display())
            }
            Self::NotAFile(path) => {
                write!(f, "destination {} is not a regular file", path.display())
            }
            Self::NotOwned(path) => {
                write!(f, "destination {} is not owned by recipient", path.display())
            }
            Self::BadPath(path) => write!(f, "bad mailbox path {path}"),
            Self::Locked { path, doing } => {
                write!(f, "{doing} {}: held by somebody else", path.display())
            }
            Self::Identity { owner, why, source } => {
                write!(f, "cannot act as uid {} gid {}: {why}", owner.uid, owner.gid)?;
                source.map_or(Ok(()), |source| write!(f, ": {}", cause(source)))
            }
        }
    }
}

impl std::error::Error for MailboxError {}

/// The system's text for an error, as a log line wants it: without the number behind it.
fn cause(errno: Errno) -> String {
    let mut text = std::io::Error::from(errno).to_string();
    if let Some(number) = text.find(" (os error") {
        text.truncate(number);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mail_systems_own_limit_bounces() {
        let io = |source| MailboxError::io("write", "/m", source);
        assert_eq!(io(Errno::NOSPC).status(), Status(4, 3, 0));
        assert_eq!(io(Errno::DQUOT).status(), Status(4, 2, 2));
        assert_eq!(io(Errno::ROFS).status(), Status(4, 3, 0));
        assert_eq!(io(Errno::IO).status(), Status(4, 3, 0));
        assert_eq!(io(Errno::ACCESS).status(), Status(4, 2, 0));
        let over = MailboxError::OverLimit { path: "/m".into(), size_bytes: 2, limit_bytes: 1 };
        assert_eq!(over.status(), Status(5, 2, 2));
    }

    #[test]
    fn the_text_names_the_deed_the_file_and_the_cause() {
        let error = MailboxError::io("create maildir file", "/m/new/1", Errno::ACCESS);
        assert_eq!(error.to_string(), "create maildir file /m/new/1: Permission denied");
    }
}
