//! What a run observed: counts and latency histograms, mergeable across threads.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::dialogue::{Refusal, Verdict};

/// Different refusal texts kept; a run against a broken server must not fill memory with them.
const REFUSAL_KINDS_MAX: usize = 16;

/// Longest latency that is told apart from longer ones.
const LATENCY_US_MAX: u64 = 600 * 1_000_000;

#[derive(Debug)]
pub(crate) struct Record {
    /// From the connect call to the complete banner.
    pub(crate) banner: Histogram<u64>,
    /// From the write that ended the content to the 250.
    pub(crate) commit: Histogram<u64>,
    /// The whole message. Closed loop: from the start of its connection, or of its MAIL where the
    /// connection is kept. Open loop: from the moment it was *meant* to start, so that waiting
    /// for a free session counts (no coordinated omission).
    pub(crate) whole: Histogram<u64>,
    pub(crate) accepted: u64,
    pub(crate) recipients_accepted: u64,
    pub(crate) refused_later: u64,
    pub(crate) refused_forever: u64,
    /// Messages whose session broke before the last answer: the server may or may not have them.
    pub(crate) unanswered: u64,
    pub(crate) connections: u64,
    pub(crate) connect_failures: u64,
    pub(crate) sessions_broken: u64,
    pub(crate) content_bytes: u64,
    pub(crate) refusals: BTreeMap<String, u64>,
}

impl Record {
    pub(crate) fn new() -> Self {
        let histogram = || {
            let mut histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
                .expect("the bounds are constants that hdrhistogram accepts");
            histogram.auto(false);
            histogram
        };
        Self {
            banner: histogram(),
            commit: histogram(),
            whole: histogram(),
            accepted: 0,
            recipients_accepted: 0,
            refused_later: 0,
            refused_forever: 0,
            unanswered: 0,
            connections: 0,
            connect_failures: 0,
            sessions_broken: 0,
            content_bytes: 0,
            refusals: BTreeMap::new(),
        }
    }

    pub(crate) fn banner(&mut self, took: Duration) {
        observe(&mut self.banner, took);
    }

    /// Only accepted messages enter the latency histograms: a refusal is quick and would flatter.
    pub(crate) fn finished(
        &mut self,
        verdict: &Verdict,
        bytes: usize,
        commit: Duration,
        whole: Duration,
    ) {
        match verdict {
            Verdict::Accepted { recipients } => {
                self.accepted += 1;
                self.recipients_accepted += u64::from(*recipients);
                self.content_bytes += bytes as u64;
                observe(&mut self.commit, commit);
                observe(&mut self.whole, whole);
            }
            Verdict::Refused(refusal) => {
                match refusal.code {
                    500.. => self.refused_forever += 1,
                    _ => self.refused_later += 1,
                }
                self.refusal(refusal);
            }
        }
    }

    pub(crate) fn refusal(&mut self, refusal: &Refusal) {
        if let Some(count) = self.refusals.get_mut(&refusal.text) {
            *count += 1;
        } else if self.refusals.len() < REFUSAL_KINDS_MAX {
            self.refusals.insert(refusal.text.clone(), 1);
        }
    }

    /// Messages that have their answer, or never will.
    pub(crate) fn messages(&self) -> u64 {
        self.accepted + self.refused_later + self.refused_forever + self.unanswered
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.banner, &other.banner),
            (&mut self.commit, &other.commit),
            (&mut self.whole, &other.whole),
        ] {
            mine.add(theirs).expect("all histograms have the same bounds");
        }
        self.accepted += other.accepted;
        self.recipients_accepted += other.recipients_accepted;
        self.refused_later += other.refused_later;
        self.refused_forever += other.refused_forever;
        self.unanswered += other.unanswered;
        self.connections += other.connections;
        self.connect_failures += other.connect_failures;
        self.sessions_broken += other.sessions_broken;
        self.content_bytes += other.content_bytes;
        for (text, count) in &other.refusals {
            if self.refusals.contains_key(text) || self.refusals.len() < REFUSAL_KINDS_MAX {
                *self.refusals.entry(text.clone()).or_default() += count;
            }
        }
    }
}

fn observe(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
}

/// A histogram as a table or a JSON file shows it, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean_us: (histogram.mean() * 10.0).round() / 10.0,
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: Verdict = Verdict::Accepted { recipients: 1 };

    #[test]
    fn quantiles_are_within_a_thousandth_of_what_was_observed() {
        let mut record = Record::new();
        for ms in 1..=1000 {
            record.finished(&ACCEPTED, 4096, Duration::from_millis(ms), Duration::from_millis(ms));
        }
        let latency = Latency::from(&record.commit);
        assert_eq!(latency.count, 1000);
        assert!(latency.p50_us.abs_diff(500_000) <= 500, "{}", latency.p50_us);
        assert!(latency.p99_us.abs_diff(990_000) <= 990, "{}", latency.p99_us);
        assert!(latency.max_us.abs_diff(1_000_000) <= 1000);
    }

    #[test]
    fn refusals_are_counted_by_kind_and_leave_the_latencies_alone() {
        let mut record = Record::new();
        for code in [452, 550, 554] {
            let refusal = Refusal { code, text: format!("{code} no") };
            let verdict = Verdict::Refused(refusal);
            record.finished(&verdict, 1, Duration::ZERO, Duration::ZERO);
        }
        assert_eq!((record.refused_later, record.refused_forever), (1, 2));
        assert_eq!(record.whole.len(), 0);
        assert_eq!(record.messages(), 3);
        assert_eq!(record.refusals["550 no"], 1);
    }

    #[test]
    fn merging_loses_no_observation() {
        let (mut one, mut two) = (Record::new(), Record::new());
        one.finished(&ACCEPTED, 10, Duration::from_micros(100), Duration::from_micros(200));
        two.finished(&ACCEPTED, 20, Duration::from_micros(300), Duration::from_micros(400));
        two.refusal(&Refusal { code: 421, text: "421 bye".to_owned() });
        one.merge(&two);
        assert_eq!(one.accepted, 2);
        assert_eq!(one.content_bytes, 30);
        assert_eq!(one.commit.len(), 2);
        assert_eq!(one.commit.max(), 300);
        assert_eq!(one.refusals["421 bye"], 1);
    }

    #[test]
    fn a_latency_beyond_the_range_is_kept_as_the_longest() {
        let mut record = Record::new();
        record.banner(Duration::from_secs(100_000));
        assert_eq!(record.banner.len(), 1);
        assert!(record.banner.max() >= LATENCY_US_MAX);
    }

    #[test]
    fn a_flood_of_different_refusals_does_not_grow_without_bound() {
        let mut record = Record::new();
        for n in 0..1000 {
            record.refusal(&Refusal { code: 450, text: format!("450 {n}") });
        }
        assert_eq!(record.refusals.len(), REFUSAL_KINDS_MAX);
    }
}
