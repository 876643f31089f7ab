//! Life without a terminal.
//!
//! ```text
//!   ringpost start ──starts──▶ itself, with --detached: a session of its own
//!        │ waits                  │ opens everything, says on the terminal what is wrong
//!        │◀──────── one byte ─────│ is ready; from here on standard error is the log
//!       ends                      ▼ runs
//! ```
//!
//! The byte comes through the standard input of the one that stays; where it ends without, its exit
//! code is that of `start`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode, Stdio};

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// The option that tells the two apart.
pub(crate) const DETACHED: &str = "--detached";

/// Runs this program again, as it was called but detached, and waits until it is ready.
pub(crate) fn start() -> io::Result<ExitCode> {
    let (mut ready, its_end) = io::pipe()?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    let mut child = command.args(arguments).arg(DETACHED).stdin(OwnedFd::from(its_end)).spawn()?;
    // It has the only other end.
    drop(command);
    let mut byte = [0];
    loop {
        match ready.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => return Ok(ExitCode::SUCCESS),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Standard error goes on in another file.
pub(crate) fn follow_log(log: &OwnedFd) {
    // Where it cannot, what is said there goes on into the old file.
    let _ = dup2_stderr(log);
}

/// What a detached process has in place of a terminal.
#[derive(Debug)]
pub(crate) struct Background {
    null: File,
    log: File,
}

impl Background {
    /// Leaves the terminal's session: what ends that does not end this.
    pub(crate) fn enter(log: File) -> io::Result<Self> {
        // `start` has made it no leader of a group. Who calls it otherwise keeps the terminal's session.
        let _ = rustix::process::setsid();
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        Ok(Self { null, log })
    }

    /// What the children write to.
    pub(crate) fn output(&self) -> io::Result<(Stdio, Stdio)> {
        Ok((self.null.try_clone()?.into(), self.log.try_clone()?.into()))
    }

    /// Tells the one that waits, and lets go of all that it gave.
    pub(crate) fn ready(&self) -> io::Result<()> {
        // Whoever has stopped waiting is not in the way.
        let _ = File::from(rustix::io::dup(rustix::stdio::stdin())?).write_all(b"+");
        dup2_stdin(&self.null)?;
        dup2_stdout(&self.null)?;
        dup2_stderr(&self.log)?;
        Ok(())
    }

    /// Lets go of the log: what is written to standard error from here on is lost.
    pub(crate) fn leave(self) {
        let _ = dup2_stderr(&self.null);
    }

    /// The log has another file.
    pub(crate) fn reopened(&mut self, log: File) -> io::Result<()> {
        dup2_stderr(&log)?;
        self.log = log;
        Ok(())
    }
}
