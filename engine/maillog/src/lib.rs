//! The log thread: mail never waits for the log.
//!
//! Each shard has a [`Pen`]. What it writes goes, as finished text, into a buffer that only that shard
//! and the log thread know; the lock on it is held for one line, or for the exchange of two vectors.
//! One thread ([`MailLog`]) takes all buffers at once and writes each with one call. The first line
//! after a silence goes out at once, the ones that follow are gathered for up to [`GATHER_MS`].
//!
//! A slow or failing disk costs log lines, not mail: a buffer that has reached [`BUFFER_BYTES_MAX`]
//! takes no more, a batch that cannot be written is dropped, both are counted, and the count and the
//! cause are the first line once the log works again.

mod destination;
mod keeper;
#[cfg(test)]
mod tests;

pub use destination::{Destination, Output};

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use mail::log::{Formatter, Record};

use keeper::Keeper;

/// Bytes that one shard may have waiting for the disk: some 20,000 lines.
pub const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How long lines are gathered while there are many.
pub const GATHER_MS: u64 = 100;

/// Bytes in one buffer that end the gathering early.
pub const BATCH_BYTES: usize = 256 << 10;

/// How long a flush, a reopening or the end of the program waits for a disk that hangs.
pub const FINISH_TIMEOUT_MS: u64 = 5_000;

/// Orders that can wait for the log thread.
const ORDERS_MAX: usize = 64;

/// The log of this process. Dropping it writes out what there is and ends the thread.
#[derive(Debug)]
pub struct MailLog {
    shared: Arc<Shared>,
    formatter: Formatter,
    thread: Option<JoinHandle<()>>,
}

/// Writes records. Its clones write into the same buffer; a shard has one of its own.
#[derive(Clone, Debug)]
pub struct Pen {
    buffer: Arc<Buffer>,
    shared: Arc<Shared>,
}

impl MailLog {
    /// Opens the destination and starts the thread. Fails where the file cannot be opened: at the
    /// start that is a mistake in the configuration.
    pub fn start(destination: Destination, formatter: Formatter) -> io::Result<Self> {
        let output = destination.open()?;
        let (orders, inbox) = bounded(ORDERS_MAX);
        let shared = Arc::new(Shared {
            orders,
            awake: AtomicBool::new(false),
            buffers: Mutex::new(Vec::new()),
            lost: AtomicU64::new(0),
        });
        let keeper = Keeper::new(shared.clone(), inbox, destination, output, formatter.clone());
        let thread = std::thread::Builder::new().name("log".into()).spawn(|| keeper.run())?;
        Ok(Self { shared, formatter, thread: Some(thread) })
    }

    /// A pen with a buffer of its own, for a shard or a thread.
    pub fn pen(&self) -> Pen {
        let page = Page { formatter: self.formatter.clone(), text: Vec::new() };
        let buffer = Arc::new(Buffer { page: Mutex::new(page), lost: AtomicU64::new(0) });
        lock(&self.shared.buffers).push(buffer.clone());
        Pen { buffer, shared: self.shared.clone() }
    }

    /// Opens the file anew after it was renamed: what was written before goes to the old file, what is
    /// written after this returns to the new one. Where that fails, the old one is kept and the log
    /// says so. False where the disk hangs.
    pub fn reopen(&self) -> bool {
        self.done(Order::Reopen)
    }

    /// Returns once all that was written before is out; false where the disk hangs.
    pub fn flush(&self) -> bool {
        self.done(Order::Flush)
    }

    /// Gives an order and waits until it is done, for as long as that may take.
    fn done(&self, order: impl FnOnce(Sender<()>) -> Order) -> bool {
        let (done, wait) = bounded(1);
        let timeout = Duration::from_millis(FINISH_TIMEOUT_MS);
        self.shared.orders.send_timeout(order(done), timeout).is_ok()
            && wait.recv_timeout(timeout).is_ok()
    }

    /// Lines lost since the start.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for MailLog {
    fn drop(&mut self) {
        // A thread that hangs in a write is left behind; the process ends without it.
        if self.done(Order::Stop)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Pen {
    /// Adds a line. Never waits for the disk.
    pub fn write(&self, record: &Record<'_>) {
        let mut page = lock(&self.buffer.page);
        if page.text.len() >= BUFFER_BYTES_MAX {
            drop(page);
            self.buffer.lost.fetch_add(1, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Page { formatter, text } = &mut *page;
        let before = text.len();
        formatter.write(record, text);
        let filled = before < BATCH_BYTES && text.len() >= BATCH_BYTES;
        drop(page);
        if filled {
            let _ = self.shared.orders.try_send(Order::Filled);
        }
        // One order is enough however many lines there are; a full inbox wakes the thread as well.
        if !self.shared.awake.swap(true, Ordering::AcqRel) {
            let _ = self.shared.orders.try_send(Order::Wake);
        }
    }
}

/// What pens and the log thread both know.
#[derive(Debug)]
struct Shared {
    orders: Sender<Order>,
    /// The thread knows that there is something to write.
    awake: AtomicBool,
    buffers: Mutex<Vec<Arc<Buffer>>>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Buffer {
    page: Mutex<Page>,
    /// Lines that found it full and are not reported yet.
    lost: AtomicU64,
}

#[derive(Debug)]
struct Page {
    formatter: Formatter,
    text: Vec<u8>,
}

#[derive(Debug)]
enum Order {
    /// There is something to write.
    Wake,
    /// There is so much to write that gathering more is no use.
    Filled,
    Reopen(Sender<()>),
    Flush(Sender<()>),
    Stop(Sender<()>),
}

type Inbox = Receiver<Order>;

/// A panic while a line was being written leaves at worst half a line.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
