//! The lookup thread: where all remote tables of a process are asked.
//!
//! One thread for all shards, because connections are few and waiting costs nothing. It has a runtime of
//! its own, of the plain kind that the database libraries expect, and it starts with the first question
//! or when [`crate::Remote::start`] says so.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, mpsc as std_mpsc};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::sync::mpsc;

use crate::desk::lock;

/// Threads for what cannot wait without blocking: sqlite, and the names of servers.
const BLOCKING_THREADS_MAX: usize = 16;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;
type Errand = Box<dyn FnOnce() -> io::Result<()> + Send>;

enum Order {
    /// A question.
    Run(Job),
    /// Something the thread does to itself.
    Errand(Errand, std_mpsc::Sender<io::Result<()>>),
}

/// The way to the lookup thread.
#[derive(Debug)]
pub(crate) struct LookupThread {
    orders: Mutex<Option<mpsc::UnboundedSender<Order>>>,
    /// The cores of the process. A shard is pinned to one, and what it starts would be, too.
    cores: Option<CpuSet>,
}

impl LookupThread {
    pub(crate) fn new() -> Self {
        // Where the kernel does not say, the thread runs where the one that starts it does.
        Self { orders: Mutex::default(), cores: sched_getaffinity(None).ok() }
    }

    /// Starts it, if it is not running. When this returns the thread has a root and a working directory
    /// of its own, which later changes of the process's do not touch.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.order(None)
    }

    /// Runs a question there. What is waiting is bounded by those who ask.
    pub(crate) fn run(&self, job: Job) -> io::Result<()> {
        self.order(Some(Order::Run(job)))
    }

    /// Runs `errand` on the thread itself, and waits for it.
    pub(crate) fn errand(&self, errand: Errand) -> io::Result<()> {
        let (done, result) = std_mpsc::channel();
        self.order(Some(Order::Errand(errand, done)))?;
        result.recv().map_err(|_| io::Error::other("the lookup thread has ended"))?
    }

    fn order(&self, order: Option<Order>) -> io::Result<()> {
        let mut orders = lock(&self.orders);
        let running = match &*orders {
            // One that panicked is replaced: the tables work as before.
            Some(running) if !running.is_closed() => running,
            _ => orders.insert(spawn(self.cores)?),
        };
        let Some(order) = order else { return Ok(()) };
        running.send(order).map_err(|_| io::Error::other("the lookup thread has ended"))
    }
}

fn spawn(cores: Option<CpuSet>) -> io::Result<mpsc::UnboundedSender<Order>> {
    let (orders, received) = mpsc::unbounded_channel();
    let (started, starting) = std_mpsc::channel();
    thread::Builder::new().name("lookups".to_owned()).spawn(move || {
        // Refused where the process is confined already. Then the thread is confined as well, and
        // servers are reached as far as that allows.
        let _ = unshare(CloneFlags::CLONE_FS);
        if let Some(cores) = cores {
            // Only speed is at stake.
            let _ = sched_setaffinity(None, &cores);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("lookups-blocking")
            .build();
        match runtime {
            Ok(runtime) => {
                // Who started the thread waits for this.
                let _ = started.send(Ok(()));
                runtime.block_on(serve(received));
                // A file system that hangs must not hold up the end.
                runtime.shutdown_background();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    })?;
    starting.recv().map_err(|_| io::Error::other("the lookup thread has panicked"))??;
    Ok(orders)
}

/// Ends when the last table is gone.
async fn serve(mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Run(job) => drop(tokio::spawn(job)),
            // If nobody waits any more, it has been done all the same.
            Order::Errand(errand, done) => drop(done.send(errand())),
        }
    }
}
