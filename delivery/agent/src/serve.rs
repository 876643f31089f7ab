//! The agent's end of a shard's socket.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use mail::{Job, Outcome, Status, Verdict};
use ring::ArenaView;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::frame::{self, FRAME_BYTES_MAX, Frame, FrameError, Packed, Packer};
use crate::{BATCH_JOBS_MAX, Contents, socket};

/// Deliveries that may wait for a lock at the same time; the next one is deferred instead.
const HELD_JOBS_MAX: usize = 256;

/// A batch of at least so many jobs is a sign of more to come.
const BUSY_JOBS: usize = 8;

/// How long more jobs are gathered after such a batch: a sync costs the same for one file and for a
/// hundred. Measured at 20 sessions: a quarter of the agent's work for each message.
const GATHER_TIME: Duration = Duration::from_millis(4);

/// An agent: takes a batch of jobs, acts, and tells what became of each.
pub trait Deliver {
    /// Delivers a batch of at most [`BATCH_JOBS_MAX`] jobs. The answers are in the order of the
    /// jobs, one for each.
    ///
    /// [`Verdict::Delivered`] is answered only when the delivery is durable.
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer>;
}

/// A job, and how often the agent has already put it off.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What to do.
    pub job: Job,
    /// How many times the answer was [`Answer::Wait`].
    pub waits: u32,
}

/// What an agent has to say about one job of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is decided.
    Done(Outcome),
    /// A mailbox is locked: offer the job again after this time, and let others pass meanwhile.
    Wait(Duration),
}

/// Why an agent gave up on its engine. All of them end the link, and the engine makes a new one.
#[derive(Debug)]
pub enum ServeError {
    /// The socket failed.
    Socket(io::Error),
    /// A frame that cannot be read.
    Frame(FrameError),
    /// A frame that must not come here, or not now.
    Protocol(&'static str),
    /// Hello with another version.
    Version(u16),
    /// The arena that came with Hello cannot be mapped.
    Arena(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "socket to the engine: {error}"),
            Self::Frame(error) => write!(f, "bad frame from the engine: {error}"),
            Self::Protocol(what) => write!(f, "engine broke the protocol: {what}"),
            Self::Version(version) => {
                write!(f, "engine speaks version {version}, this is version {}", frame::VERSION)
            }
            Self::Arena(error) => write!(f, "cannot map the engine's arena: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves one shard until it closes its end. Blocks; it belongs on a thread of its own.
///
/// Jobs that were received but not begun when the engine went away are dropped: they are in its
/// queue, and a new engine must not meet an old agent in the same mailbox.
pub fn serve(socket: OwnedFd, delivery: &mut dyn Deliver) -> Result<(), ServeError> {
    let mut session = Session {
        socket,
        buffer: Box::new([0; FRAME_BYTES_MAX]),
        contents: Contents::new(),
        greeted: false,
        queue: VecDeque::new(),
        announced: None,
        held: Vec::new(),
        last_batch: 0,
    };
    while session.gather()? == Engine::Present {
        session.deliver(delivery)?;
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Engine {
    Present,
    Gone,
}

struct Session {
    socket: OwnedFd,
    buffer: Box<[u8; FRAME_BYTES_MAX]>,
    contents: Contents,
    greeted: bool,
    /// Received and not begun; less than two batches.
    queue: VecDeque<Attempt>,
    /// A segment that must wait until the queue is empty: it may push out one that the queue needs.
    announced: Option<(u8, u64, OwnedFd)>,
    held: Vec<(Instant, Attempt)>,
    /// How many jobs the last batch had.
    last_batch: usize,
}

impl Session {
    /// Waits until there is work, then takes what else has arrived, up to a batch; among many jobs it
    /// waits a moment for more, a lone one is delivered at once.
    fn gather(&mut self) -> Result<Engine, ServeError> {
        let mut rest = self.last_batch >= BUSY_JOBS;
        loop {
            self.release_held(Instant::now());
            if self.queue.is_empty()
                && let Some((slice, segment, file)) = self.announced.take()
            {
                self.contents.add_segment(slice, segment, file);
            }
            if self.queue.len() >= BATCH_JOBS_MAX || self.announced.is_some() {
                return Ok(Engine::Present);
            }
            if self.queue.is_empty() && !self.wait()? {
                continue;
            }
            match socket::receive(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok(received) if received.len == 0 => return Ok(Engine::Gone),
                Ok(received) => self.accept(received)?,
                Err(Errno::AGAIN) if self.queue.is_empty() => {}
                Err(Errno::AGAIN) if rest => {
                    std::thread::sleep(GATHER_TIME);
                    rest = false;
                }
                Err(Errno::AGAIN) => return Ok(Engine::Present),
                Err(Errno::CONNRESET) => return Ok(Engine::Gone),
                Err(error) => return Err(ServeError::Socket(error.into())),
            }
        }
    }

    /// Sleeps until a frame is there or a held job is due; true for a frame.
    fn wait(&self) -> Result<bool, ServeError> {
        let due = self.held.iter().map(|(due, _)| *due).min();
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut ready = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        match rustix::event::poll(&mut ready, timeout.as_ref()) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(ServeError::Socket(error.into())),
        }
    }

    fn release_held(&mut self, now: Instant) {
        if self.held.is_empty() {
            return;
        }
        let room = BATCH_JOBS_MAX.saturating_sub(self.queue.len());
        let due = self.held.extract_if(.., |(due, _)| *due <= now).take(room);
        self.queue.extend(due.map(|(_, attempt)| attempt));
    }

    fn accept(&mut self, received: socket::Received) -> Result<(), ServeError> {
        let frame = frame::decode(&self.buffer[..received.len]).map_err(ServeError::Frame)?;
        if self.greeted == matches!(frame, Frame::Hello { .. }) {
            return Err(ServeError::Protocol("Hello is the first frame, and only the first"));
        }
        match (frame, received.descriptor) {
            (Frame::Hello { version, .. }, _) if version != frame::VERSION => {
                return Err(ServeError::Version(version));
            }
            (Frame::Hello { arena_bytes: 0, .. }, None) => self.greeted = true,
            (Frame::Hello { arena_bytes, .. }, Some(arena)) => {
                let arena = ArenaView::map(arena, arena_bytes).map_err(ServeError::Arena)?;
                self.contents.set_arena(arena);
                self.greeted = true;
            }
            (Frame::Segment { slice, segment }, Some(file)) => {
                self.announced = Some((slice, segment, file));
            }
            (Frame::File { tag }, Some(file)) => {
                if !self.contents.add_file(tag, file) {
                    return Err(ServeError::Protocol("too many content files"));
                }
            }
            (Frame::Jobs(jobs), None) => {
                self.queue.extend(jobs.into_iter().map(|job| Attempt { job, waits: 0 }));
            }
            (Frame::Outcomes(_), _) => {
                return Err(ServeError::Protocol("outcomes come from the agent"));
            }
            (_, Some(_)) => return Err(ServeError::Protocol("a descriptor where none belongs")),
            (_, None) => return Err(ServeError::Protocol("a descriptor is missing")),
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: &mut dyn Deliver) -> Result<(), ServeError> {
        let count = self.queue.len().min(BATCH_JOBS_MAX);
        self.last_batch = count;
        let batch: Vec<Attempt> = self.queue.drain(..count).collect();
        let answers = delivery.deliver(&batch, &mut self.contents);
        assert_eq!(answers.len(), batch.len(), "an agent answers each job of its batch");

        let mut frame = Packer::outcomes();
        for (mut attempt, answer) in batch.into_iter().zip(answers) {
            let outcome = match answer {
                Answer::Wait(time) if self.held.len() < HELD_JOBS_MAX => {
                    attempt.waits += 1;
                    self.held.push((Instant::now() + time, attempt));
                    continue;
                }
                Answer::Wait(_) => Outcome::new(
                    attempt.job.tag,
                    Status(4, 2, 0),
                    "too many deliveries wait for locked mailboxes",
                ),
                Answer::Done(outcome) => outcome,
            };
            debug_assert_eq!(outcome.tag, attempt.job.tag, "an answer belongs to its job");
            self.contents.forget_file(attempt.job.tag);
            self.pack(&mut frame, &outcome)?;
        }
        self.send(frame)
    }

    fn pack(&self, frame: &mut Packer, outcome: &Outcome) -> Result<(), ServeError> {
        match frame.push_outcome(outcome) {
            Ok(Packed::Yes) => return Ok(()),
            Ok(Packed::NoRoom) => self.send(std::mem::replace(frame, Packer::outcomes()))?,
            Err(_) => {
                // More recipients than a frame holds. Nothing was done yet, so it can be said
                // later.
                debug_assert!(matches!(outcome.verdict, Verdict::Redirect(_)));
                let status = Status(4, 3, 0);
                let outcome = Outcome::new(outcome.tag, status, "alias has too many recipients");
                return self.pack(frame, &outcome);
            }
        }
        self.pack(frame, outcome)
    }

    /// An engine that is gone is noticed by the next `gather`.
    fn send(&self, frame: Packer) -> Result<(), ServeError> {
        if frame.is_empty() {
            return Ok(());
        }
        match socket::send(self.socket.as_fd(), &frame.finish(), None, SendFlags::empty()) {
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(error) => Err(ServeError::Socket(error.into())),
        }
    }
}
