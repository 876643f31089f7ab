//! postdrop: writes a message into the maildrop, with the rights to do so that its caller lacks.
//!
//! It is a program of its own because it is to be installed set-gid, and the less such a program can do the
//! better: it runs nothing, asks nobody, reads main.cf, the tables that say who may submit what, and its standard
//! input, and believes neither its arguments nor its environment, of which it looks at `MAIL_CONFIG` only.
//! `sendmail` is its caller as a rule; whoever calls it otherwise can leave mail in his own name, as with
//! sendmail.
//!
//! It ends with 0 once the message is durable, and not before.

#[path = "../places.rs"]
mod places;
#[path = "../sysexits.rs"]
mod sysexits;

mod leave;
mod login_senders;
mod settings;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use maildrop::{Decoder, Malformed};
use rustix::process::{Signal, getuid};

use leave::Leaving;
use settings::Settings;
use sysexits::{EX_DATAERR, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, Failure};

/// What is read at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("postdrop"),
    }
}

fn run() -> Result<(), Failure> {
    let config = arguments(std::env::args_os().skip(1))?;
    let settings =
        Settings::read(config.or_else(|| std::env::var_os("MAIL_CONFIG").map(Into::into)))?;
    settings.admit(getuid())?;
    // From here on all names are short, and below this one.
    std::env::set_current_dir(&settings.queue).map_err(|error| {
        Failure::new(EX_TEMPFAIL, format!("chdir {}: {error}", settings.queue.display()))
    })?;
    survive_file_size_limit().map_err(|error| temporary("signals", &error))?;
    let leaving =
        Leaving::begin().map_err(|error| temporary("create a file in maildrop", &error))?;
    copy(leaving, io::stdin().lock(), &settings)?;
    leave::wake(&settings.pickup);
    Ok(())
}

fn temporary(doing: &str, error: &io::Error) -> Failure {
    Failure::new(EX_TEMPFAIL, format!("{doing}: {error}"))
}

/// The configuration directory, if one is named.
fn arguments(
    mut arguments: impl Iterator<Item = std::ffi::OsString>,
) -> Result<Option<PathBuf>, Failure> {
    let usage = || Failure::new(EX_USAGE, "usage: postdrop [-c config_dir] [-v]");
    let mut config = None;
    while let Some(argument) = arguments.next() {
        match argument.to_str().ok_or_else(usage)? {
            "-c" => config = Some(arguments.next().ok_or_else(usage)?.into()),
            // What sendmail says, and what Postfix's does.
            "-r" | "-v" => {}
            other => match other.strip_prefix("-c") {
                Some(directory) => config = Some(directory.into()),
                None => return Err(usage()),
            },
        }
    }
    Ok(config)
}

/// Checks what is on standard input and writes it down. Every byte that is written was understood first.
fn copy(mut leaving: Leaving, mut input: impl Read, settings: &Settings) -> Result<(), Failure> {
    let limit_bytes = settings.message_size_limit;
    let uid = getuid();
    let mut decoder = Decoder::default();
    let mut piece = vec![0; PIECE_BYTES];
    let (mut content, mut out) = (Vec::new(), Vec::new());
    let (mut begun, mut content_bytes, mut bytes) = (false, 0, 0);
    loop {
        let count = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(temporary("read", &error)),
        };
        decoder.put(&piece[..count], &mut content).map_err(|why| {
            Failure::new(EX_DATAERR, format!("uid={}: malformed input: {why}", uid.as_raw()))
        })?;
        let Some(submission) = decoder.submission() else { continue };
        if !begun {
            settings.login_senders.admit(uid, submission.sender.as_ref())?;
            maildrop::envelope(submission, &mut out);
            begun = true;
        }
        maildrop::content(&content, &mut out);
        content_bytes += content.len() as u64;
        bytes += out.len() as u64;
        if limit_bytes > 0 && bytes > limit_bytes {
            return Err(too_big());
        }
        leaving.write_all(&out).map_err(|error| not_written(&error))?;
        content.clear();
        out.clear();
    }
    if let Err(Malformed::Unfinished) = decoder.finish() {
        // Whoever wrote it has ended, and said why.
        return Err(Failure::new(EX_TEMPFAIL, ""));
    }
    maildrop::end(content_bytes, &mut out);
    leaving.write_all(&out).and_then(|()| leaving.finish()).map_err(|error| not_written(&error))
}

fn too_big() -> Failure {
    Failure::new(EX_UNAVAILABLE, "message file too big")
}

fn not_written(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::FileTooLarge => too_big(),
        _ => temporary("queue file write error", error),
    }
}

/// A file that may not grow (RLIMIT_FSIZE, which is the caller's to set) is an error of the write.
fn survive_file_size_limit() -> io::Result<()> {
    signal_hook::flag::register(Signal::XFSZ.as_raw(), std::sync::Arc::default()).map(drop)
}
