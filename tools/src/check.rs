//! `ringpost check`: what is wrong with a configuration, and what this host allows.

use std::process::ExitCode;

use config::{Severity, Snapshot};
use remote::Remote;
use table::MatchList;

use crate::cli::Check;
use crate::settings::Settings;

/// Prints everything worth knowing, worst first. Exit code 1 if mail would not flow as configured.
pub(crate) fn run(options: &Check) -> ExitCode {
    let settings = match Settings::read(&options.configuration) {
        Ok(settings) => settings,
        Err(why) => {
            println!("error: {why}");
            return ExitCode::FAILURE;
        }
    };
    println!("configuration: {}", settings.name());
    let differs = match settings.open(&Remote::new()) {
        Ok((all, catalog)) => {
            let snapshot = &all.base;
            let away: Vec<String> =
                catalog.troubles().into_iter().map(|(_, why)| why.to_string()).collect();
            let mut tables_are_away = false;
            for problem in all.problems() {
                // A server starts with a table that is away and defers what needs it; whoever asks whether
                // all is well is told that it is not. The cause names the command that makes it.
                let away = away.contains(&problem.cause);
                tables_are_away |= away;
                let word = if away { "error" } else { problem.severity.word() };
                println!("{word}: {problem}");
            }
            let unsupported = all.problems().iter().any(|p| p.severity == Severity::Differs);
            mail_flow(snapshot) || unsupported || tables_are_away
        }
        Err(problems) => {
            for problem in &problems {
                println!("{}: {problem}", problem.severity.word());
            }
            true
        }
    };
    host();
    if differs {
        ExitCode::FAILURE
    } else {
        println!("nothing here changes the flow of mail");
        ExitCode::SUCCESS
    }
}

/// What is configured and not there yet.
fn mail_flow(snapshot: &Snapshot) -> bool {
    let set = |list: &MatchList| !list.is_empty();
    let mut differs = false;
    if set(&snapshot.site.mydestination) && snapshot.settings().defined("mydestination").is_none() {
        println!(
            "note: mydestination has its default; there is no local delivery yet, so mail for these \
             domains is deferred unless virtual_mailbox_domains has them, too"
        );
    } else if set(&snapshot.site.mydestination) {
        println!(
            "error: mydestination: there is no local delivery yet; mail for these domains is deferred \
             (451) unless virtual_mailbox_domains has them, too"
        );
        differs = true;
    }
    differs
}

/// What the kernel allows here.
fn host() {
    match ring::probe_uring() {
        Ok(()) => println!("io_uring: available"),
        Err(why) => println!("io_uring: not available, epoll is used instead: {why}"),
    }
    match ring::cores() {
        Ok(cores) => println!("cores: {}", cores.len()),
        Err(error) => println!("cores: {error}"),
    }
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match files.maximum {
        Some(most) => println!("open files: at most {most}, one for each session"),
        None => println!("open files: no limit"),
    }
}
