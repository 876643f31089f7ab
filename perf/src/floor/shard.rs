//! One shard of the floor: sessions, the log and the way back from delivery in one epoll.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use slab::Slab;

use super::Counts;
use super::batch::{Batch, Token};
use super::delivery::Job;
use super::log::Log;
use crate::failure::{Doing, Result};
use crate::minimal::dialogue::{Dialogue, Event, QUEUED};

pub(crate) struct Setup {
    pub(crate) listener: TcpListener,
    pub(crate) log_path: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) mailboxes: u32,
    /// None: the message stays in the log.
    pub(crate) jobs: Option<Sender<Job>>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) counts: Arc<Counts>,
}

pub(crate) struct Shard {
    setup: Setup,
    epoll: OwnedFd,
    sessions: Slab<Session>,
    serial: u64,
    log: Log,
    open: Batch,
    spare: Vec<Batch>,
    /// Durable batches that found the delivery queue full.
    undelivered: VecDeque<Batch>,
    back: (Sender<Batch>, Receiver<Batch>),
    input: Vec<u8>,
}

struct Session {
    socket: OwnedFd,
    serial: u64,
    dialogue: Dialogue,
    replies: Vec<u8>,
    /// A message waits for its commit; what the client sends meanwhile waits in `early`.
    committing: bool,
    early: Vec<u8>,
    closing: bool,
}

const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const LOG: u64 = u64::MAX - 2;

/// Keeps a listener that cannot accept from spinning.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(10);

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Batches a shard holds back for the delivery thread before it takes no more mail.
const UNDELIVERED_MAX: usize = 64;

/// File names must not repeat, whichever shard makes them.
static IDS: AtomicU64 = AtomicU64::new(0);

impl Shard {
    pub(crate) fn new(setup: Setup) -> Result<Self> {
        let log = Log::create(&setup.log_path, setup.segment_bytes)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "making an epoll")?;
        let watch = |source: BorrowedFd<'_>, data: u64| {
            epoll::add(&epoll, source, EventData::new_u64(data), EventFlags::IN)
                .doing(|| "watching a descriptor")
        };
        watch(setup.listener.as_fd(), LISTENER)?;
        watch(setup.wake.as_fd(), WAKE)?;
        watch(log.completion(), LOG)?;
        Ok(Self {
            setup,
            epoll,
            sessions: Slab::new(),
            serial: 0,
            log,
            open: Batch::new(),
            spare: Vec::new(),
            undelivered: VecDeque::new(),
            back: unbounded(),
            input: vec![0; READ_BUFFER_BYTES],
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        while !self.setup.stop.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing(|| "waiting for sessions"),
            }
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                match data.u64() {
                    LISTENER => self.accept()?,
                    WAKE => self.collect()?,
                    LOG => {}
                    key => self.ready(key as usize, flags),
                }
            }
            self.commit()?;
        }
        self.stop()
    }

    /// Everything that was answered 250 is delivered before the floor ends.
    fn stop(mut self) -> Result<()> {
        if let Some(batch) = self.log.finish()? {
            self.committed(batch)?;
        }
        if let Some(jobs) = self.setup.jobs.take() {
            for batch in std::mem::take(&mut self.undelivered) {
                let job = Job { batch, back: self.back.0.clone(), wake: self.setup.wake.clone() };
                let _ = jobs.send(job);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match accept_with(&self.setup.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(()),
                // Out of descriptors: the others go on, and this client waits in the backlog.
                Err(Errno::MFILE | Errno::NFILE) => {
                    std::thread::sleep(DESCRIPTOR_PAUSE);
                    return Ok(());
                }
                Err(error) => return Err(error).doing(|| "accepting a connection"),
            };
            sockopt::set_tcp_nodelay(&socket, true).doing(|| "setting TCP_NODELAY")?;
            self.serial += 1;
            let entry = self.sessions.vacant_entry();
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let data = EventData::new_u64(entry.key() as u64);
            epoll::add(&self.epoll, &socket, data, flags).doing(|| "watching a session")?;
            let mut session = Session {
                socket,
                serial: self.serial,
                dialogue: Dialogue::new(true),
                replies: Vec::with_capacity(512),
                committing: false,
                early: Vec::new(),
                closing: false,
            };
            session.dialogue.greet(&mut session.replies);
            session.flush();
            entry.insert(session);
        }
    }

    fn ready(&mut self, key: usize, flags: EventFlags) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut gone = !session.flush();
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP) {
            gone |= !self.read(key);
        }
        let Some(session) = self.sessions.get(key) else { return };
        if gone || (session.closing && session.replies.is_empty()) {
            self.sessions.remove(key);
        }
    }

    /// Reads what is there; false when the session is over.
    fn read(&mut self, key: usize) -> bool {
        loop {
            let read = match rustix::io::read(&self.sessions[key].socket, &mut self.input[..]) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            let input = std::mem::take(&mut self.input);
            self.advance(key, &input[..read]);
            self.input = input;
            if !self.sessions[key].flush() {
                return false;
            }
            if read < READ_BUFFER_BYTES {
                return true;
            }
        }
    }

    fn advance(&mut self, key: usize, mut input: &[u8]) {
        let session = &mut self.sessions[key];
        if session.committing {
            session.early.extend_from_slice(input);
            return;
        }
        match session.dialogue.receive(&mut input, &mut session.replies) {
            Event::More => {}
            Event::Message => {
                session.committing = true;
                session.early.extend_from_slice(input);
                let mailboxes = session.dialogue.recipients().iter();
                let count = u64::from(self.setup.mailboxes);
                let mailboxes = mailboxes.map(|number| (number % count) as u32).collect();
                let id = IDS.fetch_add(1, Ordering::Relaxed);
                let token = Token { key, serial: session.serial };
                self.open.message(token, id, mailboxes, |out| session.dialogue.stored_content(out));
            }
            Event::Close => session.closing = true,
        }
    }

    /// Ends the write that has completed and starts the next.
    fn commit(&mut self) -> Result<()> {
        if self.log.is_writing() {
            let Some(batch) = self.log.written()? else { return Ok(()) };
            self.committed(batch)?;
        }
        // Notes of deliveries alone wait for the next message; messages wait for their commit, and
        // with it for their answer, while delivery is behind.
        if self.open.messages.is_empty() || self.undelivered.len() >= UNDELIVERED_MAX {
            return Ok(());
        }
        let next = self.spare.pop().unwrap_or_else(Batch::new);
        let batch = std::mem::replace(&mut self.open, next);
        let bytes = self.log.write(batch)?;
        self.setup.counts.log_writes.fetch_add(1, Ordering::Relaxed);
        self.setup.counts.log_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The batch is durable: answers its sessions and hands it to delivery.
    fn committed(&mut self, batch: Batch) -> Result<()> {
        self.setup.counts.messages.fetch_add(batch.messages.len() as u64, Ordering::Relaxed);
        for message in &batch.messages {
            let Token { key, serial } = message.session;
            let Some(session) = self.sessions.get_mut(key).filter(|s| s.serial == serial) else {
                continue;
            };
            session.committing = false;
            session.dialogue.answer(QUEUED, &mut session.replies);
            let early = std::mem::take(&mut session.early);
            if !early.is_empty() {
                self.advance(key, &early);
            }
            let session = &mut self.sessions[key];
            if !session.flush() || (session.closing && session.replies.is_empty()) {
                self.sessions.remove(key);
            }
        }
        if self.setup.jobs.is_some() {
            self.undelivered.push_back(batch);
            self.deliver();
        } else {
            self.recycle(batch);
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let Some(jobs) = &self.setup.jobs else { return };
        while let Some(batch) = self.undelivered.pop_front() {
            let job = Job { batch, back: self.back.0.clone(), wake: self.setup.wake.clone() };
            if let Err(full) = jobs.try_send(job) {
                self.undelivered.push_front(full.into_inner().batch);
                return;
            }
        }
    }

    /// Takes back what has been delivered.
    fn collect(&mut self) -> Result<()> {
        let mut count = [0; 8];
        match rustix::io::read(&self.setup.wake, &mut count) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error).doing(|| "reading the wake-up"),
        }
        while let Ok(batch) = self.back.1.try_recv() {
            self.open.delivered(batch.messages.iter().map(|m| m.mailboxes.len()).sum());
            self.recycle(batch);
        }
        self.deliver();
        Ok(())
    }

    fn recycle(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare.push(batch);
    }
}

impl Session {
    /// Sends what it can; false when the client is gone.
    fn flush(&mut self) -> bool {
        if self.replies.is_empty() {
            return true;
        }
        match rustix::io::write(&self.socket, &self.replies) {
            Ok(sent) => {
                self.replies.drain(..sent);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }
}
