//! What the scheduler is told about the configuration: Postfix's parameters, as plain values.
//!
//! The limits are those of one shard. A host with several shards divides the totals of the
//! configuration among them.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The scheduler's share of the configuration. `Default` holds Postfix's defaults.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// `qmgr_message_active_limit`: messages in memory.
    pub active_messages_max: usize,
    /// `qmgr_message_recipient_limit`: recipients in memory. A message with more recipients than
    /// this is taken when nothing else is active.
    pub active_recipients_max: usize,
    /// `minimal_backoff_time`: the shortest time between attempts, and how long a dead destination
    /// is left alone.
    pub minimal_backoff: Duration,
    /// `maximal_backoff_time`: the longest time between attempts.
    pub maximal_backoff: Duration,
    /// `queue_run_delay`: the time between two looks for deferred mail that is due.
    pub queue_run_delay: Duration,
    /// `maximal_queue_lifetime`: after this time a message that could not be delivered is given up.
    pub queue_lifetime: Duration,
    /// `bounce_queue_lifetime`: the same for mail from the null sender.
    pub bounce_lifetime: Duration,
    /// `recipient_delimiter`: what separates an address extension from the user's name, so that
    /// extended addresses do not get extra delivery slots.
    pub recipient_delimiter: Box<str>,
    /// Recipients that one message can gain by redirection before that counts as a loop.
    pub message_recipients_max: u32,
    /// Destinations remembered as dead or paused. When there are more, the one that has rested
    /// longest gets its next chance early.
    pub resting_lanes_max: usize,
    /// The delivery agents; [`Transport`] is a place in this list.
    pub transports: Vec<TransportParameters>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            active_messages_max: 20_000,
            active_recipients_max: 20_000,
            minimal_backoff: Duration::from_secs(300),
            maximal_backoff: Duration::from_secs(4000),
            queue_run_delay: Duration::from_secs(300),
            queue_lifetime: Duration::from_secs(5 * 86_400),
            bounce_lifetime: Duration::from_secs(5 * 86_400),
            recipient_delimiter: "".into(),
            message_recipients_max: 50_000,
            resting_lanes_max: 20_000,
            transports: Vec::new(),
        }
    }
}

/// A delivery agent, by its place in [`Parameters::transports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transport(pub u16);

/// What is particular to one delivery agent. The names in backquotes stand for
/// `TRANSPORT_name` and, where that is not set, `default_name`.
#[derive(Clone, Debug)]
pub struct TransportParameters {
    /// Its name in master.cf: `virtual`, `smtp`, ...
    pub name: Arc<str>,
    /// The process limit of master.cf: jobs that this agent has in hand at once. 0 is no limit.
    pub jobs_max: usize,
    /// `initial_destination_concurrency`: where a new destination's window starts.
    pub initial_concurrency: u32,
    /// `destination_concurrency_limit`: where it stops growing. 0 is no limit.
    pub concurrency_limit: u32,
    /// `destination_concurrency_positive_feedback`: what a success adds to the window.
    pub positive_feedback: Feedback,
    /// `destination_concurrency_negative_feedback`: what a failure takes from it.
    pub negative_feedback: Feedback,
    /// `destination_concurrency_failed_cohort_limit`: failures of a whole window in a row, after
    /// which the destination is dead. 0 is never.
    pub failed_cohort_limit: f64,
    /// `destination_rate_delay`: the pause after each delivery to one destination. Anything but
    /// zero makes deliveries to a destination strictly sequential.
    pub rate_delay: Duration,
    /// `destination_recipient_limit` is 1: each recipient is a destination of its own, so that one
    /// slow mailbox does not take the slots of the others in its domain.
    pub lane_per_recipient: bool,
    /// It hands mail to nobody: `error`, `retry`, `discard`. The log says `relay=none`.
    pub relays_nothing: bool,
}

impl TransportParameters {
    /// An agent for other hosts, or for whole domains: one lane for each next hop.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            jobs_max: 0,
            initial_concurrency: 5,
            concurrency_limit: 20,
            positive_feedback: Feedback::Constant(1.0),
            negative_feedback: Feedback::Constant(1.0),
            failed_cohort_limit: 1.0,
            rate_delay: Duration::ZERO,
            lane_per_recipient: false,
            relays_nothing: false,
        }
    }

    /// An agent that writes mailboxes, as `virtual`: one lane for each recipient.
    pub fn mailboxes(name: impl Into<Arc<str>>) -> Self {
        Self { lane_per_recipient: true, ..Self::new(name) }
    }

    /// An agent that hands mail to nobody.
    pub fn nobody(name: impl Into<Arc<str>>) -> Self {
        Self { relays_nothing: true, concurrency_limit: 0, ..Self::new(name) }
    }

    /// The window that a new lane starts with, and returns to after a rest: never more than the limit
    /// (postfix `src/qmgr/qmgr_transport.c`).
    pub(crate) fn first_window(&self) -> u32 {
        self.initial_concurrency.max(1).min(self.last_window())
    }

    /// The largest window.
    pub(crate) fn last_window(&self) -> u32 {
        match self.concurrency_limit {
            _ if !self.rate_delay.is_zero() => 1,
            0 => u32::MAX,
            limit => limit,
        }
    }
}

/// How strongly one outcome moves a destination's window (Postfix SCHEDULER_README): a constant, or
/// a constant divided by what the window is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feedback {
    /// `1`, `1/8`
    Constant(f64),
    /// `1/concurrency`
    OverWindow(f64),
    /// `1/sqrt_concurrency`
    OverSqrtWindow(f64),
}

impl FromStr for Feedback {
    type Err = ();

    /// A number from 0 to 1, alone or over a number, `concurrency` or `sqrt_concurrency` (postfix
    /// `src/qmgr/qmgr_feedback.c`).
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|it| it.is_finite());
        let share = |base: f64| (0.0..=1.0).contains(&base).then_some(base).ok_or(());
        let (numerator, denominator) = match text.split_once('/') {
            Some((numerator, denominator)) => (numerator, Some(denominator.trim())),
            None => (text, None),
        };
        let base = number(numerator).ok_or(())?;
        match denominator {
            None => share(base).map(Self::Constant),
            Some("concurrency") => share(base).map(Self::OverWindow),
            Some("sqrt_concurrency") => share(base).map(Self::OverSqrtWindow),
            Some(by) => share(base / number(by).ok_or(())?).map(Self::Constant),
        }
    }
}

impl Feedback {
    pub(crate) fn value(self, window: u32) -> f64 {
        let window = f64::from(window.max(1));
        match self {
            Self::Constant(base) => base,
            Self::OverWindow(base) => base / window,
            Self::OverSqrtWindow(base) => base / window.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_is_a_share_and_what_it_is_divided_by() {
        for (text, feedback) in [
            ("1", Ok(Feedback::Constant(1.0))),
            ("0.25", Ok(Feedback::Constant(0.25))),
            ("1/8", Ok(Feedback::Constant(0.125))),
            ("2 / 4", Ok(Feedback::Constant(0.5))),
            ("1/concurrency", Ok(Feedback::OverWindow(1.0))),
            ("0.5/sqrt_concurrency", Ok(Feedback::OverSqrtWindow(0.5))),
        ] {
            assert_eq!(text.parse(), feedback, "{text}");
        }
        for text in ["", "2", "-1", "1/0", "1/x", "nan", "inf/inf", "1/concurrency/2"] {
            assert_eq!(text.parse::<Feedback>(), Err(()), "{text}");
        }
    }
}
