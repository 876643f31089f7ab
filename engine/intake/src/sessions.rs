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

use crate::pace::{Pace, Request};

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
    request: Cell<Request>,
    /// When the wait began that is under way, or the last one did.
    since_secs: Cell<u32>,
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
        Place {
            sessions: Rc::clone(self),
            entry,
            key,
            request: Cell::default(),
            since_secs: Cell::new(self.now_secs.get()),
        }
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
        // Sessions look up all the time; what was replaced goes at the next second.
        let tables = table::AtHand::new();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            tables.let_go();
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
    /// What follows is a new request, or the content that belongs to one: it has its own time.
    pub(crate) fn begin_request(&self) {
        self.request.set(Request::default());
    }

    /// From now on the client is to say something.
    pub(crate) fn receiving(&self, pace: Pace) {
        self.wait(pace, false);
    }

    /// From now on the client is to take a reply.
    pub(crate) fn sending(&self, pace: Pace) {
        self.wait(pace, true);
    }

    /// It did; the session is busy with something that is not its client's to hurry.
    pub(crate) fn working(&self) {
        self.entry.deadline_secs.set(u32::MAX);
        let mut request = self.request.get();
        request.waited(self.sessions.now_secs.get() - self.since_secs.get());
        self.request.set(request);
    }

    /// So much content came.
    pub(crate) fn content(&self, bytes: usize, pace: Pace) {
        let mut request = self.request.get();
        request.content(bytes, pace);
        self.request.set(request);
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

    fn wait(&self, pace: Pace, sending: bool) {
        let now = self.sessions.now_secs.get();
        // One more: the second that is running has begun already.
        let secs = self.request.get().wait_secs(pace).saturating_add(1);
        self.since_secs.set(now);
        self.entry.sending.set(sending);
        self.entry.deadline_secs.set(now.saturating_add(secs));
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

#[cfg(test)]
mod tests {
    use ring::{Backend, Listener, Options};

    use super::*;

    const PACE: Pace =
        Pace { timeout: Duration::from_secs(10), per_request: true, bytes_per_sec: 500 };

    /// Runs `test` for a session with a connection; nothing else makes time pass.
    fn with_a_session(test: impl FnOnce(&Sessions, &Place, &Stream)) {
        let main = async {
            let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let listener = Listener::from_std(listener).unwrap();
            let client = Stream::connect(address).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let sessions = Rc::new(Sessions::default());
            let place = sessions.enter(&stream);
            test(&sessions, &place, &client);
        };
        ring::run(Options { backend: Backend::Epoll, core: None }, main).unwrap();
    }

    /// Lets one second pass in each wait of a client that sends `bytes` of content then; how many
    /// seconds until it is put out, if that is within an hour.
    fn put_out_after(sessions: &Sessions, place: &Place, pace: Pace, bytes: usize) -> Option<u32> {
        place.begin_request();
        (1..=3600).find(|_| {
            place.receiving(pace);
            sessions.tick();
            place.working();
            place.content(bytes, pace);
            place.end() == End::Timeout
        })
    }

    #[test]
    fn a_client_that_drips_is_put_out_when_its_requests_time_is_over() {
        with_a_session(|sessions, place, _| {
            // And the second that was running when it began.
            assert_eq!(put_out_after(sessions, place, PACE, 1), Some(11));
        });
    }

    #[test]
    fn a_client_that_sends_content_at_the_least_rate_is_not() {
        with_a_session(|sessions, place, _| {
            assert_eq!(put_out_after(sessions, place, PACE, 500), None);
        });
    }

    #[test]
    fn without_a_deadline_only_silence_puts_a_client_out() {
        with_a_session(|sessions, place, _| {
            let pace = Pace { per_request: false, ..PACE };
            assert_eq!(put_out_after(sessions, place, pace, 1), None);
            place.receiving(pace);
            (0..10).for_each(|_| sessions.tick());
            assert_eq!(place.end(), End::Client);
            sessions.tick();
            assert_eq!(place.end(), End::Timeout);
        });
    }

    #[test]
    fn time_that_the_server_takes_is_not_the_clients() {
        with_a_session(|sessions, place, _| {
            for _ in 0..100 {
                place.receiving(PACE);
                place.working();
                sessions.tick();
            }
            assert_eq!(place.end(), End::Client);
        });
    }

    #[test]
    fn each_request_has_its_own_time() {
        with_a_session(|sessions, place, _| {
            for _ in 0..100 {
                place.begin_request();
                place.receiving(PACE);
                (0..9).for_each(|_| sessions.tick());
                place.working();
            }
            assert_eq!(place.end(), End::Client);
        });
    }
}
