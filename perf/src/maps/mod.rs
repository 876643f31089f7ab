//! `perf maps`: what tables cost, ringpost's beside Postfix's.
//!
//! A measurement of one kind of table is a module with a `section` that returns its part of the finding, and
//! a line in `main`.

mod compiled;
mod mailboxes;
mod patterns;
mod postmap;
mod rules;

use std::path::PathBuf;

use clap::Args;

use crate::failure::Result;
use crate::interrupt::Interrupt;
use crate::results::Output;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How many keys the tables have.
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000")]
    keys: Vec<u64>,
    /// Postfix's types to build and ask as well; '' for none.
    #[arg(long, value_delimiter = ',', default_value = "hash,cdb,lmdb")]
    peers: Vec<String>,
    /// More keys than these are too many for a peer: hash: takes minutes for ten million.
    #[arg(long, default_value_t = 1_000_000)]
    peer_keys_max: u64,
    /// How many rules the tables of patterns have.
    #[arg(long, value_delimiter = ',', default_value = "10,10000")]
    rules: Vec<usize>,
    /// How many networks the tables of networks have.
    #[arg(long, value_delimiter = ',', default_value = "10,100000")]
    networks: Vec<usize>,
    /// Where the tables are made.
    #[arg(long, default_value = "/var/tmp/perf-maps")]
    directory: PathBuf,
    /// The ringpost to measure; the one beside this program by default.
    #[arg(long)]
    ringpost: Option<PathBuf>,
    /// Postfix's postmap.
    #[arg(long, default_value = "/usr/sbin/postmap")]
    postmap: PathBuf,
}

/// `perf maps`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let interrupt = Interrupt::watch()?;
    let sections =
        [compiled::section(options, &interrupt)?, patterns::section(options, &interrupt)?];
    Ok(Output::Markdown(sections.join("\n")))
}
