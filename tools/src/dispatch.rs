//! The scheduler's shell: moves values between the queue, the scheduler and the delivery agent.
//!
//! What is delivered when is decided in `qmgr`. Here its jobs go to the link, the agent's outcomes and
//! the queue's messages come back, and every change is recorded before its log line is written.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent::{Gone, Link, Sources, Submitted};
use config::Configuration;
use intake::Accepted;
use mail::log::Event;
use mail::{Envelope, Outcome, QueueId, Recipient, Status, Time, Verdict};
use qmgr::{
    Admission, Change, Cursor, Effects, Log, Message, Pending, Pull, Scheduler, Source, Transport,
};
use queue::{Lease, Place, Reason, RingDisk, Slice, SliceError, Standing};
use rewrite::Rewriter;
use tokio::sync::{Notify, mpsc};

use crate::routes::{Resolved, Resolver, Routes, Way};

/// Writes one line of the log.
pub(crate) type LogLine = Rc<dyn Fn(&str, u64, Event<'_>)>;

/// Messages that were accepted and are not yet known to the scheduler.
#[derive(Default)]
pub(crate) struct Arrivals {
    waiting: RefCell<VecDeque<Accepted>>,
    some: Notify,
}

impl Arrivals {
    /// Called by the sessions.
    pub(crate) fn push(&self, accepted: Accepted) {
        self.waiting.borrow_mut().push_back(accepted);
        self.some.notify_one();
    }
}

/// The slices of one shard: new mail goes to the first, the others are drained.
pub(crate) struct Slices {
    list: Vec<(Slice<RingDisk>, std::path::PathBuf)>,
}

impl Slices {
    /// Slices and their directories.
    pub(crate) fn new(list: Vec<(Slice<RingDisk>, std::path::PathBuf)>) -> Self {
        Self { list }
    }

    fn of(&self, id: QueueId, numbers: &[u8]) -> Option<&Slice<RingDisk>> {
        let at = numbers.iter().position(|&number| number == id.slice())?;
        Some(&self.list[at].0)
    }
}

/// How the agent gets at content that is not in shared memory.
struct Files {
    slices: Rc<Slices>,
    numbers: Rc<[u8]>,
}

impl Sources for Files {
    fn segment(&self, slice: u8, segment: u64) -> io::Result<OwnedFd> {
        let at = self.numbers.iter().position(|&number| number == slice);
        let found = at.and_then(|at| self.slices.list[at].0.segment_fd(segment));
        found.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }

    fn file(&self, id: QueueId) -> io::Result<OwnedFd> {
        let at = self.numbers.iter().position(|&number| number == id.slice());
        let Some(at) = at else { return Err(io::ErrorKind::NotFound.into()) };
        let path = self.slices.list[at].1.join(queue::CONTENT).join(id.to_string());
        Ok(std::fs::File::open(path)?.into())
    }
}

/// Recipients whose way was waited for, and is known now.
#[derive(Default)]
struct Found {
    waiting: RefCell<VecDeque<(QueueId, Resolved<'static>)>>,
    some: Notify,
}

/// A configuration to be followed from now on.
pub(crate) struct Following {
    /// For the services that deliver.
    pub(crate) all: Arc<Configuration>,
    /// What becomes of addresses.
    pub(crate) rewriter: Arc<Rewriter>,
    /// The scheduler's share of it, without transports.
    pub(crate) parameters: qmgr::Parameters,
    /// How many shards share what is for all of them.
    pub(crate) shards: usize,
}

/// One shard's dispatcher.
pub(crate) struct Dispatch {
    slices: Rc<Slices>,
    numbers: Rc<[u8]>,
    scheduler: Scheduler,
    effects: Effects,
    arrivals: Rc<Arrivals>,
    /// Where the content of active messages lies, until their first attempt.
    places: HashMap<QueueId, Place>,
    /// Memory that a job's content lies in, until its outcome.
    leases: HashMap<u64, Lease>,
    link: Option<Link>,
    routes: Routes,
    resolver: Rc<Resolver>,
    found: Rc<Found>,
    log: LogLine,
    retry_after: Duration,
}

impl Dispatch {
    /// `numbers` are those of the slices, in their order.
    pub(crate) fn new(
        slices: Slices,
        numbers: Vec<u8>,
        following: Following,
        arrivals: Rc<Arrivals>,
        log: LogLine,
    ) -> Self {
        let Following { all, rewriter, mut parameters, shards } = following;
        let mut routes = Routes::default();
        routes.follow(&all, shards, &mut |text| log("qmgr", 0, Event::Warning { text: &text }));
        parameters.transports = routes.parameters().to_vec();
        Self {
            slices: Rc::new(slices),
            numbers: numbers.into(),
            retry_after: parameters.minimal_backoff,
            scheduler: Scheduler::new(parameters),
            effects: Effects::default(),
            arrivals,
            places: HashMap::new(),
            leases: HashMap::new(),
            link: None,
            routes,
            resolver: Rc::new(Resolver::new(rewriter)),
            found: Rc::default(),
            log,
        }
    }

    /// Another configuration holds from now on. What is under way keeps its way.
    fn follow(&mut self, following: Following) {
        let Following { all, rewriter, mut parameters, shards } = following;
        let log = Rc::clone(&self.log);
        self.routes
            .follow(&all, shards, &mut |text| log("qmgr", 0, Event::Warning { text: &text }));
        parameters.transports = self.routes.parameters().to_vec();
        self.retry_after = parameters.minimal_backoff;
        self.scheduler.follow(parameters);
        self.resolver = Rc::new(Resolver::new(rewriter));
    }

    /// Connects to an agent. Jobs that another one had go to this one.
    pub(crate) fn connect(&mut self, socket: OwnedFd, arena: &ring::Arena) -> io::Result<()> {
        let files = Files { slices: Rc::clone(&self.slices), numbers: Rc::clone(&self.numbers) };
        let arena = Some((arena.fd(), arena.len() as u64));
        let link = Link::open(socket, arena, Box::new(files))?;
        self.lost();
        self.link = Some(link);
        Ok(())
    }

    /// Runs until `stop` resolves; then no job is started any more, and it ends when none is out or
    /// `grace` has passed.
    pub(crate) async fn run(
        mut self,
        arena: ring::Arena,
        mut links: mpsc::UnboundedReceiver<OwnedFd>,
        mut followings: mpsc::UnboundedReceiver<Following>,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        tokio::pin!(stop);
        let mut stopping = None;
        loop {
            let free = match stopping {
                None => self.link.as_ref().map_or(0, Link::free),
                Some(_) if self.scheduler.jobs_out() == 0 => break,
                Some(_) => 0,
            };
            self.advance(free).await;
            let wake = self.sleep_until_wake(stopping);
            tokio::select! {
                () = self.arrivals.some.notified() => {}
                () = self.found.some.notified() => {}
                Some(following) = followings.recv() => self.follow(following),
                outcomes = next_outcomes(&self.link) => match outcomes {
                    Ok(outcomes) => self.settle(outcomes),
                    Err(gone) => {
                        let text = gone.to_string();
                        (self.log)("qmgr", 0, Event::Warning { text: &text });
                        self.lost();
                    }
                },
                Some(socket) = links.recv() => {
                    if let Err(error) = self.connect(socket, &arena) {
                        let text = format!("connect to delivery agent: {error}");
                        (self.log)("qmgr", 0, Event::Warning { text: &text });
                    }
                }
                () = wake => if stopping.is_some_and(|end| tokio::time::Instant::now() >= end) { break },
                () = &mut stop, if stopping.is_none() => {
                    stopping = Some(tokio::time::Instant::now() + grace);
                }
            }
        }
        // The last outcomes, with nothing new started.
        self.advance(0).await;
    }

    fn sleep_until_wake(&self, stopping: Option<tokio::time::Instant>) -> tokio::time::Sleep {
        match stopping {
            Some(end) => tokio::time::sleep_until(end),
            None => tokio::time::sleep(self.effects.wake.since(Time::now())),
        }
    }

    fn settle(&mut self, outcomes: Vec<Outcome>) {
        let now = Time::now();
        for outcome in outcomes {
            self.leases.remove(&outcome.tag);
            self.scheduler.outcome(outcome, now);
        }
    }

    /// The agent is gone: what it had is to be delivered again, with a look at what is there.
    fn lost(&mut self) {
        if self.link.take().is_some() {
            self.leases.clear();
            // The others have nothing in hand.
            for place in 0..self.routes.parameters().len() {
                self.scheduler.agent_lost(Transport(place as u16), Time::now());
            }
        }
    }

    /// Tells the scheduler what is new and does what it says.
    async fn advance(&mut self, free: usize) {
        let now = Time::now();
        self.admit(now);
        self.take_found(now);
        let mut effects = std::mem::take(&mut self.effects);
        loop {
            let free = self.window(free);
            self.scheduler.poll(now, free, &mut effects);
            self.record(&mut effects, now);
            let decided = self.submit(&mut effects);
            for line in effects.log.drain(..) {
                self.print(&line);
            }
            debug_assert!(effects.resolve.is_empty(), "no agent redirects yet");
            let more = !decided.is_empty();
            self.settle(decided);
            match effects.pull.take() {
                Some(pull) => self.pull(&pull, now).await,
                None if more => {}
                None => break,
            }
        }
        self.effects = effects;
    }

    /// Jobs that may be started now; those of an earlier turn of the loop count.
    fn window(&self, free: usize) -> usize {
        free.min(self.link.as_ref().map_or(0, Link::free))
    }

    fn admit(&mut self, now: Time) {
        while let Some(accepted) = { self.arrivals.waiting.borrow_mut().pop_front() } {
            let Accepted { id, envelope, place, has_delivered_to } = accepted;
            if envelope.not_before.is_some_and(|then| then > now) {
                self.put_back(id);
                continue;
            }
            // Under load most mail waits in the index, and is resolved when its turn comes.
            if !self.scheduler.has_room_for(envelope.recipients.len()) {
                self.scheduler.arrived_without_room(id, now);
                self.put_back(id);
                continue;
            }
            let (recipients, unresolved) =
                self.ways(id, &envelope, (0..).zip(&envelope.recipients));
            let message = Message {
                id,
                arrival: envelope.arrival,
                sender: envelope.sender.clone(),
                recipients,
                unresolved,
                recipients_total: envelope.recipients.len() as u32,
                content: place.on_disk_content(),
                has_delivered_to,
                seen_before: false,
                failed_before: false,
            };
            match self.scheduler.arrived(message, now) {
                Admission::Active => drop(self.places.insert(id, place)),
                Admission::Queued => self.put_back(id),
            }
        }
    }

    /// Asks the queue for messages that are due. New mail is due since it arrived, so whichever kind the
    /// scheduler asks for, the queue answers with the mail that has waited longest. It remembers itself
    /// what it has given out, so the cursor only says whether there may be more.
    async fn pull(&mut self, pull: &Pull, now: Time) {
        let mut messages = Vec::new();
        let (mut given, mut recipients) = (0, 0);
        let mut next = None;
        for at in 0..self.slices.list.len() {
            let slice = self.slices.list[at].0.clone();
            for (time, id) in self.due(&slice, pull, pull.at_most - given, now) {
                given += 1;
                if recipients >= pull.recipients_at_most {
                    self.put_back(id);
                    next = Some(Cursor { time, id });
                    continue;
                }
                match slice.load(id).await {
                    Ok(message) => {
                        let message = self.message(message);
                        recipients += message.as_ref().map_or(0, |it| it.recipients.len());
                        messages.extend(message);
                    }
                    Err(error) => self.not_loaded(&slice, id, &error),
                }
                if given == pull.at_most {
                    next = Some(Cursor { time, id });
                }
            }
        }
        self.scheduler.pulled(messages, next, now);
    }

    fn due(
        &self,
        slice: &Slice<RingDisk>,
        pull: &Pull,
        at_most: usize,
        now: Time,
    ) -> Vec<(Time, QueueId)> {
        let due = slice.due(now, at_most).and_then(|mut due| {
            if let Source::Due { beyond, .. } = pull.source {
                due.extend(slice.misdated(beyond, at_most - due.len())?);
            }
            Ok(due)
        });
        due.unwrap_or_else(|error| {
            self.warn(&error.to_string());
            Vec::new()
        })
    }

    fn message(&mut self, message: queue::Message) -> Option<Message> {
        let queue::Message { id, envelope, standings, place, .. } = message;
        if message.held || envelope.recipients.is_empty() {
            return None;
        }
        let waiting = |standing: &Standing| matches!(standing, Standing::Pending { .. });
        let open = (0..)
            .zip(envelope.recipients.iter().zip(&standings))
            .filter(|(_, (_, standing))| waiting(standing))
            .map(|(number, (recipient, _))| (number, recipient));
        let (recipients, unresolved) = self.ways(id, &envelope, open);
        let failed_before = standings.iter().any(|it| matches!(it, Standing::Failed(_)));
        if recipients.is_empty() && unresolved == 0 {
            // Only failures are left: they wait for somebody who tells the sender.
            self.hold(id);
            return None;
        }
        let content = place.on_disk_content();
        self.places.insert(id, place);
        Some(Message {
            id,
            arrival: envelope.arrival,
            sender: envelope.sender.clone(),
            recipients,
            unresolved,
            recipients_total: envelope.recipients.len() as u32,
            content,
            has_delivered_to: message.has_delivered_to,
            seen_before: true,
            failed_before,
        })
    }

    /// A damaged message was set aside by the queue; one that cannot be read now is tried later.
    fn not_loaded(&mut self, slice: &Slice<RingDisk>, id: QueueId, error: &SliceError) {
        self.warn(&error.to_string());
        if let SliceError::Corrupt { .. } | SliceError::NoMessage(_) = error {
            return;
        }
        let later = Time::now().after(self.retry_after);
        self.report(slice.requeue(id, later));
        self.put_back(id);
    }

    fn record(&mut self, effects: &mut Effects, now: Time) {
        for change in effects.changes.drain(..) {
            self.record_one(change, now);
        }
    }

    fn record_one(&mut self, change: Change, now: Time) {
        let later = now.after(self.retry_after);
        match change {
            Change::Delivered { id, number } => {
                self.outcome(id, number, Outcome::new(0, Status(2, 0, 0), ""), now, later);
            }
            Change::Deferred { id, number, status, reason } => {
                let verdict = Verdict::Deferred;
                self.outcome(
                    id,
                    number,
                    Outcome { tag: 0, verdict, status, text: reason },
                    now,
                    later,
                );
            }
            Change::Failed { id, number, status, reason } => {
                let verdict = Verdict::Failed;
                self.outcome(
                    id,
                    number,
                    Outcome { tag: 0, verdict, status, text: reason },
                    now,
                    later,
                );
            }
            Change::Redirected { id, number, to, .. } => {
                let verdict = Verdict::Redirect(to);
                let outcome = Outcome { tag: 0, verdict, status: Status(2, 0, 0), text: "".into() };
                self.outcome(id, number, outcome, now, later);
            }
            // Recorded with its last recipient.
            Change::Finished { id } => drop(self.places.remove(&id)),
            Change::Until { id, next_attempt } => {
                self.with(id, |slice| slice.requeue(id, next_attempt));
                self.let_go(id);
            }
            Change::Held { id, .. } => {
                self.hold(id);
                self.let_go(id);
            }
            Change::Deleted { id } => {
                self.with(id, |slice| slice.delete(id, Reason::Deleted));
                self.let_go(id);
            }
        }
    }

    fn outcome(&self, id: QueueId, number: u32, outcome: Outcome, now: Time, retry: Time) {
        self.with(id, |slice| slice.outcome(id, number, &outcome, now, retry).map(drop));
    }

    fn hold(&self, id: QueueId) {
        self.with(id, |slice| slice.hold(id));
    }

    fn let_go(&mut self, id: QueueId) {
        self.places.remove(&id);
        self.put_back(id);
    }

    fn put_back(&self, id: QueueId) {
        self.with(id, |slice| slice.put_back(id));
    }

    fn with(&self, id: QueueId, act: impl FnOnce(&Slice<RingDisk>) -> Result<(), SliceError>) {
        if let Some(slice) = self.slices.of(id, &self.numbers) {
            self.report(act(slice));
        }
    }

    fn report(&self, result: Result<(), SliceError>) {
        if let Err(error) = result {
            self.warn(&error.to_string());
        }
    }

    /// Hands jobs to their agents. Those that need nobody are decided at once.
    fn submit(&mut self, effects: &mut Effects) -> Vec<Outcome> {
        let mut decided = Vec::new();
        for submit in effects.jobs.drain(..) {
            if let Some(outcome) = self.routes.outcome(&submit) {
                decided.push(outcome);
                continue;
            }
            let mut job = submit.job;
            job.service = self.routes.service(submit.transport);
            if let Some(place) = self.places.get(&job.id) {
                let lease = place.lease();
                job.content = lease.content;
                self.leases.insert(job.tag, lease);
            }
            let Some(link) = &self.link else { continue };
            if let Submitted::WindowFull(job) = link.submit(job) {
                unreachable!("job {} was started beyond the window", job.tag);
            }
        }
        decided
    }

    /// The ways of a message's recipients, and how many of them are still to be found.
    fn ways<'a>(
        &self,
        id: QueueId,
        envelope: &Envelope,
        recipients: impl Iterator<Item = (u32, &'a Recipient)>,
    ) -> (Vec<Pending>, u32) {
        let (sender, filter) = (envelope.sender.as_ref(), envelope.filter.as_deref());
        let mut known = Vec::with_capacity(recipients.size_hint().0);
        let mut later = 0;
        for recipient in recipients {
            match self.routes.way(&self.resolver, sender, recipient, filter) {
                Way::Known(pending) => known.push(pending),
                Way::Later(resolving) => {
                    later += 1;
                    let found = Rc::clone(&self.found);
                    ring::spawn(async move {
                        let resolved = resolving.await;
                        found.waiting.borrow_mut().push_back((id, resolved));
                        found.some.notify_one();
                    });
                }
            }
        }
        (known, later)
    }

    /// Recipients whose way was waited for.
    fn take_found(&mut self, now: Time) {
        while let Some((id, resolved)) = { self.found.waiting.borrow_mut().pop_front() } {
            if let Some(why) = &resolved.trouble {
                self.warn(&why.logged());
            }
            let pending = self.routes.pending(resolved);
            self.scheduler.resolved(id, vec![pending], now);
        }
    }

    fn warn(&self, text: &str) {
        (self.log)("qmgr", 0, Event::Warning { text });
    }

    fn print(&self, line: &Log) {
        (self.log)(line.service(), 0, line.event());
    }
}

/// Never resolves while there is no agent.
async fn next_outcomes(link: &Option<Link>) -> Result<Vec<Outcome>, Gone> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}
