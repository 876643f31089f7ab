//! `public/` in the queue directory: sockets by which commands of this machine reach the mail system.
//!
//! The directory says who may: the mail owner, and commands with the rights of `setgid_group` where master
//! has given it to that group.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Beside the slices, as in Postfix.
pub(crate) const DIRECTORY: &str = "public";
/// As the queue itself, where nobody has said otherwise.
const DIRECTORY_MODE: u32 = 0o700;
/// The directory decides who gets as far as this.
const SOCKET_MODE: u32 = 0o666;

/// Listens on a socket there. The queue must be locked: what has the name is left of an earlier run.
pub(crate) fn listen(queue: &Path, name: &str) -> io::Result<UnixListener> {
    if name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: not a name")));
    }
    let directory = queue.join(DIRECTORY);
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&directory)?;
    match fs::remove_file(directory.join(name)) {
        // Left by a run that crashed.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = reached_through(&directory, name, |path| UnixListener::bind(path))?;
    fs::set_permissions(directory.join(name), fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Connects to one.
pub(crate) fn connect(queue: &Path, name: &str) -> io::Result<UnixStream> {
    reached_through(&queue.join(DIRECTORY), name, |path| UnixStream::connect(path))
}

/// A path of a socket has room for about a hundred bytes: a deep directory is named by its descriptor.
fn reached_through<T>(
    directory: &Path,
    name: &str,
    act: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let path = directory.join(name);
    if path.as_os_str().len() < 100 {
        return act(&path);
    }
    let directory = File::open(directory)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd())))
}
