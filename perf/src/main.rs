//! Measurements of ringpost: a load generator, the floor it is judged against, and its peers.
//!
//! `perf/README.md` says how to use it and how to read what it prints. Nothing here is part of the
//! mail server, and the mail server is driven only through its command line and its port.

mod accounting;
mod failure;
mod floor;
mod load;
mod loop_device;
mod minimal;
mod progress;
mod runtimes;
mod server;
mod sink;
mod strategies;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures ringpost and what it stands on.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// Sends mail and measures how it is answered.
    Load(load::Options),
    /// Takes mail and counts it.
    Sink(sink::Options),
    /// A server that does the unavoidable work and nothing else.
    Floor(floor::Options),
    /// Compares runtimes on the same minimal SMTP dialogue.
    Runtimes(runtimes::Options),
    /// Compares ways to write Maildir files durably, on a file system of your choice.
    Maildir(strategies::maildir::Options),
    /// Compares ways to write queue records durably, on a file system of your choice.
    Log(strategies::log::Options),
    #[command(hide = true)]
    ServeMinimal(runtimes::ServeOptions),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().measurement {
        Measurement::Load(options) => load::main(&options),
        Measurement::Sink(options) => sink::main(&options),
        Measurement::Floor(options) => floor::main(&options),
        Measurement::Runtimes(options) => runtimes::main(&options),
        Measurement::Maildir(options) => strategies::maildir::main(&options),
        Measurement::Log(options) => strategies::log::main(&options),
        Measurement::ServeMinimal(options) => runtimes::serve(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("perf: {failure}");
            ExitCode::FAILURE
        }
    }
}
