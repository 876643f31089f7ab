//! postconf: what is configured. So far only `-m`, the table types.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

/// Shows what ringpost knows. More of Postfix's options come with later work.
#[derive(Debug, Parser)]
#[command(name = "postconf", version)]
struct Postconf {
    /// List the types of lookup tables
    #[arg(short = 'm')]
    map_types: bool,
}

/// Runs it.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = std::iter::once(OsString::from("postconf")).chain(arguments);
    if !Postconf::parse_from(arguments).map_types {
        eprintln!("postconf: fatal: usage: postconf -m");
        return ExitCode::FAILURE;
    }
    match map_types(&mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("postconf: fatal: write stdout: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// One line each, in the order of the alphabet.
fn map_types(out: &mut dyn Write) -> io::Result<()> {
    let tables = crate::tables::all();
    let mut types: Vec<&str> = tables.types().map(|kind| kind.name).collect();
    types.sort_unstable();
    types.iter().try_for_each(|name| writeln!(out, "{name}"))
}
