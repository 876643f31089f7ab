//! Plain values: numbers, times, booleans. Each error says what is allowed; what was found and where,
//! the caller knows.

use std::fmt;

/// An inclusive range, as an error message prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least allowed value.
    pub min: u64,
    /// The greatest.
    pub max: u64,
}

impl Range {
    /// True for an allowed value.
    pub const fn holds(self, value: u64) -> bool {
        self.min <= value && value <= self.max
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            u64::MAX => write!(f, "{} or more", self.min),
            max => write!(f, "{} to {max}", self.min),
        }
    }
}

/// What a time without a suffix counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// `s`
    #[default]
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
    /// `w`
    Week,
}

impl Unit {
    /// The unit of a suffix letter.
    pub fn of(letter: char) -> Option<Self> {
        Some(match letter {
            's' => Self::Second,
            'm' => Self::Minute,
            'h' => Self::Hour,
            'd' => Self::Day,
            'w' => Self::Week,
            _ => return None,
        })
    }

    /// How many seconds it has.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }
}

/// A plain decimal number within `range`; the error is what is allowed.
pub fn number(text: &str, range: Range) -> Result<u64, String> {
    match digits(text) {
        Some(value) if range.holds(value) => Ok(value),
        _ => Err(format!("a whole number, {range}")),
    }
}

/// A time: a number and one of s, m, h, d, w; without a letter it counts `unit`. `range` is in seconds.
///
/// Stricter than postfix `src/global/conv_time.c`, which looks at the first letter only and so takes
/// `5months` for five minutes.
pub fn seconds(text: &str, unit: Unit, range: Range) -> Result<u64, String> {
    let allowed = || format!("a number with one of the letters s, m, h, d, w; in seconds {range}");
    let (count, unit) = match text.chars().last().and_then(Unit::of) {
        Some(unit) => (&text[..text.len() - 1], unit),
        None => (text, unit),
    };
    digits(count)
        .and_then(|count| count.checked_mul(unit.seconds()))
        .filter(|&seconds| range.holds(seconds))
        .ok_or_else(allowed)
}

/// `yes` or `no`, in any case.
pub fn boolean(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err("yes or no".to_owned())
    }
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Range = Range { min: 0, max: u64::MAX };

    #[test]
    fn a_time_takes_its_letter_or_the_parameter_s_unit() {
        assert_eq!(seconds("5d", Unit::Second, ANY), Ok(432_000));
        assert_eq!(seconds("5", Unit::Day, ANY), Ok(432_000));
        assert_eq!(seconds("300s", Unit::Day, ANY), Ok(300));
        assert_eq!(seconds("0h", Unit::Hour, ANY), Ok(0));
        assert_eq!(seconds("2w", Unit::Second, ANY), Ok(1_209_600));
    }

    #[test]
    fn what_is_not_a_time_or_out_of_range_says_what_is_allowed() {
        let range = Range { min: 1, max: 86_400 };
        for text in ["", "s", "5x", "5 s", "-5", "5days", "0", "2d", "18446744073709551615w"] {
            let allowed = seconds(text, Unit::Second, range).unwrap_err();
            assert!(allowed.ends_with("in seconds 1 to 86400"), "{text}: {allowed}");
        }
    }

    #[test]
    fn numbers_and_booleans_are_exact() {
        assert_eq!(number("10240000", ANY), Ok(10_240_000));
        for text in ["", "+1", "-1", "1k", "1 ", "0x10", "18446744073709551616"] {
            assert_eq!(number(text, ANY), Err("a whole number, 0 or more".to_owned()), "{text}");
        }
        assert_eq!(
            number("600", Range { min: 400, max: 599 }),
            Err("a whole number, 400 to 599".into())
        );
        assert_eq!(boolean("Yes"), Ok(true));
        assert_eq!(boolean("no"), Ok(false));
        assert!(boolean("true").is_err());
    }
}
