//! Where the log goes.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Something opened for the log.
pub type Output = Box<dyn Write + Send>;

/// Where the log goes.
pub enum Destination {
    /// Standard error.
    Stderr,
    /// Standard output, which containers collect.
    Stdout,
    /// Added to the end of a file (`maillog_file`), which is made where it is missing.
    File(PathBuf),
    /// Whatever this opens; it is called again for each reopening.
    Other(Box<dyn Fn() -> io::Result<Output> + Send>),
}

/// Names and addresses of people are in the log: it is not for everyone on the host to read.
const FILE_MODE: u32 = 0o640;

impl Destination {
    /// From `maillog_file`: an empty path is standard error. The standard streams are written to as they
    /// are, since opening `/dev/stdout` fails where it is a socket.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        match path.to_str() {
            Some("" | "/dev/stderr") => Self::Stderr,
            Some("/dev/stdout") => Self::Stdout,
            _ => Self::File(path),
        }
    }

    pub(crate) fn open(&self) -> io::Result<Output> {
        match self {
            Self::Stderr => Ok(Box::new(io::stderr())),
            // Line-buffered: whole lines, which batches are, go out at once.
            Self::Stdout => Ok(Box::new(io::stdout())),
            Self::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .mode(FILE_MODE)
                .open(path)
                .map(|file| Box::new(file) as Output)
                .map_err(|why| {
                    io::Error::new(why.kind(), format!("open {}: {why}", path.display()))
                }),
            Self::Other(open) => open(),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("Stderr"),
            Self::Stdout => f.write_str("Stdout"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}
