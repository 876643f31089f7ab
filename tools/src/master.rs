//! Master: binds ports, starts the others, starts them again, ends them in order.
//!
//! It reads nothing from the network. Where it is root its children are programs of their own, with fewer
//! rights; else they are threads, and everything runs as the caller.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::child::{Child, Role};
use crate::control::FDS_MAX;
use crate::start::{Order, Report, Start};

/// Names and addresses of people are in the log: it is not for everyone on the host to read.
const LOG_MODE: u32 = 0o640;
/// How long children may take to finish what is under way when told to stop.
const STOP_SECS_MAX: u64 = 20;
/// A child that lived shorter than this is started again only after a delay.
const STEADY_SECS: u64 = 10;
/// The longest such delay.
const RESTART_DELAY_SECS_MAX: u64 = 10;

/// All that the children need.
pub(crate) struct Plan {
    /// How they are to run.
    pub(crate) start: Start,
    /// The settings, as a file that can be read anew for each child.
    pub(crate) settings: File,
    /// Bound sockets, one for each shard.
    pub(crate) listeners: Vec<(SocketAddr, Vec<TcpListener>)>,
    /// Whether children are programs or threads.
    pub(crate) processes: bool,
    /// `maillog_file`, where the log goes to a file. Master opens it: the engine may not be able to.
    pub(crate) log: Option<PathBuf>,
}

impl Plan {
    /// Opens the log file, making it where it is missing.
    pub(crate) fn open_log(&self) -> io::Result<Option<File>> {
        let Some(path) = &self.log else { return Ok(None) };
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(LOG_MODE);
        let cannot = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot open log {}: {error}", path.display()))
        };
        options.open(path).map(Some).map_err(cannot)
    }
}

/// Binds `address` once for each shard; port 0 becomes one port for all of them.
pub(crate) fn bind(
    address: SocketAddr,
    shards: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = ring::Listener::bind(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(ring::Listener::bind(address)?);
    }
    Ok((address, sockets))
}

/// Why master ended by itself.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A child said that it cannot run here.
    Refused(String),
    /// A system call that nothing works without.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the mail system until a signal ends it. `say` gets lines for the log.
pub(crate) fn run(plan: &Plan, ready: impl FnOnce(), say: impl Fn(&str)) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(plan, ready, say))
}

async fn supervise(plan: &Plan, ready: impl FnOnce(), say: impl Fn(&str)) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut reopen = signal(SignalKind::user_defined1())?;

    let (engine_ends, agent_ends) = links(plan.start.shards)?;
    let mut agentd = start_agentd(plan, &agent_ends)?;
    let mut engine = start_engine(plan, &engine_ends)?;
    drop((engine_ends, agent_ends));

    let mut ready = Some(ready);
    let mut engine_life = Life::new();
    let mut agentd_life = Life::new();
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = reopen.recv() => match plan.open_log() {
                Ok(Some(log)) => engine.channel().send(&Order::ReopenLog, &[log.as_fd()])?,
                Ok(None) => {}
                Err(error) => say(&format!("warning: {error}; the old one is kept")),
            },
            report = engine.report() => match report? {
                Some(Report::Ready) => if let Some(ready) = ready.take() { ready() },
                Some(Report::Refused(why)) => return Err(Failure::Refused(why)),
                None => {
                    let how = engine.ended().await;
                    if !plan.processes { return Err(Failure::Refused(format!("engine {how}"))); }
                    say(&format!("warning: process engine {how}"));
                    engine_life.wait_before_restart().await;
                    let (engine_ends, agent_ends) = links(plan.start.shards)?;
                    engine = start_engine(plan, &engine_ends)?;
                    send_links(&agentd, &agent_ends)?;
                    engine_life.began();
                }
            },
            report = agentd.report() => match report? {
                Some(Report::Ready) => {}
                Some(Report::Refused(why)) => return Err(Failure::Refused(why)),
                None => {
                    let how = agentd.ended().await;
                    if !plan.processes { return Err(Failure::Refused(format!("agentd {how}"))); }
                    say(&format!("warning: process agentd {how}"));
                    agentd_life.wait_before_restart().await;
                    let (engine_ends, agent_ends) = links(plan.start.shards)?;
                    agentd = start_agentd(plan, &agent_ends)?;
                    // If the engine is gone as well, its end is the next thing that is seen.
                    let _ = send_links(&engine, &engine_ends);
                    agentd_life.began();
                }
            },
        }
    }
    say("terminating");
    stop(engine, agentd, interrupt, say).await;
    Ok(())
}

/// The engine first: it waits for its agents' last outcomes.
async fn stop(
    mut engine: Child,
    agentd: Child,
    mut interrupt: tokio::signal::unix::Signal,
    say: impl Fn(&str),
) {
    // A child that is gone cannot be told, and need not be.
    let _ = engine.channel().send(&Order::Stop, &[]);
    let ended = async { while let Ok(Some(_)) = engine.report().await {} };
    let in_time = tokio::select! {
        done = timeout(Duration::from_secs(STOP_SECS_MAX), ended) => done.is_ok(),
        _ = interrupt.recv() => false,
    };
    if !in_time {
        say("warning: engine did not finish in time; what was accepted is in the queue");
        engine.kill();
    }
    let _ = agentd.channel().send(&Order::Stop, &[]);
    if in_time {
        engine.ended().await;
        agentd.ended().await;
    }
}

/// Fresh connections between engine and agentd, one for each shard.
fn links(shards: usize) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let mut ends = (Vec::with_capacity(shards), Vec::with_capacity(shards));
    for _ in 0..shards {
        let (engine, agent) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        ends.0.push(engine);
        ends.1.push(agent);
    }
    Ok(ends)
}

fn start_agentd(plan: &Plan, links: &[OwnedFd]) -> io::Result<Child> {
    let child = start(plan, Role::Agentd)?;
    send_links(&child, links)?;
    child.channel().send(&Order::Begin, &[])?;
    Ok(child)
}

fn start_engine(plan: &Plan, links: &[OwnedFd]) -> io::Result<Child> {
    let child = start(plan, Role::Engine)?;
    for (address, sockets) in &plan.listeners {
        for part in sockets.chunks(FDS_MAX) {
            let fds: Vec<_> = part.iter().map(AsFd::as_fd).collect();
            child.channel().send(&Order::Listen(*address), &fds)?;
        }
    }
    send_links(&child, links)?;
    child.channel().send(&Order::Begin, &[])?;
    Ok(child)
}

fn start(plan: &Plan, role: Role) -> io::Result<Child> {
    let child = if plan.processes { Child::process(role)? } else { Child::thread(role)? };
    let log = match role {
        Role::Engine => plan.open_log().unwrap_or_else(|error| {
            eprintln!("ringpost: warning: {error}; logging to standard error");
            None
        }),
        Role::Agentd => None,
    };
    let mut fds = vec![plan.settings.as_fd()];
    fds.extend(log.as_ref().map(AsFd::as_fd));
    child.channel().send(&Order::Start(plan.start.clone()), &fds)?;
    Ok(child)
}

fn send_links(child: &Child, links: &[OwnedFd]) -> io::Result<()> {
    let fds: Vec<_> = links.iter().map(AsFd::as_fd).collect();
    child.channel().send(&Order::Links, &fds)
}

/// How often a child had to be started again, lately.
struct Life {
    began: Instant,
    delay: Duration,
}

impl Life {
    fn new() -> Self {
        Self { began: Instant::now(), delay: Duration::ZERO }
    }

    fn began(&mut self) {
        self.began = Instant::now();
    }

    /// At once the first time; one that keeps dying must not keep the machine busy.
    async fn wait_before_restart(&mut self) {
        if self.began.elapsed() >= Duration::from_secs(STEADY_SECS) {
            self.delay = Duration::ZERO;
        }
        sleep_until(Instant::now() + self.delay).await;
        let longer = self.delay * 2 + Duration::from_millis(10);
        self.delay = longer.min(Duration::from_secs(RESTART_DELAY_SECS_MAX));
    }
}
