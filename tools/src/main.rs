//! ringpost: every command, by its first argument or by the name it was called with.

#![warn(clippy::print_stdout, reason = "it panics where nobody reads on, see `stdout`")]

mod agentd;
mod background;
mod check;
mod child;
mod cli;
mod control;
mod dispatch;
mod engine;
mod explain;
mod freshness;
mod hosts;
mod init;
mod interfaces;
mod limits;
mod listening;
mod listing;
mod log_file;
mod logrotate;
mod master;
mod pickup;
mod pid_file;
mod places;
mod postconf;
mod postfix;
mod postmap;
mod privilege;
mod public;
mod reload;
mod rewriters;
mod routes;
mod sandbox;
mod sendmail;
mod serve;
mod settings;
mod shard;
mod start;
mod status;
mod stdout;
mod submission;
mod swap;
mod sysexits;
mod syslog;
mod tables;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use cli::{Cli, Command, Map, Queue};
use control::Channel;

fn main() -> ExitCode {
    if let Some(code) = listing::by_name().or_else(by_name) {
        return code;
    }
    match Cli::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Start(options) => postfix::start(&options),
        Command::Stop(options) => postfix::stop(&options.place, options.now),
        Command::Reload(place) => postfix::reload(&place),
        Command::Check(options) => check::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Status(place) => status::run(&place),
        Command::Queue(Queue::List { place, json }) => listing::list(&place, json),
        Command::Queue(Queue::Show { place, id }) => listing::show(&place, &id),
        Command::Explain(options) => explain::address::run(&options),
        Command::Map(Map::Explain(options)) => explain::map::run(&options),
        Command::Engine => child(engine::run),
        Command::Agentd => child(agentd::run),
    }
}

/// Acts as the command that this program was called as: by its name, or as `ringpost postmap ...`.
fn by_name() -> Option<ExitCode> {
    let called = |mut arguments: std::env::ArgsOs| {
        let called = PathBuf::from(arguments.next()?);
        match called.clone().file_name()?.to_str()? {
            "postconf" => Some(postconf::run(arguments)),
            "sendmail" => Some(sendmail::run(arguments)),
            "postfix" => {
                Some(postfix::by_name(std::iter::once(called.into_os_string()).chain(arguments)))
            }
            name => postmap::by_name(name, arguments),
        }
    };
    let mut behind = std::env::args_os();
    behind.next();
    called(std::env::args_os()).or_else(|| called(behind))
}

/// A child's end of the control connection is its standard input.
fn child(run: fn(Channel)) -> ExitCode {
    match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => {
            run(Channel::from_fd(fd));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringpost: fatal: started without a connection to master: {error}");
            ExitCode::FAILURE
        }
    }
}
