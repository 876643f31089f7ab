//! What an operator asks of active mail: flush it, hold it, release it, delete it.

use std::cmp::Reverse;

use mail::{QueueId, Time};

use super::{Order, Scheduler};
use crate::entries::{By, Entry, NONE, State};
use crate::lane::Rest;

impl Scheduler {
    /// `postqueue -f`: every destination gets another chance, and all deferred mail is tried.
    pub fn flush_all(&mut self, now: Time) {
        self.read_clock(now);
        self.revive(|_| true);
        self.runs.start_all();
    }

    /// `postqueue -s`: the same for one site.
    pub fn flush_site(&mut self, site: &str, now: Time) {
        self.read_clock(now);
        let lanes = &self.lanes;
        let there: Vec<u32> =
            lanes.iter().filter(|(_, lane)| lane.leads_to(site)).map(|(at, _)| at).collect();
        self.revive(|lane| there.binary_search(&lane).is_ok());
        self.runs.start_site(site);
    }

    /// `postqueue -i`: false where the message is not active, and the caller is to set its next
    /// attempt to now and call [`run`](Self::run).
    pub fn flush_message(&mut self, id: QueueId, now: Time) -> bool {
        self.read_clock(now);
        let Some(&message) = self.by_id.get(&id) else { return false };
        let mut lanes = Vec::new();
        let mut at = self.messages[message as usize].entries.first;
        while at != NONE {
            lanes.push(self.entries[at].lane);
            at = self.entries.after(By::Message, at);
        }
        lanes.sort_unstable();
        self.revive(|lane| lanes.binary_search(&lane).is_ok());
        true
    }

    /// `postsuper -h`: false where the message is not active and the queue is to hold it by itself.
    /// Otherwise deliveries under way come to their end, and then
    /// [`Change::Held`](crate::Change::Held) says so.
    pub fn hold(&mut self, id: QueueId, now: Time) -> bool {
        self.give_order(id, Order::Hold, now)
    }

    /// `postsuper -H`: takes back a [`hold`](Self::hold) that has not come into force. False where
    /// there is none, and the queue is to release the message by itself.
    pub fn release(&mut self, id: QueueId, now: Time) -> bool {
        match self.by_id.get(&id) {
            Some(&message) if self.messages[message as usize].order == Order::Hold => {
                self.give_order(id, Order::Release, now)
            }
            _ => false,
        }
    }

    /// `postsuper -d`: false where the message is not active and the queue is to delete it by
    /// itself. Otherwise [`Change::Deleted`](crate::Change::Deleted) follows when no delivery is
    /// under way any more.
    pub fn delete(&mut self, id: QueueId, now: Time) -> bool {
        self.give_order(id, Order::Delete, now)
    }

    fn give_order(&mut self, id: QueueId, order: Order, now: Time) -> bool {
        self.read_clock(now);
        let Some(&message) = self.by_id.get(&id) else { return false };
        let active = &mut self.messages[message as usize];
        active.order = order;
        active.expected += 1;
        let mut at = active.entries.first;
        while at != NONE {
            let after = self.entries.after(By::Message, at);
            let Entry { lane, state, .. } = self.entries[at];
            if state == State::Waiting {
                self.entries.unlink(&mut self.lanes[lane].waiting, By::Lane, at);
                self.withdraw(at, now);
                self.lanes.leave_if_idle(lane);
            }
            at = after;
        }
        self.messages[message as usize].expected -= 1;
        self.conclude_if_done(message, now);
        true
    }

    /// Takes a recipient out of memory without an attempt. The entry must not be in a lane.
    pub(super) fn withdraw(&mut self, at: u32, now: Time) {
        let message_at = self.entries[at].message;
        let message = &mut self.messages[message_at as usize];
        message.withdrawn = true;
        self.entries.unlink(&mut message.entries, By::Message, at);
        self.entries.remove(at);
        self.conclude_if_done(message_at, now);
    }

    /// Another chance for dead destinations. Pauses between deliveries are kept.
    fn revive(&mut self, which: impl Fn(u32) -> bool) {
        let dead: Vec<u32> = self
            .lanes
            .iter()
            .filter(|(at, lane)| matches!(lane.rest, Rest::Dead { .. }) && which(*at))
            .map(|(at, _)| at)
            .collect();
        for at in dead {
            let transport = self.lanes[at].transport;
            self.lanes[at].revive(&self.parameters.transports[usize::from(transport.0)]);
            self.offer_turn(at);
            self.lanes.leave_if_idle(at);
        }
        let lanes = &self.lanes;
        self.alarms.retain(|Reverse((_, timer, lane))| {
            lanes.get(*lane).and_then(|lane| lane.timer()) == Some(*timer)
        });
    }
}
