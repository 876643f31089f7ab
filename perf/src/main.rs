//! Measurements of ringpost: a load generator, the floor it is judged against, and its peers.
//!
//! `perf/README.md` says how to use it and how to read what it prints. Nothing here is part of the
//! mail server, and the mail server is driven only through its command line and its port.

mod accounting;
mod compare;
mod config;
mod contender;
mod failure;
mod floor;
mod idle;
mod interrupt;
mod latency;
mod load;
mod loop_device;
mod mailboxes;
mod maps;
mod minimal;
mod progress;
mod results;
mod runtimes;
mod scratch;
mod server;
mod sink;
mod steady;
mod strategies;
mod subject;
mod units;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::results::Output;

/// The program's: what is measured in this process costs here what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures ringpost and what it stands on.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Put the finding into this file's section for it; perf/RESULTS.md when no file is named.
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"))]
    record: Option<PathBuf>,
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
    /// Measures ringpost beside the floor and tuned peers.
    Compare(Box<compare::Options>),
    /// Measures what idle sessions cost.
    Idle(Box<idle::Options>),
    /// Measures one message alone on an idle host.
    Latency(Box<latency::Options>),
    /// Measures the most one core can do.
    Steady(Box<steady::Options>),
    /// Measures tables, beside Postfix's.
    Maps(maps::Options),
    /// Measures a large configuration: start, reload under load, recipients, header checks.
    Config(config::Options),
    #[command(hide = true)]
    ServeMinimal(runtimes::ServeOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("perf: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let said = |()| Output::Said;
    let (section, output) = match &arguments.measurement {
        Measurement::Load(options) => ("load", load::main(options).map(said)),
        Measurement::Sink(options) => ("sink", sink::main(options).map(said)),
        Measurement::Floor(options) => ("floor", floor::main(options).map(said)),
        Measurement::Runtimes(options) => ("runtimes", runtimes::main(options)),
        Measurement::Maildir(options) => ("maildir", strategies::maildir::main(options)),
        Measurement::Log(options) => ("log", strategies::log::main(options)),
        Measurement::Compare(options) => ("compare", compare::main(options)),
        Measurement::Idle(options) => ("idle", idle::main(options)),
        Measurement::Latency(options) => ("latency", latency::main(options)),
        Measurement::Steady(options) => ("steady", steady::main(options)),
        Measurement::Maps(options) => ("maps", maps::main(options)),
        Measurement::Config(options) => ("config", config::main(options)),
        Measurement::ServeMinimal(options) => ("", runtimes::serve(options).map(said)),
    };
    match output? {
        Output::Said => {}
        Output::Json(json) => println!("{json}"),
        Output::Markdown(text) => {
            println!("{text}");
            if let Some(path) = &arguments.record {
                results::record(path, section, &text)?;
            }
        }
    }
    Ok(())
}
