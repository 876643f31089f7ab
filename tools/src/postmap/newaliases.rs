//! newaliases: postalias for the tables of `alias_database`.
//!
//! It is sendmail's command, and takes those of sendmail's options that have a meaning here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::options::{Options, Program};
use super::query::Ended;
use super::report::Report;
use super::{carry_out, settings};
use crate::stdout;

/// sysexits.h: a command line that cannot be followed.
const EX_USAGE: u8 = 64;

/// Makes the alias tables that alias_database names.
#[derive(Debug, Parser)]
#[command(name = "newaliases", args_override_self = true)]
struct Newaliases {
    /// Read DIR/main.cf
    #[arg(short = 'c', value_name = "DIR", env = "MAIL_CONFIG")]
    config: Option<PathBuf>,
    /// The same, by the name of the file or its directory (sendmail)
    #[arg(short = 'C', value_name = "FILE")]
    file: Option<PathBuf>,
    /// -oA[TYPE:]FILE: make this alias table; others are accepted (sendmail)
    #[arg(short = 'o', value_name = "OPTION", allow_hyphen_values = true)]
    option: Vec<String>,
    /// Accepted: this is what newaliases does (sendmail)
    #[arg(short = 'I')]
    aliases: bool,
    /// -bi is accepted: this is what newaliases does (sendmail)
    #[arg(short = 'b', value_name = "MODE", value_parser = ["i"])]
    mode: Option<String>,
    /// Say what is made
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// There are no recipients
    #[arg(hide = true)]
    recipients: Vec<OsString>,
}

/// Runs it.
pub(super) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = std::iter::once(OsString::from("newaliases")).chain(arguments);
    let usage = |text: &str| {
        Report::new("newaliases").fatal(text);
        ExitCode::from(EX_USAGE)
    };
    let options = match Newaliases::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            return usage(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
        }
        Err(help) => {
            stdout::print(help);
            return ExitCode::SUCCESS;
        }
    };
    if !options.recipients.is_empty() {
        return usage("alias initialization mode requires no recipient");
    }
    // The messages are those of the program that does the work, as with Postfix.
    let report = Report::new(Program::Postalias.name());
    match make(&options, &report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            report.fatal(why);
            ExitCode::FAILURE
        }
    }
}

fn make(newaliases: &Newaliases, report: &Report) -> Result<(), String> {
    let file = newaliases.file.as_ref().map(|file| match file.is_dir() {
        true => file.clone(),
        false => file.parent().map(PathBuf::from).unwrap_or_default(),
    });
    let mut options = Options::to_build(file.or(newaliases.config.clone()), Vec::new());
    options.verbose |= newaliases.verbose > 0;
    let named = newaliases.option.iter().rev().find_map(|option| option.strip_prefix('A'));
    options.tables = match named {
        Some(table) => vec![table.to_owned()],
        None => {
            let text = settings(&options)?.text("alias_database")?;
            cf::items(&text).map(str::to_owned).collect()
        }
    };
    match carry_out(Program::Postalias, &options, report) {
        Ok(_) => Ok(()),
        Err(Ended::Fatal(why)) => Err(why),
        Err(Ended::Output(error)) => Err(error.to_string()),
    }
}
