//! How long a client may take.
//!
//! `smtpd_timeout` is the time for one read or one write: who sends a byte now and then stays for as long
//! as he likes. With `smtpd_per_request_deadline` it is the time for a whole request, and content earns
//! more of it as it comes, so that a long message over a slow line is no reason to be put out
//! (postfix `vstream.c`, `VSTREAM_FLAG_DEADLINE`). Only waiting for the client counts, not what the server
//! itself is busy with.
//!
//! The time is always counted, and what it is held against is asked at each wait: when the server comes
//! under stress, a client that has been dripping since before is the first to go.

use std::time::Duration;

/// What holds at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// `smtpd_timeout`
    pub(crate) timeout: Duration,
    /// `smtpd_per_request_deadline`
    pub(crate) per_request: bool,
    /// `smtpd_min_data_rate`: content that earns a second. Not zero.
    pub(crate) bytes_per_sec: u32,
}

/// How much time a client has taken for its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    waited_secs: u32,
    /// Content that does not make a whole second yet.
    earning_bytes: u32,
}

impl Request {
    /// How long the wait may be that begins now, in seconds.
    pub(crate) fn wait_secs(&self, pace: Pace) -> u32 {
        let timeout_secs = u32::try_from(pace.timeout.as_secs()).unwrap_or(u32::MAX);
        if pace.per_request { timeout_secs.saturating_sub(self.waited_secs) } else { timeout_secs }
    }

    /// The client took so long.
    pub(crate) fn waited(&mut self, secs: u32) {
        self.waited_secs = self.waited_secs.saturating_add(secs);
    }

    /// So much content came. It makes up for time that was taken, and is no credit for later.
    pub(crate) fn content(&mut self, bytes: usize, pace: Pace) {
        let earning = u64::from(self.earning_bytes) + bytes as u64;
        let rate = u64::from(pace.bytes_per_sec.max(1));
        let earned_secs = u32::try_from(earning / rate).unwrap_or(u32::MAX);
        self.waited_secs = self.waited_secs.saturating_sub(earned_secs);
        // Less than the rate, which is a u32.
        self.earning_bytes = if self.waited_secs == 0 { 0 } else { (earning % rate) as u32 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Pace =
        Pace { timeout: Duration::from_secs(300), per_request: false, bytes_per_sec: 500 };
    const STRESS: Pace =
        Pace { timeout: Duration::from_secs(10), per_request: true, bytes_per_sec: 500 };

    /// Sends `bytes` of content each second, until time is over or an hour has passed.
    fn seconds_until_put_out(pace: Pace, bytes: usize) -> Option<u32> {
        let mut request = Request::default();
        (1..=3600).find(|_| {
            request.waited(1);
            request.content(bytes, pace);
            request.wait_secs(pace) == 0
        })
    }

    #[test]
    fn a_client_that_drips_is_put_out_after_the_time_for_a_whole_request() {
        let mut request = Request::default();
        for second in 0..10 {
            assert_eq!(request.wait_secs(STRESS), 10 - second);
            request.waited(1);
        }
        assert_eq!(request.wait_secs(STRESS), 0);
        request.waited(u32::MAX);
        assert_eq!(request.wait_secs(STRESS), 0);
    }

    #[test]
    fn without_a_deadline_each_wait_has_the_whole_time() {
        let mut request = Request::default();
        request.waited(100_000);
        assert_eq!(request.wait_secs(CALM), 300);
    }

    #[test]
    fn content_that_comes_at_the_least_rate_may_take_as_long_as_it_takes() {
        assert_eq!(seconds_until_put_out(STRESS, 500), None);
        // A modem of 1994.
        assert_eq!(seconds_until_put_out(STRESS, 14_400 / 8), None);
    }

    #[test]
    fn content_that_comes_slower_buys_time_but_not_enough() {
        assert_eq!(seconds_until_put_out(STRESS, 0), Some(10));
        // Every second costs one and earns four fifths of one.
        assert_eq!(seconds_until_put_out(STRESS, 400), Some(46));
        // A byte a second earns a second in more than eight minutes.
        assert_eq!(seconds_until_put_out(STRESS, 1), Some(10));
        let calm = Pace { per_request: true, ..CALM };
        assert_eq!(seconds_until_put_out(calm, 1), Some(300));
    }

    #[test]
    fn a_megabyte_at_once_is_no_credit() {
        let mut request = Request::default();
        request.waited(2);
        request.content(1 << 20, STRESS);
        assert_eq!(request.wait_secs(STRESS), 10);
        request.waited(10);
        assert_eq!(request.wait_secs(STRESS), 0);
    }

    #[test]
    fn stress_is_felt_by_a_request_that_began_before() {
        let mut request = Request::default();
        request.waited(60);
        assert_eq!((request.wait_secs(CALM), request.wait_secs(STRESS)), (300, 0));
    }
}
