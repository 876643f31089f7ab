//! Asks the servers of one table: few connections, kept and shared, each step with a deadline.
//!
//! What every type of table has in common once its key is a question: the choice of a server, the next
//! one when that fails, connections that are used again, how many there may be, and how long it may all
//! take. The type itself is a [`Backend`]: how to connect and how to ask.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use table::{Answer, Value};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::hosts::{Host, Hosts};
use crate::template::{Needs, Parts, Template};

/// Bytes of one answer. Postfix has no limit; a list of a thousand addresses has 30 KiB.
pub(crate) const RESULT_BYTES_MAX: usize = 1 << 20;
/// Bytes of all keys and values of a table that has a snapshot.
pub(crate) const LISTING_BYTES_MAX: usize = 1 << 30;
/// Bytes of a server's own words in a cause.
const WORDS_BYTES_MAX: usize = 200;

/// What a server said: each value of each row, in order. `None` is NULL.
pub(crate) type Values = Vec<Option<Vec<u8>>>;

/// Why a server did not answer the question. Nothing of it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) cause: String,
    /// The connection itself is gone: where it was an old one, a fresh one may do.
    pub(crate) is_loss: bool,
}

impl Fault {
    /// The connection broke, or could not be made.
    pub(crate) fn lost(cause: impl fmt::Display) -> Self {
        Self { cause: printable(&cause.to_string()), is_loss: true }
    }

    /// The server, or what it said, is at fault; asking it again on another connection would not help.
    pub(crate) fn refused(cause: impl fmt::Display) -> Self {
        Self { cause: printable(&cause.to_string()), is_loss: false }
    }

    /// An answer that does not end.
    pub(crate) fn too_large() -> Self {
        Self::refused(format_args!("the answer is larger than {RESULT_BYTES_MAX} bytes"))
    }
}

/// The words of a server as they may stand in a log line.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= WORDS_BYTES_MAX {
            out.push_str("...");
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out.trim().to_owned()
}

/// One type of server.
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What is kept open between questions.
    type Connection: Send + 'static;

    /// Opens a connection and logs in.
    fn connect(&self, host: &Host) -> impl Future<Output = Result<Self::Connection, Fault>> + Send;

    /// Asks about one key. After an error, or where this is not waited for to its end, the connection
    /// is closed.
    fn ask(
        &self,
        connection: &mut Self::Connection,
        key: &str,
    ) -> impl Future<Output = Result<Values, Fault>> + Send;

    /// Who to ask where the servers do not have the key, or cannot be asked: the backup of a cache.
    fn instead(&self, _key: &str) -> impl Future<Output = Option<Answer>> + Send {
        std::future::ready(None)
    }

    /// Asks for everything, and gives each row to `each`. Types that have no such question refuse.
    fn list(
        &self,
        _connection: &mut Self::Connection,
        _query: &str,
        _each: &mut (dyn FnMut(Values) -> Result<(), Fault> + Send),
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        std::future::ready(Err(Fault::refused("this type of table cannot be listed")))
    }

    /// False where an old connection is known to be no good any more.
    fn is_fresh(&self, _connection: &Self::Connection) -> bool {
        true
    }
}

/// How much and how long, for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Connections open at the same time.
    pub(crate) connections_max: usize,
    /// For one attempt to connect to one server.
    pub(crate) connect_timeout: Duration,
    /// From the question to the answer, whatever has to be done for it.
    pub(crate) timeout: Duration,
    /// How long a connection may be idle and still be used again.
    pub(crate) idle_interval: Duration,
}

/// What becomes of the values that a server gives.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Each is put into `result_format`, and all are joined by commas.
    Formatted {
        /// `result_format`
        format: Template,
        /// `expansion_limit`; zero is none.
        expansion_limit: usize,
    },
    /// There is one at most, and it is the value.
    Plain,
}

/// Asks the servers of one table.
pub(crate) struct Desk<B: Backend> {
    backend: B,
    bounds: Bounds,
    shape: Shape,
    needs: Needs,
    hosts: Mutex<Hosts>,
    idle: Mutex<Vec<Idle<B::Connection>>>,
    /// Whether somebody looks after the idle ones.
    is_swept: AtomicBool,
    permits: Semaphore,
}

struct Idle<C> {
    host: usize,
    since: Instant,
    connection: C,
}

impl<B: Backend> fmt::Debug for Desk<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// A desk of any type.
pub(crate) trait Ask: fmt::Debug + Send + Sync {
    /// The value of a key, or why nobody knows it.
    fn ask(
        self: Arc<Self>,
        key: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Value>, String>> + Send>>;

    /// False for keys that cannot be in the table.
    fn could_have(&self, key: &str) -> bool;

    /// All keys and their values, as this query gives them: a key in the first column, values in the
    /// others. It has a connection of its own, and no deadline.
    fn list(self: Arc<Self>, query: Arc<str>) -> Listing;
}

/// All keys and their values, in time.
pub(crate) type Listing =
    Pin<Box<dyn Future<Output = Result<HashMap<String, String>, String>> + Send>>;

/// What was being done when time ran out.
#[derive(Debug)]
enum Stage {
    Waiting,
    Connecting(usize),
    Asking(usize),
}

impl<B: Backend> Ask for Desk<B> {
    fn ask(
        self: Arc<Self>,
        key: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Value>, String>> + Send>> {
        Box::pin(async move {
            let values = self.values(&key).await;
            self.sweep();
            let result = values.and_then(|values| self.value(&key, values));
            if let Ok(Some(_)) = result {
                return result;
            }
            match self.backend.instead(&key).await {
                None => result,
                Some(answer) => answer.found().map_err(|trouble| trouble.to_string()),
            }
        })
    }

    fn could_have(&self, key: &str) -> bool {
        self.needs.met_by_key(Parts::of(key))
    }

    fn list(self: Arc<Self>, query: Arc<str>) -> Listing {
        Box::pin(async move {
            let mut causes = Vec::new();
            let candidates = lock(&self.hosts).candidates(Instant::now());
            for index in candidates {
                let host = lock(&self.hosts).get(index).clone();
                match self.list_from(&host, &query).await {
                    Ok(entries) => return Ok(entries),
                    Err(fault) => causes.push(format!("{host}: {}", fault.cause)),
                }
            }
            Err(causes.join("; "))
        })
    }
}

impl<B: Backend> Desk<B> {
    pub(crate) fn new(
        backend: B,
        hosts: Hosts,
        bounds: Bounds,
        shape: Shape,
        needs: Needs,
    ) -> Self {
        Self {
            backend,
            bounds,
            shape,
            needs,
            hosts: Mutex::new(hosts),
            idle: Mutex::default(),
            is_swept: AtomicBool::new(false),
            permits: Semaphore::new(bounds.connections_max),
        }
    }

    /// What the servers have to say, before the deadline.
    async fn values(&self, key: &str) -> Result<Values, String> {
        let stage = Mutex::new(Stage::Waiting);
        match timeout(self.bounds.timeout, self.attempt(key, &stage)).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out(&lock(&stage))),
        }
    }

    fn timed_out(&self, stage: &Stage) -> String {
        let seconds = self.bounds.timeout.as_secs_f32();
        match *stage {
            Stage::Waiting => format!(
                "no answer within {seconds} s: all {} connections were busy",
                self.bounds.connections_max
            ),
            Stage::Connecting(host) | Stage::Asking(host) => {
                let mut hosts = lock(&self.hosts);
                hosts.failed(host, Instant::now());
                format!("{}: no answer within {seconds} s", hosts.get(host))
            }
        }
    }

    async fn attempt(&self, key: &str, stage: &Mutex<Stage>) -> Result<Values, String> {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err("the table is closed".to_owned());
        };
        while let Some(Idle { host, mut connection, .. }) = self.take_idle() {
            *lock(stage) = Stage::Asking(host);
            match self.backend.ask(&mut connection, key).await {
                Ok(values) => {
                    self.keep(host, connection);
                    return Ok(values);
                }
                // The server may have been restarted since: not its fault, and the others are as old.
                Err(fault) if fault.is_loss => {
                    lock(&self.idle).retain(|idle| idle.host != host);
                }
                Err(fault) => return self.ask_others(key, stage, Some((host, fault))).await,
            }
        }
        self.ask_others(key, stage, None).await
    }

    /// Tries one server after the other on fresh connections. `failed` has been tried already.
    async fn ask_others(
        &self,
        key: &str,
        stage: &Mutex<Stage>,
        failed: Option<(usize, Fault)>,
    ) -> Result<Values, String> {
        let mut causes = Vec::new();
        let tried = failed.as_ref().map(|(host, _)| *host);
        if let Some((host, fault)) = failed {
            causes.push(self.failed(host, &fault));
        }
        let candidates = lock(&self.hosts).candidates(Instant::now());
        for index in candidates.into_iter().filter(|&index| Some(index) != tried) {
            let host = lock(&self.hosts).get(index).clone();
            *lock(stage) = Stage::Connecting(index);
            match self.ask_fresh(&host, key, || *lock(stage) = Stage::Asking(index)).await {
                Ok((values, connection)) => {
                    lock(&self.hosts).works(index);
                    self.keep(index, connection);
                    return Ok(values);
                }
                Err(fault) => causes.push(self.failed(index, &fault)),
            }
        }
        if causes.is_empty() {
            causes.push("all servers failed a moment ago and are left alone".to_owned());
        }
        Err(causes.join("; "))
    }

    async fn ask_fresh(
        &self,
        host: &Host,
        key: &str,
        connected: impl FnOnce(),
    ) -> Result<(Values, B::Connection), Fault> {
        let limit = self.bounds.connect_timeout;
        let mut connection = match timeout(limit, self.backend.connect(host)).await {
            Ok(connection) => connection?,
            Err(_) => {
                return Err(Fault::lost(format_args!(
                    "no connection within {} s",
                    limit.as_secs_f32()
                )));
            }
        };
        connected();
        let values = self.backend.ask(&mut connection, key).await?;
        Ok((values, connection))
    }

    async fn list_from(&self, host: &Host, query: &str) -> Result<HashMap<String, String>, Fault> {
        let connecting = timeout(self.bounds.connect_timeout, self.backend.connect(host));
        let mut connection = connecting.await.map_err(|_| Fault::lost("no connection"))??;
        let (mut entries, mut bytes) = (HashMap::new(), 0);
        let mut each = |row: Values| {
            let mut row = row.into_iter();
            let Some(Some(key)) = row.next() else { return Ok(()) };
            let key = text(&key).map_err(Fault::refused)?.to_lowercase();
            for value in row.flatten() {
                let value = text(&value).map_err(Fault::refused)?;
                let entry: &mut String = entries.entry(key.clone()).or_default();
                let before = entry.len();
                match &self.shape {
                    Shape::Formatted { format, .. } => {
                        format.add_result(&self.needs, Parts::of(&key), value, entry);
                    }
                    Shape::Plain => entry.push_str(value),
                }
                bytes += key.len() + entry.len() - before;
            }
            if bytes > LISTING_BYTES_MAX {
                return Err(Fault::refused(format_args!(
                    "the table is larger than {LISTING_BYTES_MAX} bytes"
                )));
            }
            Ok(())
        };
        self.backend.list(&mut connection, query, &mut each).await?;
        // Without a value that counts, a key is as good as not there.
        entries.retain(|_, value| !value.is_empty());
        Ok(entries)
    }

    fn failed(&self, index: usize, fault: &Fault) -> String {
        let mut hosts = lock(&self.hosts);
        hosts.failed(index, Instant::now());
        format!("{}: {}", hosts.get(index), fault.cause)
    }

    /// The connection used last: the others may then become old and be closed.
    fn take_idle(&self) -> Option<Idle<B::Connection>> {
        let mut idle = lock(&self.idle);
        idle.retain(|idle| {
            idle.since.elapsed() < self.bounds.idle_interval
                && self.backend.is_fresh(&idle.connection)
        });
        idle.pop()
    }

    /// Closes connections that nobody needs any more: a server has only so many.
    fn sweep(self: &Arc<Self>) {
        if lock(&self.idle).is_empty() || self.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let (desk, interval) = (Arc::downgrade(self), self.bounds.idle_interval);
        tokio::spawn(async move {
            loop {
                sleep(interval).await;
                let Some(desk) = desk.upgrade() else { return };
                let mut idle = lock(&desk.idle);
                idle.retain(|idle| idle.since.elapsed() < interval);
                if idle.is_empty() {
                    desk.is_swept.store(false, Ordering::Relaxed);
                    return;
                }
            }
        });
    }

    fn keep(&self, host: usize, connection: B::Connection) {
        lock(&self.idle).push(Idle { host, since: Instant::now(), connection });
    }

    /// Makes one value of what a server said.
    fn value(&self, key: &str, values: Values) -> Result<Option<Value>, String> {
        match &self.shape {
            Shape::Plain => {
                let Some(value) = values.into_iter().flatten().next() else { return Ok(None) };
                let value = text(&value)?;
                // Postfix takes it for a mistake, too (src/global/maps.c).
                if value.is_empty() {
                    return Err(
                        "the answer is empty; \"not found\" would have to be said".to_owned()
                    );
                }
                Ok(Some(value.into()))
            }
            Shape::Formatted { format, expansion_limit } => {
                let mut out = String::new();
                let mut count = 0;
                for value in values.iter().flatten() {
                    let value = text(value)?;
                    count += usize::from(format.add_result(
                        &self.needs,
                        Parts::of(key),
                        value,
                        &mut out,
                    ));
                    if *expansion_limit > 0 && count > *expansion_limit {
                        return Err(format!(
                            "more than {expansion_limit} results (expansion_limit)"
                        ));
                    }
                    if out.len() > RESULT_BYTES_MAX {
                        return Err(Fault::too_large().cause);
                    }
                }
                Ok((!out.is_empty()).then(|| out.into()))
            }
        }
    }
}

fn text(value: &[u8]) -> Result<&str, String> {
    match std::str::from_utf8(value) {
        Ok(text) if text.contains(['\0', '\n', '\r']) => {
            Err("the answer holds a line end or a NUL byte".to_owned())
        }
        Ok(text) => Ok(text),
        Err(_) => Err("the answer is not UTF-8".to_owned()),
    }
}

/// What is guarded is whole after every step, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
