//! Master's children: programs of their own where master is root, else threads. What runs in them, and
//! how master talks to them, is the same.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process;

use crate::control::Channel;
use crate::start::{Order, Report};

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Talks to the network, keeps the queue.
    Engine,
    /// Writes mailboxes.
    Agentd,
}

impl Role {
    /// Its name on the command line and in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Agentd => "agentd",
        }
    }

    fn run(self, channel: Channel) {
        match self {
            Self::Engine => crate::engine::run(channel),
            Self::Agentd => crate::agentd::run(channel),
        }
    }
}

/// A running child.
pub(crate) struct Child {
    channel: Channel,
    /// The same socket, for waiting until there is something to read.
    ready: UnixDatagram,
    body: Body,
}

enum Body {
    Process(process::Child),
    Thread(thread::JoinHandle<()>),
}

impl Child {
    /// Starts one as a program of its own.
    ///
    /// It has its own process group: a Ctrl-C at the terminal is for master, which tells its children
    /// in the right order. `output` is its standard output and error, where they are not master's.
    pub(crate) fn process(role: Role, output: Option<(Stdio, Stdio)>) -> io::Result<Self> {
        let (near, far) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("ringpost")
            .arg(role.name())
            // mimalloc's: touch memory as it is used, not a whole arena at a time; 17 MiB less when idle.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::from(far.into_fd()))
            .process_group(0);
        if let Some((stdout, stderr)) = output {
            command.stdout(stdout).stderr(stderr);
        }
        let body = Body::Process(process::Command::from(command).spawn()?);
        Self::new(near, body)
    }

    /// Starts one as a thread.
    pub(crate) fn thread(role: Role) -> io::Result<Self> {
        let (near, far) = Channel::pair()?;
        let body =
            thread::Builder::new().name(role.name().to_owned()).spawn(move || role.run(far))?;
        Self::new(near, Body::Thread(body))
    }

    fn new(channel: Channel, body: Body) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::from(channel.as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        Ok(Self { channel, ready: UnixDatagram::from_std(socket)?, body })
    }

    /// Tells it something. One that is gone cannot be told; [`Child::report`] says so next.
    pub(crate) fn tell(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match self.channel.send(order, fds) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Waits for its next word; `None` is its end.
    pub(crate) async fn report(&self) -> io::Result<Option<Report>> {
        loop {
            self.ready.readable().await?;
            match self.ready.try_io(Interest::READABLE, || self.channel.recv::<Report>()) {
                Ok(report) => return Ok(report.map(|(report, _)| report)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until it is gone, and tells how it went, in words for the log.
    pub(crate) async fn ended(self) -> String {
        match self.body {
            Body::Process(mut child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => format!("cannot be waited for: {error}"),
            },
            Body::Thread(thread) => match thread.join() {
                Ok(()) => "ended".to_owned(),
                Err(_) => "panicked".to_owned(),
            },
        }
    }

    /// Ends a program at once; a thread has no such thing.
    pub(crate) fn kill(&mut self) {
        if let Body::Process(child) = &mut self.body {
            // An error means that it is gone already.
            let _ = child.start_kill();
        }
    }
}
