//! One SMTP service: a shard with the settings of a line of master.cf, and how its sessions begin.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use config::{MailSource, Snapshot};
use mail::Time;
use mail::log::Event;
use rewrite::{Rewriter, Temporary};
use ring::{Listener, Stream};
use table::Trouble;
use tokio::sync::Notify;
use wire::Policy;

use crate::anvil::Counting;
use crate::cleaning::{Cleaning, CleanupService};
use crate::journal::Log;
use crate::judge::Transports;
use crate::pace::Pace;
use crate::policy::Policies;
use crate::session;
use crate::shard::Shard;
use crate::wording::Wording;

/// How long a listener rests when it cannot accept: descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The SMTP server as one line of master.cf has it. It never changes: sessions keep the one that they
/// began with, and a new configuration makes a new one.
pub struct Service {
    pub(crate) shard: Rc<Shard>,
    pub(crate) settings: Arc<Snapshot>,
    pub(crate) policies: Policies,
    pub(crate) cleaning: Cleaning,
    pub(crate) rewriter: Arc<Rewriter>,
    pub(crate) transports: Transports,
    pub(crate) log: Log,
    gate: Arc<Gate>,
    /// What master.cf calls it: `smtp`, `submission`, `192.0.2.1:2525`.
    pub(crate) name: Box<str>,
    counting: Counting,
    pub(crate) wording: Option<Wording>,
}

impl Service {
    /// The service that master.cf calls `name`: its settings and what they make of addresses, the cleanup of
    /// its mail, which transports deliver, who may come in at a time, and where its lines go.
    pub fn new(
        shard: Rc<Shard>,
        name: &str,
        rewriter: Arc<Rewriter>,
        cleanup: CleanupService,
        transports: Transports,
        gate: Arc<Gate>,
        log: Log,
    ) -> Self {
        let settings = Arc::clone(rewriter.settings());
        let entrance = ("smtpd", Rc::clone(&log));
        Self {
            cleaning: Cleaning::new(
                Rc::clone(&shard),
                &settings,
                cleanup,
                MailSource::Smtpd,
                entrance,
            ),
            shard,
            policies: Policies::new(&settings),
            rewriter,
            transports,
            counting: Counting::new(&settings.smtpd),
            wording: Wording::new(&settings.smtpd),
            settings,
            log,
            gate,
            name: name.into(),
        }
    }

    fn begin(self: &Rc<Self>, stream: Stream, peer: SocketAddr) {
        let number = self.shard.next_number();
        let (anvil, now) = (&self.shard.anvil, Instant::now());
        let counted = anvil.connected(&self.name, peer.ip(), self.counting, now);
        let admitted = self.gate.enter();
        if let Some(reply) = self.turn_away(admitted.is_some()) {
            ring::spawn(async move {
                // Said once, to whoever listens.
                let _ = stream.send(&mut reply.into_bytes()).await;
            });
            return;
        }
        let service = Rc::clone(self);
        ring::spawn(async move {
            session::run(service, stream, peer, number, counted).await;
            drop(admitted);
        });
    }

    /// What a session with this client follows, or what the client is told instead.
    pub(crate) async fn policy(&self, client: IpAddr, number: u32) -> Result<Arc<Policy>, String> {
        let stress = self.shard.is_stressed();
        let warn = |trouble: &Trouble| self.warn(trouble, number);
        self.policies.of(client, stress, &self.settings, warn).await
    }

    /// Says which table cannot answer, and why; not with each client that comes.
    pub(crate) fn warn(&self, trouble: &Trouble, number: u32) {
        let warning = |text: &str| (self.log)("smtpd", number.into(), Event::Warning { text });
        self.shard.warned.about(trouble, Time::now(), warning);
    }

    /// Says why it cannot be known what becomes of an address; of a table not with each of them.
    pub(crate) fn warn_of(&self, why: &Temporary, number: u32) {
        let warning = |text: &str| (self.log)("smtpd", number.into(), Event::Warning { text });
        match why {
            Temporary::Unavailable { trouble, .. } => {
                self.shard.warned.about(trouble, Time::now(), |_| warning(&why.logged()));
            }
            other => warning(&other.logged()),
        }
    }

    /// The reply for a client that there is no room for, whoever it is.
    fn turn_away(&self, admitted: bool) -> Option<String> {
        let hostname = &self.settings.site.myhostname;
        if self.shard.sessions().stopping() {
            return Some(format!("421 4.3.2 {hostname} Service shutting down\r\n"));
        }
        if let Some(max) = self.shard.is_full() {
            let text = format!("all {max} sessions of a shard are in use");
            (self.log)("smtpd", 0, Event::Warning { text: &text });
            return Some(format!("421 4.3.2 {hostname} All server ports are busy\r\n"));
        }
        if !admitted {
            let text = format!(
                "service {} has as many sessions as master.cf allows: {}",
                self.name,
                self.gate.most.load(Ordering::Relaxed)
            );
            (self.log)("smtpd", 0, Event::Warning { text: &text });
            return Some(format!("421 4.3.2 {hostname} All server ports are busy\r\n"));
        }
        None
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

/// Counts the sessions of a service over all shards: `maxproc` of master.cf.
#[derive(Debug)]
pub struct Gate {
    most: AtomicUsize,
    inside: AtomicUsize,
}

impl Gate {
    /// Lets in as many at a time; `None` is no limit.
    pub fn new(most: Option<usize>) -> Self {
        Self { most: AtomicUsize::new(most.unwrap_or(usize::MAX)), inside: AtomicUsize::new(0) }
    }

    /// Another limit for whoever comes from now on.
    pub fn set_most(&self, most: Option<usize>) {
        self.most.store(most.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// `None` where it is full.
    fn enter(self: &Arc<Self>) -> Option<Admitted> {
        // Counted first, so that two who come at once do not both find the last place.
        let admitted = Admitted(Arc::clone(self));
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        (before < self.most.load(Ordering::Relaxed)).then_some(admitted)
    }
}

/// A place behind a gate; free again when this is dropped.
struct Admitted(Arc<Gate>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_as_many_as_it_may_and_others_when_some_have_left() {
        let gate = Arc::new(Gate::new(Some(2)));
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        assert!(gate.enter().is_none(), "whoever was turned away has left");
        drop(first);
        let third = gate.enter().unwrap();
        gate.set_most(None);
        let more: Vec<Admitted> = (0..100).filter_map(|_| gate.enter()).collect();
        assert_eq!(more.len(), 100);
        drop((second, third, more));
        assert_eq!(gate.inside.load(Ordering::Relaxed), 0);
    }
}
