//! What the sessions of one shard share, and how they begin.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::Snapshot;
use jiff::tz::TimeZone;
use mail::log::{Event, Peer};
use mail::{Envelope, QueueId, Time};
use queue::{Place, RingDisk, Slice};
use ring::{Listener, Stream};
use table::{Matched, Parents};

use crate::anvil::{Anvil, Counted};
use crate::content::Pool;
use crate::journal::Log;
use crate::pace::Pace;
use crate::policy::{Policies, rules};
use crate::session::{self, CLIENT_NAME};
use crate::sessions::Sessions;

/// How long a listener rests when it cannot accept: descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The time zone of `Received:` is looked up this often.
const ZONE_SECS: u64 = 60;
/// From this share of its sessions on, in percent, a shard is under stress.
const STRESS_PERCENT: usize = 80;

/// A message that is in the queue and has not been tried yet.
#[derive(Debug)]
pub struct Accepted {
    /// Its id.
    pub id: QueueId,
    /// Who sent it to whom.
    pub envelope: Rc<Envelope>,
    /// Where its content lies.
    pub place: Place,
    /// The content has a `Delivered-To:` header.
    pub has_delivered_to: bool,
}

/// What a shard can bear.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions at a time; a further client is told to come back.
    pub sessions_max: usize,
}

/// The SMTP server of one shard.
pub struct Service {
    pub(crate) settings: Arc<Snapshot>,
    pub(crate) policies: Policies,
    pub(crate) rules: Arc<cleanup::Rules>,
    pub(crate) slice: Slice<RingDisk>,
    pub(crate) log: Log,
    pub(crate) accepted: Box<dyn Fn(Accepted)>,
    pub(crate) pool: Pool,
    sessions: Rc<Sessions>,
    anvil: Anvil,
    limits: Limits,
    /// Session numbers of this shard are this plus a multiple of the number of shards.
    next_number: Cell<u32>,
    number_step: u32,
    time_zone: TimeZone,
    zone: RefCell<(u64, Zone)>,
}

/// The host's time zone for a while.
#[derive(Clone)]
pub(crate) struct Zone {
    offset_secs: i32,
    name: Rc<str>,
}

impl Zone {
    fn at(time: Time, zone: &TimeZone) -> Self {
        let secs = i64::try_from(time.secs()).unwrap_or_default();
        let info = zone.to_offset_info(jiff::Timestamp::from_second(secs).unwrap_or_default());
        Self { offset_secs: info.offset().seconds(), name: info.abbreviation().into() }
    }

    pub(crate) fn as_cleanup(&self) -> cleanup::Zone<'_> {
        cleanup::Zone { offset_secs: self.offset_secs, name: &self.name }
    }
}

impl Service {
    /// A service that gives its messages to `slice`, and those that are safe there to `accepted`.
    ///
    /// `shard` of `shards` makes the numbers of its sessions differ from those of other shards.
    #[allow(clippy::too_many_arguments, reason = "each of them is one thing that a server needs")]
    pub fn new(
        settings: Arc<Snapshot>,
        slice: Slice<RingDisk>,
        anvil: Anvil,
        limits: Limits,
        (shard, shards): (usize, usize),
        time_zone: TimeZone,
        log: Log,
        accepted: Box<dyn Fn(Accepted)>,
    ) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            policies: Policies::new(&settings),
            rules: Arc::new(rules(&settings)),
            settings,
            slice,
            log,
            accepted,
            pool: Pool::default(),
            sessions: Rc::default(),
            anvil,
            limits,
            next_number: Cell::new(number(shard + 1)),
            number_step: number(shards),
            zone: RefCell::new((0, Zone::at(Time::now(), &time_zone))),
            time_zone,
        }
    }

    /// The shard's sessions, to keep their time and to stop them.
    pub fn sessions(&self) -> &Rc<Sessions> {
        &self.sessions
    }

    /// Accepts connections until the shard stops.
    pub async fn listen(self: Rc<Self>, listener: Listener) {
        while !self.sessions.stopping() {
            match listener.accept().await {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) => {
                    let text = format!("accept connection: {error}");
                    (self.log)("smtpd", 0, Event::Warning { text: &text });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn begin(self: &Rc<Self>, stream: Stream, peer: SocketAddr) {
        let number = self.next_number.get();
        self.next_number.set(number.wrapping_add(self.number_step));
        let counted = self.anvil.connected(peer.ip());
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
        if self.sessions.stopping() {
            return Some(format!("421 4.3.2 {hostname} Service shutting down\r\n"));
        }
        if self.sessions.len() >= self.limits.sessions_max {
            let text = format!("all {} sessions of a shard are in use", self.limits.sessions_max);
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
        (self.log)("smtpd", 0, Event::RateLimit { what, count, client, service: "smtp" });
        Some(format!("421 4.7.0 {hostname} Error: too many connections from {}\r\n", peer.ip()))
    }

    /// Whether hardly a session is left.
    pub(crate) fn is_stressed(&self) -> bool {
        self.sessions.len() * 100 >= self.limits.sessions_max * STRESS_PERCENT
    }

    /// How long clients may take at the moment.
    pub(crate) fn pace(&self) -> Pace {
        let (smtpd, stress) = (&self.settings.smtpd, self.is_stressed());
        Pace {
            timeout: smtpd.smtpd_timeout.under(stress),
            per_request: smtpd.smtpd_per_request_deadline.under(stress),
            bytes_per_sec: smtpd.smtpd_min_data_rate,
        }
    }

    pub(crate) fn zone(&self) -> Zone {
        let now = Time::now();
        let mut zone = self.zone.borrow_mut();
        if now.secs() / ZONE_SECS != zone.0 {
            *zone = (now.secs() / ZONE_SECS, Zone::at(now, &self.time_zone));
        }
        zone.1.clone()
    }
}
