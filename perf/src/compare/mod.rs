//! `perf compare`: ringpost beside the floor and tuned peers, same run, same clients, same disk.
//!
//! Every contender starts anew in every round with empty mailboxes, on one freshly made journaled
//! ext4; rounds go through all contenders, so that a slow minute of the machine meets all of them.
//! A run counts when all its mail is in the Maildirs exactly once.

mod measure;
mod plot;
mod syscalls;
mod table;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::measure::{Bench, Row};
use self::workload::{Client, SmtpSource, Workload};
use crate::contender::{self, Contender, Programs};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt::Interrupt;
use crate::loop_device::{LoopDevice, is_root};
use crate::mailboxes::Mailboxes;
use crate::results::{self, Output};
use crate::scratch::Scratch;
use crate::{progress, units};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Where everything is made; accounts other than root must be able to reach it.
    #[arg(long, default_value = "/var/tmp/perf-compare")]
    directory: PathBuf,
    /// Size of the ext4 in a loop device; 0 measures on the directory's own file system.
    #[arg(long, value_parser = units::bytes, default_value = "8g")]
    device: u64,
    /// Peers to measure: postfix, exim, opensmtpd.
    #[arg(long, value_delimiter = ',', default_value = "postfix")]
    peers: Vec<String>,
    /// What to measure of our own: ringpost, floor.
    #[arg(long, value_delimiter = ',', default_value = "ringpost,floor")]
    own: Vec<String>,
    /// Who sends.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "source-fresh,source-kept,perf-fresh,perf-kept"
    )]
    clients: Vec<Client>,
    /// Parallel sessions.
    #[arg(long, value_delimiter = ',', default_value = "20,100")]
    sessions: Vec<usize>,
    /// Messages in a run of a peer.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Messages in a run of ringpost or the floor, which need more for a run of some length.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages_own: u64,
    /// Rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The program to measure; target/release/ringpost beside this program by default.
    #[arg(long)]
    ringpost: Option<PathBuf>,
    /// A setting for ringpost (-o); {data} is its directory, {map} a table of the recipients.
    #[arg(long = "ringpost-option", default_value = "virtual_mailbox_maps=texthash:{map}")]
    ringpost_options: Vec<String>,
    /// Shards of ringpost and the floor.
    #[arg(long)]
    shards: Option<usize>,
    /// Count sync calls per message too, with strace in a short run of its own.
    #[arg(long)]
    strace: bool,
    /// The peers' scripts.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    scripts: PathBuf,
    /// Where the peers' packages are unpacked.
    #[arg(long, default_value = "/var/tmp/perf-peers")]
    peers_root: PathBuf,
    /// Where compare.json and the plots go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
}

/// Everything a comparison found, as it is written to compare.json.
#[derive(Debug, Serialize)]
struct Findings {
    machine: String,
    file_system: String,
    versions: BTreeMap<&'static str, String>,
    rows: Vec<Row>,
    /// Sync calls per message, by contender and call.
    sync_calls: BTreeMap<&'static str, BTreeMap<String, f64>>,
}

/// Messages sent before a contender's first run counts.
const WARM_UP_MESSAGES: u64 = 400;

/// Messages under strace.
const TRACED_MESSAGES: u64 = 200;

/// `perf compare`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let contenders = contenders(options)?;
    let programs = programs(options)?;
    let needs_source = options.clients.iter().any(|client| client.is_smtp_source());
    if contenders.iter().any(|contender| contender.is_peer()) || (needs_source && is_root()) {
        let bar = progress::spinner("unpacking the peers");
        contender::install(&contenders, &programs)?;
        bar.finish_and_clear();
    }
    let smtp_source = SmtpSource::find(&options.peers_root);
    let workloads: Vec<Workload> = options
        .clients
        .iter()
        .flat_map(|client| {
            options
                .sessions
                .iter()
                .map(|sessions| Workload { client: *client, sessions: *sessions })
        })
        .collect();

    let interrupt = Interrupt::watch()?;
    let device = match options.device {
        0 => None,
        bytes => Some(LoopDevice::make(&options.directory, bytes)?),
    };
    let base = device.as_ref().map_or(options.directory.as_path(), LoopDevice::mount_point);
    std::fs::create_dir_all(base).doing(|| format!("making {}", base.display()))?;
    let base = base.canonicalize().doing(|| format!("finding {}", base.display()))?;

    let mut findings = Findings {
        machine: crate::accounting::machine::description(),
        file_system: file_system(device.is_some(), options),
        versions: contenders.iter().map(|c| (c.name(), c.version(&programs))).collect(),
        rows: Vec::new(),
        sync_calls: BTreeMap::new(),
    };
    let steps = u64::from(options.runs) * contenders.len() as u64 * workloads.len() as u64;
    let bar = progress::steps("comparing", steps);
    for run in 1..=options.runs {
        for contender in &contenders {
            let name = format!("{}-{}", contender.name(), std::process::id());
            let directory = Scratch::make(base.join(name))?;
            let server = contender.start(directory.path(), &programs, None)?;
            let bench = Bench {
                contender: *contender,
                server: &server,
                mailboxes: Mailboxes::of(directory.path()),
                device: device.as_ref(),
                smtp_source: &smtp_source,
                interrupt: &interrupt,
            };
            let messages =
                if contender.is_peer() { options.messages } else { options.messages_own };
            for workload in &workloads {
                interrupt.check()?;
                bar.set_message(format!("{} {}", contender.name(), table::label(*workload)));
                bench.warm_up(*workload, WARM_UP_MESSAGES.min(messages))?;
                let row = bench.run(*workload, messages, run)?;
                bar.println(table::line(&row));
                findings.rows.push(row);
                bar.inc(1);
            }
            if options.strace && run == 1 {
                let kept = Workload { client: Client::PerfKept, sessions: 20 };
                let calls = syscalls::per_message(&bench, kept, TRACED_MESSAGES, &base)?;
                findings.sync_calls.insert(contender.name(), calls);
            }
            server.stop()?;
        }
    }
    bar.finish_and_clear();
    drop(device);
    write(&findings, &contenders, &workloads, &options.out)?;
    Ok(Output::Markdown(table::section(&findings, &contenders, &workloads)))
}

fn contenders(options: &Options) -> Result<Vec<Contender>> {
    use clap::ValueEnum as _;

    let named = options.own.iter().map(|n| (n, false));
    let named = named.chain(options.peers.iter().map(|n| (n, true)));
    named
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, peer)| {
            Contender::from_str(name, true)
                .ok()
                .filter(|contender| contender.is_peer() == peer)
                .ok_or_else(|| {
                    let list = if peer { "--peers" } else { "--own" };
                    Failure::new(format!("{list}: {name:?} is not one of them; see --help"))
                })
        })
        .collect()
}

fn programs(options: &Options) -> Result<Programs> {
    let ringpost = contender::ringpost(options.ringpost.as_deref())?;
    if options.own.iter().any(|name| name == "ringpost") && !ringpost.exists() {
        return Err(Failure::new(format!(
            "{} is not there: cargo build --release first, or --ringpost, or --own floor",
            ringpost.display()
        )));
    }
    let uses_source = options.clients.iter().any(|client| client.is_smtp_source());
    Ok(Programs {
        ringpost,
        ringpost_options: options
            .ringpost_options
            .iter()
            .filter(|option| !option.is_empty())
            .cloned()
            .collect(),
        shards: options.shards,
        scripts: options.scripts.clone(),
        peers_root: options.peers_root.clone(),
        // smtp-source numbers its recipients by message.
        queue_only: false,
        aliases: if uses_source { options.messages.max(options.messages_own) + 1 } else { 0 },
    })
}

fn file_system(is_loop: bool, options: &Options) -> String {
    if is_loop {
        format!(
            "a fresh ext4 with a journal, noatime, in a loop device of {} GiB with direct I/O",
            options.device >> 30
        )
    } else {
        format!("the file system of {}", options.directory.display())
    }
}

fn write(
    findings: &Findings,
    contenders: &[Contender],
    workloads: &[Workload],
    out: &Path,
) -> Result<()> {
    let json = serde_json::to_string_pretty(findings).doing(|| "writing compare.json")?;
    results::write_file(&out.join("compare.json"), &(json + "\n"))?;
    for (name, title, value) in [
        (
            "compare-cpu.svg",
            "Server CPU per message, microseconds (less is better)",
            (|row: &Row| row.cpu_us_per_message) as fn(&Row) -> f64,
        ),
        (
            "compare-rate.svg",
            "Messages per second into the Maildirs (more is better)",
            |row: &Row| row.end_to_end_per_second,
        ),
    ] {
        let chart = table::chart(title, &findings.rows, contenders, workloads, value);
        results::write_file(&out.join(name), &chart.svg())?;
    }
    Ok(())
}
