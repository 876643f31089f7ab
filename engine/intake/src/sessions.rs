//! The sessions of one shard, and what all of them wait for at the same time.
//!
//! Each session waits for its client; it must also notice that its time is over or that the server
//! stops. A timer and a signal of its own for each of ten thousand idle sessions would cost more memory
//! than the session; so sessions stand in a list, one task looks through it once a second, and wakes a
//! session by ending the receiving half of its connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ring::Stream;
use slab::Slab;
use tokio::sync::Notify;

/// The sessions of one shard.
#[derive(Default)]
pub struct Sessions {
    list: RefCell<Slab<Rc<Entry>>>,
    /// Whole seconds since the shard began, as far as deadlines are concerned.
    now_secs: Cell<u32>,
    stopping: Cell<bool>,
    one_ended: Notify,
}

struct Entry {
    stream: Stream,
    /// In `now_secs`; `u32::MAX` where the session waits for nothing of its client's.
    deadline_secs: Cell<u32>,
    sending: Cell<bool>,
    expired: Cell<bool>,
}

/// A session's place in the list; leaves it when dropped.
pub struct Place {
    sessions: Rc<Sessions>,
    entry: Rc<Entry>,
    key: usize,
}

/// Why nothing more comes from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It hung up.
    Client,
    /// It was too slow.
    Timeout,
    /// The server stops.
    Stopping,
}

impl Sessions {
    /// Puts a new session into the list.
    pub fn enter(self: &Rc<Self>, stream: &Stream) -> Place {
        let entry = Rc::new(Entry {
            stream: stream.clone(),
            deadline_secs: Cell::new(u32::MAX),
            sending: Cell::new(false),
            expired: Cell::new(false),
        });
        let key = self.list.borrow_mut().insert(Rc::clone(&entry));
        Place { sessions: Rc::clone(self), entry, key }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Whether new sessions and new transactions are refused.
    pub fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// A second has passed: wakes the sessions whose time is over.
    pub fn tick(&self) {
        let now = self.now_secs.get() + 1;
        self.now_secs.set(now);
        for (_, entry) in &*self.list.borrow() {
            if entry.deadline_secs.get() <= now && !entry.expired.replace(true) {
                entry.wake();
            }
        }
    }

    /// Wakes every session that waits for its client: the server stops.
    pub fn stop(&self) {
        self.stopping.set(true);
        for (_, entry) in &*self.list.borrow() {
            if entry.deadline_secs.get() != u32::MAX {
                entry.wake();
            }
        }
    }

    /// Resolves when no session is left, or `grace` has passed.
    pub async fn ended(&self, grace: Duration) {
        let all_ended = async {
            while !self.is_empty() {
                self.one_ended.notified().await;
            }
        };
        // What is under way after that is not acknowledged: its client will come back.
        let _ = tokio::time::timeout(grace, all_ended).await;
    }

    /// Calls [`Sessions::tick`] each second, for as long as the shard runs.
    pub async fn keep_time(self: Rc<Self>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            self.tick();
        }
    }
}

impl Entry {
    /// A client that does not read will not let a reply through either: then the whole connection ends.
    fn wake(&self) {
        if self.sending.get() { self.stream.shutdown() } else { self.stream.shutdown_receiving() }
    }
}

impl Place {
    /// From now on the client has `timeout` to say something.
    pub fn receiving(&self, timeout: Duration) {
        self.wait(timeout, false);
    }

    /// From now on the client has `timeout` to take a reply.
    pub fn sending(&self, timeout: Duration) {
        self.wait(timeout, true);
    }

    /// The session is busy with something that is not its client's to hurry.
    pub fn working(&self) {
        self.entry.deadline_secs.set(u32::MAX);
    }

    /// Why the client's end was seen.
    pub fn end(&self) -> End {
        if self.entry.expired.get() {
            End::Timeout
        } else if self.sessions.stopping() {
            End::Stopping
        } else {
            End::Client
        }
    }

    fn wait(&self, timeout: Duration, sending: bool) {
        // One more: the second that is running has begun already.
        let secs = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        self.entry.sending.set(sending);
        self.entry.deadline_secs.set(self.sessions.now_secs.get().saturating_add(secs));
        if self.sessions.stopping() && !sending {
            self.entry.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.list.borrow_mut().remove(self.key);
        self.sessions.one_ended.notify_one();
    }
}
