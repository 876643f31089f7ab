//! A queue and its agents as the scheduler sees them, in memory and with a clock that obeys the
//! test. It keeps the books, and panics where the scheduler breaks a promise.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::{Address, Content, Job, Outcome, QueueId, Recipient, Status, Time, Verdict};
use qmgr::{
    Admission, Change, Cursor, Effects, Hold, Log, Message, Parameters, Pending, Pull, Scheduler,
    Source, Transport,
};

/// A queue, its agents and a clock.
pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) limits: Parameters,
    /// What the clock shows.
    pub(crate) now: Time,
    /// The time that has really passed.
    pub(crate) lived: Duration,
    pub(crate) stored: BTreeMap<QueueId, Stored>,
    /// Jobs that an agent has in hand.
    pub(crate) out: Vec<(Transport, Job)>,
    /// Recipients that were with an agent when it died.
    pub(crate) unsure: BTreeSet<(QueueId, u32)>,
    pub(crate) delivered: BTreeSet<(QueueId, u32)>,
    pub(crate) log: Vec<Log>,
    pub(crate) effects: Effects,
    pub(crate) ids: u64,
}

/// A message in the queue.
pub(crate) struct Stored {
    pub(crate) arrival: Time,
    pub(crate) born: Duration,
    pub(crate) sender: Option<Address>,
    pub(crate) pending: BTreeMap<u32, Recipient>,
    pub(crate) total: u32,
    pub(crate) place: Place,
    pub(crate) failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Incoming,
    Deferred(Time),
    Held(Hold),
}

/// The way to an address: hosts are reached by `smtp`, everything under `.slow` with pauses, and
/// the rest lies in mailboxes.
fn transport(address: &Address) -> Transport {
    match address.domain() {
        domain if domain.ends_with(".slow") => Transport(2),
        domain if domain.starts_with("host") => Transport(1),
        _ => Transport(0),
    }
}

fn pending(number: u32, recipient: &Recipient) -> Pending {
    let transport = transport(&recipient.address);
    Pending { number, recipient: recipient.clone(), transport, next_hop: None }
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

impl World {
    pub(crate) fn new(limits: Parameters) -> Self {
        let mut world = Self {
            scheduler: Scheduler::new(limits.clone()),
            limits,
            now: Time::from_secs(1_800_000_000),
            lived: Duration::ZERO,
            stored: BTreeMap::new(),
            out: Vec::new(),
            unsure: BTreeSet::new(),
            delivered: BTreeSet::new(),
            log: Vec::new(),
            effects: Effects::default(),
            ids: 0,
        };
        world.poll(0);
        world.answer_pull();
        world
    }

    pub(crate) fn message(&self, id: QueueId) -> Message {
        let stored = &self.stored[&id];
        Message {
            id,
            arrival: stored.arrival,
            sender: stored.sender.clone(),
            recipients: stored.pending.iter().map(|(n, to)| pending(*n, to)).collect(),
            unresolved: 0,
            recipients_total: stored.total,
            content: Content::File { len: 1000 },
            has_delivered_to: false,
            seen_before: true,
            failed_before: stored.failed,
        }
    }

    /// A message is committed.
    pub(crate) fn arrive(&mut self, to: &[&str]) -> (QueueId, Admission) {
        self.arrive_with_unresolved(to, 0)
    }

    /// A message is committed, and the ways of its last recipients are not known yet.
    pub(crate) fn arrive_with_unresolved(
        &mut self,
        to: &[&str],
        unresolved: u32,
    ) -> (QueueId, Admission) {
        self.ids += 1;
        let id = QueueId::from_u64(self.ids);
        let recipients = to.iter().map(|to| Recipient::new(address(to)));
        let stored = Stored {
            arrival: self.now,
            born: self.lived,
            sender: Some(address("sender@client.example")),
            pending: (0..).zip(recipients).collect(),
            total: to.len() as u32,
            place: Place::Incoming,
            failed: false,
        };
        self.stored.insert(id, stored);
        let mut message = Message { seen_before: false, unresolved, ..self.message(id) };
        message.recipients.truncate(to.len() - unresolved as usize);
        let admission = self.scheduler.arrived(message, self.now);
        (id, admission)
    }

    /// The way of one of them is known.
    pub(crate) fn resolve(&mut self, id: QueueId, number: u32, to: &str) {
        let recipient = Recipient::new(address(to));
        self.scheduler.resolved(id, vec![pending(number, &recipient)], self.now);
    }

    pub(crate) fn poll(&mut self, free: usize) {
        self.scheduler.poll(self.now, free, &mut self.effects);
        assert!(self.effects.jobs.len() <= free, "more jobs than asked for");
        assert!(self.scheduler.active() <= self.limits.active_messages_max, "active limit");
        for submit in std::mem::take(&mut self.effects.jobs) {
            self.take_out(submit.transport, submit.job);
        }
        for change in std::mem::take(&mut self.effects.changes) {
            self.apply(change);
        }
        self.log.append(&mut self.effects.log);
        let resolve = std::mem::take(&mut self.effects.resolve);
        let resolved = !resolve.is_empty();
        for resolve in resolve {
            let numbered = (resolve.first_number..).zip(&resolve.recipients);
            let ways = numbered.map(|(n, to)| pending(n, to)).collect();
            self.scheduler.resolved(resolve.id, ways, self.now);
        }
        if resolved {
            self.poll(0);
        }
        let longest = self.limits.queue_run_delay;
        assert!(self.effects.wake <= self.now.after(longest), "asleep for more than a queue run");
    }

    fn take_out(&mut self, transport: Transport, job: Job) {
        let key = (job.id, job.number);
        let stored = self.stored.get(&job.id).expect("a job for a message that is gone");
        assert!(stored.pending.contains_key(&job.number), "a job for a recipient that is done");
        assert!(!matches!(stored.place, Place::Held(_)), "a job for a message on hold");
        assert!(!self.delivered.contains(&key), "a second delivery");
        let twice = self.out.iter().any(|(_, other)| (other.id, other.number) == key);
        assert!(!twice, "one job is out twice");
        assert!(job.seen_before || !self.unsure.contains(&key), "the agent must look first");
        self.out.push((transport, job));
    }

    fn apply(&mut self, change: Change) {
        let now = self.now;
        match change {
            Change::Delivered { id, number } => {
                self.done(id, number);
                assert!(self.delivered.insert((id, number)));
            }
            Change::Deferred { id, number, status, .. } => {
                assert!(status.is_transient());
                assert!(self.stored[&id].pending.contains_key(&number));
            }
            Change::Failed { id, number, .. } => {
                self.done(id, number);
                self.stored.get_mut(&id).unwrap().failed = true;
            }
            Change::Redirected { id, number, first_number, to } => {
                self.done(id, number);
                let stored = self.stored.get_mut(&id).unwrap();
                assert_eq!(first_number, stored.total, "numbers are not used twice");
                stored.total += to.len() as u32;
                stored.pending.extend((first_number..).zip(to));
            }
            Change::Finished { id } => {
                let gone = self.stored.remove(&id).expect("finished twice");
                assert!(gone.pending.is_empty() && !gone.failed, "{id} is gone too early");
            }
            Change::Until { id, next_attempt } => {
                assert!(next_attempt <= now.after(self.limits.maximal_backoff));
                let stored = self.stored.get_mut(&id).unwrap();
                assert!(!stored.pending.is_empty());
                stored.place = Place::Deferred(next_attempt);
            }
            Change::Held { id, why } => {
                let stored = self.stored.get_mut(&id).unwrap();
                if why == Hold::Expired {
                    let age = self.lived - stored.born;
                    assert!(age >= self.limits.queue_lifetime, "given up after {age:?}");
                }
                stored.place = Place::Held(why);
            }
            Change::Deleted { id } => {
                self.stored.remove(&id).expect("deleted twice");
            }
        }
    }

    fn done(&mut self, id: QueueId, number: u32) {
        let stored = self.stored.get_mut(&id).expect("an outcome for a message that is gone");
        assert!(stored.pending.remove(&number).is_some(), "{id}: two outcomes for {number}");
    }

    /// An agent answers the `at`th job that is out.
    pub(crate) fn answer(&mut self, at: usize, verdict: Verdict, status: Status) {
        let (_, job) = self.out.remove(at);
        let text = "the agent's words".into();
        assert!(self.scheduler.outcome(Outcome { tag: job.tag, verdict, status, text }, self.now));
    }

    pub(crate) fn lose_agent(&mut self, transport: Transport) {
        let lost: Vec<Job>;
        (lost, self.out) = {
            let (lost, kept) = self.out.drain(..).partition::<Vec<_>, _>(|(t, _)| *t == transport);
            (lost.into_iter().map(|(_, job)| job).collect(), kept)
        };
        self.scheduler.agent_lost(transport, self.now);
        for job in lost {
            self.unsure.insert((job.id, job.number));
            let late = Outcome::new(job.tag, Status(2, 0, 0), "too late");
            assert!(!self.scheduler.outcome(late, self.now), "a dead agent has no say");
        }
    }

    /// Answers the open question, if there is one.
    pub(crate) fn answer_pull(&mut self) {
        // The answer must come from a queue that has seen all changes.
        self.poll(0);
        let Some(pull) = self.effects.pull.take() else { return };
        let (found, next) = self.look_up(&pull);
        let messages: Vec<Message> = found.into_iter().map(|id| self.message(id)).collect();
        self.scheduler.pulled(messages, next, self.now);
    }

    fn look_up(&self, pull: &Pull) -> (Vec<QueueId>, Option<Cursor>) {
        let mut found: Vec<Cursor> = self
            .stored
            .iter()
            .filter_map(|(&id, stored)| {
                let time = match (&pull.source, stored.place) {
                    (Source::Incoming, Place::Incoming) => Time(0),
                    (Source::Due { by, beyond }, Place::Deferred(next))
                        if next <= *by || next > *beyond =>
                    {
                        next
                    }
                    (Source::Deferred, Place::Deferred(_)) => Time(0),
                    (Source::Site(site), Place::Deferred(_)) => {
                        let there = |to: &Recipient| to.address.domain() == &**site;
                        stored.pending.values().any(there).then_some(Time(0))?
                    }
                    _ => return None,
                };
                Some(Cursor { time, id })
            })
            .filter(|cursor| pull.after.is_none_or(|after| *cursor > after))
            .collect();
        found.sort();
        let mut recipients = 0;
        let mut taken = Vec::new();
        for cursor in &found {
            if taken.len() == pull.at_most || recipients >= pull.recipients_at_most {
                return (taken, Some(*found.iter().take_while(|c| *c < cursor).last().unwrap()));
            }
            recipients += self.stored[&cursor.id].pending.len();
            taken.push(cursor.id);
        }
        (taken, None)
    }

    pub(crate) fn sleep(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.lived += duration;
    }

    /// Sleeps until the scheduler wants to be woken.
    pub(crate) fn sleep_until_woken(&mut self) {
        let wait = self.effects.wake.since(self.now);
        self.sleep(wait);
    }

    /// Lets everything that is due happen, and every agent succeed.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.answer_pull();
            self.poll(1_000);
            if self.out.is_empty() && self.effects.pull.is_none() {
                return;
            }
            while !self.out.is_empty() {
                self.answer(0, Verdict::Delivered, Status(2, 0, 0));
            }
        }
        panic!("the scheduler does not come to rest");
    }
}
