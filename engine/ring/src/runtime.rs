//! Which backend runs, and running on it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::task::{JoinHandle, LocalSet};

/// Entries of a shard's submission queue. A full queue is submitted early, never an error.
const SUBMISSION_ENTRIES: u32 = 512;
/// Entries of its completion queue: one for each session that can answer at the same moment; the kernel
/// keeps what does not fit.
const COMPLETION_ENTRIES: u32 = 4096;
/// Threads that do file operations for one shard where there is no ring.
const FILE_THREADS_MAX: usize = 4;

/// What moves a shard's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring, through tokio-uring.
    Uring,
    /// epoll for sockets, threads for files.
    Epoll,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        })
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            _ => Err(format!("unknown backend \"{name}\": uring or epoll")),
        }
    }
}

/// How one shard is to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What moves its bytes.
    pub backend: Backend,
    /// The core it stays on; `None` lets the kernel choose.
    pub core: Option<usize>,
}

thread_local! {
    // A shard is a thread: what its sockets and files are made of is a fact of the thread.
    static BACKEND: Cell<Option<Backend>> = const { Cell::new(None) };
}

/// The backend that the calling shard runs on.
///
/// # Panics
///
/// Outside of [`run`].
pub fn backend() -> Backend {
    BACKEND.get().expect("called on a thread that runs a shard")
}

/// Runs `main` and all it spawns on the calling thread until `main` ends.
///
/// Fails where the backend cannot be set up (see [`probe_uring`]) or the core does not exist.
pub fn run<F: Future>(options: Options, main: F) -> io::Result<F::Output> {
    if let Some(core) = options.core {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only)?;
    }
    BACKEND.set(Some(options.backend));
    let output = match options.backend {
        Backend::Uring => Ok(uring_runtime()?.block_on(main)),
        Backend::Epoll => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(FILE_THREADS_MAX)
                .build()?;
            Ok(LocalSet::new().block_on(&runtime, main))
        }
    };
    BACKEND.set(None);
    output
}

/// Starts a task beside the caller's, on the same shard.
pub fn spawn<F: Future + 'static>(task: F) -> JoinHandle<F::Output> {
    tokio::task::spawn_local(task)
}

/// Tells whether a ring can be had here, and if not, why and what to do about it.
pub fn probe_uring() -> Result<(), String> {
    uring_runtime().map(drop).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::PERM.raw_os_error() => {
            "io_uring is forbidden here: a container's seccomp profile, or kernel.io_uring_disabled"
                .to_owned()
        }
        Some(code) if code == rustix::io::Errno::NOSYS.raw_os_error() => {
            "this kernel has no io_uring".to_owned()
        }
        Some(code) if code == rustix::io::Errno::NOMEM.raw_os_error() => {
            "no memory for the ring: raise RLIMIT_MEMLOCK (ulimit -l) to 1 MiB for each shard"
                .to_owned()
        }
        Some(code) if code == rustix::io::Errno::INVAL.raw_os_error() => {
            "this kernel's io_uring is too old: SINGLE_ISSUER and COOP_TASKRUN need Linux 6.0"
                .to_owned()
        }
        _ => format!("io_uring cannot be set up: {error}"),
    })
}

/// The backend to use: the one asked for, or the ring where there is one. With `Epoll` comes the reason
/// why it is not the ring, unless epoll was asked for.
pub fn select(asked: Option<Backend>) -> Result<(Backend, Option<String>), String> {
    match asked {
        Some(Backend::Epoll) => Ok((Backend::Epoll, None)),
        Some(Backend::Uring) => probe_uring().map(|()| (Backend::Uring, None)),
        None => Ok(match probe_uring() {
            Ok(()) => (Backend::Uring, None),
            Err(reason) => (Backend::Epoll, Some(reason)),
        }),
    }
}

/// The cores this process may run on, lowest first.
pub fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

fn uring_runtime() -> io::Result<tokio_uring::Runtime> {
    let mut ring = tokio_uring::uring_builder();
    // Measured: without these two the same dialogue costs half as much again. DEFER_TASKRUN would need
    // the library's help and hangs without it.
    ring.setup_single_issuer().setup_coop_taskrun().setup_cqsize(COMPLETION_ENTRIES);
    tokio_uring::Runtime::new(
        tokio_uring::builder().entries(SUBMISSION_ENTRIES).uring_builder(&ring),
    )
}
