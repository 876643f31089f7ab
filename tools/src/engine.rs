//! The engine: a shard on each core, and the conversation with master.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use config::Snapshot;
use intake::Anvil;
use jiff::tz::TimeZone;
use mail::Time;
use mail::log::{Event, Formatter, Record};
use maillog::{Destination, MailLog, Pen};
use queue::{OpenError, QueueDirectory};
use remote::Remote;
use tokio::sync::{mpsc, watch};

use crate::background;
use crate::control::Channel;
use crate::freshness;
use crate::limits;
use crate::listening::Endpoint;
use crate::pickup::Picking;
use crate::privilege;
use crate::sandbox;
use crate::settings::Settings;
use crate::shard::{self, Gates, Renewal, Shard};
use crate::start::{Order, Report, Start};
use crate::swap::{Loader, Reloaded, Say};

/// Slices that a queue can have.
const SLICES_MAX: usize = 256;
/// How long an engine waits for its predecessor, which may still be ending, to let go of the queue.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How long the shards may take to follow a new configuration before master is told that they do.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Descriptors that are not sessions: segments, index, listeners, links, log.
const OTHER_FDS: usize = 256;

/// What master says before it says "begin".
#[derive(Default)]
struct Orders {
    start: Option<(Start, Settings)>,
    log: Option<File>,
    doors: Vec<Door>,
    links: Vec<OwnedFd>,
}

/// Listening sockets of an endpoint that are not given to shards yet.
struct Door {
    endpoint: Endpoint,
    sockets: Vec<TcpListener>,
}

impl Door {
    /// Takes in what master has sent for one endpoint, in one part or several.
    fn add(doors: &mut Vec<Self>, endpoint: Endpoint, fds: Vec<OwnedFd>) {
        let sockets = fds.into_iter().map(TcpListener::from);
        match doors.iter_mut().find(|door| door.endpoint == endpoint) {
            Some(door) => door.sockets.extend(sockets),
            None => doors.push(Self { endpoint, sockets: sockets.collect() }),
        }
    }

    /// One socket of each endpoint.
    fn one_of_each(doors: &mut [Self]) -> Vec<(Endpoint, TcpListener)> {
        let one = |door: &mut Self| Some((door.endpoint.clone(), door.sockets.pop()?));
        doors.iter_mut().filter_map(one).collect()
    }
}

/// The engine's whole life. `channel` is the way to master.
pub(crate) fn run(channel: Channel) {
    let channel = Arc::new(channel);
    if let Err(why) = serve(&channel) {
        // If master is gone there is nobody to tell.
        let _ = channel.send(&Report::Refused(why), &[]);
    }
}

fn serve(channel: &Arc<Channel>) -> Result<(), String> {
    let Some(orders) = receive(channel)? else { return Ok(()) };
    let (start, settings) = orders.start.ok_or("master did not say how to start")?;
    let remote = Remote::new();
    let (all, catalog) = settings.open(&remote).map_err(|problems| lines(&problems))?;
    let all = Arc::new(all);
    let snapshot = Arc::clone(&all.base);
    let (log, show) = open_log(&start, &snapshot, orders.log)?;
    let sessions_max = limits::raise_open_files().saturating_sub(OTHER_FDS).max(1) / start.shards;

    // These are files outside of the queue.
    let boot_id = queue::boot_id();
    let time_zone = TimeZone::system();

    // Before there is another root: sockets, sqlite files and the resolver's are below this one.
    remote.start().map_err(|error| format!("start lookup thread: {error}"))?;
    let queue = give_up_rights(&start, &remote)?;
    let directory = lock(&queue, &start.queue)?;
    let slices = share_out(&directory, start.shards)?;
    let cores = ring::cores().map_err(|error| format!("cores: {error}"))?;
    let backend = start.backend.parse()?;

    let (stop, stopping) = watch::channel(false);
    let (ready, becoming_ready) = std::sync::mpsc::channel();
    let anvil = Anvil::default();
    let mut doors = orders.doors;
    let gates = Gates::default();
    let mut renewals = Vec::new();
    let mut links = Vec::new();
    let mut listings = Vec::new();
    let mut parcels = Vec::new();
    let mut threads = Vec::new();
    for (number, slices) in slices.into_iter().enumerate() {
        let (link, arriving) = mpsc::unbounded_channel();
        links.push(link);
        let (renew, renewing) = mpsc::unbounded_channel();
        renewals.push(renew);
        let (ask, asked) = mpsc::unbounded_channel();
        listings.push(ask);
        let (pass, passed) = mpsc::unbounded_channel();
        parcels.push(pass);
        let shard = Shard {
            number: (number, start.shards),
            ring: ring::Options {
                backend,
                // More shards than cores are for tests; they move as the kernel likes.
                core: (start.shards <= cores.len()).then(|| cores[number]),
            },
            all: Arc::clone(&all),
            gates: gates.clone(),
            boot_id: boot_id.clone(),
            time_zone: time_zone.clone(),
            slices,
            listeners: Door::one_of_each(&mut doors),
            renewals: renewing,
            links: arriving,
            listings: asked,
            parcels: passed,
            anvil: anvil.clone(),
            sessions_max,
            log: log.mail.pen(),
            show: show.as_ref().map(MailLog::pen),
            stop: stopping.clone(),
            ready: ready.clone(),
        };
        let thread = thread::Builder::new().name(format!("shard-{number}"));
        threads.push(thread.spawn(|| shard::run(shard)).map_err(|e| format!("start shard: {e}"))?);
    }
    drop((stopping, ready));
    hand_out(orders.links, &links);
    for _ in 0..start.shards {
        becoming_ready.recv().map_err(|_| "a shard has ended without a word".to_owned())??;
    }
    freshness::listen(&queue, listings)
        .map_err(|error| format!("queue {}: public/showq: {error}", start.queue.display()))?;
    let pen = log.mail.pen();
    let say_pickup = move |event: Event<'_>| write(&pen, "pickup", event);
    let picking = Picking::start(&queue, &all, parcels, say_pickup)
        .map_err(|error| format!("queue {}: maildrop: {error}", start.queue.display()))?;
    let pickup_follows = picking.follower();
    let pen = log.mail.pen();
    let new_doors: Arc<Mutex<Vec<Door>>> = Arc::default();
    let doors = Arc::clone(&new_doors);
    let renew = move |new: Reloaded| {
        let mut doors = std::mem::take(&mut *doors.lock().unwrap_or_else(PoisonError::into_inner));
        let (taken, all_taken) = std::sync::mpsc::channel::<()>();
        for shard in &renewals {
            let listeners = Door::one_of_each(&mut doors);
            let (all, taken) = (Arc::clone(&new.all), taken.clone());
            let endpoints = new.endpoints.clone();
            // A shard that has ended serves nobody.
            let _ = shard.send(Renewal { all, endpoints, listeners, _taken: taken });
        }
        drop(taken);
        // Nobody sends: it ends when the last shard has dropped its end.
        let _ = all_taken.recv_timeout(RENEWAL_TIMEOUT);
        pickup_follows(&new.all);
    };
    let say = move |how, text: &str| say(&pen, how, text);
    let loader = Loader::start(catalog, Arc::clone(channel), say, renew)
        .map_err(|error| format!("start loader of tables: {error}"))?;
    let told = channel.send(&Report::Ready, &[]);

    // A shard that ends by itself has panicked: what it had accepted is in the queue, and a new engine
    // can go on with it.
    let told = told.is_ok();
    watch_shards(threads, channel, &links, &log, (&loader, &new_doors), (&stop, picking), told);
    Ok(())
}

/// Does what master says until it says stop, or is gone.
fn watch_shards(
    threads: Vec<thread::JoinHandle<()>>,
    channel: &Channel,
    links: &[mpsc::UnboundedSender<OwnedFd>],
    log: &Log,
    (loader, doors): (&Loader, &Mutex<Vec<Door>>),
    (stop, picking): (&watch::Sender<bool>, Picking),
    mut master: bool,
) {
    while master {
        match channel.recv::<Order>() {
            Ok(Some((Order::Links, fds))) => hand_out(fds, links),
            Ok(Some((Order::ReopenLog { stderr }, fds))) => {
                log.reopen(fds.into_iter().next(), stderr);
            }
            Ok(Some((Order::TableFile(path, state), fds))) => loader.file(path, state, fds),
            Ok(Some((Order::Tables(path, purpose), _))) => loader.change(path, purpose),
            Ok(Some((Order::Files(files), fds))) => loader.files(files, fds),
            Ok(Some((Order::Listen(endpoint), fds))) => {
                let mut doors = doors.lock().unwrap_or_else(PoisonError::into_inner);
                Door::add(&mut doors, endpoint, fds);
            }
            Ok(Some((Order::Reload(endpoints), fds))) => reload(loader, channel, endpoints, fds),
            Ok(Some((Order::Stop, _))) => break,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => master = false,
        }
    }
    if !master {
        // Nobody is left to start a successor for or to be stopped by. What was accepted is durable.
        std::process::exit(1);
    }
    picking.stop();
    // The shards listen for this, unless they have all ended.
    let _ = stop.send(true);
    for thread in threads {
        let _ = thread.join();
    }
    picking.ended();
    log.mail.flush();
}

fn reload(loader: &Loader, channel: &Channel, endpoints: Vec<Endpoint>, fds: Vec<OwnedFd>) {
    let file = fds.into_iter().next().ok_or_else(|| io::Error::other("they are missing"));
    match file.and_then(|file| Settings::from_file(file.into())) {
        Ok(settings) => loader.reload(settings, endpoints),
        Err(error) => {
            let why = format!("the settings cannot be read: {error}");
            // If master is gone, that is the next thing to be noticed.
            let _ = channel.send(&Report::Reloaded(Err(why)), &[]);
        }
    }
}

/// Reads master's orders up to "begin"; `None` where master is gone.
fn receive(channel: &Channel) -> Result<Option<Orders>, String> {
    let mut orders = Orders::default();
    loop {
        let (order, fds) = match channel.recv::<Order>() {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(None),
            Err(error) => return Err(format!("control connection: {error}")),
        };
        match order {
            Order::Start(start) => {
                let mut fds = fds.into_iter().map(File::from);
                let file = fds.next().ok_or("the settings are missing")?;
                let settings = Settings::from_file(file)
                    .map_err(|error| format!("the settings cannot be read: {error}"))?;
                orders.start = Some((start, settings));
                orders.log = fds.next();
            }
            Order::Listen(endpoint) => Door::add(&mut orders.doors, endpoint, fds),
            Order::Links => orders.links = fds,
            Order::Begin => return Ok(Some(orders)),
            Order::Stop => return Ok(None),
            Order::ReopenLog { .. }
            | Order::TableFile(..)
            | Order::Tables(..)
            | Order::Files(_)
            | Order::Reload(_) => {}
        }
    }
}

/// What happens to tables is logged as if by Postfix's server of tables.
fn say(pen: &Pen, how: Say, text: &str) {
    let event = match how {
        Say::Info => Event::Info { text },
        Say::Warning => Event::Warning { text },
    };
    write(pen, "proxymap", event);
}

fn write(pen: &Pen, service: &str, event: Event<'_>) {
    pen.write(&Record { time: Time::now(), name: None, service, session: 0, event });
}

fn hand_out(fds: Vec<OwnedFd>, links: &[mpsc::UnboundedSender<OwnedFd>]) {
    for (fd, link) in fds.into_iter().zip(links) {
        // A shard that has ended needs no agent.
        let _ = link.send(fd);
    }
}

/// The log, and the file that master opened for it last.
struct Log {
    mail: MailLog,
    file: Arc<Mutex<Option<File>>>,
}

impl Log {
    /// Goes on in another file.
    fn reopen(&self, successor: Option<OwnedFd>, stderr: bool) {
        let Some(successor) = successor else { return };
        if stderr {
            background::follow_log(&successor);
        }
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(successor.into());
        // A log that hangs says so itself when it goes on.
        self.mail.reopen();
    }
}

fn open_log(
    start: &Start,
    snapshot: &Snapshot,
    file: Option<File>,
) -> Result<(Log, Option<MailLog>), String> {
    let formatter = Formatter::new(
        start.lines.style(&snapshot.log),
        &snapshot.site.myhostname,
        &snapshot.log.syslog_name,
        TimeZone::system(),
        snapshot.log.delay_logging_resolution_limit,
    );
    let open = |destination| {
        MailLog::start(destination, formatter.clone()).map_err(|error| format!("log: {error}"))
    };
    let is_file = file.is_some();
    let file = Arc::new(Mutex::new(file));
    let from_master = Arc::clone(&file);
    let next = move || -> io::Result<maillog::Output> {
        let file = from_master.lock().unwrap_or_else(PoisonError::into_inner).take();
        let file = file.ok_or_else(|| io::Error::other("no log file from master"))?;
        Ok(Box::new(file))
    };
    let destination = match Destination::from_path(&snapshot.log.maillog_file) {
        _ if is_file => Destination::Other(Box::new(next)),
        // Master could not open it any more, and has said so. Mail goes on.
        Destination::File(_) => Destination::Stderr,
        other => other,
    };
    let mail = open(destination)?;
    let show = if start.show_deliveries { Some(open(Destination::Stdout)?) } else { None };
    Ok((Log { mail, file }, show))
}

/// Becomes the mail owner, with the queue directory as his whole world: he need not be able to reach it
/// through the directories above (root's home, for example), and there is nothing else to reach.
///
/// The lookup thread alone keeps the host's root, to reach databases again that were away; it may read
/// there what the mail owner may, and write nothing.
fn give_up_rights(start: &Start, remote: &Remote) -> Result<PathBuf, String> {
    let Some((uid, gid)) = start.become_user else { return Ok(start.queue.clone()) };
    let queue = start.queue.display();
    privilege::enclose(&start.queue).map_err(|error| format!("enter {queue}: {error}"))?;
    privilege::become_user(uid, gid).map_err(|error| format!("become user {uid}: {error}"))?;
    let root = PathBuf::from("/");
    sandbox::restrict_files(&root).map_err(|error| format!("landlock: {error}"))?;
    let writable = remote.writable();
    remote
        .on_thread(move || sandbox::restrict_writing(&writable).map(drop))
        .map_err(|error| format!("landlock for lookups: {error}"))?;
    sandbox::restrict_calls().map_err(|error| format!("seccomp: {error}"))?;
    Ok(root)
}

/// `name` is what the directory is called outside.
fn lock(queue: &Path, name: &Path) -> Result<QueueDirectory, String> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match QueueDirectory::lock(queue) {
            Ok(directory) => return Ok(directory),
            Err(OpenError::InUse { .. }) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(OpenError::InUse { holder, .. }) => {
                return Err(format!("queue {} is in use by process {holder}", name.display()));
            }
            Err(error) => return Err(format!("queue {}: {error}", name.display())),
        }
    }
}

/// Every slice that exists gets a shard, and every shard a slice.
fn share_out(directory: &QueueDirectory, shards: usize) -> Result<Vec<Vec<(u8, PathBuf)>>, String> {
    let mut slices = directory.slices().map_err(|error| format!("queue: {error}"))?;
    let unused = (0..=u8::MAX).filter(|number| !slices.contains(number));
    let missing: Vec<u8> = unused.take(shards.saturating_sub(slices.len())).collect();
    slices.extend(missing);
    if slices.len() < shards {
        return Err(format!("{shards} shards, but a queue has at most {SLICES_MAX} slices"));
    }
    let mut shared = vec![Vec::new(); shards];
    for (at, slice) in slices.into_iter().enumerate() {
        shared[at % shards].push((slice, directory.slice(slice)));
    }
    Ok(shared)
}

fn lines<T: ToString>(problems: &[T]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
