//! Lanes: what waits for one destination, and how many deliveries it bears at once.
//!
//! The window follows Postfix's feedback (SCHEDULER_README, `src/qmgr/qmgr_queue.c`): a success opens
//! it, a destination that fails closes it, and one that fails for as long as a whole window is dead:
//! it is left alone for `minimal_backoff_time`, and what waits for it goes back to the deferred queue.

use hashbrown::HashTable;
use mail::{Address, Status, Time};
use slab::Slab;
use std::hash::{BuildHasher, Hasher};

use crate::entries::List;
use crate::parameters::{Transport, TransportParameters};

/// One destination of one transport.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) transport: Transport,
    pub(crate) waiting: List,
    pub(crate) busy: u32,
    /// Its last outcome, or when it got its first job after having none in hand.
    pub(crate) heard: Time,
    /// It stands in its transport's round.
    pub(crate) in_turn: bool,
    pub(crate) rest: Rest,
    window: u32,
    success: f64,
    failure: f64,
    failed_cohorts: f64,
    name: String,
    hash: u64,
}

/// Why a lane starts nothing at present.
#[derive(Debug)]
pub(crate) enum Rest {
    /// It may start.
    None,
    /// `destination_rate_delay`; the timer that ends it.
    Paused { timer: u64 },
    /// Dead, with what is told about its mail.
    Dead { timer: u64, status: Status, reason: Box<str> },
}

impl Lane {
    /// True where another delivery can start now.
    pub(crate) fn may_start(&self) -> bool {
        matches!(self.rest, Rest::None) && self.busy < self.window && !self.waiting.is_empty()
    }

    /// True where there is nothing left to remember.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.rest, Rest::None)
            && self.busy == 0
            && self.waiting.is_empty()
            && !self.in_turn
    }

    /// A delivery got through to the destination: the window opens.
    pub(crate) fn succeeded(&mut self, limits: &TransportParameters) {
        self.failed_cohorts = 0.0;
        if let Rest::Dead { .. } = self.rest {
            self.revive(limits);
            return;
        }
        // The window stays near the actual concurrency, or closing it would have no effect.
        let near = self.busy + limits.first_window();
        if self.window >= limits.last_window() || self.window >= near {
            return;
        }
        let feedback = limits.positive_feedback.value(self.window);
        self.success += feedback;
        while feedback > 0.0 && self.success + feedback / 2.0 >= 1.0 {
            self.window += 1;
            self.success -= 1.0;
            self.failure = 0.0;
        }
        self.window = self.window.min(limits.last_window());
    }

    /// The destination could not be reached: the window closes. True where that was the last straw
    /// and the destination is to be declared dead.
    pub(crate) fn failed(&mut self, limits: &TransportParameters) -> bool {
        if let Rest::Dead { .. } = self.rest {
            return false;
        }
        self.failed_cohorts += 1.0 / f64::from(self.window);
        if limits.failed_cohort_limit > 0.0 && self.failed_cohorts >= limits.failed_cohort_limit {
            return true;
        }
        let feedback = limits.negative_feedback.value(self.window);
        self.failure -= feedback;
        while feedback > 0.0 && self.failure - feedback / 2.0 < 0.0 {
            self.window = self.window.saturating_sub(1);
            self.success = 0.0;
            self.failure += 1.0;
        }
        self.window = self.window.max(1);
        false
    }

    /// Ends a rest.
    pub(crate) fn revive(&mut self, limits: &TransportParameters) {
        if let Rest::Dead { .. } = self.rest {
            self.window = if self.busy > 0 { self.busy } else { limits.first_window() };
            self.success = 0.0;
            self.failure = 0.0;
            self.failed_cohorts = 0.0;
        }
        self.rest = Rest::None;
    }

    /// The timer that ends its rest.
    pub(crate) fn timer(&self) -> Option<u64> {
        match self.rest {
            Rest::None => None,
            Rest::Paused { timer } | Rest::Dead { timer, .. } => Some(timer),
        }
    }

    /// True for the next hop itself, or a recipient's lane there.
    pub(crate) fn leads_to(&self, site: &str) -> bool {
        let host = self.name.rsplit_once('@').map_or(&*self.name, |(_, host)| host);
        host.eq_ignore_ascii_case(site)
    }
}

/// All lanes, found by transport and name.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    slots: Slab<Lane>,
    by_name: HashTable<u32>,
    // Keyed at random: recipients and domains are chosen by strangers.
    hasher: foldhash::fast::RandomState,
    name: String,
    spare_names: Vec<String>,
}

/// Name buffers kept for the next lanes: mailboxes come and go with every message.
const SPARE_NAMES_MAX: usize = 256;

impl Lanes {
    /// The lane that a recipient belongs in, opened where it does not exist.
    ///
    /// A lane is named after the next hop, or for agents that take one recipient at a time after
    /// `localpart@nexthop` without address extension (Postfix `src/qmgr/qmgr_message.c`).
    pub(crate) fn enter(
        &mut self,
        transport: Transport,
        limits: &TransportParameters,
        recipient: &Address,
        next_hop: Option<&str>,
        delimiter: &str,
    ) -> u32 {
        self.name.clear();
        if limits.lane_per_recipient {
            self.name.push_str(without_extension(recipient.local(), delimiter));
            self.name.push('@');
        }
        self.name.push_str(next_hop.unwrap_or(recipient.domain()));
        self.name.make_ascii_lowercase();
        let mut hasher = self.hasher.build_hasher();
        hasher.write(self.name.as_bytes());
        hasher.write_u16(transport.0);
        let hash = hasher.finish();

        let (slots, name) = (&mut self.slots, &self.name);
        let found = self.by_name.find(hash, |&lane| {
            let lane = &slots[lane as usize];
            lane.transport == transport && lane.name == *name
        });
        if let Some(&lane) = found {
            return lane;
        }
        let mut owned = self.spare_names.pop().unwrap_or_default();
        owned.push_str(name);
        let lane = slots.insert(Lane {
            transport,
            waiting: List::default(),
            busy: 0,
            heard: Time(0),
            in_turn: false,
            rest: Rest::None,
            window: limits.first_window(),
            success: 0.0,
            failure: 0.0,
            failed_cohorts: 0.0,
            name: owned,
            hash,
        }) as u32;
        self.by_name.insert_unique(hash, lane, |&lane| slots[lane as usize].hash);
        lane
    }

    /// Forgets a lane that is idle.
    pub(crate) fn leave_if_idle(&mut self, lane: u32) {
        if !self.slots[lane as usize].is_idle() {
            return;
        }
        let gone = self.slots.remove(lane as usize);
        if let Ok(entry) = self.by_name.find_entry(gone.hash, |&other| other == lane) {
            entry.remove();
        }
        if self.spare_names.len() < SPARE_NAMES_MAX {
            let mut name = gone.name;
            name.clear();
            self.spare_names.push(name);
        }
    }

    /// Has all lanes keep to new limits, whatever they had opened to.
    pub(crate) fn follow(&mut self, transports: &[TransportParameters]) {
        for (_, lane) in &mut self.slots {
            if let Some(limits) = transports.get(usize::from(lane.transport.0)) {
                lane.window = lane.window.min(limits.last_window());
            }
        }
    }

    pub(crate) fn get(&self, lane: u32) -> Option<&Lane> {
        self.slots.get(lane as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Lane)> {
        self.slots.iter().map(|(lane, value)| (lane as u32, value))
    }
}

impl std::ops::Index<u32> for Lanes {
    type Output = Lane;
    fn index(&self, lane: u32) -> &Lane {
        &self.slots[lane as usize]
    }
}

impl std::ops::IndexMut<u32> for Lanes {
    fn index_mut(&mut self, lane: u32) -> &mut Lane {
        &mut self.slots[lane as usize]
    }
}

/// The timer of a resting lane.
pub(crate) type Alarm = (Time, u64, u32);

/// The user's name in a local part: what stands before the first delimiter, if that is not the
/// first character.
fn without_extension<'a>(local: &'a str, delimiter: &str) -> &'a str {
    match local.find(|c| delimiter.contains(c)) {
        Some(at) if at > 0 => &local[..at],
        _ => local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane_of(limits: &TransportParameters) -> Lane {
        let mut lanes = Lanes::default();
        let to = Address::parse(b"User+tag@Example.COM").unwrap();
        let lane = lanes.enter(Transport(0), limits, &to, None, "+");
        lanes.slots.remove(lane as usize)
    }

    fn dead() -> Rest {
        Rest::Dead { timer: 0, status: Status(4, 4, 1), reason: "".into() }
    }

    #[test]
    fn a_lane_is_named_after_the_next_hop_or_the_recipient() {
        assert_eq!(lane_of(&TransportParameters::new("smtp")).name, "example.com");
        assert_eq!(lane_of(&TransportParameters::mailboxes("virtual")).name, "user@example.com");
    }

    #[test]
    fn an_extension_is_no_way_to_more_slots() {
        assert_eq!(without_extension("user+a+b", "+"), "user");
        assert_eq!(without_extension("user-a", "+-"), "user");
        assert_eq!(without_extension("+user", "+"), "+user");
        assert_eq!(without_extension("user+a", ""), "user+a");
    }

    #[test]
    fn the_window_opens_with_success_up_to_the_limit() {
        let limits = TransportParameters::new("smtp");
        let mut lane = lane_of(&limits);
        assert_eq!(lane.window, 5);
        lane.succeeded(&limits);
        assert_eq!(lane.window, 5, "nothing is in hand: a wider window would mean nothing");
        for _ in 0..100 {
            lane.busy = lane.window;
            lane.succeeded(&limits);
        }
        assert_eq!(lane.window, 20);
    }

    #[test]
    fn no_window_is_wider_than_the_limit_from_the_first_delivery_on() {
        let wide = TransportParameters::new("smtp");
        for limit in [1, 4] {
            let limits = TransportParameters { concurrency_limit: limit, ..wide.clone() };
            let mut lane = lane_of(&limits);
            assert_eq!(lane.window, limit);
            (lane.window, lane.rest) = (1, dead());
            lane.revive(&limits);
            assert_eq!(lane.window, limit);

            let mut lanes = Lanes::default();
            let to = Address::parse(b"user@example.com").unwrap();
            let lane = lanes.enter(Transport(0), &wide, &to, None, "");
            assert_eq!(lanes[lane].window, 5);
            lanes.follow(std::slice::from_ref(&limits));
            assert_eq!(lanes[lane].window, limit);
            lanes.follow(std::slice::from_ref(&wide));
            assert_eq!(lanes[lane].window, limit, "it opens with success");
        }
    }

    #[test]
    fn a_destination_is_dead_after_a_window_of_failures() {
        let limits = TransportParameters::new("smtp");
        let mut lane = lane_of(&limits);
        lane.busy = 5;
        let verdicts = [(); 3].map(|()| (lane.failed(&limits), lane.window));
        // The first failure counts at once and twice, as in Postfix: 1/5 + 1/3 + 1/2 > 1.
        assert_eq!(verdicts, [(false, 3), (false, 2), (true, 2)]);
    }

    #[test]
    fn one_success_among_failures_keeps_a_destination_alive() {
        let limits = TransportParameters::new("smtp");
        let mut lane = lane_of(&limits);
        for _ in 0..100 {
            lane.busy = 5;
            assert!(!lane.failed(&limits));
            lane.succeeded(&limits);
        }
    }

    #[test]
    fn a_destination_back_from_the_dead_starts_anew() {
        let limits = TransportParameters::new("smtp");
        let mut lane = lane_of(&limits);
        (lane.window, lane.rest) = (1, dead());
        assert!(!lane.may_start());
        lane.revive(&limits);
        assert_eq!(lane.window, 5);
    }

    #[test]
    fn a_rate_delay_makes_a_lane_sequential() {
        let mut limits = TransportParameters::new("slow");
        limits.rate_delay = std::time::Duration::from_secs(1);
        let mut lane = lane_of(&limits);
        for _ in 0..10 {
            lane.busy = 1;
            lane.succeeded(&limits);
            assert_eq!(lane.window, 1);
        }
    }
}
