//! sendmail: the command by which programs of this machine send mail, and have always done.
//!
//! Options, messages and exit codes are those of Postfix's; what differs is in
//! docs/postfix-differences.md. It has its caller's rights and no others: `postdrop` is the one who may write
//! into the maildrop, and decides who may have that done. So it works while the mail system does not.

mod lines;
mod options;
mod post;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{Configuration, Place};
use crate::sysexits::{EX_UNAVAILABLE, Failure};
use crate::{listing, postfix, postmap};
use options::{Mode, Options};

/// Runs it; `arguments` come without the name.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = Options::parse(arguments).and_then(carry_out);
    done.unwrap_or_else(|failure| failure.report("sendmail"))
}

fn carry_out(mut options: Options) -> Result<ExitCode, Failure> {
    for warning in std::mem::take(&mut options.warnings) {
        warn(&warning);
    }
    // It is a daemon's to try again at times.
    if options.interval && options.mode != Mode::Daemon {
        return Ok(ExitCode::SUCCESS);
    }
    let config = options.config.clone().or_else(|| std::env::var_os("MAIL_CONFIG").map(Into::into));
    match options.mode {
        Mode::Enqueue if options.flush.is_some() => Err(not_yet("trying queued mail at once")),
        Mode::Enqueue if options.verify => Err(not_yet("verification of addresses (-bv)")),
        Mode::Enqueue if options.verp => Err(not_yet("VERP (-XV)")),
        Mode::Enqueue => post::post(&options, config).map(|()| ExitCode::SUCCESS),
        Mode::Mailq => {
            Ok(listing::list(&Place { configuration: Configuration::of(config) }, false))
        }
        Mode::Newaliases => Ok(newaliases(options.alias_table, config)),
        Mode::Daemon => {
            let words = ["postfix".into()].into_iter().chain(directory(config));
            Ok(postfix::by_name(words.chain(["start".into()])))
        }
        Mode::Smtp => Err(not_yet("SMTP on standard input (-bs)")),
        Mode::Flush => Err(not_yet("trying queued mail at once (-q)")),
        Mode::Nothing => Ok(ExitCode::SUCCESS),
    }
}

fn newaliases(table: Option<Vec<u8>>, config: Option<PathBuf>) -> ExitCode {
    let table = table.map(|table| OsString::from_vec([b"-oA", &table[..]].concat()));
    let arguments = directory(config).into_iter().chain(table);
    postmap::by_name("newaliases", arguments).unwrap_or(ExitCode::FAILURE)
}

fn directory(config: Option<PathBuf>) -> Vec<OsString> {
    config.map_or_else(Vec::new, |config| vec!["-c".into(), config.into()])
}

fn not_yet(what: &str) -> Failure {
    Failure::new(EX_UNAVAILABLE, format!("{what} is not supported yet"))
}

fn warn(text: &str) {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    eprintln!("sendmail: warning: {}", text.chars().map(plain).collect::<String>());
}
