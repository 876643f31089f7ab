//! The engine's end of a shard's socket to its agent.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mail::{Content, Job, Outcome, QueueId, Status};
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::Notify;

use crate::frame::{self, FRAME_BYTES_MAX, Frame, Packed, Packer};
use crate::{FILES_MAX, SEGMENTS_MAX, WINDOW_JOBS_MAX, socket};

/// Opens what the agent needs in order to read content that is not in the arena.
pub trait Sources {
    /// A segment of the log, for reading through the page cache (without O_DIRECT).
    fn segment(&self, slice: u8, segment: u64) -> io::Result<OwnedFd>;

    /// The content file of a large message.
    fn file(&self, id: QueueId) -> io::Result<OwnedFd>;
}

/// Jobs out, outcomes in.
///
/// Any task of the shard may [`submit`](Link::submit); one task calls [`next`](Link::next) again
/// and again, which also sends: everything submitted in one turn of the loop leaves in one system
/// call.
///
/// Works on both backends, because a ring is polled by an ordinary tokio reactor.
pub struct Link {
    /// A SOCK_SEQPACKET socket. What tokio calls a datagram is only how it would read and write;
    /// all that is asked of it here is readiness.
    socket: UnixDatagram,
    sources: Box<dyn Sources>,
    state: RefCell<State>,
    submitted: Notify,
    /// Jobs that are here or with the agent.
    in_flight: Cell<usize>,
}

struct State {
    /// Not sent yet.
    waiting: VecDeque<Job>,
    /// Large messages beyond those that may be with the agent at once.
    waiting_files: VecDeque<Job>,
    /// Sent, and not answered yet.
    outstanding: HashMap<u64, Job>,
    /// How many of those have a content file.
    files: usize,
    /// The segments that the agent has, as it has them: the oldest first.
    segments: VecDeque<(u8, u64)>,
    /// A frame that the socket has not taken yet.
    outbox: Option<Outgoing>,
    /// The job at the front of `waiting` has its content file announced.
    front_announced: bool,
    /// Outcomes that were decided on this side.
    decided: Vec<Outcome>,
    buffer: Box<[u8; FRAME_BYTES_MAX]>,
}

/// A frame on its way out.
struct Outgoing {
    bytes: Vec<u8>,
    descriptor: Option<OwnedFd>,
    /// The jobs in it.
    jobs: Vec<Job>,
}

/// Whether a job was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It was; its outcome will come from [`Link::next`].
    Yes,
    /// [`WINDOW_JOBS_MAX`] jobs are in flight: here it is back, wait for an outcome first.
    WindowFull(Job),
}

/// The agent is gone, and this link with it.
#[derive(Debug)]
pub struct Gone {
    /// What happened to the socket.
    pub why: String,
    /// Every job without an outcome. Those that were sent have `seen_before` set: the agent may
    /// have delivered them without having been able to say so.
    pub jobs: Vec<Job>,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivery agent is gone with {} jobs: {}", self.jobs.len(), self.why)
    }
}

impl std::error::Error for Gone {}

impl Link {
    /// Greets the agent at the other end of `socket` and shows it the arena (descriptor and
    /// length).
    ///
    /// Must be called on a shard.
    pub fn open(
        socket: OwnedFd,
        arena: Option<(BorrowedFd<'_>, u64)>,
        sources: Box<dyn Sources>,
    ) -> io::Result<Self> {
        let hello = frame::hello(arena.map_or(0, |(_, bytes)| bytes));
        let arena = arena.map(|(descriptor, _)| descriptor);
        // The socket is new, so its buffer has room for this.
        socket::send(socket.as_fd(), &hello, arena, SendFlags::DONTWAIT)?;
        let socket = std::os::unix::net::UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket)?,
            sources,
            state: RefCell::new(State {
                waiting: VecDeque::new(),
                waiting_files: VecDeque::new(),
                outstanding: HashMap::new(),
                files: 0,
                segments: VecDeque::new(),
                outbox: None,
                front_announced: false,
                decided: Vec::new(),
                buffer: Box::new([0; FRAME_BYTES_MAX]),
            }),
            submitted: Notify::new(),
            in_flight: Cell::new(0),
        })
    }

    /// How many more jobs it takes now.
    pub fn free(&self) -> usize {
        WINDOW_JOBS_MAX - self.in_flight.get()
    }

    /// Takes a job for the next turn of the loop.
    ///
    /// Its tag must differ from those of all other jobs in flight, and its content must stay where
    /// it is until the outcome.
    pub fn submit(&self, job: Job) -> Submitted {
        if self.free() == 0 {
            return Submitted::WindowFull(job);
        }
        self.in_flight.set(self.in_flight.get() + 1);
        self.state.borrow_mut().waiting.push_back(job);
        self.submitted.notify_one();
        Submitted::Yes
    }

    /// Sends what was submitted and waits for outcomes; at least one.
    ///
    /// May be dropped and called again at any time. After [`Gone`] the link is of no more use.
    pub async fn next(&self) -> Result<Vec<Outcome>, Gone> {
        loop {
            let sent = self.send().map_err(|why| self.gone(why))?;
            let decided = std::mem::take(&mut self.state.borrow_mut().decided);
            if !decided.is_empty() {
                self.in_flight.set(self.in_flight.get() - decided.len());
                return Ok(decided);
            }
            match self.receive() {
                Ok(Some(outcomes)) => return Ok(outcomes),
                Ok(None) => {}
                Err(why) => return Err(self.gone(why)),
            }
            tokio::select! {
                () = self.submitted.notified() => {
                    // Let the other tasks that are ready submit theirs first: one message for all.
                    tokio::task::yield_now().await;
                }
                // An error of the reactor would be one of the process; the calls above report it.
                _ = self.socket.readable() => {}
                _ = self.socket.writable(), if sent == Sent::SocketFull => {}
            }
        }
    }

    fn gone(&self, why: String) -> Gone {
        let state = &mut *self.state.borrow_mut();
        let mut jobs: Vec<Job> = state.outstanding.drain().map(|(_, job)| job).collect();
        for job in &mut jobs {
            job.seen_before = true;
        }
        jobs.extend(state.outbox.take().into_iter().flat_map(|outgoing| outgoing.jobs));
        jobs.extend(state.waiting.drain(..));
        jobs.extend(state.waiting_files.drain(..));
        self.in_flight.set(0);
        // The scheduler's order, as far as it can be told.
        jobs.sort_unstable_by_key(|job| job.tag);
        Gone { why, jobs }
    }

    fn send(&self) -> Result<Sent, String> {
        let state = &mut *self.state.borrow_mut();
        loop {
            if let Some(outgoing) = &state.outbox {
                let descriptor = outgoing.descriptor.as_ref().map(AsFd::as_fd);
                let sent = self.socket.try_io(Interest::WRITABLE, || {
                    let socket = self.socket.as_fd();
                    socket::send(socket, &outgoing.bytes, descriptor, SendFlags::DONTWAIT)
                        .map_err(io::Error::from)
                });
                match sent {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Sent::SocketFull);
                    }
                    Err(error) => return Err(format!("cannot send to it: {error}")),
                }
                for job in state.outbox.take().into_iter().flat_map(|outgoing| outgoing.jobs) {
                    let twin = state.outstanding.insert(job.tag, job);
                    debug_assert!(twin.is_none(), "tags in flight differ");
                }
            }
            state.fill_outbox(&*self.sources);
            if state.outbox.is_none() {
                return Ok(Sent::All);
            }
        }
    }

    fn receive(&self) -> Result<Option<Vec<Outcome>>, String> {
        let state = &mut *self.state.borrow_mut();
        let received = self.socket.try_io(Interest::READABLE, || {
            socket::receive(&self.socket, &mut state.buffer, RecvFlags::DONTWAIT)
                .map_err(io::Error::from)
        });
        let received = match received {
            Ok(received) if received.len == 0 => return Err("it closed the socket".to_owned()),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(format!("cannot receive from it: {error}")),
        };
        let outcomes = match frame::decode(&state.buffer[..received.len]) {
            Ok(Frame::Outcomes(outcomes)) => outcomes,
            Ok(_) => return Err("it sent a frame that only the engine sends".to_owned()),
            Err(error) => return Err(format!("it sent a bad frame: {error}")),
        };
        for outcome in &outcomes {
            let Some(job) = state.outstanding.remove(&outcome.tag) else {
                return Err(format!("it answered job {}, which it does not have", outcome.tag));
            };
            self.in_flight.set(self.in_flight.get() - 1);
            if matches!(job.content, Content::File { .. }) {
                state.files -= 1;
                state.waiting.extend(state.waiting_files.pop_front());
            }
        }
        Ok(Some(outcomes))
    }
}

#[derive(PartialEq, Eq)]
enum Sent {
    All,
    SocketFull,
}

impl State {
    /// Makes the next frame: a descriptor that the first waiting job needs, or as many jobs as fit.
    fn fill_outbox(&mut self, sources: &dyn Sources) {
        let mut frame = Packer::jobs();
        let mut jobs = Vec::new();
        while let Some(job) = self.waiting.front() {
            let opened = match job.content {
                Content::File { .. } if self.front_announced => None,
                Content::File { .. } if self.files == FILES_MAX => {
                    self.waiting_files.extend(self.waiting.pop_front());
                    continue;
                }
                // A descriptor goes ahead of the job that needs it, and behind the jobs before.
                Content::File { .. } | Content::Segment { .. }
                    if !frame.is_empty() && !self.knows(job.content) =>
                {
                    break;
                }
                Content::File { .. } => Some((frame::file(job.tag), sources.file(job.id))),
                Content::Segment { slice, segment, .. } if !self.knows(job.content) => {
                    Some((frame::segment(slice, segment), sources.segment(slice, segment)))
                }
                Content::Arena { .. } | Content::Segment { .. } => None,
            };
            match opened {
                Some((announcement, Ok(descriptor))) => {
                    self.announced(job.content);
                    self.outbox =
                        Some(Outgoing { bytes: announcement, descriptor: Some(descriptor), jobs });
                    return;
                }
                Some((_, Err(error))) => {
                    self.decide_front(&format!("cannot open message content: {error}"));
                    continue;
                }
                None => {}
            }
            match frame.push_job(job) {
                Ok(Packed::Yes) => {}
                Ok(Packed::NoRoom) => break,
                Err(error) => {
                    self.decide_front(&format!("cannot hand over to delivery agent: {error}"));
                    continue;
                }
            }
            self.front_announced = false;
            if let Some(job) = self.waiting.pop_front() {
                self.files += usize::from(matches!(job.content, Content::File { .. }));
                jobs.push(job);
            }
        }
        if !frame.is_empty() {
            self.outbox = Some(Outgoing { bytes: frame.finish(), descriptor: None, jobs });
        }
    }

    /// True for a segment that the agent has.
    fn knows(&self, content: Content) -> bool {
        let Content::Segment { slice, segment, .. } = content else { return false };
        // The newest are asked for most.
        self.segments.iter().rev().any(|&known| known == (slice, segment))
    }

    fn announced(&mut self, content: Content) {
        match content {
            Content::Segment { slice, segment, .. } => {
                if self.segments.len() == SEGMENTS_MAX {
                    self.segments.pop_front();
                }
                self.segments.push_back((slice, segment));
            }
            Content::File { .. } => self.front_announced = true,
            Content::Arena { .. } => {}
        }
    }

    /// The front job cannot be handed over: that is a reason to try later, whatever it is.
    fn decide_front(&mut self, why: &str) {
        self.front_announced = false;
        if let Some(job) = self.waiting.pop_front() {
            self.decided.push(Outcome::new(job.tag, Status(4, 3, 0), why));
        }
    }
}
