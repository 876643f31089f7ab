//! The scheduler itself: every branch of a message's way from arrival to its end is here.

mod orders;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Place;
use mail::log::Delays;
use mail::{Address, Content, Job, Outcome, QueueId, Status, Time, Verdict};
use slab::Slab;

use crate::clock::{Clock, Reading};
use crate::entries::{By, Entries, List, NONE, State};
use crate::lane::{Alarm, Lanes, Rest};
use crate::runs::{PULL_MESSAGES_MAX, Runs};
use crate::{
    Admission, Change, Cursor, Delivery, Effects, Hold, Log, Message, Parameters, Pending, Resolve,
    Source, Submit, Transport,
};

/// Times that a job may be in hand when its agent dies, before it is deferred: it may be the cause.
const JOB_LOSSES_MAX: u8 = 3;

/// The silence that the shell may keep beyond a queue run before the clock is taken to have jumped.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A destination that has jobs in hand and answers none for this long keeps no place in a full
/// active queue for what else waits for it. Also the time between two looks for such.
const LANE_SILENCE_MAX: Duration = Duration::from_secs(30);

/// The scheduler of one shard. See the crate's page for how it is driven.
#[derive(Debug)]
pub struct Scheduler {
    parameters: Parameters,
    messages: Slab<Active>,
    by_id: HashMap<QueueId, u32, foldhash::fast::RandomState>,
    entries: Entries,
    lanes: Lanes,
    agents: Vec<Agent>,
    /// Whose turn it is to start a job.
    turn: usize,
    tickets: u32,
    runs: Runs,
    clock: Clock,
    next_run: Time,
    /// When to look for silent lanes again, while the active queue is full.
    next_eviction: Time,
    alarms: BinaryHeap<Reverse<Alarm>>,
    timers: u64,
    pending: Effects,
}

/// A message in the active queue.
#[derive(Debug)]
struct Active {
    id: QueueId,
    arrival: Time,
    since: Time,
    sender: Option<Address>,
    content: Content,
    has_delivered_to: bool,
    seen_before: bool,
    recipients_total: u32,
    entries: List,
    /// Recipients that will come yet: those being resolved, and one more while it is taken in.
    expected: u32,
    deferred: bool,
    failed: bool,
    /// Some of its recipients were put back without an attempt.
    withdrawn: bool,
    order: Order,
}

/// What was asked for while the message was active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    Hold,
    Release,
    Delete,
}

/// A delivery agent.
#[derive(Debug, Default)]
struct Agent {
    busy: usize,
    /// Lanes that can start a job, in turn.
    round: VecDeque<u32>,
}

impl Scheduler {
    /// An empty scheduler. Whatever the index holds, it will ask for; until that has been answered,
    /// new mail joins the end of it.
    pub fn new(parameters: Parameters) -> Self {
        let agents = parameters.transports.iter().map(|_| Agent::default()).collect();
        Self {
            parameters,
            messages: Slab::new(),
            by_id: HashMap::default(),
            entries: Entries::default(),
            lanes: Lanes::default(),
            agents,
            turn: 0,
            tickets: 0,
            runs: Runs::new(),
            clock: Clock::default(),
            next_run: Time(0),
            next_eviction: Time(0),
            alarms: BinaryHeap::new(),
            timers: 0,
            pending: Effects::default(),
        }
    }

    /// Other parameters hold from now on. Transports keep their places in the list: those of before come
    /// first, and new ones behind them.
    pub fn follow(&mut self, parameters: Parameters) {
        debug_assert!(parameters.transports.len() >= self.agents.len(), "a place is for good");
        self.agents.resize_with(parameters.transports.len(), Agent::default);
        self.parameters = parameters;
        self.lanes.follow(&self.parameters.transports);
    }

    /// Messages in the active queue.
    pub fn active(&self) -> usize {
        self.messages.len()
    }

    /// True for a message in the active queue (`*` in the queue listing).
    pub fn is_active(&self, id: QueueId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Jobs that an agent has in hand.
    pub fn jobs_out(&self) -> usize {
        self.agents.iter().map(|agent| agent.busy).sum()
    }

    /// A message was just committed.
    pub fn arrived(&mut self, message: Message, now: Time) -> Admission {
        self.read_clock(now);
        if !self.has_room_for(message.recipients.len() + message.unresolved as usize) {
            self.runs.refuse(message.id);
            return Admission::Queued;
        }
        self.admit(message, now);
        Admission::Active
    }

    /// Whether a new message with so many recipients would become active. Older mail comes first: as long
    /// as there is a backlog, new mail joins its end.
    pub fn has_room_for(&self, recipients: usize) -> bool {
        let (messages, room) = self.room();
        let fits = messages > 0 && (recipients <= room || self.by_id.is_empty());
        !self.runs.has_backlog() && fits
    }

    /// A message was committed that there is no [room for](Self::has_room_for).
    pub fn arrived_without_room(&mut self, id: QueueId, now: Time) {
        self.read_clock(now);
        self.runs.refuse(id);
    }

    /// The answer to a [`Pull`](crate::Pull): messages in the order of its source, and where to go
    /// on, if there is more.
    pub fn pulled(
        &mut self,
        messages: impl IntoIterator<Item = Message>,
        next: Option<Cursor>,
        now: Time,
    ) {
        self.read_clock(now);
        self.runs.answered(next);
        for message in messages {
            self.admit(message, now);
        }
    }

    /// Recipients that were handed out for [resolving](Effects::resolve), or were
    /// [unresolved](Message::unresolved) when their message came, have their way now.
    pub fn resolved(&mut self, id: QueueId, recipients: Vec<Pending>, now: Time) {
        self.read_clock(now);
        let Some(&message) = self.by_id.get(&id) else { return };
        let active = &mut self.messages[message as usize];
        let wanted = matches!(active.order, Order::None);
        active.withdrawn |= !wanted;
        let count = recipients.len() as u32;
        if wanted {
            for recipient in recipients {
                self.enqueue(message, recipient, now);
            }
        }
        let active = &mut self.messages[message as usize];
        active.expected = active.expected.saturating_sub(count);
        self.conclude_if_done(message, now);
    }

    /// An agent's answer. False for an answer nobody waits for: the job was given back by
    /// [`agent_lost`](Self::agent_lost) before.
    pub fn outcome(&mut self, outcome: Outcome, now: Time) -> bool {
        self.read_clock(now);
        let (ticket, entry) = ((outcome.tag >> 32) as u32, outcome.tag as u32);
        let Some(found) = self.entries.get(entry) else { return false };
        let since = match found.state {
            State::Busy { ticket: given, since } if given == ticket => since,
            _ => return false,
        };
        let (lane, transport) = (found.lane, found.transport);
        let limits = &self.parameters.transports[usize::from(transport.0)];
        let Outcome { verdict, status, text, .. } = outcome;
        self.agents[usize::from(transport.0)].busy -= 1;
        self.lanes[lane].busy -= 1;
        self.lanes[lane].heard = now;

        let dead = if is_unreachable(&verdict, status) {
            self.lanes[lane]
                .failed(limits)
                .then(|| format!("delivery temporarily suspended: {text}"))
        } else {
            self.lanes[lane].succeeded(limits);
            None
        };
        let pause = limits.rate_delay;
        self.settle(entry, Some(since), verdict, status, text, now);
        if let Some(reason) = dead {
            self.bury(lane, status, reason.into(), now);
        } else if !pause.is_zero() && matches!(self.lanes[lane].rest, Rest::None) {
            let timer = self.rest(lane, now.after(pause));
            self.lanes[lane].rest = Rest::Paused { timer };
        }
        self.offer_turn(lane);
        self.lanes.leave_if_idle(lane);
        true
    }

    /// An agent's process is gone, and nobody knows how far it got. Its jobs go back to the head of
    /// their lanes, and the next agent looks before it delivers.
    pub fn agent_lost(&mut self, transport: Transport, now: Time) {
        self.read_clock(now);
        let mut lost: Vec<(u32, u32)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.transport == transport)
            .filter_map(|(at, entry)| match entry.state {
                State::Busy { ticket, .. } => Some((ticket, at)),
                State::Waiting => None,
            })
            .collect();
        lost.sort_unstable();
        self.agents[usize::from(transport.0)].busy = 0;
        // The last one first, so that the first one ends up in front.
        for (_, at) in lost.into_iter().rev() {
            let entry = &mut self.entries[at];
            let (lane, message) = (entry.lane, entry.message);
            entry.state = State::Waiting;
            entry.lost += 1;
            let suspect = entry.lost >= JOB_LOSSES_MAX;
            self.lanes[lane].busy -= 1;
            if suspect {
                let text = "unknown mail transport error".into();
                self.settle(at, None, Verdict::Deferred, Status(4, 3, 0), text, now);
            } else if self.messages[message as usize].order != Order::None {
                self.withdraw(at, now);
            } else {
                self.wait(at, Front, now);
            }
            self.offer_turn(lane);
            self.lanes.leave_if_idle(lane);
        }
    }

    /// Starts a queue run at once: deferred mail that is due is asked for.
    pub fn run(&mut self, now: Time) {
        self.read_clock(now);
        self.start_run(now);
    }

    /// Collects what is to be done, with no more than `free` new jobs. To be called after each
    /// batch of inputs, and at [`Effects::wake`].
    pub fn poll(&mut self, now: Time, free: usize, effects: &mut Effects) {
        self.read_clock(now);
        self.end_rests(now);
        if now >= self.next_run {
            self.start_run(now);
        }
        let full = self.is_full();
        if full && now >= self.next_eviction {
            self.evict_silent_lanes(now);
        }
        self.start_jobs(now, free, &mut effects.jobs);
        if effects.pull.is_none() {
            let (messages, recipients) = if self.is_full() { (0, 0) } else { self.room() };
            effects.pull = self.runs.ask(messages, recipients);
        }
        hand_over(&mut self.pending.changes, &mut effects.changes);
        hand_over(&mut self.pending.log, &mut effects.log);
        hand_over(&mut self.pending.resolve, &mut effects.resolve);
        let alarm = self.alarms.peek().map(|Reverse((at, ..))| *at);
        effects.wake = alarm.map_or(self.next_run, |at| at.min(self.next_run));
        if full {
            effects.wake = effects.wake.min(self.next_eviction);
        }
    }

    // --- into the active queue

    /// Free places: messages and recipients.
    fn room(&self) -> (usize, usize) {
        let (messages, recipients) = self.runs.reserved();
        let limits = &self.parameters;
        (
            limits.active_messages_max.saturating_sub(self.messages.len() + messages),
            limits.active_recipients_max.saturating_sub(self.entries.len() + recipients),
        )
    }

    /// True where there is no room that is worth a look into the index.
    fn is_full(&self) -> bool {
        let enough = (self.parameters.active_messages_max / 8).clamp(1, PULL_MESSAGES_MAX / 4);
        let (messages, recipients) = self.room();
        messages < enough || recipients == 0
    }

    fn admit(&mut self, message: Message, now: Time) {
        let Place::Vacant(place) = self.by_id.entry(message.id) else {
            // Still being delivered since an earlier run: it is in good hands.
            return;
        };
        let nrcpt = message.recipients.len() as u32 + message.unresolved;
        self.pending.log.push(Log::Active {
            id: message.id,
            from: message.sender.clone(),
            size: message.content.len(),
            nrcpt,
        });
        let at = self.messages.insert(Active {
            id: message.id,
            arrival: message.arrival,
            since: now,
            sender: message.sender,
            content: message.content,
            has_delivered_to: message.has_delivered_to,
            seen_before: message.seen_before,
            recipients_total: message.recipients_total,
            entries: List::default(),
            expected: 1 + message.unresolved,
            deferred: false,
            failed: message.failed_before,
            withdrawn: false,
            order: Order::None,
        }) as u32;
        place.insert(at);
        for recipient in message.recipients {
            self.enqueue(at, recipient, now);
        }
        self.messages[at as usize].expected -= 1;
        self.conclude_if_done(at, now);
    }

    fn enqueue(&mut self, message: u32, pending: Pending, now: Time) {
        let Pending { number, recipient, transport, next_hop } = pending;
        let lane = self.lanes.enter(
            transport,
            &self.parameters.transports[usize::from(transport.0)],
            &recipient.address,
            next_hop.as_deref(),
            &self.parameters.recipient_delimiter,
        );
        let entry = self.entries.insert(message, lane, number, transport, recipient, next_hop);
        let list = &mut self.messages[message as usize].entries;
        self.entries.push_back(list, By::Message, entry);
        self.wait(entry, Back, now);
        self.offer_turn(lane);
    }

    /// Puts an entry into its lane, unless the lane leads nowhere at present.
    fn wait(&mut self, entry: u32, end: End, now: Time) {
        let lane = &mut self.lanes[self.entries[entry].lane];
        if let Rest::Dead { status, reason, .. } = &lane.rest {
            let (status, reason) = (*status, reason.clone());
            return self.settle(entry, None, Verdict::Deferred, status, reason, now);
        }
        match end {
            Front => self.entries.push_front(&mut lane.waiting, By::Lane, entry),
            Back => self.entries.push_back(&mut lane.waiting, By::Lane, entry),
        }
    }

    // --- out to the agents

    /// One job from each agent's turn, one from each lane's: nobody waits for a longer queue.
    fn start_jobs(&mut self, now: Time, free: usize, jobs: &mut Vec<Submit>) {
        let (mut free, mut without) = (free, 0);
        while free > 0 && without < self.agents.len() {
            let agent = self.turn;
            self.turn = (self.turn + 1) % self.agents.len();
            match self.next_job(agent, now) {
                Some(job) => {
                    jobs.push(job);
                    (free, without) = (free - 1, 0);
                }
                None => without += 1,
            }
        }
    }

    fn next_job(&mut self, agent: usize, now: Time) -> Option<Submit> {
        let jobs_max = self.parameters.transports[agent].jobs_max;
        if jobs_max > 0 && self.agents[agent].busy >= jobs_max {
            return None;
        }
        while let Some(at) = self.agents[agent].round.pop_front() {
            let lane = &mut self.lanes[at];
            lane.in_turn = false;
            if !lane.may_start() {
                self.lanes.leave_if_idle(at);
                continue;
            }
            let entry = lane.waiting.first;
            self.entries.unlink(&mut lane.waiting, By::Lane, entry);
            if lane.busy == 0 {
                lane.heard = now;
            }
            lane.busy += 1;
            self.agents[agent].busy += 1;
            self.offer_turn(at);
            return Some(self.job(entry, now));
        }
        None
    }

    fn job(&mut self, at: u32, now: Time) -> Submit {
        self.tickets = self.tickets.wrapping_add(1);
        let entry = &mut self.entries[at];
        entry.state = State::Busy { ticket: self.tickets, since: now };
        let message = &self.messages[entry.message as usize];
        Submit {
            transport: entry.transport,
            next_hop: entry.next_hop.clone(),
            job: Job {
                tag: u64::from(self.tickets) << 32 | u64::from(at),
                id: message.id,
                sender: message.sender.clone(),
                recipient: entry.recipient.clone(),
                number: entry.number,
                arrival: message.arrival,
                content: message.content,
                seen_before: message.seen_before || entry.lost > 0,
                has_delivered_to: message.has_delivered_to,
                // For the shell, which knows what the agents are called.
                service: None,
            },
        }
    }

    /// Puts a lane into its agent's round, where it can start something.
    fn offer_turn(&mut self, at: u32) {
        let lane = &mut self.lanes[at];
        if !lane.in_turn && lane.may_start() {
            lane.in_turn = true;
            self.agents[usize::from(lane.transport.0)].round.push_back(at);
        }
    }

    // --- to the end of an attempt

    /// One recipient is done with, for this attempt or for good. The entry must not be in a lane.
    fn settle(
        &mut self,
        at: u32,
        handed_out: Option<Time>,
        verdict: Verdict,
        status: Status,
        text: Box<str>,
        now: Time,
    ) {
        let message_at = self.entries[at].message;
        let message = &mut self.messages[message_at as usize];
        self.entries.unlink(&mut message.entries, By::Message, at);
        let entry = self.entries.remove(at);
        let (id, number) = (message.id, entry.number);
        let (mut status, mut text) = (status, text);
        let mut fail = |message: &mut Active, status, reason: &str| {
            message.failed = true;
            self.pending.changes.push(Change::Failed { id, number, status, reason: reason.into() });
            "bounced"
        };
        let word = match verdict {
            Verdict::Delivered => {
                self.pending.changes.push(Change::Delivered { id, number });
                "sent"
            }
            Verdict::Deferred => {
                message.deferred = true;
                let reason = text.clone();
                self.pending.changes.push(Change::Deferred { id, number, status, reason });
                "deferred"
            }
            Verdict::Failed => fail(message, status, &text),
            Verdict::Redirect(to) => {
                let first_number = message.recipients_total;
                let total = first_number as usize + to.len();
                if total > self.parameters.message_recipients_max as usize {
                    // RFC 3463: routing loop detected.
                    status = Status(5, 4, 6);
                    text = "too many recipients by redirection".into();
                    fail(message, status, &text)
                } else {
                    message.recipients_total = total as u32;
                    message.expected += to.len() as u32;
                    let change = Change::Redirected { id, number, first_number, to: to.clone() };
                    self.pending.changes.push(change);
                    if !to.is_empty() {
                        self.pending.resolve.push(Resolve { id, first_number, recipients: to });
                    }
                    "sent"
                }
            }
        };
        let handed_over = handed_out.unwrap_or(now);
        let transport = &self.parameters.transports[usize::from(entry.transport.0)];
        self.pending.log.push(Log::Delivery(Delivery {
            id,
            to: entry.recipient.address,
            orig_to: entry.recipient.original,
            agent: handed_out.map(|_| transport.name.clone()),
            relays: !transport.relays_nothing,
            delays: Delays {
                total: now.since(message.arrival),
                before: message.since.since(message.arrival),
                active: handed_over.since(message.since),
                connecting: Duration::ZERO,
                delivering: now.since(handed_over),
            },
            dsn: status,
            status: word,
            text,
        }));
        self.conclude_if_done(message_at, now);
    }

    /// Every recipient has been tried: decides what becomes of the message.
    fn conclude_if_done(&mut self, at: u32, now: Time) {
        let message = &self.messages[at as usize];
        if message.expected > 0 || !message.entries.is_empty() {
            return;
        }
        let message = self.messages.remove(at as usize);
        let id = message.id;
        self.by_id.remove(&id);
        let lifetime = match message.sender {
            Some(_) => self.parameters.queue_lifetime,
            None => self.parameters.bounce_lifetime,
        };
        let open = message.deferred || message.withdrawn;
        let change = match message.order {
            Order::Delete if open || message.failed => Change::Deleted { id },
            Order::Hold if open => Change::Held { id, why: Hold::Asked },
            Order::Release if message.withdrawn => Change::Until { id, next_attempt: now },
            _ if open && self.clock.age(message.arrival, now) >= lifetime => {
                self.pending.log.push(Log::Expired { id, from: message.sender });
                Change::Held { id, why: Hold::Expired }
            }
            _ if open => {
                // The time in the queue, not the time since the last attempt: attempts of mail that
                // came together spread out.
                let wait = now
                    .since(message.arrival)
                    .clamp(self.parameters.minimal_backoff, self.longest_wait());
                Change::Until { id, next_attempt: now.after(wait) }
            }
            _ if message.failed => {
                self.pending.log.push(Log::Undeliverable { id, from: message.sender });
                Change::Held { id, why: Hold::Undeliverable }
            }
            _ => {
                self.pending.log.push(Log::Removed { id });
                Change::Finished { id }
            }
        };
        if change == (Change::Until { id, next_attempt: now }) {
            self.start_run(now);
        }
        self.pending.changes.push(change);
    }

    fn longest_wait(&self) -> Duration {
        self.parameters.maximal_backoff.max(self.parameters.minimal_backoff)
    }

    // --- rests and runs

    /// Declares a destination dead: what waits for it goes back to the deferred queue, so that it
    /// keeps neither slots nor memory from others.
    fn bury(&mut self, lane: u32, status: Status, reason: Box<str>, now: Time) {
        let timer = self.rest(lane, now.after(self.parameters.minimal_backoff));
        self.lanes[lane].rest = Rest::Dead { timer, status, reason: reason.clone() };
        self.put_off(lane, status, &reason, now);
    }

    /// Defers what waits in a lane.
    fn put_off(&mut self, lane: u32, status: Status, reason: &str, now: Time) {
        loop {
            let waiting = &mut self.lanes[lane].waiting;
            let entry = waiting.first;
            if entry == NONE {
                return;
            }
            self.entries.unlink(waiting, By::Lane, entry);
            self.settle(entry, None, Verdict::Deferred, status, reason.into(), now);
        }
    }

    /// A destination that neither works nor fails, say one whose every connect times out, is not
    /// dead until a window of its jobs has failed, which takes minutes. Until then it must not fill
    /// the active queue.
    fn evict_silent_lanes(&mut self, now: Time) {
        self.next_eviction = now.after(LANE_SILENCE_MAX);
        let silent: Vec<u32> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.busy > 0 && !lane.waiting.is_empty())
            .filter(|(_, lane)| now.since(lane.heard) >= LANE_SILENCE_MAX)
            .map(|(at, _)| at)
            .collect();
        for lane in silent {
            // RFC 3463: system not accepting network messages.
            let reason = "delivery temporarily suspended: no answer from earlier deliveries";
            self.put_off(lane, Status(4, 3, 2), reason, now);
        }
    }

    /// Sets the timer that ends a lane's rest.
    fn rest(&mut self, lane: u32, until: Time) -> u64 {
        while self.alarms.len() >= self.parameters.resting_lanes_max.max(1) {
            if let Some(Reverse(alarm)) = self.alarms.pop() {
                self.end_rest(alarm);
            }
        }
        self.timers += 1;
        self.alarms.push(Reverse((until, self.timers, lane)));
        self.timers
    }

    fn end_rests(&mut self, now: Time) {
        while let Some(&Reverse(alarm)) = self.alarms.peek()
            && alarm.0 <= now
        {
            self.alarms.pop();
            self.end_rest(alarm);
        }
    }

    fn end_rest(&mut self, (_, timer, lane): Alarm) {
        // The lane may have been revived since, and its place taken by another.
        if self.lanes.get(lane).and_then(|lane| lane.timer()) == Some(timer) {
            let transport = self.lanes[lane].transport;
            self.lanes[lane].revive(&self.parameters.transports[usize::from(transport.0)]);
            self.offer_turn(lane);
            self.lanes.leave_if_idle(lane);
        }
    }

    fn start_run(&mut self, now: Time) {
        self.runs.start_due(Source::Due { by: now, beyond: now.after(self.longest_wait()) });
        self.next_run = now.after(self.parameters.queue_run_delay);
    }

    fn read_clock(&mut self, now: Time) {
        let gap_max = self.parameters.queue_run_delay + SILENCE_MAX;
        if self.clock.read(now, gap_max) == Reading::Back {
            // What was set by the clock that was ahead must not wait until it is that late again.
            self.next_run = self.next_run.min(now.after(self.parameters.queue_run_delay));
            self.next_eviction = self.next_eviction.min(now.after(LANE_SILENCE_MAX));
            let alarms = mem::take(&mut self.alarms);
            self.alarms = alarms
                .into_iter()
                .map(|Reverse((at, timer, lane))| {
                    let transport = self.lanes.get(lane).map(|lane| usize::from(lane.transport.0));
                    let pause = transport
                        .map_or(Duration::ZERO, |at| self.parameters.transports[at].rate_delay);
                    let longest = pause.max(self.parameters.minimal_backoff);
                    Reverse((at.min(now.after(longest)), timer, lane))
                })
                .collect();
        }
    }
}

use End::{Back, Front};

/// Where in its lane an entry goes.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// True where the destination, not the message, was the trouble: a temporary network or routing
/// failure (RFC 3463 section 3.5, X.4.XXX), which is what Postfix's clients report for a host that
/// could not be reached or broke off.
fn is_unreachable(verdict: &Verdict, status: Status) -> bool {
    matches!(verdict, Verdict::Deferred) && status.is_transient() && status.1 == 4
}

/// Moves a list's items, or, at no cost, the list.
fn hand_over<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    if to.is_empty() { mem::swap(from, to) } else { to.append(from) }
}
