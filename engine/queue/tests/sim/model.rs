//! What the queue should hold, and a workload that tells it.
//!
//! For each message the model keeps the state that is durable, and the changes after it that may or may
//! not be. After a crash the queue must hold the former, with any of the latter: a torn write can lose a
//! record and keep the one behind it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use mail::{
    Address, Client, Content, Envelope, Outcome, Protocol, QueueId, Recipient, Status, Time,
    Verdict,
};
use queue::{Attempt, Driver, Lease, Notes, Options, Reason, Report, Slice, SliceError, Standing};

use crate::sim::{Dice, SimDisk};

pub(crate) const NOW: Time = Time(1_790_000_000_000_000);

/// A message's state; `None` is gone.
pub(crate) type Seen = Option<State>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) standings: Vec<Standing>,
    pub(crate) held: bool,
    pub(crate) expired: bool,
}

type Change = Rc<dyn Fn(&mut Seen)>;

pub(crate) struct Tracked {
    pub(crate) content: Vec<u8>,
    /// What it is, durably; `None` before it was accepted, and after its end.
    durable: Seen,
    /// How many changes led there.
    settled: usize,
    /// The changes after that.
    later: Vec<Change>,
    /// What it is with all of them.
    pub(crate) now: Seen,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) messages: BTreeMap<QueueId, Tracked>,
    /// Jobs on their way: the agent reads there when it likes.
    jobs: Vec<(QueueId, Lease)>,
}

pub(crate) type Shared = Rc<RefCell<Model>>;

impl Tracked {
    fn change(&mut self, change: impl Fn(&mut Seen) + 'static) {
        change(&mut self.now);
        self.later.push(Rc::new(change));
    }

    /// The first `changes` of its life are durable.
    fn settle(&mut self, changes: usize) {
        let newly = changes.saturating_sub(self.settled);
        for change in self.later.drain(..newly) {
            change(&mut self.durable);
        }
        self.settled += newly;
    }

    fn possible(&self) -> Vec<Seen> {
        let mut possible = vec![self.durable.clone()];
        for change in &self.later {
            for mut state in possible.clone() {
                change(&mut state);
                if !possible.contains(&state) {
                    possible.push(state);
                }
            }
        }
        possible
    }
}

impl Model {
    fn accept(&mut self, id: QueueId, content: Vec<u8>, state: State) {
        let tracked = Tracked { content, durable: None, settled: 0, later: Vec::new(), now: None };
        // An id that a crash took away can come again, as the clock stands still here.
        self.messages.insert(id, tracked);
        let message = self.messages.get_mut(&id).unwrap();
        message.change(move |seen| *seen = Some(state.clone()));
    }

    /// All changes counted in `upto` are durable.
    fn settle(&mut self, upto: &BTreeMap<QueueId, usize>) {
        for (id, changes) in upto {
            self.messages.get_mut(id).unwrap().settle(*changes);
        }
    }

    fn changes(&self) -> BTreeMap<QueueId, usize> {
        self.messages.iter().map(|(id, m)| (*id, m.settled + m.later.len())).collect()
    }

    fn change(&mut self, id: QueueId, change: impl Fn(&mut State) + 'static) {
        self.messages.get_mut(&id).unwrap().change(move |seen| {
            let Some(state) = seen else { return };
            change(state);
            let open = |s: &Standing| matches!(s, Standing::Pending { .. } | Standing::Failed(_));
            if !state.standings.iter().any(open) {
                *seen = None;
            }
        });
    }

    fn remove(&mut self, id: QueueId) {
        self.messages.get_mut(&id).unwrap().change(|seen| *seen = None);
    }

    fn alive(&self) -> Vec<QueueId> {
        let alive = self.messages.iter().filter(|(_, message)| message.now.is_some());
        alive.map(|(id, _)| *id).collect()
    }
}

pub(crate) fn envelope(recipients: u64) -> Rc<Envelope> {
    let address = |text: String| Address::parse(text.as_bytes()).unwrap();
    let recipients = (0..recipients).map(|n| Recipient::new(address(format!("u{n}@mx.example"))));
    Rc::new(Envelope {
        sender: Some(address("sender@client.example".to_owned())),
        recipients: recipients.collect(),
        arrival: NOW,
        client: Client {
            name: "client.example".into(),
            address: None,
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
        },
        body: mail::Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        filter: None,
        not_before: None,
    })
}

pub(crate) fn new_state(envelope: &Envelope) -> State {
    let pending = Standing::Pending { retry: envelope.arrival, last: None };
    State {
        recipients: envelope.recipients.clone(),
        standings: vec![pending; envelope.recipients.len()],
        held: false,
        expired: false,
    }
}

/// Small segments, so that a few messages are enough to roll, reuse and copy them.
pub(crate) fn options(index: PathBuf, boot: u64) -> Options {
    Options {
        boot_id: format!("boot {boot}"),
        segment_bytes: 64 << 10,
        first_segment_bytes: 64 << 10,
        record_bytes_max: 16 << 10,
        batch_bytes: 16 << 10,
        index_bytes_max: 16 << 20,
        ..Options::new(0, &index)
    }
}

/// One step of a workload. Returns once it is recorded, and for some steps once it is durable.
pub(crate) async fn step(
    slice: &Slice<SimDisk>,
    model: &Shared,
    dice: &mut Dice,
) -> Result<(), SliceError> {
    let alive = model.borrow().alive();
    let choice = if alive.is_empty() { 0 } else { dice.roll(22) };
    let pick = |dice: &mut Dice| alive[dice.roll(alive.len() as u64) as usize];
    match choice {
        0..=5 => accept(slice, model, dice).await?,
        6 => accept_file(slice, model, dice).await?,
        7 => {
            let id = pick(dice);
            slice.hold(id)?;
            model.borrow_mut().change(id, |state| state.held = true);
        }
        8 => {
            let id = pick(dice);
            slice.release(id, NOW)?;
            model.borrow_mut().change(id, |state| {
                state.held = false;
                retry_all(state, NOW);
            });
        }
        9 => {
            let (id, at) = (pick(dice), Time(NOW.0 + dice.roll(1000)));
            slice.requeue(id, at)?;
            model.borrow_mut().change(id, move |state| retry_all(state, at));
        }
        10 => {
            let id = pick(dice);
            slice.expire(id, NOW)?;
            model.borrow_mut().change(id, |state| {
                state.expired = true;
                retry_all(state, NOW);
            });
        }
        11 => {
            let id = pick(dice);
            slice.delete(id, Reason::Deleted)?;
            model.borrow_mut().remove(id);
        }
        12 => {
            let upto = model.borrow().changes();
            slice.settled().await?;
            model.borrow_mut().settle(&upto);
        }
        13 => {
            // Long enough for the index to be brought up to date, and for upkeep.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        14 => {
            let id = pick(dice);
            let lease = slice.load(id).await?.place.lease();
            model.borrow_mut().jobs.push((id, lease));
        }
        15 => {
            let mut model = model.borrow_mut();
            let done = dice.roll(model.jobs.len() as u64 + 1) as usize;
            model.jobs.drain(..done);
        }
        _ => {
            let id = pick(dice);
            outcome(slice, model, dice, id)?;
        }
    }
    Ok(())
}

/// Whatever became of their messages, all jobs read what they were sent for.
pub(crate) fn read_as_the_agent_would(disk: &SimDisk, model: &Shared, context: &str) {
    let model = model.borrow();
    for (id, lease) in &model.jobs {
        if let Content::Segment { .. } = lease.content {
            let content = read_content(disk, *id, lease.content);
            assert!(content == model.messages[id].content, "{context}: {id}: other content");
        }
    }
}

fn retry_all(state: &mut State, at: Time) {
    for standing in &mut state.standings {
        if let Standing::Pending { retry, .. } = standing {
            *retry = at;
        }
    }
}

async fn accept(slice: &Slice<SimDisk>, model: &Shared, dice: &mut Dice) -> Result<(), SliceError> {
    let mut commits = Vec::new();
    for _ in 0..=dice.roll(4) {
        let id = slice.next_id(NOW);
        let envelope = envelope(1 + dice.roll(3));
        let content = content(dice, 6000);
        let transaction = slice.begin();
        let refused = dice.chance(10);
        let appended = slice.append(id, &envelope, |sink| {
            content.chunks(1000).for_each(|piece| sink.push(piece));
            if refused { Err(()) } else { Ok(()) }
        });
        drop(transaction);
        match appended {
            Ok((_, commit)) => {
                model.borrow_mut().accept(id, content, new_state(&envelope));
                commits.push((id, commit));
            }
            Err(queue::AppendError::Content(())) => assert!(refused),
            Err(queue::AppendError::Refused(refusal)) => return Err(refusal.into()),
        }
    }
    for (id, commit) in commits {
        commit.await?;
        model.borrow_mut().messages.get_mut(&id).unwrap().settle(1);
    }
    Ok(())
}

async fn accept_file(
    slice: &Slice<SimDisk>,
    model: &Shared,
    dice: &mut Dice,
) -> Result<(), SliceError> {
    let id = slice.next_id(NOW);
    let envelope = envelope(1 + dice.roll(3));
    let content = content(dice, 6000);
    let mut large = slice.stream(id).await?;
    for piece in content.chunks(1500) {
        large.write(piece.to_vec()).await?;
    }
    if dice.chance(20) {
        large.abandon().await;
        return Ok(());
    }
    let file = large.finish().await?;
    let commit = slice.append_file(id, &envelope, file, Notes::default())?;
    model.borrow_mut().accept(id, content, new_state(&envelope));
    commit.await?;
    model.borrow_mut().messages.get_mut(&id).unwrap().settle(1);
    Ok(())
}

fn outcome(
    slice: &Slice<SimDisk>,
    model: &Shared,
    dice: &mut Dice,
    id: QueueId,
) -> Result<(), SliceError> {
    let recipients = {
        let model = model.borrow();
        model.messages[&id].now.as_ref().unwrap().recipients.len() as u64
    };
    let number = dice.roll(recipients) as u32;
    let retry = Time(NOW.0 + 1_000_000 + dice.roll(1_000_000));
    let text = format!("attempt {}", dice.roll(1000));
    let attempt = |status| Box::new(Attempt { at: NOW, status, text: text.clone().into() });
    let (outcome, standing, more) = match dice.roll(10) {
        0..=5 => (Outcome::new(1, Status(2, 0, 0), &*text), Standing::Delivered, vec![]),
        6 | 7 => {
            let status = Status(4, 2, 2);
            let standing = Standing::Pending { retry, last: Some(attempt(status)) };
            (Outcome::new(1, status, &*text), standing, vec![])
        }
        8 => {
            let status = Status(5, 1, 1);
            (Outcome::new(1, status, &*text), Standing::Failed(attempt(status)), vec![])
        }
        _ => {
            let to = Recipient::new(Address::parse(b"other@mx.example").unwrap());
            let verdict = Verdict::Redirect(vec![to.clone()]);
            let status = Status(2, 0, 0);
            let outcome = Outcome { tag: 1, verdict, status, text: text.clone().into() };
            (outcome, Standing::Redirected, vec![to])
        }
    };
    slice.outcome(id, number, &outcome, NOW, retry)?;
    model.borrow_mut().change(id, move |state| {
        // Its number may come from a redirection that was lost.
        if let Some(current) = state.standings.get_mut(number as usize) {
            *current = standing.clone();
        }
        for to in more.clone() {
            state.recipients.push(to);
            state.standings.push(Standing::Pending { retry: NOW, last: None });
        }
    });
    Ok(())
}

fn content(dice: &mut Dice, bytes_max: u64) -> Vec<u8> {
    let len = dice.roll(bytes_max);
    (0..len).map(|n| if n % 61 == 60 { b'\n' } else { b'a' + (dice.roll(26) as u8) }).collect()
}

pub(crate) async fn open(
    disk: &SimDisk,
    options: Options,
) -> (Slice<SimDisk>, Driver<SimDisk>, Report) {
    let opened = Slice::open(disk.clone(), options).await.unwrap();
    (opened.slice, opened.driver, opened.report)
}

/// The queue holds, for each message, a state that it may hold, and nothing that it may not. From then on
/// that state is the one it has.
pub(crate) async fn check(slice: &Slice<SimDisk>, disk: &SimDisk, model: &Shared, context: &str) {
    // No job outlives the process.
    model.borrow_mut().jobs.clear();
    let ids: Vec<QueueId> = model.borrow().messages.keys().copied().collect();
    for id in ids {
        let seen = match slice.load(id).await {
            Ok(message) => {
                let content = read_content(disk, id, message.place.lease().content);
                let expected = &model.borrow().messages[&id].content;
                assert!(content == *expected, "{context}: {id}: other content");
                Some(State {
                    recipients: message.envelope.recipients.clone(),
                    standings: message.standings,
                    held: message.held,
                    expired: message.expired,
                })
            }
            Err(SliceError::NoMessage(_)) => None,
            Err(error) => panic!("{context}: {id}: {error}"),
        };
        let mut model = model.borrow_mut();
        let message = model.messages.get_mut(&id).unwrap();
        let possible = message.possible();
        assert!(possible.contains(&seen), "{context}: {id} is {seen:#?}, not one of {possible:#?}");
        message.settled = 0;
        message.later.clear();
        message.now.clone_from(&seen);
        message.durable = seen;
    }
    let due = slice.due(Time(u64::MAX), usize::MAX).unwrap();
    let mut alive = due.iter().map(|(_, id)| *id).collect::<Vec<_>>();
    alive.sort();
    let model = model.borrow();
    let expected = model
        .messages
        .iter()
        .filter(|(_, message)| message.now.as_ref().is_some_and(|state| !state.held));
    let expected: Vec<QueueId> = expected.map(|(id, _)| *id).collect();
    assert_eq!(alive, expected, "{context}: what is due, each once");
    for (_, id) in due {
        slice.put_back(id).unwrap();
    }
}

pub(crate) fn read_content(disk: &SimDisk, id: QueueId, content: Content) -> Vec<u8> {
    match content {
        Content::Segment { segment, offset, len, .. } => {
            let bytes = disk.read_file(&format!("segment-{segment:08x}")).unwrap();
            bytes[offset as usize..offset as usize + len as usize].to_vec()
        }
        Content::File { .. } => disk.read_file(&format!("content/{id}")).unwrap(),
        Content::Arena { .. } => panic!("{id}: nothing is in memory after a start"),
    }
}
