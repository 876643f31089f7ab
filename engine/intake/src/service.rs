//! One SMTP service: a shard with the settings of a line of master.cf, and how its sessions begin.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::Snapshot;
use mail::log::{Event, Peer};
use ring::{Listener, Stream};
use table::{Matched, Parents};
use tokio::sync::Notify;

use crate::anvil::Counted;
use crate::journal::Log;
use crate::pace::Pace;
use crate::policy::{Policies, receive, rules};
use crate::session::{self, CLIENT_NAME};
use crate::shard::Shard;

/// How long a listener rests when it cannot accept: descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The SMTP server as one line of master.cf has it. It never changes: sessions keep the one that they
/// began with, and a new configuration makes a new one.
pub struct Service {
    pub(crate) shard: Rc<Shard>,
    pub(crate) settings: Arc<Snapshot>,
    pub(crate) policies: Policies,
    pub(crate) rules: Arc<cleanup::Rules>,
    /// `receive_override_options`
    pub(crate) receive: cleanup::Receive,
    pub(crate) log: Log,
    /// What master.cf calls it: `smtp`, `submission`, `192.0.2.1:2525`.
    name: Box<str>,
}

impl Service {
    /// The service that master.cf calls `name`, with its settings, and where its lines go.
    pub fn new(shard: Rc<Shard>, name: &str, settings: Arc<Snapshot>, log: Log) -> Self {
        Self {
            shard,
            policies: Policies::new(&settings),
            rules: Arc::new(rules(&settings)),
            receive: receive(&settings),
            settings,
            log,
            name: name.into(),
        }
    }

    fn begin(self: &Rc<Self>, stream: Stream, peer: SocketAddr) {
        let number = self.shard.next_number();
        let counted = self.shard.anvil.connected(peer.ip());
        if let Some(reply) = self.turn_away() {
            ring::spawn(async move {
                // Said once, to whoever listens.
                let _ = stream.send(&mut reply.into_bytes()).await;
            });
            return;
        }
        let service = Rc::clone(self);
        ring::spawn(async move {
            session::run(service, stream, peer, number, &counted).await;
            drop(counted);
        });
    }

    /// The reply for a client that there is no room for, whoever it is.
    fn turn_away(&self) -> Option<String> {
        let hostname = &self.settings.site.myhostname;
        if self.shard.sessions().stopping() {
            return Some(format!("421 4.3.2 {hostname} Service shutting down\r\n"));
        }
        if let Some(max) = self.shard.is_full() {
            let text = format!("all {max} sessions of a shard are in use");
            (self.log)("smtpd", 0, Event::Warning { text: &text });
            return Some(format!("421 4.3.2 {hostname} All server ports are busy\r\n"));
        }
        None
    }

    /// The reply for a client that has more connections than it may have. One that nobody can tell to
    /// be exempt is not: it is told to come back.
    pub(crate) async fn too_many(&self, peer: SocketAddr, counted: &Counted) -> Option<String> {
        let hostname = &self.settings.site.myhostname;
        let smtpd = &self.settings.smtpd;
        let limit = smtpd.smtpd_client_connection_count_limit;
        if limit == 0 || counted.connections as usize <= limit {
            return None;
        }
        let exempt = &smtpd.smtpd_client_event_limit_exceptions;
        match exempt.has_client(CLIENT_NAME, peer.ip(), Parents::Dotted).await {
            Matched::Yes => return None,
            Matched::No | Matched::Unavailable(_) => {}
        }
        let client = Peer::new(CLIENT_NAME, peer);
        let count = u64::from(counted.connections);
        let what = "Connection concurrency";
        (self.log)("smtpd", 0, Event::RateLimit { what, count, client, service: &self.name });
        Some(format!("421 4.7.0 {hostname} Error: too many connections from {}\r\n", peer.ip()))
    }

    /// How long clients may take at the moment.
    pub(crate) fn pace(&self) -> Pace {
        let (smtpd, stress) = (&self.settings.smtpd, self.shard.is_stressed());
        Pace {
            timeout: smtpd.smtpd_timeout.under(stress),
            per_request: smtpd.smtpd_per_request_deadline.under(stress),
            bytes_per_sec: smtpd.smtpd_min_data_rate,
        }
    }
}

/// A listening socket of a shard, and the service behind it at the moment.
pub struct Entrance {
    service: RefCell<Rc<Service>>,
    closed: Notify,
}

impl Entrance {
    /// An entrance to this service.
    pub fn new(service: Service) -> Rc<Self> {
        Rc::new(Self { service: RefCell::new(Rc::new(service)), closed: Notify::new() })
    }

    /// Whoever comes from now on is served by this one.
    pub fn lead_to(&self, service: Service) {
        *self.service.borrow_mut() = Rc::new(service);
    }

    /// Nobody comes in here any more. Sessions that have begun go on.
    pub fn close(&self) {
        self.closed.notify_one();
    }

    /// Accepts connections until it is closed or the shard stops.
    pub async fn listen(self: Rc<Self>, listener: Listener) {
        let closed = self.closed.notified();
        tokio::pin!(closed);
        while !self.service.borrow().shard.sessions().stopping() {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut closed => return,
            };
            let service = Rc::clone(&self.service.borrow());
            match accepted {
                Ok((stream, peer)) => service.begin(stream, peer),
                Err(error) => {
                    let text = format!("accept connection: {error}");
                    (service.log)("smtpd", 0, Event::Warning { text: &text });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
