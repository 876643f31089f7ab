//! Whose table it is: as root, a table is made with the rights of its source's owner.
//!
//! So the result belongs to whom the source belongs to, and whoever may write to that directory gains
//! nothing by root's working in it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{self, Gid, Uid};
use rustix::fs::Mode;
use rustix::process::umask;

use super::report::{Report, plain};

/// Rights that were taken on; given back when dropped.
#[derive(Debug)]
pub(crate) struct AsOwner {
    groups: Vec<Gid>,
    gid: Gid,
}

impl AsOwner {
    /// Takes on the rights of the owner of a file, if this is root and root is not the owner.
    pub(crate) fn of(metadata: &Metadata) -> Result<Option<Self>, String> {
        if !Uid::effective().is_root() || metadata.uid() == 0 {
            return Ok(None);
        }
        let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        let cannot = |why: nix::Error| format!("cannot take on the rights of user {uid}: {why}");
        let before = Self { groups: unistd::getgroups().map_err(cannot)?, gid: Gid::effective() };
        unistd::setgroups(&[]).map_err(cannot)?;
        unistd::setegid(gid).map_err(cannot)?;
        unistd::seteuid(uid).map_err(cannot)?;
        Ok(Some(before))
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        let back = unistd::seteuid(Uid::from_raw(0))
            .and_then(|()| unistd::setegid(self.gid))
            .and_then(|()| unistd::setgroups(&self.groups));
        if let Err(why) = back {
            // What the rest would be done with is unknown.
            eprintln!("fatal: cannot go back to the rights of root: {why}");
            std::process::exit(1);
        }
    }
}

/// Says that root makes a file where somebody else may replace its source.
pub(crate) fn warn_of_foreign_directory(path: &str, report: &Report) -> Result<(), String> {
    let directory = match Path::new(path).parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let metadata = directory
        .metadata()
        .map_err(|error| format!("stat {}: {}", directory.display(), plain(&error)))?;
    if metadata.uid() != 0 {
        let directory = directory.display();
        report.warning(format_args!(
            "Creating root-owned database file(s) {path}.* in non-root-owned directory {directory}. \
             Files {path}, {path}.*, and directory {directory} should have the same owner. Please fix \
             ownership to avoid a privilege-escalation attack."
        ));
    }
    Ok(())
}

/// The mode of a file that is made from this one: what its group and others may not read, they may not
/// read there either.
pub(crate) fn mode_from(metadata: Option<&Metadata>) -> u32 {
    const DEFAULT: u32 = 0o644;
    match metadata {
        Some(metadata) if metadata.is_file() => DEFAULT & (0o600 | metadata.mode()),
        _ => DEFAULT,
    }
}

/// Files are made with exactly the modes that are asked for.
pub(crate) fn plain_umask() {
    umask(Mode::from_raw_mode(0o022));
}
