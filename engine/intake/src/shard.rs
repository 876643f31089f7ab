//! What the SMTP services of one shard share, whatever their settings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use jiff::tz::TimeZone;
use mail::{Envelope, QueueId, Time};
use queue::{Place, RingDisk, Slice};

use crate::anvil::Anvil;
use crate::content::Pool;
use crate::sessions::Sessions;
use crate::warned::Warned;

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

/// One shard's queue, log, sessions and buffers. Services come and go with the configuration; this stays.
pub struct Shard {
    pub(crate) slice: Slice<RingDisk>,
    pub(crate) accepted: Box<dyn Fn(Accepted)>,
    pub(crate) pool: Pool,
    pub(crate) anvil: Anvil,
    pub(crate) warned: Warned,
    sessions: Rc<Sessions>,
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

impl Shard {
    /// A shard that gives its messages to `slice`, and those that are safe there to `accepted`.
    ///
    /// `number`, the shard's and how many there are, makes the numbers of its sessions differ from those
    /// of other shards.
    pub fn new(
        slice: Slice<RingDisk>,
        anvil: Anvil,
        limits: Limits,
        number: (usize, usize),
        time_zone: TimeZone,
        accepted: Box<dyn Fn(Accepted)>,
    ) -> Self {
        let as_u32 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            slice,
            accepted,
            pool: Pool::default(),
            anvil,
            warned: Warned::default(),
            sessions: Rc::default(),
            limits,
            next_number: Cell::new(as_u32(number.0 + 1)),
            number_step: as_u32(number.1),
            zone: RefCell::new((0, Zone::at(Time::now(), &time_zone))),
            time_zone,
        }
    }

    /// The shard's sessions, to keep their time and to stop them.
    pub fn sessions(&self) -> &Rc<Sessions> {
        &self.sessions
    }

    /// The next session's number.
    pub(crate) fn next_number(&self) -> u32 {
        let number = self.next_number.get();
        self.next_number.set(number.wrapping_add(self.number_step));
        number
    }

    /// How many sessions there may be, where there are as many.
    pub(crate) fn is_full(&self) -> Option<usize> {
        let max = self.limits.sessions_max;
        (self.sessions.len() >= max).then_some(max)
    }

    /// Whether hardly a session is left.
    pub(crate) fn is_stressed(&self) -> bool {
        self.sessions.len() * 100 >= self.limits.sessions_max * STRESS_PERCENT
    }

    /// Now, as syslog writes it.
    pub(crate) fn local_time(&self) -> String {
        let now = jiff::Timestamp::now().to_zoned(self.time_zone.clone());
        now.strftime("%b %d %H:%M:%S").to_string()
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
