//! One shard: what runs on one core, put together.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::{Configuration, ServiceConfig, Snapshot};
use intake::{
    Anvil, CleanupService, Entrance, Gate, Limits, Parcel, Pickup, PickupEntrance, Service,
};
use jiff::tz::TimeZone;
use mail::Time;
use mail::log::{Event, Record};
use maillog::Pen;
use queue::{Driver, OpenError, Opened, Options, RingDisk, Slice};
use ring::Arena;
use tokio::sync::{mpsc, watch};

use crate::dispatch::{Arrivals, Dispatch, Following, LogLine, Slices};
use crate::freshness::{self, Asked};
use crate::listening::{self, Endpoint};
use crate::pickup;
use crate::rewriters::rewriter;
use crate::routes;

/// The service whose parameters say where mail goes.
const QMGR: &str = "qmgr";
/// Memory that a shard shares with its agent, in bytes. Only what is used exists.
const ARENA_BYTES: usize = 64 << 20;
/// What of it stays in memory when the shard is idle, in bytes.
const ARENA_IDLE_BYTES: usize = 2 << 20;
/// How long deliveries that are under way may take when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What one shard is made of.
pub(crate) struct Shard {
    /// Its number, and how many there are.
    pub(crate) number: (usize, usize),
    /// How it moves bytes.
    pub(crate) ring: ring::Options,
    /// The configuration.
    pub(crate) all: Arc<Configuration>,
    /// Of the running kernel, see [`queue::boot_id`].
    pub(crate) boot_id: String,
    /// The host's.
    pub(crate) time_zone: TimeZone,
    /// Its slices and their directories; new mail goes to the first.
    pub(crate) slices: Vec<(u8, PathBuf)>,
    /// Who counts the sessions of each service.
    pub(crate) gates: Gates,
    /// Its listening sockets.
    pub(crate) listeners: Vec<(Endpoint, TcpListener)>,
    /// Further configurations.
    pub(crate) renewals: mpsc::UnboundedReceiver<Renewal>,
    /// Connections to agents, the first one and its successors.
    pub(crate) links: mpsc::UnboundedReceiver<OwnedFd>,
    /// Listings that wait for the index to be up to date.
    pub(crate) listings: mpsc::UnboundedReceiver<Asked>,
    /// What was left in the maildrop.
    pub(crate) parcels: mpsc::UnboundedReceiver<Parcel>,
    /// Counts connections with the other shards.
    pub(crate) anvil: Anvil,
    /// Sessions it may have.
    pub(crate) sessions_max: usize,
    /// Its part of the log.
    pub(crate) log: Pen,
    /// Where deliveries are said, too.
    pub(crate) show: Option<Pen>,
    /// True when the server stops.
    pub(crate) stop: watch::Receiver<bool>,
    /// Told once the shard accepts mail, or why it does not.
    pub(crate) ready: std::sync::mpsc::Sender<Result<(), String>>,
}

/// A new configuration.
pub(crate) struct Renewal {
    /// From now on.
    pub(crate) all: Arc<Configuration>,
    /// All that it listens on.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Sockets of what was not listened on before.
    pub(crate) listeners: Vec<(Endpoint, TcpListener)>,
    /// Dropped once it is followed.
    pub(crate) _taken: std::sync::mpsc::Sender<()>,
}

/// Runs a shard on the calling thread until it is stopped.
pub(crate) fn run(shard: Shard) {
    let ready = shard.ready.clone();
    let options = shard.ring;
    let result = ring::run(options, async {
        if let Err(why) = serve(shard).await {
            // If nobody listens any more, the engine is ending already.
            let _ = ready.send(Err(why));
        }
    });
    if let Err(error) = result {
        let _ = ready.send(Err(format!("shard on core {:?}: {error}", options.core)));
    }
}

/// A part of a shard without which it only seems to be alive. A session that panics is one session; if
/// this panics the process ends: what was accepted is in the queue, and its successor goes on with it.
struct Vital(&'static str);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("ringpost: fatal: {} has panicked", self.0);
            std::process::abort();
        }
    }
}

async fn serve(shard: Shard) -> Result<(), String> {
    let _vital = Vital("shard");
    let Shard { number, all, links, listings, anvil, sessions_max, .. } = shard;
    let settings = Arc::clone(&all.base);
    let (mut stop, ready) = (shard.stop, shard.ready);
    let pens = Pens { log: shard.log, show: shard.show };
    let log = pens.line(None);
    let arena = Arena::new(ARENA_BYTES).map_err(|error| format!("shared memory: {error}"))?;

    let mut slices = Vec::new();
    let mut numbers = Vec::new();
    let mut drivers = Vec::new();
    for (slice, directory) in shard.slices {
        let opened = open(slice, &directory, &shard.boot_id, &settings, &arena, &log)
            .await
            .map_err(|error| format!("queue {}: {error}", directory.display()))?;
        slices.push((opened.0, directory));
        numbers.push(slice);
        let log = Rc::clone(&log);
        drivers.push(ring::spawn(async move {
            let _vital = Vital("queue");
            if let Some(why) = opened.1.run().await {
                let text = format!(
                    "queue slice {slice}: {why}; it accepts nothing until the next start, which will \
                     find what is on the disk"
                );
                log("qmgr", 0, Event::Warning { text: &text });
            }
        }));
    }
    let handles: Vec<Slice<RingDisk>> = slices.iter().map(|(slice, _)| slice.clone()).collect();

    let arrivals = Rc::new(Arrivals::default());
    let inbox = Rc::clone(&arrivals);
    let intake = Rc::new(intake::Shard::new(
        handles[0].clone(),
        anvil,
        Limits { sessions_max },
        number,
        shard.time_zone,
        Box::new(move |accepted| inbox.push(accepted)),
    ));
    let following = following(&all, number.1);
    let slices = Slices::new(slices);
    let dispatch = Dispatch::new(slices, numbers.clone(), following, arrivals, log.clone());
    let (follow, followings) = mpsc::unbounded_channel();

    let sessions = Rc::clone(intake.sessions());
    ring::spawn(Rc::clone(&sessions).keep_time());
    ring::spawn(give_memory_back(arena.clone()));
    ring::spawn(freshness::answer(handles.clone(), listings));
    let mut front = Front {
        shard: intake,
        shards: number.1,
        pens,
        gates: shard.gates,
        follow,
        entrances: Vec::new(),
        pickup: PickupEntrance::new(None),
    };
    front.open(&all, shard.listeners).map_err(|e| format!("listener: {e}"))?;
    front.pickup.lead_to(front.pickup(&all));
    let mut stopping = stop.clone();
    let picking = Rc::clone(&front.pickup).serve(shard.parcels, async move {
        let _ = stopping.wait_for(|&stop| stop).await;
    });
    let picking = ring::spawn(picking);
    ring::spawn(front.renew(shard.renewals, log.clone()));
    let _ = ready.send(Ok(()));

    let stopped = async move {
        // A closed channel is an engine that ends without a word: stop as well.
        let _ = stop.wait_for(|&stop| stop).await;
        sessions.stop();
        sessions.ended(STOP_GRACE).await;
        // What is not in the queue by then is still in the maildrop.
        let _ = tokio::time::timeout(STOP_GRACE, picking).await;
    };
    dispatch.run(arena, links, followings, stopped, STOP_GRACE).await;
    for (slice, number) in handles.iter().zip(numbers) {
        slice.close().await;
        let did = slice.counters();
        let text = format!(
            "statistics: queue slice {number}: {} messages in {} log writes of {} bytes, {} index \
             updates, {} segments reclaimed, {} messages moved",
            did.messages, did.batches, did.bytes, did.index_flushes, did.reclaimed, did.copies
        );
        log("qmgr", 0, Event::Info { text: &text });
    }
    for driver in drivers {
        let _ = driver.await;
    }
    Ok(())
}

/// The gates of all services, which the shards share; what has a limit keeps its count when the
/// configuration changes.
#[derive(Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<HashMap<String, Arc<Gate>>>>);

impl Gates {
    fn of(&self, service: &str, most: Option<usize>) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry(service.to_owned()).or_insert_with(|| Arc::new(Gate::new(most)));
        gate.set_most(most);
        Arc::clone(gate)
    }
}

/// The dispatcher's share of a configuration.
fn following(all: &Arc<Configuration>, shards: usize) -> Following {
    let rewriter = rewriter(all, all.snapshot_of(QMGR));
    let parameters = parameters(&all.base, shards);
    Following { all: Arc::clone(all), rewriter, parameters, shards }
}

/// Where clients come in.
struct Front {
    shard: Rc<intake::Shard>,
    shards: usize,
    pens: Pens,
    gates: Gates,
    /// To the dispatcher.
    follow: mpsc::UnboundedSender<Following>,
    entrances: Vec<(Endpoint, Rc<Entrance>)>,
    /// Where local users' mail comes in.
    pickup: Rc<PickupEntrance>,
}

impl Front {
    /// Has a configuration followed by all who come from now on, and nobody come in where it does not
    /// listen.
    fn follow(&mut self, all: &Configuration, endpoints: &[Endpoint]) {
        let is_closed = |(it, _): &mut (Endpoint, _)| !endpoints.contains(it);
        for (_, entrance) in self.entrances.extract_if(.., is_closed) {
            entrance.close();
        }
        for (endpoint, entrance) in &self.entrances {
            if let Some(service) = self.service(all, endpoint) {
                entrance.lead_to(service);
            }
        }
        self.pickup.lead_to(self.pickup(all));
    }

    fn open(
        &mut self,
        all: &Configuration,
        listeners: Vec<(Endpoint, TcpListener)>,
    ) -> std::io::Result<()> {
        for (endpoint, listener) in listeners {
            let Some(service) = self.service(all, &endpoint) else { continue };
            let listener = ring::Listener::from_std(listener)?;
            let entrance = Entrance::new(service);
            ring::spawn(Rc::clone(&entrance).listen(listener));
            self.entrances.push((endpoint, entrance));
        }
        Ok(())
    }

    fn service(&self, all: &Configuration, endpoint: &Endpoint) -> Option<Service> {
        let ServiceConfig { service, snapshot } = listening::serving(all, &endpoint.service)?;
        let gate = self.gates.of(&endpoint.service, service.process_limit.or_default(0));
        let shard = Rc::clone(&self.shard);
        let cleanup = self.cleanup(all, snapshot);
        let (transports, log) = (routes::delivering(all), self.log(snapshot));
        let rewriter = rewriter(all, snapshot);
        Some(Service::new(shard, &service.name, rewriter, cleanup, transports, gate, log))
    }

    fn pickup(&self, all: &Configuration) -> Option<Pickup> {
        let ServiceConfig { snapshot, .. } = pickup::service(all)?;
        let cleanup = self.cleanup(all, snapshot);
        Some(Pickup::new(Rc::clone(&self.shard), snapshot, cleanup, self.log(snapshot)))
    }

    /// The cleanup that a service with these settings names.
    fn cleanup(&self, all: &Configuration, settings: &Snapshot) -> CleanupService {
        let cleanup = all.snapshot_of(&settings.smtpd.cleanup_service_name);
        CleanupService { rewriter: rewriter(all, cleanup), log: self.log(cleanup) }
    }

    fn log(&self, of: &Snapshot) -> LogLine {
        self.pens.line(Some(of.log.syslog_name.clone()))
    }

    async fn renew(mut self, mut renewals: mpsc::UnboundedReceiver<Renewal>, log: LogLine) {
        while let Some(renewal) = renewals.recv().await {
            // First, so that what is accepted for a new transport finds it there.
            let following = following(&renewal.all, self.shards);
            // A dispatcher that has ended needs no configuration.
            let _ = self.follow.send(following);
            self.follow(&renewal.all, &renewal.endpoints);
            if let Err(error) = self.open(&renewal.all, renewal.listeners) {
                let text = format!("listener: {error}");
                log("smtpd", 0, Event::Warning { text: &text });
            }
        }
    }
}

async fn open(
    slice: u8,
    directory: &std::path::Path,
    boot_id: &str,
    settings: &Snapshot,
    arena: &Arena,
    log: &LogLine,
) -> Result<(Slice<RingDisk>, Driver<RingDisk>), OpenError> {
    let say = |text: &str| log("qmgr", 0, Event::Warning { text });
    let disk = RingDisk::open(directory, arena.clone()).map_err(|source| OpenError::Io {
        doing: "open",
        file: directory.display().to_string(),
        source,
    })?;
    if !disk.is_direct() {
        say(&format!(
            "{}: this file system takes no O_DIRECT; the queue is as safe, but slower",
            directory.display()
        ));
    }
    let mut options = Options::new(slice, directory);
    boot_id.clone_into(&mut options.boot_id);
    options.segment_bytes = settings.queue.queue_segment_size;
    let Opened { slice, driver, report } = Slice::open(disk, options).await?;
    if let queue::Start::Rebuilt(cause) = &report.start {
        say(&format!("{}: index made anew from the log: {cause}", directory.display()));
    }
    for damage in &report.damages {
        say(&format!("{}: damaged, set aside: {damage:?}", directory.display()));
    }
    Ok((slice, driver))
}

/// The scheduler's share of the configuration; totals are divided among the shards.
fn parameters(settings: &Snapshot, shards: usize) -> qmgr::Parameters {
    let queue = &settings.queue;
    qmgr::Parameters {
        active_messages_max: queue.qmgr_message_active_limit.div_ceil(shards),
        active_recipients_max: queue.qmgr_message_recipient_limit.div_ceil(shards),
        minimal_backoff: queue.minimal_backoff_time,
        maximal_backoff: queue.maximal_backoff_time,
        queue_run_delay: queue.queue_run_delay,
        queue_lifetime: queue.maximal_queue_lifetime,
        bounce_lifetime: queue.bounce_queue_lifetime,
        recipient_delimiter: settings.mailbox.recipient_delimiter.clone(),
        ..qmgr::Parameters::default()
    }
}

/// What lines of the log are written with.
#[derive(Clone)]
struct Pens {
    log: Pen,
    /// Where deliveries are said, too.
    show: Option<Pen>,
}

impl Pens {
    /// `name` is the `syslog_name` of a service that may have one of its own.
    fn line(&self, name: Option<Box<str>>) -> LogLine {
        let Self { log, show } = self.clone();
        Rc::new(move |service, session, event| {
            let (time, name) = (Time::now(), name.as_deref());
            let record = Record { time, name, service, session, event };
            log.write(&record);
            if let (Some(show), Event::Delivery(_)) = (&show, &event) {
                show.write(&record);
            }
        })
    }
}

/// Memory that a burst of mail has used goes back to the kernel when it is over.
async fn give_memory_back(arena: Arena) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    loop {
        minute.tick().await;
        if arena.free_bytes() == arena.len() {
            // Only memory is at stake.
            let _ = arena.release_idle(ARENA_IDLE_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{Interface, Machine, Sources, master};
    use mail::Address;
    use rewrite::{Class, Purpose, Unwatched};
    use table::{Memory, Tables, block_on};

    use super::*;

    #[test]
    fn mail_for_an_address_in_brackets_is_local_as_long_as_the_machine_has_the_address() {
        let sources = Sources::new().main_cf("main.cf", b"alias_maps =\n");
        let files = Memory::default();
        let services = master::stock(&master::Ports::with_services(""));
        let recipient = Address::parse(b"user@[192.0.2.9]").unwrap();
        for (has, class) in [("192.0.2.9", Class::Local), ("192.0.2.10", Class::Default)] {
            let interfaces = vec![Interface { address: has.parse().unwrap(), prefix: 24 }];
            let machine = Machine { interfaces: Ok(interfaces), ..Machine::named("mx.example") };
            let all = Configuration::build(&sources, &services, &machine, &Tables::new(&files));
            let rewriter = following(&Arc::new(all.unwrap()), 1).rewriter;
            let nobody = &mut Unwatched;
            let route = block_on(rewriter.resolve(Purpose::Delivery, None, &recipient, nobody));
            assert_eq!(route.unwrap().class, class, "{has}");
        }
    }
}
