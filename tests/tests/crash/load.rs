//! Clients that send all the time and remember what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tests::random::Random;
use tests::session::dot_stuffed;
use tests::{Session, wait};

use crate::message::Message;

/// Messages sent over one connection, at most.
const MESSAGES_PER_CONNECTION_MAX: u64 = 12;
/// A server that is killed does not answer any more; one that lives answers long before.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// What the client knows of a message.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// 250: the server's responsibility.
    Accepted {
        /// For whoever reads a failure.
        #[expect(dead_code, reason = "printed with the message that is wrong")]
        id: String,
    },
    /// 4xx or 5xx: the client's.
    Refused,
    /// The connection broke before the answer to the dot: nobody can tell.
    Unknown,
}

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    port: AtomicU16,
    stop: AtomicBool,
    accepted: AtomicU64,
    next_number: AtomicU64,
    fates: Mutex<BTreeMap<u64, Fate>>,
}

impl Load {
    /// Starts `clients` threads that send to `port`.
    pub(crate) fn start(clients: usize, seed: u64, port: u16) -> Self {
        let shared = Arc::new(Shared { port: port.into(), ..Shared::default() });
        let run = |number| {
            let shared = Arc::clone(&shared);
            let random = Random::new(seed ^ (number as u64 + 1) << 32);
            thread::spawn(move || shared.send_until_stopped(random))
        };
        let clients = (0..clients).map(run).collect();
        Self { shared, clients }
    }

    /// How many messages got their 250.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// The server listens elsewhere now.
    pub(crate) fn set_port(&self, port: u16) {
        self.shared.port.store(port, Ordering::Relaxed);
    }

    /// Ends the clients, and returns what they know.
    pub(crate) fn stop(self) -> BTreeMap<u64, Fate> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let mut fates = self.shared.fates.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *fates)
    }
}

impl Shared {
    fn send_until_stopped(&self, mut random: Random) {
        while !self.stop.load(Ordering::Relaxed) {
            // While the server is away there is nobody to connect to.
            let session = wait::within(Duration::from_millis(50), || {
                let session = Session::greeted(self.port.load(Ordering::Relaxed)).ok()?;
                session.set_reply_timeout(REPLY_TIMEOUT).ok()?;
                Some(session)
            });
            let Some(mut session) = session else { continue };
            for _ in 0..=random.below(MESSAGES_PER_CONNECTION_MAX) {
                if !self.send_one(&mut session) || self.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }

    /// Sends the next message; false where the connection is of no more use.
    fn send_one(&self, session: &mut Session) -> bool {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let message = Message::new(number);
        let (fate, go_on) = match dialogue(session, message) {
            Ok(Some(id)) => {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                (Fate::Accepted { id }, true)
            }
            Ok(None) => (Fate::Refused, false),
            Err(Broken::BeforeTheDot) => (Fate::Refused, false),
            Err(Broken::AfterTheDot) => (Fate::Unknown, false),
        };
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).insert(number, fate);
        go_on
    }
}

/// Where the connection ended.
enum Broken {
    /// The server cannot have the whole message.
    BeforeTheDot,
    /// It may.
    AfterTheDot,
}

/// The queue id, or `None` where the server said no.
fn dialogue(session: &mut Session, message: Message) -> Result<Option<String>, Broken> {
    let before = |_| Broken::BeforeTheDot;
    let mut envelope = "MAIL FROM:<sender@client.example>\r\n".to_owned();
    let recipients = message.recipients();
    for user in &recipients {
        envelope.push_str(&format!("RCPT TO:<{user}@localhost>\r\n"));
    }
    envelope.push_str("DATA\r\n");
    session.send(envelope).map_err(before)?;
    for _ in 0..=recipients.len() {
        if !session.reply().map_err(before)?.is_ok() {
            return Ok(None);
        }
    }
    if session.reply().map_err(before)?.code != 354 {
        return Ok(None);
    }
    let content = dot_stuffed(&message.content());
    let (most, dot) = content.split_at(content.len() - 3);
    session.send(most).map_err(before)?;
    session.send(dot).map_err(|_| Broken::AfterTheDot)?;
    let reply = session.reply().map_err(|_| Broken::AfterTheDot)?;
    Ok(reply.queue_id().map(str::to_owned))
}
