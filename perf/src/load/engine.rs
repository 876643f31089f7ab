//! The generator's event loop: many sessions, one thread, one epoll.
//!
//! Edge-triggered and registered once per socket, so that a round trip costs one read, one write
//! and a share of one epoll_wait. There is no runtime between the loop and the kernel: the
//! generator must saturate a server that spends 40 us on a message from one core, and what it
//! spends itself is measured and printed with every result.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::Plan;
use super::dialogue::{Dialogue, Next, Opening, Refusal, Verdict};
use super::message::Content;
use super::pace::{Pace, Turn};
use super::record::Record;
use crate::failure::{Doing, Failure, Result};

/// Connects that may fail in a row before the run gives up.
const CONNECT_FAILURES_MAX: u64 = 200;

/// How long a session without progress is waited for after the last message was started.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How often the loop looks at the clock when nothing happens.
const TICK: Duration = Duration::from_millis(100);

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What the threads of a run share, and the progress bar reads.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) issued: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) stop: AtomicBool,
}

/// One thread's part of a run.
pub(crate) struct Engine<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    pace: Pace<'a>,
    content: Content,
    epoll: OwnedFd,
    sessions: Vec<Session>,
    /// Connected or not, these wait for a message to fall due.
    idle: Vec<usize>,
    /// Sessions that still have something to do.
    live: usize,
    record: Record,
    failures_in_a_row: u64,
    last_answer: Instant,
    input: Vec<u8>,
    command: Vec<u8>,
}

struct Session {
    socket: Option<OwnedFd>,
    dialogue: Dialogue,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    unsent_from: usize,
    opened: Instant,
    message: Option<Message>,
    messages_on_connection: u64,
    /// It stands in the list of idle sessions.
    waiting: bool,
}

struct Message {
    number: u64,
    size: usize,
    /// When it was meant to start; see [`Record::whole`].
    started: Instant,
    content_ended: Instant,
}

/// What a thread brings home.
pub(crate) struct Outcome {
    pub(crate) record: Record,
    pub(crate) last_answer: Instant,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        shared: &'a Shared,
        pace: Pace<'a>,
        sessions: usize,
        run: u64,
    ) -> Result<Self> {
        let now = Instant::now();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "making an epoll")?;
        Ok(Self {
            plan,
            shared,
            pace,
            content: Content::new(plan.sizes.largest(), run),
            epoll,
            sessions: (0..sessions).map(|_| Session::new(plan, now)).collect(),
            idle: Vec::with_capacity(sessions),
            live: 0,
            record: Record::new(),
            failures_in_a_row: 0,
            last_answer: now,
            input: vec![0; READ_BUFFER_BYTES],
            command: Vec::with_capacity(1024),
        })
    }

    pub(crate) fn run(mut self) -> Result<Outcome> {
        let now = Instant::now();
        for at in 0..self.sessions.len() {
            self.live += 1;
            self.turn(at, now);
        }
        let mut events = Vec::with_capacity(256);
        let mut draining_until = None;
        while self.live > 0 {
            let now = Instant::now();
            if self.is_over(now) {
                self.retire_idle();
                if now > *draining_until.get_or_insert(now + DRAIN_MAX) {
                    break;
                }
            }
            self.start_due(now);
            events.clear();
            let timeout = timespec(self.pace.until_next(now).filter(|_| !self.idle.is_empty()));
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing(|| "waiting for the sessions"),
            }
            for event in &events {
                // Copied out: the kernel's struct is packed.
                let (data, flags) = (event.data, event.flags);
                let at = data.u64() as usize;
                if flags.contains(epoll::EventFlags::OUT) {
                    self.flush(at);
                }
                if flags.intersects(
                    epoll::EventFlags::IN
                        | epoll::EventFlags::RDHUP
                        | epoll::EventFlags::HUP
                        | epoll::EventFlags::ERR,
                ) {
                    self.readable(at);
                }
            }
            if self.failures_in_a_row > CONNECT_FAILURES_MAX {
                return Err(Failure::new(format!(
                    "{} refused {CONNECT_FAILURES_MAX} connections in a row: {}",
                    self.plan.target,
                    self.record.refusals.keys().next().map_or("no reason seen", String::as_str),
                )));
            }
        }
        for session in &self.sessions {
            if session.message.is_some() {
                self.record.unanswered += 1;
            }
        }
        Ok(Outcome { record: self.record, last_answer: self.last_answer })
    }

    /// The session is free: gives it the next message, lets it wait for one, or ends it.
    fn turn(&mut self, at: usize, now: Instant) {
        match self.next(now) {
            Turn::Start { number, intended } => self.start(at, number, intended, now),
            Turn::NotYet => self.wait(at),
            Turn::Over => self.retire(at),
        }
    }

    fn next(&mut self, now: Instant) -> Turn {
        if self.shared.stop.load(Ordering::Relaxed) { Turn::Over } else { self.pace.next(now) }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.shared.stop.load(Ordering::Relaxed) || self.pace.is_over(now)
    }

    fn wait(&mut self, at: usize) {
        self.sessions[at].waiting = true;
        self.idle.push(at);
    }

    fn take_idle(&mut self) -> Option<usize> {
        let at = self.idle.pop()?;
        self.sessions[at].waiting = false;
        Some(at)
    }

    /// Open loop: starts what has fallen due while sessions wait.
    fn start_due(&mut self, now: Instant) {
        // Bounded, because a session whose connect fails at once waits here again.
        for _ in 0..self.idle.len() {
            match self.next(now) {
                Turn::Start { number, intended } => {
                    let Some(at) = self.take_idle() else { return };
                    self.start(at, number, intended, now);
                }
                Turn::NotYet => return,
                Turn::Over => return self.retire_idle(),
            }
        }
    }

    fn retire_idle(&mut self) {
        while let Some(at) = self.take_idle() {
            self.retire(at);
        }
    }

    fn start(&mut self, at: usize, number: u64, started: Instant, now: Instant) {
        let size = self.plan.sizes.of(number);
        self.sessions[at].message = Some(Message { number, size, started, content_ended: now });
        if self.sessions[at].socket.is_some() {
            self.open_message(at);
        } else {
            self.connect(at, now);
        }
    }

    fn connect(&mut self, at: usize, now: Instant) {
        let session = &mut self.sessions[at];
        session.reset(now);
        match open_socket(self.plan.target, self.plan.source(at)) {
            Ok(socket) => {
                let flags = epoll::EventFlags::IN
                    | epoll::EventFlags::OUT
                    | epoll::EventFlags::RDHUP
                    | epoll::EventFlags::ET;
                match epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(at as u64), flags)
                {
                    Ok(()) => session.socket = Some(socket),
                    Err(error) => self.connect_failed(at, error),
                }
            }
            Err(error) => self.connect_failed(at, error),
        }
    }

    fn connect_failed(&mut self, at: usize, error: Errno) {
        self.record.connect_failures += 1;
        self.failures_in_a_row += 1;
        self.record.refusal(&Refusal { code: 0, text: format!("connecting: {error}") });
        self.lose(at);
    }

    fn readable(&mut self, at: usize) {
        loop {
            let Some(socket) = &self.sessions[at].socket else { return };
            let read = match rustix::io::read(socket, &mut self.input[..]) {
                Ok(read) => read,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(Errno::CONNREFUSED) => return self.connect_failed(at, Errno::CONNREFUSED),
                Err(error) => return self.broke(at, &error.to_string()),
            };
            if read == 0 {
                return self.broke(at, "the server closed the connection");
            }
            // The buffer leaves `self` while its bytes are worked on; no copy is made.
            let buffer = std::mem::take(&mut self.input);
            self.replies(at, &buffer[..read]);
            self.input = buffer;
            // A short read emptied the socket: the next bytes make a new edge.
            if read < READ_BUFFER_BYTES {
                return;
            }
        }
    }

    fn replies(&mut self, at: usize, mut input: &[u8]) {
        let now = Instant::now();
        loop {
            let session = &mut self.sessions[at];
            if session.socket.is_none() {
                return;
            }
            match session.dialogue.receive(&mut input) {
                Next::Wait => return,
                Next::Hello => {
                    self.record.connections += 1;
                    self.failures_in_a_row = 0;
                    self.record.banner(now - session.opened);
                    self.send(at, b"EHLO client.example\r\n");
                }
                Next::Ready => {
                    if session.message.is_some() {
                        self.open_message(at);
                    }
                }
                Next::Rcpt(index) => self.send_recipient(at, index),
                Next::Data => self.send(at, b"DATA\r\n"),
                Next::Content => self.send_content(at),
                Next::EmptyContent => self.send(at, b".\r\n"),
                Next::Rset => self.send(at, b"RSET\r\n"),
                Next::Finished(verdict) => self.finished(at, &verdict, now),
                Next::Closed => {
                    session.socket = None;
                    return self.turn(at, now);
                }
                Next::Broken(refusal) => return self.broke(at, &refusal.text),
            }
        }
    }

    fn finished(&mut self, at: usize, verdict: &Verdict, now: Instant) {
        let session = &mut self.sessions[at];
        if let Some(message) = session.message.take() {
            let commit = now.saturating_duration_since(message.content_ended);
            let whole = now.saturating_duration_since(message.started);
            self.record.finished(verdict, message.size, commit, whole);
        }
        self.last_answer = now;
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        session.messages_on_connection += 1;
        if session.messages_on_connection >= self.plan.messages_per_connection {
            self.quit(at);
        } else {
            self.turn(at, now);
        }
    }

    /// Sends what opens the message: MAIL, or the whole pipelined group.
    fn open_message(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        let Some(message) = &session.message else { return };
        let (number, count) = (message.number, self.plan.recipients_per_message);
        let opening = session.dialogue.begin();
        let mut command = std::mem::take(&mut self.command);
        command.clear();
        command.extend_from_slice(b"MAIL FROM:<sender@client.example>\r\n");
        if opening == Opening::Group {
            for index in 0..count {
                rcpt(&mut command, self.plan, number, index);
            }
            command.extend_from_slice(b"DATA\r\n");
        }
        self.send(at, &command);
        self.command = command;
    }

    fn send_recipient(&mut self, at: usize, index: u32) {
        let Some(message) = &self.sessions[at].message else { return };
        let mut command = std::mem::take(&mut self.command);
        command.clear();
        rcpt(&mut command, self.plan, message.number, index);
        self.send(at, &command);
        self.command = command;
    }

    fn send_content(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        let Some(message) = &mut session.message else { return };
        self.command.clear();
        let (body, end) = self.content.message(&mut self.command, message.number, message.size);
        message.content_ended = Instant::now();
        let parts = [IoSlice::new(&self.command), IoSlice::new(body), IoSlice::new(end)];
        let sent = session.write(&parts);
        if let Err(error) = sent {
            self.broke(at, &error.to_string());
        }
    }

    fn send(&mut self, at: usize, bytes: &[u8]) {
        if let Err(error) = self.sessions[at].write(&[IoSlice::new(bytes)]) {
            self.broke(at, &error.to_string());
        }
    }

    fn flush(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        if session.unsent.is_empty() {
            return;
        }
        let sent = session.flush();
        if let Some(message) = &mut session.message {
            message.content_ended = Instant::now();
        }
        if let Err(error) = sent {
            self.broke(at, &error.to_string());
        }
    }

    fn quit(&mut self, at: usize) {
        self.sessions[at].dialogue.quit();
        self.send(at, b"QUIT\r\n");
    }

    /// No more messages for this session.
    fn retire(&mut self, at: usize) {
        if self.sessions[at].socket.is_some() {
            self.quit(at);
        } else {
            self.live -= 1;
        }
    }

    /// The session ended before its time.
    fn broke(&mut self, at: usize, why: &str) {
        let session = &self.sessions[at];
        if session.socket.is_none() {
            return;
        }
        // A server that closes right after its 221, or instead of it, broke nothing.
        if session.message.is_some() || session.dialogue.in_message() {
            self.record.sessions_broken += 1;
            self.record.refusal(&Refusal { code: 0, text: why.to_owned() });
        }
        self.lose(at);
    }

    fn lose(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        session.socket = None;
        if session.message.take().is_some() {
            self.record.unanswered += 1;
            self.shared.done.fetch_add(1, Ordering::Relaxed);
        }
        if session.waiting {
            return;
        }
        if self.is_over(Instant::now()) {
            self.live -= 1;
        } else {
            // It starts again from the list: from here a dead server would make it recurse.
            self.wait(at);
        }
    }
}

impl Session {
    fn new(plan: &Plan, now: Instant) -> Self {
        Self {
            socket: None,
            dialogue: Dialogue::new(plan.recipients_per_message, plan.pipelining),
            unsent: Vec::new(),
            unsent_from: 0,
            opened: now,
            message: None,
            messages_on_connection: 0,
            waiting: false,
        }
    }

    fn reset(&mut self, now: Instant) {
        self.socket = None;
        self.dialogue.reconnect();
        self.unsent.clear();
        self.unsent_from = 0;
        self.opened = now;
        self.messages_on_connection = 0;
    }

    /// Writes what the socket takes and keeps the rest for [`Session::flush`].
    fn write(&mut self, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut sent = 0;
        if self.unsent.is_empty() {
            sent = match rustix::io::writev(socket, parts) {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(error) => return Err(error),
            };
        }
        for part in parts {
            let skip = sent.min(part.len());
            sent -= skip;
            self.unsent.extend_from_slice(&part[skip..]);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        let Some(socket) = &self.socket else { return Ok(()) };
        while self.unsent_from < self.unsent.len() {
            match rustix::io::write(socket, &self.unsent[self.unsent_from..]) {
                Ok(sent) => self.unsent_from += sent,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.unsent_from = 0;
        Ok(())
    }
}

fn rcpt(out: &mut Vec<u8>, plan: &Plan, number: u64, index: u32) {
    out.extend_from_slice(b"RCPT TO:<");
    plan.recipients.write(out, number, plan.recipients_per_message, index);
    out.extend_from_slice(b">\r\n");
}

/// A connecting socket; the banner's arrival tells that it is connected.
pub(crate) fn open_socket(target: SocketAddr, source: Option<Ipv4Addr>) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(source.into(), 0))?;
    }
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn timespec(wait: Option<Duration>) -> Timespec {
    let wait = wait.unwrap_or(TICK).min(TICK);
    Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) }
}
