//! What commands say on standard output.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints text as it is. Whoever has read enough of it (`ringpost check | head`) is not in the way of the rest of the
/// work, nor of the exit code.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
