//! What the host allows a process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a process asks for.
const OPEN_FILES_WANTED: u64 = 1 << 20;

/// As many open files as the host allows: a session needs one, a delivery two. Returns how many there are.
pub(crate) fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES_WANTED).min(OPEN_FILES_WANTED);
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => limit.current.unwrap_or(OPEN_FILES_WANTED),
    };
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// A file that may not grow (RLIMIT_FSIZE) becomes an error of the write, which defers one message, where
/// the signal would end the process.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    let noticed = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(libc::SIGXFSZ, noticed).map(drop)
}
