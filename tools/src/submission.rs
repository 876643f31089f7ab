//! What local users reach the mail system by: the directories that `postdrop`, with the rights of
//! `setgid_group`, may write to.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, openat};
use rustix::io::Errno;

use crate::public;

/// The program that has the right to write into the maildrop.
pub(crate) const POSTDROP: &str = "postdrop";
/// Of a file that everyone may run, with the rights of its group.
const SET_GID: u32 = 0o2001;
/// Postdrop makes files there, and nobody removes another's. It may also read the directory, which making
/// its entries durable takes.
const MAILDROP_MODE: u32 = 0o1770;
/// Postdrop may connect to what is there.
const PUBLIC_MODE: u32 = 0o710;
/// For one user alone.
const OWN_MODE: u32 = 0o700;

/// Makes the directories in `queue`. As root they are given to the owner of the queue and to the group, if
/// there is one of that name; of the owner's own where there is none.
///
/// The queue may be in the hands of whoever talks to the network: links in it are not followed.
pub(crate) fn make_directories(
    queue: &Path,
    owner: Option<(u32, u32)>,
    group: &str,
) -> io::Result<()> {
    let owner = owner.map(|(uid, own)| (uid, gid(group).unwrap_or(own)));
    for (name, mode) in [(maildrop::DIRECTORY, MAILDROP_MODE), (public::DIRECTORY, PUBLIC_MODE)] {
        make(&queue.join(name), owner, mode)
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    }
    Ok(())
}

/// Why ordinary users cannot submit mail, and what to do about it.
pub(crate) fn not_for_everyone(group: &str) -> Option<String> {
    let postdrop = beside().unwrap_or_else(|| POSTDROP.into());
    let make = format!("chgrp {group} {path} && chmod 2755 {path}", path = postdrop.display());
    let Some(gid) = gid(group) else {
        return Some(format!(
            "there is no group \"{group}\" (setgid_group). Make it with: groupadd --system {group} && {make}"
        ));
    };
    let is_set_gid = std::fs::metadata(&postdrop)
        .is_ok_and(|file| file.gid() == gid && file.mode() & SET_GID == SET_GID);
    (!is_set_gid).then(|| {
        format!("{} is not set-gid \"{group}\" (setgid_group): {make}", postdrop.display())
    })
}

/// The postdrop that was built with this program, if it is there: not one of another mail system, which does
/// not know what it is told.
pub(crate) fn beside() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(POSTDROP);
    path.exists().then_some(path)
}

fn gid(group: &str) -> Option<u32> {
    Some(Group::from_name(group).ok()??.gid.as_raw())
}

fn make(path: &Path, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    match mkdirat(CWD, path, Mode::from_raw_mode(OWN_MODE)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory: OwnedFd = openat(CWD, path, flags, Mode::empty())?;
    if let Some((uid, gid)) = owner {
        fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fchmod(&directory, Mode::from_raw_mode(mode))?;
    }
    Ok(())
}
