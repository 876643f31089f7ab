//! Sizes and durations as people type them (`4k`, `1m`, `250ms`, `30s`).

use std::time::Duration;

/// `4096`, `4k`, `64K`, `1m`, `2G`: powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        unit => return Err(format!("{unit:?} is not a unit of size (k, m, g)")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{text:?} is not a size"))?;
    count.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large"))
}

/// `250ms`, `30s`, `5m`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: f64 = digits.parse().map_err(|_| format!("{text:?} is not a duration"))?;
    let seconds = match &text[digits.len()..] {
        "us" => count / 1e6,
        "ms" => count / 1e3,
        "" | "s" => count,
        "m" => count * 60.0,
        "h" => count * 3600.0,
        unit => return Err(format!("{unit:?} is not a unit of time (us, ms, s, m, h)")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is not a duration"))
}

/// A number with thousands separated, as tables show it.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("4k"), Ok(4096));
        assert_eq!(bytes("1M"), Ok(1 << 20));
        assert!(bytes("4x").is_err());
        assert!(bytes("k").is_err());
    }

    #[test]
    fn a_duration_without_a_unit_is_in_seconds() {
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(duration("-1s").is_err());
        assert!(duration("fast").is_err());
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!(grouped(7.0), "7");
        assert_eq!(grouped(1234567.4), "1,234,567");
        assert_eq!(grouped(-1000.0), "-1,000");
    }
}
