//! The one server that `idle`, `latency` and `steady` look at: started for the purpose, or already
//! running somewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::accounting::Account;
use crate::contender::{self, Contender, Programs};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt::Interrupt;
use crate::loop_device::LoopDevice;
use crate::mailboxes::Mailboxes;
use crate::scratch::Scratch;
use crate::server::Server;
use crate::units;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The server to start.
    #[arg(long, value_enum, default_value_t = Contender::Ringpost)]
    server: Contender,
    /// A server that runs already, instead; needs --pid.
    #[arg(long, requires = "pid")]
    target: Option<SocketAddr>,
    /// The running server's first process.
    #[arg(long, requires = "target")]
    pid: Option<u32>,
    /// Where the server's data is made.
    #[arg(long, default_value = "/var/tmp/perf-subject")]
    directory: PathBuf,
    /// Put the data on a fresh journaled ext4 of this size in a loop device (needs root).
    #[arg(long, value_parser = units::bytes)]
    device: Option<u64>,
    /// The ringpost to start; the one beside this program by default.
    #[arg(long)]
    ringpost: Option<PathBuf>,
    /// A setting for ringpost (-o name=value).
    #[arg(long = "ringpost-option")]
    ringpost_options: Vec<String>,
    /// Shards of ringpost and the floor.
    #[arg(long)]
    pub(crate) shards: Option<usize>,
    /// The peers' scripts.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    scripts: PathBuf,
    /// Where the peers' packages are unpacked.
    #[arg(long, default_value = "/var/tmp/perf-peers")]
    peers_root: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) interrupt: Interrupt,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Elsewhere(Account),
    // In the order in which they must go.
    Ours { server: Server, data: Scratch, _device: Option<LoopDevice> },
}

impl Subject {
    /// Starts the server, on `core` alone if one is given.
    pub(crate) fn start(options: &Options, core: Option<usize>, queue_only: bool) -> Result<Self> {
        let interrupt = Interrupt::watch()?;
        if let (Some(address), Some(pid)) = (options.target, options.pid) {
            let running = Running::Elsewhere(Account::Tree(pid));
            return Ok(Self { name: format!("process {pid}"), address, interrupt, running });
        }
        let programs = Programs {
            ringpost: contender::ringpost(options.ringpost.as_deref())?,
            ringpost_options: options.ringpost_options.clone(),
            shards: options.shards,
            scripts: options.scripts.clone(),
            peers_root: options.peers_root.clone(),
            aliases: 0,
            queue_only,
        };
        if options.server.is_peer() {
            contender::install(&[options.server], &programs)?;
        }
        let device =
            options.device.map(|bytes| LoopDevice::make(&options.directory, bytes)).transpose()?;
        let base = device.as_ref().map_or(options.directory.as_path(), LoopDevice::mount_point);
        std::fs::create_dir_all(base).doing(|| format!("making {}", base.display()))?;
        let base = base.canonicalize().doing(|| format!("finding {}", base.display()))?;
        let name = format!("{}-{}", options.server.name(), std::process::id());
        let data = Scratch::make(base.join(name))?;
        let server = options.server.start(data.path(), &programs, core)?;
        Ok(Self {
            name: options.server.name().to_owned(),
            address: server.address,
            interrupt,
            running: Running::Ours { server, data, _device: device },
        })
    }

    pub(crate) fn account(&self) -> &Account {
        match &self.running {
            Running::Elsewhere(account) => account,
            Running::Ours { server, .. } => server.account(),
        }
    }

    /// The Maildirs, where they are known.
    pub(crate) fn mailboxes(&self) -> Option<Mailboxes> {
        match &self.running {
            Running::Elsewhere(_) => None,
            Running::Ours { data, .. } => Some(Mailboxes::of(data.path())),
        }
    }

    /// Stops what was started and removes its data.
    pub(crate) fn stop(self) -> Result<()> {
        match self.running {
            Running::Elsewhere(_) => Ok(()),
            Running::Ours { server, .. } => server.stop(),
        }
    }
}

/// Lets this process, and the server it starts, have `files` open files.
pub(crate) fn raise_open_files(files: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(files));
    let wanted = Rlimit { current: Some(files), maximum };
    setrlimit(Resource::Nofile, wanted).map_err(|error| {
        Failure::new(format!(
            "{files} open files are needed and {} allowed (ulimit -Hn): {error}",
            now.maximum.map_or_else(|| "any number".to_owned(), |n| n.to_string()),
        ))
    })
}
