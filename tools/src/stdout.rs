//! What commands say on standard output.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints text as it is. Whoever has read enough of it (`ringpost check | head`) is not in the way of the rest of the
/// work, nor of the exit code.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("ringpost: warning: write standard output: {error}");
        }
        _ => {}
    }
}
