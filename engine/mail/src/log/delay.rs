//! Delays, with two significant digits as Postfix prints them.

use std::time::Duration;

use super::push;

/// Where the time of a delivery went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// From arrival to outcome.
    pub total: Duration,
    /// Before the message became active.
    pub before: Duration,
    /// In the active queue.
    pub active: Duration,
    /// Setting up a connection.
    pub connecting: Duration,
    /// Delivering.
    pub delivering: Duration,
}

const SECOND: u64 = 1_000_000;

/// Appends `delay=3.6, delays=0.2/0.02/0.04/3.3`.
pub(super) fn push(out: &mut Vec<u8>, delays: &Delays, decimals_max: u8) {
    push::own(out, "delay=");
    seconds(out, delays.total, decimals_max);
    push::own(out, ", delays=");
    seconds(out, delays.before, decimals_max);
    for part in [delays.active, delays.connecting, delays.delivering] {
        out.push(b'/');
        seconds(out, part, decimals_max);
    }
}

/// Appends seconds with two significant digits, whole ones from ten seconds on. Rounds and drops
/// zeros as postfix `src/util/format_tv.c`, so that graphs do not shift with a change of mail system.
pub(super) fn seconds(out: &mut Vec<u8>, delay: Duration, decimals_max: u8) {
    let (mut whole, mut micros) = (delay.as_secs(), u64::from(delay.subsec_micros()));
    let mut step = SECOND / 10u64.pow(decimals_max.min(6).into());
    if step < SECOND {
        if whole >= 10 {
            step = SECOND;
        } else if whole > 0 {
            step = SECOND / 10;
        } else {
            while micros >= 100 * step {
                step *= 10;
            }
        }
    }
    if step > 1 {
        micros += step / 2;
        if micros >= SECOND {
            whole += 1;
            micros -= SECOND;
        }
    }
    push::number(out, whole);
    if micros < step {
        return;
    }
    out.push(b'.');
    let mut digit = SECOND / 10;
    while micros >= step && digit > 0 {
        out.push(b'0' + (micros / digit) as u8);
        micros %= digit;
        digit /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(micros: u64, decimals_max: u8) -> String {
        let mut out = Vec::new();
        seconds(&mut out, Duration::from_micros(micros), decimals_max);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn delays_have_two_significant_digits_and_no_idle_zeros() {
        for (micros, text) in [
            (0, "0"),
            (4_999, "0"),
            (5_000, "0.01"),
            (20_000, "0.02"),
            (123_456, "0.12"),
            (999_999, "1"),
            (1_040_000, "1"),
            (1_050_000, "1.1"),
            (3_600_000, "3.6"),
            (9_949_999, "9.9"),
            (9_960_000, "10"),
            (10_400_000, "10"),
            (10_500_000, "11"),
            (86_400_000_000, "86400"),
        ] {
            assert_eq!(printed(micros, 2), text, "{micros} us");
        }
    }

    #[test]
    fn the_resolution_limit_moves_the_last_digit() {
        assert_eq!(printed(123_456, 6), "0.12");
        assert_eq!(printed(1_234, 6), "0.0012");
        assert_eq!(printed(1, 6), "0.000001");
        assert_eq!(printed(1_234, 3), "0.001");
        assert_eq!(printed(512_345, 0), "1");
        assert_eq!(printed(412_345, 0), "0");
    }
}
