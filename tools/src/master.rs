//! Master: binds ports, starts the others, starts them again, ends them in order.
//!
//! It reads nothing from the network. Where it is root its children are programs of their own, with fewer
//! rights; else they are threads, and everything runs as the caller.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use table::{Manner, Source};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::child::{Child, Role};
use crate::control::FDS_MAX;
use crate::start::{Loaded, Order, Purpose, Report, Start};
use crate::swap::{By, Change, HandOver, Step, Watch};

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
    /// The files that tables are read from. Master watches them: the engine sees none of them.
    pub(crate) sources: Vec<Source>,
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
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        reopen: signal(SignalKind::user_defined1())?,
    };
    // Before the children read them: what changes meanwhile is noticed.
    let mut watch = Watch::start(plan.sources.clone(), By::Kernel)?;
    let (engine_ends, agent_ends) = links(plan.start.shards)?;
    let mut agentd = Post::new(start_agentd(plan, &agent_ends)?);
    let mut engine = Post::new(start_engine(plan, &engine_ends)?);
    drop((engine_ends, agent_ends));

    match attend(plan, &mut engine, &mut agentd, &mut signals, &mut watch, ready, &say).await {
        Ok(()) => {
            say("terminating");
            stop(engine.child, agentd.child, signals.interrupt, say).await;
            Ok(())
        }
        Err(failure) => {
            // A thread that finds its master gone ends the process, which has this still to say.
            let _ = engine.tell(&Order::Stop, &[]);
            let _ = agentd.tell(&Order::Stop, &[]);
            Err(failure)
        }
    }
}

/// What an administrator can send.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reopen: Signal,
}

/// Keeps both children running until a signal ends it.
async fn attend(
    plan: &Plan,
    engine: &mut Post,
    agentd: &mut Post,
    signals: &mut Signals,
    watch: &mut Watch,
    ready: impl FnOnce(),
    say: &impl Fn(&str),
) -> Result<(), Failure> {
    let mut ready = Some(ready);
    let mut tables = HandOver::default();
    loop {
        let steps = tokio::select! {
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.reopen.recv() => {
                match plan.open_log() {
                    Ok(Some(log)) => engine.tell(&Order::ReopenLog, &[log.as_fd()])?,
                    Ok(None) => {}
                    Err(error) => say(&format!("warning: {error}; the old one is kept")),
                }
                Vec::new()
            },
            change = watch.next() => tables.changed(change),
            report = engine.report() => match report? {
                Some(Report::Ready) => {
                    if let Some(ready) = ready.take() { ready() }
                    tables.ready(Role::Engine)
                }
                Some(Report::Refused(why)) if ready.is_some() => return Err(Failure::Refused(why)),
                // It has run here before: what is in its way may go away.
                Some(Report::Refused(why)) => {
                    say(&format!("warning: engine cannot run: {why}"));
                    Vec::new()
                }
                Some(report) => on_tables(&mut tables, Role::Engine, report),
                None => {
                    tables.gone(Role::Engine);
                    engine.vacate(plan, "engine", say).await?;
                    Vec::new()
                }
            },
            () = engine.is_due() => {
                let (engine_ends, agent_ends) = links(plan.start.shards)?;
                engine.fill(start_engine(plan, &engine_ends)?);
                agentd.tell(&Order::Links, &borrowed(&agent_ends))?;
                Vec::new()
            }
            report = agentd.report() => match report? {
                Some(Report::Ready) => tables.ready(Role::Agentd),
                Some(Report::Refused(why)) if ready.is_some() => return Err(Failure::Refused(why)),
                Some(Report::Refused(why)) => {
                    say(&format!("warning: agentd cannot run: {why}"));
                    Vec::new()
                }
                Some(report) => on_tables(&mut tables, Role::Agentd, report),
                None => {
                    tables.gone(Role::Agentd);
                    agentd.vacate(plan, "agentd", say).await?;
                    Vec::new()
                }
            },
            () = agentd.is_due() => {
                let (engine_ends, agent_ends) = links(plan.start.shards)?;
                agentd.fill(start_agentd(plan, &agent_ends)?);
                engine.tell(&Order::Links, &borrowed(&engine_ends))?;
                Vec::new()
            }
        };
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Send(role, change, purpose) => {
                    let child = if role == Role::Engine { &engine } else { &agentd };
                    // The table stays as it is for now, which is no reason to end.
                    if let Err(error) = send_change(child, &change, purpose) {
                        let path = change.path.display();
                        say(&format!(
                            "warning: {path} has changed, but cannot be passed on: {error}"
                        ));
                        steps.extend(tables.loaded(role, &change.path, Loaded::Unsettled));
                    }
                }
                Step::Tell(command) => watch.tell(command),
                Step::Say(text) => say(&text),
            }
        }
    }
}

/// What a child says about tables.
fn on_tables(tables: &mut HandOver, role: Role, report: Report) -> Vec<Step> {
    match report {
        Report::WantsFile { path, wanted, whole } => {
            let manner = if whole { Manner::Whole } else { Manner::Text };
            tables.wants(role, &path, Source { path: wanted, manner });
            Vec::new()
        }
        Report::Tables { path, loaded } => tables.loaded(role, &path, loaded),
        Report::Ready | Report::Refused(_) => Vec::new(),
    }
}

fn send_change(child: &Post, change: &Change, purpose: Purpose) -> io::Result<()> {
    for (path, file) in &change.files {
        let (state, fd) = match file {
            Ok((file, stamp)) => (Ok(*stamp), Some(file.as_fd())),
            Err(missing) => (Err(missing.clone()), None),
        };
        child.tell(&Order::TableFile(path.clone(), state), fd.as_slice())?;
    }
    child.tell(&Order::Tables(change.path.clone(), purpose), &[])
}

/// The engine first: it waits for its agents' last outcomes.
async fn stop(
    engine: Option<Child>,
    agentd: Option<Child>,
    mut interrupt: Signal,
    say: impl Fn(&str),
) {
    if let Some(mut engine) = engine {
        // What cannot be told is killed below.
        let _ = engine.tell(&Order::Stop, &[]);
        let ended = async { while let Ok(Some(_)) = engine.report().await {} };
        let in_time = tokio::select! {
            done = timeout(Duration::from_secs(STOP_SECS_MAX), ended) => done.is_ok(),
            _ = interrupt.recv() => false,
        };
        if !in_time {
            say("warning: engine did not finish in time; what was accepted is in the queue");
            engine.kill();
            // What agentd is doing ends with its connections.
            return;
        }
        engine.ended().await;
    }
    if let Some(agentd) = agentd {
        let _ = agentd.tell(&Order::Stop, &[]);
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
    child.tell(&Order::Links, &borrowed(links))?;
    child.tell(&Order::Begin, &[])?;
    Ok(child)
}

fn start_engine(plan: &Plan, links: &[OwnedFd]) -> io::Result<Child> {
    let child = start(plan, Role::Engine)?;
    for (address, sockets) in &plan.listeners {
        for part in sockets.chunks(FDS_MAX) {
            let fds: Vec<_> = part.iter().map(AsFd::as_fd).collect();
            child.tell(&Order::Listen(*address), &fds)?;
        }
    }
    child.tell(&Order::Links, &borrowed(links))?;
    child.tell(&Order::Begin, &[])?;
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
    child.tell(&Order::Start(plan.start.clone()), &fds)?;
    Ok(child)
}

fn borrowed(links: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    links.iter().map(AsFd::as_fd).collect()
}

/// A child, or the time at which there is to be one again.
struct Post {
    child: Option<Child>,
    began: Instant,
    delay: Duration,
    due: Instant,
}

impl Post {
    fn new(child: Child) -> Self {
        let now = Instant::now();
        Self { child: Some(child), began: now, delay: Duration::ZERO, due: now }
    }

    fn fill(&mut self, child: Child) {
        self.child = Some(child);
        self.began = Instant::now();
    }

    /// Tells the child something. What comes after it gets all it needs when it is started.
    fn tell(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.child.as_ref().map_or(Ok(()), |child| child.tell(order, fds))
    }

    /// The child's next word.
    async fn report(&self) -> io::Result<Option<Report>> {
        match &self.child {
            Some(child) => child.report().await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when a child is missing and it is time for a new one.
    async fn is_due(&self) {
        match self.child {
            Some(_) => std::future::pending().await,
            None => sleep_until(self.due).await,
        }
    }

    /// The child has ended. The first time another one may come at once; one that keeps dying must not
    /// keep the machine busy.
    async fn vacate(
        &mut self,
        plan: &Plan,
        name: &str,
        say: &impl Fn(&str),
    ) -> Result<(), Failure> {
        let Some(child) = self.child.take() else { return Ok(()) };
        let how = child.ended().await;
        if !plan.processes {
            return Err(Failure::Refused(format!("{name} {how}")));
        }
        say(&format!("warning: process {name} {how}"));
        if self.began.elapsed() >= Duration::from_secs(STEADY_SECS) {
            self.delay = Duration::ZERO;
        }
        self.due = Instant::now() + self.delay;
        let longer = self.delay * 2 + Duration::from_millis(10);
        self.delay = longer.min(Duration::from_secs(RESTART_DELAY_SECS_MAX));
        Ok(())
    }
}
