//! Dates as headers have them (RFC 5322 section 3.3).

use mail::Time;

/// A time zone at one moment, as the shell knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone<'a> {
    /// Seconds east of UTC.
    pub offset_secs: i32,
    /// What people call it: the comment behind the date. Left out where it is empty.
    pub name: &'a str,
}

impl Zone<'static> {
    /// `+0000 (UTC)`
    pub const UTC: Self = Self { offset_secs: 0, name: "UTC" };
}

/// A point in time, taken apart.
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: usize,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
    /// 0 is Thursday, the first day of 1970.
    day_number: u64,
}

impl Civil {
    /// Nothing before 1970 has to be told apart.
    pub(crate) fn new(time: Time, offset_secs: i32) -> Self {
        let secs = time.secs().saturating_add_signed(offset_secs.into());
        let (day_number, in_day) = (secs / 86_400, secs % 86_400);
        // Days of a year that begins in March, so that a leap day comes last; 146,097 days are 400
        // years (the Gregorian calendar repeats itself).
        let from_march = day_number + 719_468;
        let (era, in_era) = (from_march / 146_097, from_march % 146_097);
        let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year + year / 4 - year / 100);
        let march_month = (5 * in_year + 2) / 153;
        let month = (march_month as usize + 2) % 12;
        Self {
            year: era * 400 + year + u64::from(month < 2),
            month,
            day: in_year - (153 * march_month + 2) / 5 + 1,
            hour: in_day / 3_600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            day_number,
        }
    }
}

/// `Fri, 20 Nov 2026 11:31:14 +0100 (CET)`
pub fn rfc5322_date(time: Time, zone: Zone<'_>) -> String {
    let mut date = Vec::with_capacity(48);
    push_date(&mut date, time, zone);
    String::from_utf8_lossy(&date).into_owned()
}

pub(crate) fn push_date(out: &mut Vec<u8>, time: Time, zone: Zone<'_>) {
    const DAYS: [&[u8]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let civil = Civil::new(time, zone.offset_secs);
    out.extend_from_slice(DAYS[(civil.day_number % 7) as usize]);
    out.extend_from_slice(b", ");
    // As Postfix: a single digit is padded with a space.
    let tens = if civil.day < 10 { b' ' } else { b'0' + (civil.day / 10) as u8 };
    out.extend_from_slice(&[tens, b'0' + (civil.day % 10) as u8, b' ']);
    out.extend_from_slice(&MONTHS[civil.month * 3..civil.month * 3 + 3]);
    out.push(b' ');
    push_digits::<4>(out, civil.year);
    for (separator, number) in [(b' ', civil.hour), (b':', civil.minute), (b':', civil.second)] {
        out.push(separator);
        push_digits::<2>(out, number);
    }
    let minutes = u64::from(zone.offset_secs.unsigned_abs()) / 60;
    out.extend_from_slice(if zone.offset_secs < 0 { b" -" } else { b" +" });
    push_digits::<4>(out, minutes / 60 * 100 + minutes % 60);
    if !zone.name.is_empty() {
        out.extend_from_slice(b" (");
        out.extend_from_slice(zone.name.as_bytes());
        out.push(b')');
    }
}

/// The last `N` digits of `number`.
pub(crate) fn push_digits<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; N];
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_in_a_header() {
        let cet = Zone { offset_secs: 3600, name: "CET" };
        let newfoundland = Zone { offset_secs: -12_600, name: "" };
        for (secs, zone, date) in [
            (0, Zone::UTC, "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)"),
            (1_795_174_274, Zone::UTC, "Fri, 20 Nov 2026 11:31:14 +0000 (UTC)"),
            (1_795_174_274, cet, "Fri, 20 Nov 2026 12:31:14 +0100 (CET)"),
            (1_795_174_274, newfoundland, "Fri, 20 Nov 2026 08:01:14 -0330"),
            (951_782_399, Zone::UTC, "Mon, 28 Feb 2000 23:59:59 +0000 (UTC)"),
            (951_782_400, Zone::UTC, "Tue, 29 Feb 2000 00:00:00 +0000 (UTC)"),
            (4_102_444_800, Zone::UTC, "Fri,  1 Jan 2100 00:00:00 +0000 (UTC)"),
            (4_107_542_400, Zone::UTC, "Mon,  1 Mar 2100 00:00:00 +0000 (UTC)"),
        ] {
            assert_eq!(rfc5322_date(Time::from_secs(secs), zone), date);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_day_before() {
        let mut previous = Civil::new(Time(0), 0);
        for day in 1..146_097_u64 {
            let civil = Civil::new(Time::from_secs(day * 86_400), 0);
            let leap = previous.year.is_multiple_of(4)
                && (!previous.year.is_multiple_of(100) || previous.year.is_multiple_of(400));
            let days = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let next = if previous.day < days[previous.month] {
                (previous.year, previous.month, previous.day + 1)
            } else if previous.month < 11 {
                (previous.year, previous.month + 1, 1)
            } else {
                (previous.year + 1, 0, 1)
            };
            assert_eq!((civil.year, civil.month, civil.day), next, "day {day}");
            previous = civil;
        }
    }
}
