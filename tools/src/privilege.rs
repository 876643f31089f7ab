//! Giving up what a process does not need.

use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid, User, getegid, geteuid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Whether this process could act for other users.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// User and group ids of `name`.
pub(crate) fn user(name: &str) -> Result<(u32, u32), String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        Ok(None) => Err(format!("there is no user \"{name}\"")),
        Err(error) => Err(format!("looking up user \"{name}\": {error}")),
    }
}

/// Makes `directory` the root of all paths.
pub(crate) fn enclose(directory: &Path) -> io::Result<()> {
    std::env::set_current_dir(directory)?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Becomes an ordinary user for good: no way back, no new rights through set-uid programs.
///
/// Must be called while the process has one thread.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    rustix::thread::set_no_new_privs(true)?;
    if geteuid() != uid || getegid() != gid || setresuid(Uid::from_raw(0), uid, uid).is_ok() {
        return Err(io::Error::other("privileges could not be given up"));
    }
    Ok(())
}

/// Makes the calling thread alone an ordinary user, without any of root's rights.
pub(crate) fn thread_becomes((uid, gid): (u32, u32)) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Keeps, of root's rights, those that delivering to other people's mailboxes takes.
pub(crate) fn keep_delivery_rights() -> io::Result<()> {
    let needed = CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER;
    let keep = CapabilitySets {
        effective: needed,
        permitted: needed,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, keep)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}
