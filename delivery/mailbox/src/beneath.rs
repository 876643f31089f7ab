//! Opening directories beneath a base, without following what a mailbox owner may have put there.
//!
//! The usual case is one openat2 that refuses every symbolic link and every mount point; that there
//! was no mount point tells that the mailbox is on the base's own file system. Where it
//! refuses, or the kernel does not have it, the path is walked step by step. The walk follows a
//! link only if root made it in a directory that only root writes to: that is postfix
//! `src/util/safe_open.c`'s rule. `new/` itself is never one.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// A directory that was found, and whether it is known to lie on the base's own file system.
pub(crate) struct Found {
    pub(crate) dir: OwnedFd,
    pub(crate) same_file_system: bool,
}

/// Why a path was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A link that must not be followed.
    Symlink,
    /// The system said no.
    Errno(Errno),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// What to do about directories that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// ENOENT.
    Fail,
    /// Make them, for their owner alone.
    Create,
}

/// Whether the last step of a path may be a link that root made, as the steps before it may.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastStep {
    /// Never a link.
    NoLink,
    /// As the others.
    Any,
}

/// Directories that are made here are their owner's alone.
pub(crate) const PRIVATE_DIR: Mode = Mode::RWXU;

const SEARCH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a relative path as a place to create files in (O_PATH).
pub(crate) fn open_dir(base: BorrowedFd<'_>, path: &Path) -> Result<Found, Refused> {
    let refuse =
        ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
    let open = |refuse| rustix::fs::openat2(base, path, SEARCH, Mode::empty(), refuse);
    let refused = match open(refuse | ResolveFlags::NO_XDEV) {
        Ok(dir) => return Ok(Found { dir, same_file_system: true }),
        // A mount point on the way, or a way out of the base.
        Err(Errno::XDEV) => match open(refuse) {
            Ok(dir) => return Ok(Found { dir, same_file_system: false }),
            Err(error) => error,
        },
        Err(error) => error,
    };
    match refused {
        // A link, a rename in the middle, a kernel or container without openat2.
        Errno::LOOP | Errno::AGAIN | Errno::NOSYS | Errno::PERM => {
            let dir = walk(base, path, Missing::Fail, LastStep::NoLink)?;
            Ok(Found { dir, same_file_system: false })
        }
        error => Err(error.into()),
    }
}

/// Opens a relative path step by step.
pub(crate) fn walk(
    base: BorrowedFd<'_>,
    path: &Path,
    missing: Missing,
    last: LastStep,
) -> Result<OwnedFd, Refused> {
    let mut dir = rustix::fs::openat(base, ".", SEARCH, Mode::empty())?;
    let mut steps = path.components().peekable();
    while let Some(step) = steps.next() {
        let name = match step {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Errno::XDEV.into());
            }
        };
        if missing == Missing::Create {
            match rustix::fs::mkdirat(&dir, name, PRIVATE_DIR) {
                Ok(()) | Err(Errno::EXIST) => {}
                // Not ours to make, but it may be there; opening it tells.
                Err(_) if exists(dir.as_fd(), name) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let may_be_link = last == LastStep::Any || steps.peek().is_some();
        dir = step_into(dir.as_fd(), name, may_be_link)?;
    }
    Ok(dir)
}

fn exists(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn step_into(dir: BorrowedFd<'_>, name: &OsStr, may_be_link: bool) -> Result<OwnedFd, Refused> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let next = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) {
        FileType::Directory => Ok(next),
        FileType::Symlink if may_be_link && is_roots_own(dir, &rustix::fs::fstat(&next)?)? => {
            Ok(rustix::fs::openat(dir, name, SEARCH, Mode::empty())?)
        }
        FileType::Symlink => Err(Refused::Symlink),
        _ => Err(Errno::NOTDIR.into()),
    }
}

/// True for a link that root made where nobody else can make one. The directory counts too, because
/// a user can give a second name to root's link (a hard link) in a directory of his own.
pub(crate) fn is_roots_own(dir: BorrowedFd<'_>, link: &Stat) -> Result<bool, Errno> {
    let parent = rustix::fs::fstat(dir)?;
    let others_write = Mode::WGRP.union(Mode::WOTH);
    Ok(link.st_uid == 0
        && parent.st_uid == 0
        && !Mode::from_raw_mode(parent.st_mode).intersects(others_write))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn base() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(dir.path(), SEARCH, Mode::empty()).unwrap();
        (dir, fd)
    }

    fn refusal<T>(result: Result<T, Refused>) -> Option<Refused> {
        result.err()
    }

    #[test]
    fn missing_directories_are_made_on_request_only() {
        let (_guard, base) = base();
        let path = Path::new("example.com/alice");
        let missing = Some(Refused::Errno(Errno::NOENT));
        assert_eq!(refusal(open_dir(base.as_fd(), path)), missing);
        assert_eq!(refusal(walk(base.as_fd(), path, Missing::Fail, LastStep::NoLink)), missing);
        walk(base.as_fd(), path, Missing::Create, LastStep::NoLink).unwrap();
        assert!(open_dir(base.as_fd(), path).unwrap().same_file_system);
        walk(base.as_fd(), path, Missing::Create, LastStep::NoLink).unwrap();
    }

    #[test]
    fn nothing_outside_the_base_is_reached() {
        let (guard, base) = base();
        std::fs::create_dir(guard.path().join("a")).unwrap();
        for path in ["..", "../x", "a/../../x", "/etc", "a/../.."] {
            assert!(open_dir(base.as_fd(), Path::new(path)).is_err(), "{path}");
            assert!(
                walk(base.as_fd(), Path::new(path), Missing::Create, LastStep::NoLink).is_err(),
                "{path}"
            );
        }
    }

    #[test]
    fn the_last_step_is_never_a_link_whoever_made_it() {
        let (guard, base) = base();
        std::fs::create_dir(guard.path().join("real")).unwrap();
        symlink("real", guard.path().join("link")).unwrap();
        assert_eq!(refusal(open_dir(base.as_fd(), Path::new("link"))), Some(Refused::Symlink));
    }

    #[test]
    fn a_link_where_others_can_write_is_not_followed() {
        use std::os::unix::fs::PermissionsExt;

        let (guard, base) = base();
        std::fs::create_dir_all(guard.path().join("real/new")).unwrap();
        symlink("real", guard.path().join("link")).unwrap();
        let open_to_all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(guard.path(), open_to_all).unwrap();
        assert_eq!(refusal(open_dir(base.as_fd(), Path::new("link/new"))), Some(Refused::Symlink));
    }

    #[test]
    fn a_file_is_no_directory() {
        let (guard, base) = base();
        std::fs::write(guard.path().join("file"), "x").unwrap();
        let refused = Some(Refused::Errno(Errno::NOTDIR));
        assert_eq!(refusal(open_dir(base.as_fd(), Path::new("file/new"))), refused);
        assert_eq!(
            refusal(walk(base.as_fd(), Path::new("file"), Missing::Create, LastStep::NoLink)),
            refused
        );
    }
}
