//! postconf: what is configured, and edits of it. Options, output, messages and exit codes are Postfix's.

mod bounce_cf;
mod databases;
mod edit;
mod main_cf;
mod master_cf;
mod obsolete;
mod options;
mod print;
mod space;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use options::{EDITS, Instead, MASTER, Mode, Options};
use space::Space;

use crate::cli::CONFIG_DIRECTORY;

/// Why it ends early.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a message.
    Fatal(String),
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
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Instead::Fail(lines)) => {
            lines.iter().for_each(|line| eprintln!("postconf: {line}"));
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
            let why = match ended {
                Ended::Fatal(why) => why,
                Ended::Output(error) => format!("write stdout: {}", plain(&error)),
            };
            eprintln!("postconf: fatal: {why}");
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
    if mode.has(Mode::SASL_SERVER) {
        return Ok(lines(out, &["dovecot"])?);
    }
    if mode.has(Mode::SASL_CLIENT) {
        return Ok(lines(out, &["cyrus"])?);
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
    let space = Space::read(options, mode.has(Mode::DEFAULTS), of_master)?;
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

/// What rustls and its provider can do.
fn tls(what: &str, out: &mut dyn Write) -> Result<(), Ended> {
    match what {
        "compile-version" | "run-version" => Ok(lines(out, &["rustls 0.23"])?),
        "public-key-algorithms" => Ok(lines(out, &["ecdsa", "ed25519", "rsa"])?),
        _ => fatal(format!(
            "unknown 'postconf -T' mode: {what}; expected compile-version, run-version or \
             public-key-algorithms"
        )),
    }
}

fn lines(out: &mut dyn Write, lines: &[&str]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn warning(text: impl Display) {
    eprintln!("postconf: warning: {text}");
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
fn split_error(why: &cf::SyntaxError, text: &str) -> String {
    match why {
        cf::SyntaxError::NoName => format!("missing attribute name: \"{text}\""),
        cf::SyntaxError::NoEquals(_) => format!("missing '=' after attribute name: \"{text}\""),
        cf::SyntaxError::Line(why) => why.to_string(),
    }
}
