//! postmap, postalias and newaliases.
//!
//! Options, output, exit codes and messages are Postfix's; what differs is in
//! docs/postfix-differences.md. A question goes to the table by the same way as one of the mail system,
//! and a table is made by the same code that made the mail system's.

mod build;
mod input;
mod message;
mod newaliases;
mod options;
mod owner;
mod query;
mod report;
mod source;
mod target;

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::cli::Configuration;
use crate::settings::Settings;
use crate::stdout;
use build::Work;
use options::{Keys, Options, Program, Refusal, Task};
use query::{Ended, Query};
use report::Report;
pub(crate) use report::printable;
use target::Target;

/// Acts as the command of this name, if it is one of these. `arguments` come without the name.
pub(crate) fn by_name(
    name: &str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Option<ExitCode> {
    match name {
        "postmap" => Some(run(Program::Postmap, arguments)),
        "postalias" => Some(run(Program::Postalias, arguments)),
        "newaliases" => Some(newaliases::run(arguments)),
        _ => None,
    }
}

fn run(program: Program, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let report = Report::new(program.name());
    // What is no text is no table's name and no key; the question mark it becomes is neither.
    let arguments =
        arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned().into());
    let outcome = match Options::parse(program, arguments) {
        Ok(options) => carry_out(program, &options, &report),
        Err(Refusal::Help(text)) => {
            stdout::print(text);
            return ExitCode::SUCCESS;
        }
        Err(Refusal::Usage(before, text)) => {
            if let Some(before) = before {
                report.info(before);
            }
            Err(Ended::Fatal(text))
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `postmap -s | head`: the reader has seen enough.
        Err(Ended::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Ended::Output(error)) => {
            report.fatal(format_args!("write stdout: {}", report::plain(&error)));
            ExitCode::FAILURE
        }
        Err(Ended::Fatal(why)) => {
            report.fatal(why);
            ExitCode::FAILURE
        }
    }
}

/// Does what the options say; true for exit code 0.
fn carry_out(program: Program, options: &Options, report: &Report) -> Result<bool, Ended> {
    options.warnings.iter().for_each(|warning| report.warning(warning));
    owner::plain_umask();
    let settings = settings(options)?;
    let default = settings.text("default_database_type")?;
    let tables = crate::tables::all();
    let targets: Vec<Target> = options
        .tables
        .iter()
        .map(|argument| Target::parse(argument, &default))
        .collect::<Result<_, _>>()?;
    let work = Work { program, options, tables: &tables, report };
    match &options.task {
        Task::Build => {
            targets.iter().try_for_each(|target| work.build(target))?;
            Ok(true)
        }
        Task::Update => {
            let added = work.added()?;
            targets.into_iter().try_for_each(|target| work.update(&target.direct(), &added))?;
            Ok(true)
        }
        Task::Delete(keys) => {
            let Some(first) = targets.first() else { return Ok(false) };
            let keys = work.deleted(keys, first)?;
            let mut found = false;
            for target in targets {
                found |= work.delete(&target.direct(), &keys)?;
            }
            Ok(found)
        }
        Task::Query(keys) => {
            let mut query = Query::new(program, options, &tables, report, &targets);
            let mut out = BufWriter::new(io::stdout().lock());
            let found = match keys {
                Keys::One(key) => query.one(key, &mut out)?,
                Keys::Input => {
                    let message = match options.message {
                        Some(which) => Some((which, header_bytes_max(&settings)?)),
                        None => None,
                    };
                    query.each(io::stdin().lock(), message, &mut out)?
                }
            };
            out.flush()?;
            Ok(found)
        }
        Task::List => {
            let targets: Vec<Target> = targets.into_iter().map(Target::direct).collect();
            let mut out = BufWriter::new(io::stdout().lock());
            Query::new(program, options, &tables, report, &targets).list(&mut out)?;
            out.flush()?;
            Ok(!targets.is_empty())
        }
    }
}

/// main.cf, of which only a few values are needed: a table that another parameter names may be the one
/// that is broken.
fn settings(options: &Options) -> Result<config::Settings, String> {
    let configuration = Configuration::of(options.config.clone());
    Settings::of_host(&configuration)?.values()
}

fn header_bytes_max(settings: &config::Settings) -> Result<usize, String> {
    let text = settings.text("header_size_limit")?;
    text.parse().map_err(|_| format!("header_size_limit: \"{text}\" is no number"))
}
