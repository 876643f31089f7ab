//! One remote table as the rest of the program sees it, and what all of them share.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use table::{
    Answer, Lookup, MatchList, Matched, Nature, Open, Opening, Response, Trouble, Type, Value,
};
use tokio::sync::oneshot;

use crate::cache::{Cache, Lifetimes};
use crate::desk::{Ask, lock};
use crate::snapshot::Terms;
use crate::thread::LookupThread;
use crate::types::TYPES;

/// Questions of one table that may wait at the same time, those for the same key included.
pub const QUESTIONS_WAITING_MAX: usize = 4096;

/// The remote tables of a process. Made once; the clones share the lookup thread.
#[derive(Clone, Debug)]
pub struct Remote {
    thread: Arc<LookupThread>,
    is_used: Arc<AtomicBool>,
    writable: Arc<Mutex<Vec<PathBuf>>>,
}

impl Default for Remote {
    fn default() -> Self {
        Self::new()
    }
}

impl Remote {
    /// No thread runs until it is needed.
    pub fn new() -> Self {
        Self {
            thread: Arc::new(LookupThread::new()),
            is_used: Arc::default(),
            writable: Arc::default(),
        }
    }

    /// The table types, for [`table::Tables::with_types`].
    pub fn types(&self) -> Vec<Type> {
        let row = |&(name, open): &(&'static str, crate::types::OpenRemote)| {
            let remote = self.clone();
            let open = move |opening: &Opening<'_>| -> table::Opened {
                let table = remote.table(name, opening, open(opening, opening.name())?);
                Ok(Box::new(table))
            };
            Type { name, nature: Nature::Remote, format: None, open: Open::Shared(Arc::new(open)) }
        };
        TYPES.iter().map(row).collect()
    }

    /// True where a remote table has been opened.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Starts the lookup thread where there are remote tables.
    ///
    /// A process that is going to confine itself does this before: the thread keeps the root directory
    /// of the host, where local sockets, sqlite files and the resolver's configuration are. Whatever
    /// else confines the process has to be told to the thread by [`Remote::on_thread`].
    pub fn start(&self) -> io::Result<()> {
        if self.is_used() { self.thread.start() } else { Ok(()) }
    }

    /// Runs something on the lookup thread, before it asks anybody. Does nothing where there are no
    /// remote tables.
    pub fn on_thread(
        &self,
        errand: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        if self.is_used() { self.thread.errand(Box::new(errand)) } else { Ok(()) }
    }

    /// The directories that snapshots are kept in, which the lookup thread has to be able to write to.
    pub fn writable(&self) -> Vec<PathBuf> {
        lock(&self.writable).clone()
    }

    fn table(&self, kind: &'static str, opening: &Opening<'_>, plan: Plan) -> RemoteTable {
        self.is_used.store(true, Ordering::Relaxed);
        lock(&self.writable).extend(plan.writable);
        let name = format!("{kind}:{}", opening.name());
        RemoteTable(Arc::new(Shared {
            name: name.into(),
            desk: plan.desk,
            domains: plan.domains,
            folds: plan.folds,
            whole_keys_only: plan.whole_keys_only,
            memory: Mutex::new(Memory {
                cache: Cache::new(plan.lifetimes),
                asked: HashMap::default(),
                waiting: 0,
            }),
            thread: Arc::clone(&self.thread),
        }))
    }
}

/// What a type makes of a table's configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Who asks.
    pub(crate) desk: Arc<dyn Ask>,
    /// Only addresses in these domains are asked about; all where it is empty.
    pub(crate) domains: MatchList,
    /// What is remembered.
    pub(crate) lifetimes: Lifetimes,
    /// Keys are asked in lower case.
    pub(crate) folds: bool,
    /// See [`Lookup::whole_keys_only`].
    pub(crate) whole_keys_only: bool,
    /// What a snapshot would be made by.
    pub(crate) terms: Option<Terms>,
    /// The directory that it is kept in, where it is.
    pub(crate) writable: Option<PathBuf>,
}

/// A table that somebody else answers.
#[derive(Clone)]
struct RemoteTable(Arc<Shared>);

struct Shared {
    name: Box<str>,
    desk: Arc<dyn Ask>,
    domains: MatchList,
    folds: bool,
    whole_keys_only: bool,
    memory: Mutex<Memory>,
    thread: Arc<LookupThread>,
}

/// What is known, and who waits for what is not.
struct Memory {
    cache: Cache,
    /// By key, those who wait for the one question that is on its way.
    asked: HashMap<Arc<str>, Vec<oneshot::Sender<Answer>>, RandomState>,
    waiting: usize,
}

impl fmt::Debug for RemoteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteTable({})", self.0.name)
    }
}

impl Lookup for RemoteTable {
    fn lookup(&self, key: &str) -> Response {
        let shared = &self.0;
        let folded = shared.folds.then(|| key.to_lowercase());
        let key = folded.as_deref().unwrap_or(key);
        // No address holds a NUL byte, and no server could be asked about one.
        if key.is_empty() || key.contains('\0') {
            return Answer::NotFound.into();
        }
        if shared.domains.is_empty() {
            return shared.ask(key);
        }
        // A list of names knows at once.
        let polled = pin!(shared.in_domains(key)).poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(matched) => shared.ask_if(matched, key),
            Poll::Pending => {
                let (shared, key) = (Arc::clone(shared), key.to_owned());
                Response::Later(Box::pin(async move {
                    let matched = shared.in_domains(&key).await;
                    shared.ask_if(matched, &key).answer().await
                }))
            }
        }
    }

    fn whole_keys_only(&self) -> bool {
        self.0.whole_keys_only
    }
}

impl Shared {
    /// Whether the list of domains lets this key through: one without a domain never
    /// (postfix `db_common_check_domain`).
    async fn in_domains(&self, key: &str) -> Matched {
        match key.rsplit_once('@') {
            Some((_, domain)) if !domain.is_empty() => self.domains.has(domain).await,
            _ => Matched::No,
        }
    }

    fn ask_if(self: &Arc<Self>, matched: Matched, key: &str) -> Response {
        match matched {
            Matched::Yes => self.ask(key),
            Matched::No => Answer::NotFound.into(),
            Matched::Unavailable(trouble) => Answer::Unavailable(trouble).into(),
        }
    }

    fn ask(self: &Arc<Self>, key: &str) -> Response {
        if !self.desk.could_have(key) {
            return Answer::NotFound.into();
        }
        let (waiter, answer) = oneshot::channel();
        let is_new = {
            let mut memory = lock(&self.memory);
            if let Some(known) = memory.cache.get(key, Instant::now()) {
                return known.map_or(Answer::NotFound, Answer::Found).into();
            }
            if memory.waiting >= QUESTIONS_WAITING_MAX {
                let cause = format!("{QUESTIONS_WAITING_MAX} questions are waiting already");
                return self.unavailable(&cause).into();
            }
            memory.waiting += 1;
            match memory.asked.get_mut(key) {
                Some(waiting) => {
                    waiting.push(waiter);
                    None
                }
                None => {
                    let key: Arc<str> = key.into();
                    memory.asked.insert(Arc::clone(&key), vec![waiter]);
                    Some(key)
                }
            }
        };
        if let Some(key) = is_new {
            let question = Question { shared: Arc::clone(self), key, has_ended: false };
            if let Err(error) = self.thread.run(Box::pin(question.put())) {
                return self.unavailable(&error.to_string()).into();
            }
        }
        let shared = Arc::clone(self);
        Response::Later(Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(_) => shared.unavailable("the lookup ended without an answer"),
            }
        }))
    }

    fn unavailable(&self, cause: &str) -> Answer {
        Answer::Unavailable(Arc::new(Trouble { table: self.name.clone(), cause: cause.into() }))
    }
}

/// A question on its way. It goes on when nobody waits any more: the answer is remembered, and others
/// may have joined.
struct Question {
    shared: Arc<Shared>,
    key: Arc<str>,
    has_ended: bool,
}

impl Question {
    async fn put(mut self) {
        let desk = Arc::clone(&self.shared.desk);
        let result = desk.ask(Arc::clone(&self.key)).await;
        let answer = match &result {
            Ok(Some(value)) => Answer::Found(value.clone()),
            Ok(None) => Answer::NotFound,
            Err(cause) => self.shared.unavailable(cause),
        };
        self.end(result.ok(), |waiter| {
            // Who hung up needs no answer.
            let _ = waiter.send(answer.clone());
        });
    }

    /// Nobody is left behind, and an answer is remembered before the next one can ask.
    fn end(&mut self, known: Option<Option<Value>>, tell: impl FnMut(oneshot::Sender<Answer>)) {
        // The next question about this key may be on its way already: it is not ours to end.
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let waiters = {
            let mut memory = lock(&self.shared.memory);
            if let Some(value) = known {
                memory.cache.put(&self.key, value.as_ref(), Instant::now());
            }
            let waiters = memory.asked.remove(&self.key).unwrap_or_default();
            memory.waiting = memory.waiting.saturating_sub(waiters.len());
            waiters
        };
        waiters.into_iter().for_each(tell);
    }
}

/// Where a driver panicked, or the thread could not be started, those who wait are told so by the end of
/// their channel.
impl Drop for Question {
    fn drop(&mut self) {
        self.end(None, drop);
    }
}
