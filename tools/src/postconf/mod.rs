//! postconf: what is configured, and edits of it. Options, output, messages and exit codes are Postfix's.

mod bounce_cf;
mod databases;
mod definitions;
mod edit;
mod main_cf;
mod master_cf;
mod obsolete;
mod options;
mod print;
mod space;
mod users;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use options::{EDITS, Instead, MASTER, Mode, Options};
use space::Space;

use crate::cli::CONFIG_DIRECTORY;
use crate::postmap::printable;
use crate::stdout;

/// Why it ends early.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a message.
    Fatal(String),
    /// With a warning, which was given.
    Warned,
    /// Standard output cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn fatal<T>(text: impl Into<String>) -> Result<T, Ended> {
    Err(Ended::Fatal(text.into()))
}

/// Runs it.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(Instead::Print(text)) => {
            stdout::print(format_args!("{text}\n"));
            return ExitCode::SUCCESS;
        }
        Err(Instead::Fail(lines)) => {
            lines.iter().for_each(say);
            return ExitCode::FAILURE;
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = carry_out(&options, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // `postconf | head`: the reader has seen enough.
        Err(Ended::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(ended) => {
            // What was printed before stands before the message.
            let _ = out.flush();
            match ended {
                Ended::Warned => {}
                Ended::Fatal(why) => say(format_args!("fatal: {why}")),
                Ended::Output(error) => {
                    say(format_args!("fatal: write stdout: {}", plain(&error)));
                }
            }
            ExitCode::FAILURE
        }
    }
}

fn carry_out(options: &Options, out: &mut dyn Write) -> Result<(), Ended> {
    let mode = options.mode;
    if mode.has(Mode::MAPS) {
        return Ok(map_types(out)?);
    }
    if mode.has(Mode::LOCKS) {
        return Ok(lines(out, &["flock", "fcntl", "dotlock"])?);
    }
    if mode.has(Mode::SASL_SERVER | Mode::SASL_CLIENT) {
        // There are none yet, and Postfix that was built without has nothing to say either.
        return Ok(());
    }
    if mode.has(Mode::TLS) {
        return tls(&options.tls, out);
    }
    if mode.has(Mode::BOUNCE_EXPANDED | Mode::BOUNCE_RAW) {
        return bounce_cf::print(options, out);
    }
    if mode.has(EDITS) {
        return if mode.has(MASTER) { edit::master_cf(options) } else { edit::main_cf(options) };
    }
    let of_master = mode.has(MASTER);
    let mut space = Space::read(options, mode.has(Mode::DEFAULTS), of_master)?;
    if !mode.has(Mode::DEFAULTS) {
        space.find_users(!options.quiet)?;
    }
    for (file, name) in space.undefined() {
        let place = space.directory.join(file);
        warning(format_args!("{}: undefined parameter: {name}", place.display()));
    }
    if mode.has(Mode::ENTRIES) {
        master_cf::entries(&space, options, out)?;
    } else if mode.has(Mode::FIELDS) {
        master_cf::fields(&space, options, out)?;
    } else if mode.has(Mode::PARAMETERS) {
        master_cf::parameters(&space, options, out)?;
    } else {
        main_cf::parameters(&space, options, out)?;
    }
    out.flush()?;
    if !options.quiet && !mode.has(Mode::DEFAULTS) {
        obsolete::warn(&space, !of_master);
    }
    Ok(())
}

/// One line each, in the order of the alphabet.
fn map_types(out: &mut dyn Write) -> io::Result<()> {
    let tables = crate::tables::all();
    let mut types: Vec<&str> = tables.types().map(|kind| kind.name).collect();
    types.sort_unstable();
    lines(out, &types)
}

/// What rustls and its provider can do. It is part of the program, so what was compiled is what runs.
fn tls(what: &str, out: &mut dyn Write) -> Result<(), Ended> {
    match what {
        "compile-version" | "run-version" => {
            writeln!(out, "rustls {}", env!("RUSTLS_VERSION"))?;
        }
        "public-key-algorithms" => lines(out, &remote::public_key_algorithms())?,
        _ => {
            warning(format_args!("unknown 'postconf -T' mode: {what}"));
            return Err(Ended::Warned);
        }
    }
    Ok(())
}

fn lines(out: &mut dyn Write, lines: &[impl Display]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn warning(text: impl Display) {
    say(format_args!("warning: {text}"));
}

/// A line about the configuration, without what would disturb a terminal.
fn say(text: impl Display) {
    eprintln!("postconf: {}", printable(text.to_string().as_bytes()));
}

/// `-c`, `MAIL_CONFIG`, or where it is by default.
fn directory(options: &Options) -> PathBuf {
    let named = options.config.clone().map(OsString::from);
    named
        .or_else(|| std::env::var_os("MAIL_CONFIG"))
        .unwrap_or_else(|| CONFIG_DIRECTORY.into())
        .into()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The system's words for an error, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Postfix's words for what is no `name = value` (`src/util/split_nameval.c`).
fn no_definition(why: &cf::SyntaxError) -> String {
    match why {
        cf::SyntaxError::NoName => "missing attribute name".to_owned(),
        cf::SyntaxError::NoEquals(_) => "missing '=' after attribute name".to_owned(),
        cf::SyntaxError::Line(why) => why.to_string(),
    }
}
