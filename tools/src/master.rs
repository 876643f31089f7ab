//! Master: binds ports, starts the others, starts them again, ends them in order.
//!
//! It reads nothing from the network. Where it is root its children are programs of their own, with fewer
//! rights; else they are threads, and everything runs as the caller.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use table::{Manner, Source};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::background::Background;
use crate::child::{Child, Role};
use crate::control::FDS_MAX;
use crate::listening::Listening;
use crate::log_file;
use crate::reload::{self, Renewal, Running};
use crate::start::{Loaded, Order, Purpose, Report, Start};
use crate::swap::{By, Change, Command, HandOver, Missing, Step, Watch};
use crate::syslog::Syslog;

/// How long children may take to finish what is under way when told to stop.
pub(crate) const STOP_SECS_MAX: u64 = 20;
/// A child that lived shorter than this is started again only after a delay.
const STEADY_SECS: u64 = 10;
/// The longest such delay.
const RESTART_DELAY_SECS_MAX: u64 = 10;
/// Bytes of the names of files in one order; the rest of a message is for what is said about them.
const FILES_BYTES_MAX: usize = 8 << 10;
/// What is said about one, in bytes.
const STAMP_BYTES_MAX: usize = 200;
/// How long a child may leave its orders unread.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts to tell it.
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// All that the children need.
pub(crate) struct Plan {
    /// How they are to run.
    pub(crate) start: Start,
    /// The configuration in use.
    pub(crate) running: Running,
    /// Its settings, as a file that can be read anew for each child.
    pub(crate) settings: File,
    /// Bound sockets.
    pub(crate) listening: Vec<Listening>,
    /// Whether children are programs or threads.
    pub(crate) processes: bool,
    /// Where the log goes. Master opens it: the engine may not be able to.
    pub(crate) log: LogTo,
    /// What there is in place of a terminal, where there is none.
    pub(crate) background: Option<Background>,
    /// The files that tables are read from. Master watches them: the engine sees none of them.
    pub(crate) sources: Vec<Source>,
}

/// Where the log goes.
#[derive(Debug)]
pub(crate) enum LogTo {
    /// Standard error, or standard output.
    Streams,
    /// `maillog_file`
    File(PathBuf),
    /// The host's syslog daemon.
    Syslog(Syslog),
}

impl Plan {
    /// Opens the log, making its file where it is missing. Each time it is for one writer.
    pub(crate) fn open_log(&self) -> io::Result<Option<File>> {
        let path = match &self.log {
            LogTo::Streams => return Ok(None),
            LogTo::File(path) => path,
            LogTo::Syslog(syslog) => return syslog.open().map(Some),
        };
        let mode = self.running.all.base.log.maillog_file_permissions;
        log_file::open(path, mode).map(Some).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot open log {}: {error}", path.display()))
        })
    }

    /// What was written to the log is where it goes.
    pub(crate) fn end_log(self) {
        if let Some(background) = self.background {
            background.leave();
        }
        if let LogTo::Syslog(syslog) = self.log {
            syslog.finish();
        }
    }
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
pub(crate) fn run(
    plan: &mut Plan,
    ready: impl FnOnce(Option<&Background>),
    say: impl Fn(&str),
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(plan, ready, say))
}

async fn supervise(
    plan: &mut Plan,
    ready: impl FnOnce(Option<&Background>),
    say: impl Fn(&str),
) -> Result<(), Failure> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        quit: signal(SignalKind::quit())?,
        reopen: signal(SignalKind::user_defined1())?,
        reload: signal(SignalKind::hangup())?,
    };
    // Before the children read them: what changes meanwhile is noticed.
    let mut watch = Watch::start(plan.sources.clone(), By::Kernel)?;
    let (engine_ends, agent_ends) = links(plan.start.shards)?;
    let mut agentd = Post::new(start_agentd(plan, &agent_ends)?);
    let mut engine = Post::new(start_engine(plan, &engine_ends)?);
    drop((engine_ends, agent_ends));

    match attend(plan, &mut engine, &mut agentd, &mut signals, &mut watch, ready, &say).await {
        Ok(end) => {
            say("terminating");
            stop(engine.child, agentd.child, end, signals, say).await;
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
    quit: Signal,
    reopen: Signal,
    reload: Signal,
}

/// How the mail system is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With what is under way finished.
    InOrder,
    /// As a crash would: what was accepted is in the queue.
    AtOnce,
}

/// Keeps both children running until a signal ends it.
async fn attend(
    plan: &mut Plan,
    engine: &mut Post,
    agentd: &mut Post,
    signals: &mut Signals,
    watch: &mut Watch,
    ready: impl FnOnce(Option<&Background>),
    say: &impl Fn(&str),
) -> Result<End, Failure> {
    let mut ready = Some(ready);
    let mut tables = HandOver::default();
    let mut reload = Reload::Idle;
    loop {
        let steps = tokio::select! {
            _ = signals.interrupt.recv() => return Ok(End::InOrder),
            _ = signals.terminate.recv() => return Ok(End::InOrder),
            _ = signals.quit.recv() => return Ok(End::AtOnce),
            _ = signals.reopen.recv(), if matches!(plan.log, LogTo::File(_)) => {
                match plan.open_log() {
                    Ok(Some(log)) => {
                        let stderr = plan.processes && plan.background.is_some();
                        let order = Order::ReopenLog { stderr };
                        engine.tell(&order, &[log.as_fd()])?;
                        agentd.tell(&order, &[log.as_fd()])?;
                        if let Some(background) = &mut plan.background {
                            background.reopened(log)?;
                        }
                    }
                    Ok(None) => {}
                    Err(error) => say(&format!("warning: {error}; the old one is kept")),
                }
                Vec::new()
            },
            _ = signals.reload.recv(), if matches!(reload, Reload::Idle) => {
                let running = plan.running.clone();
                let preparing = tokio::task::spawn_blocking(move || reload::prepare(&running));
                reload = Reload::Preparing(preparing);
                Vec::new()
            }
            prepared = reload.prepared() => {
                reload = match prepared {
                    Ok(renewal) => begin_reload(renewal, agentd, watch, say).await,
                    Err(why) => refuse_reload(&why, say),
                };
                Vec::new()
            }
            change = watch.next() => tables.changed(change),
            report = engine.report() => match report? {
                Some(Report::Ready) => {
                    if let Some(ready) = ready.take() { ready(plan.background.as_ref()) }
                    tables.ready(Role::Engine)
                }
                Some(Report::Refused(why)) if ready.is_some() => return Err(Failure::Refused(why)),
                // It has run here before: what is in its way may go away.
                Some(Report::Refused(why)) => {
                    say(&format!("warning: engine cannot run: {why}"));
                    Vec::new()
                }
                Some(Report::Reloaded(result)) => {
                    reload = match (reload, result) {
                        (Reload::Engine(renewal), Ok(())) => end_reload(*renewal, plan, say),
                        (_, Err(why)) => refuse_reload(&[format!("engine: {why}")], say),
                        (other, Ok(())) => other,
                    };
                    Vec::new()
                }
                Some(report) => on_tables(&mut tables, Role::Engine, report),
                None => {
                    reload = reload.interrupted(say);
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
                Some(Report::Reloaded(result)) => {
                    reload = match (reload, result) {
                        (Reload::Agentd(renewal), Ok(())) => {
                            match pass_on(engine, &renewal).await {
                                Ok(()) => Reload::Engine(renewal),
                                Err(error) => refuse_reload(&[error.to_string()], say),
                            }
                        }
                        (_, Err(why)) => refuse_reload(&[format!("agentd: {why}")], say),
                        (other, Ok(())) => other,
                    };
                    Vec::new()
                }
                Some(report) => on_tables(&mut tables, Role::Agentd, report),
                None => {
                    reload = reload.interrupted(say);
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
        Report::Ready | Report::Refused(_) | Report::Reloaded(_) => Vec::new(),
    }
}

/// How far a new configuration is.
enum Reload {
    /// There is none.
    Idle,
    /// It is read and checked.
    Preparing(JoinHandle<Result<Renewal, Vec<String>>>),
    /// agentd builds it.
    Agentd(Box<Renewal>),
    /// agentd has it in use, the engine builds it.
    Engine(Box<Renewal>),
}

impl Reload {
    /// What the files have come to; never, where nobody reads them.
    async fn prepared(&mut self) -> Result<Renewal, Vec<String>> {
        match self {
            Self::Preparing(reading) => {
                reading.await.unwrap_or_else(|error| Err(vec![error.to_string()]))
            }
            _ => std::future::pending().await,
        }
    }

    /// A child is gone, and its successor starts with the configuration before.
    fn interrupted(self, say: &impl Fn(&str)) -> Self {
        match self {
            Self::Agentd(_) | Self::Engine(_) => {
                refuse_reload(&["a process has ended meanwhile; try again".to_owned()], say)
            }
            other => other,
        }
    }
}

fn refuse_reload(why: &[String], say: &impl Fn(&str)) -> Reload {
    for line in why {
        say(&format!("warning: reload: {line}"));
    }
    say("warning: reload: the configuration before stays in use");
    Reload::Idle
}

async fn begin_reload(
    mut renewal: Renewal,
    agentd: &Post,
    watch: &Watch,
    say: &impl Fn(&str),
) -> Reload {
    for warning in std::mem::take(&mut renewal.warnings) {
        say(&format!("warning: {warning}"));
    }
    for (source, opened) in &renewal.files {
        let seen = opened.as_ref().map(|(_, stamp)| *stamp).map_err(Missing::clone);
        watch.tell(Command::Add { path: source.path.clone(), manner: source.manner, seen });
    }
    match pass_on(agentd, &renewal).await {
        Ok(()) => Reload::Agentd(Box::new(renewal)),
        Err(error) => refuse_reload(&[error.to_string()], say),
    }
}

fn end_reload(renewal: Renewal, plan: &mut Plan, say: &impl Fn(&str)) -> Reload {
    let Renewal { running, file, opened, .. } = renewal;
    plan.listening.retain(|it| running.endpoints.contains(&it.endpoint));
    plan.listening.extend(opened);
    plan.settings = file;
    plan.running = running;
    let (version, name) = (env!("CARGO_PKG_VERSION"), plan.running.settings.name());
    say(&format!("reload -- version {version}, configuration {name}"));
    Reload::Idle
}

/// Gives a child a new configuration and all that it is made of.
async fn pass_on(child: &Post, renewal: &Renewal) -> io::Result<()> {
    let mut part = Vec::new();
    let mut fds = Vec::new();
    let mut bytes = 0;
    for (source, opened) in &renewal.files {
        // Paths are at most 4 KiB long, and a message has room for some of them.
        let path = &source.path;
        if bytes + path.as_os_str().len() > FILES_BYTES_MAX || fds.len() == FDS_MAX {
            child.tell_in_time(&Order::Files(std::mem::take(&mut part)), &fds).await?;
            fds.clear();
            bytes = 0;
        }
        bytes += path.as_os_str().len() + STAMP_BYTES_MAX;
        match opened {
            Ok((file, stamp)) => {
                fds.push(file.as_fd());
                part.push((path.clone(), Ok(*stamp)));
            }
            Err(missing) => part.push((path.clone(), Err(missing.clone()))),
        }
    }
    child.tell_in_time(&Order::Files(part), &fds).await?;
    for Listening { endpoint, sockets, .. } in &renewal.opened {
        for sockets in sockets.chunks(FDS_MAX) {
            let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            child.tell_in_time(&Order::Listen(endpoint.clone()), &fds).await?;
        }
    }
    let endpoints = renewal.running.endpoints.clone();
    child.tell_in_time(&Order::Reload(endpoints), &[renewal.file.as_fd()]).await
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
    end: End,
    mut signals: Signals,
    say: impl Fn(&str),
) {
    if let Some(mut engine) = engine {
        // What cannot be told is killed below.
        let _ = engine.tell(&Order::Stop, &[]);
        let ended = async { while let Ok(Some(_)) = engine.report().await {} };
        let finished = tokio::select! {
            biased;
            () = std::future::ready(()), if end == End::AtOnce => false,
            done = timeout(Duration::from_secs(STOP_SECS_MAX), ended) => done.is_ok(),
            _ = signals.interrupt.recv() => false,
            _ = signals.quit.recv() => false,
        };
        if !finished {
            say("warning: engine has not finished; what was accepted is in the queue");
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
    for Listening { endpoint, sockets, .. } in &plan.listening {
        for part in sockets.chunks(FDS_MAX) {
            let fds: Vec<_> = part.iter().map(AsFd::as_fd).collect();
            child.tell(&Order::Listen(endpoint.clone()), &fds)?;
        }
    }
    child.tell(&Order::Links, &borrowed(links))?;
    child.tell(&Order::Begin, &[])?;
    Ok(child)
}

fn start(plan: &Plan, role: Role) -> io::Result<Child> {
    let child = if plan.processes {
        let output = plan.background.as_ref().map(Background::output).transpose()?;
        Child::process(role, output)?
    } else {
        Child::thread(role)?
    };
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

    /// The same for more than a socket holds: waits until the child has read what came before.
    async fn tell_in_time(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let deadline = Instant::now() + TELL_TIMEOUT;
        loop {
            match self.tell(order, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(TELL_AGAIN_AFTER).await;
                }
                other => return other,
            }
        }
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
