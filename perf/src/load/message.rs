//! What is sent: how large, to whom, and with which bytes.
//!
//! Sizes and recipients follow from the message's number alone, so a run can be repeated and its
//! mail verified; content is cut from one prepared body, so that making a message costs its header.

use std::io::Write as _;
use std::str::FromStr;

use crate::units;

/// The sizes of messages, content with headers, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sizes {
    Fixed(usize),
    /// Any size between the two, each order of magnitude as often as the others: what real mail
    /// looks like more than a flat distribution does.
    Between(usize, usize),
    /// Sizes with weights.
    Weighted(Vec<(usize, u32)>),
}

/// The smallest message that holds the generator's own header.
pub(crate) const MESSAGE_BYTES_MIN: usize = 300;

impl FromStr for Sizes {
    type Err = String;

    /// `4k`, `1k..64k`, or `4k:80,64k:19,1m:1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let size = |text: &str| -> Result<usize, String> {
            let bytes = usize::try_from(units::bytes(text)?).map_err(|e| e.to_string())?;
            if bytes < MESSAGE_BYTES_MIN {
                return Err(format!("{text}: the smallest message is {MESSAGE_BYTES_MIN} bytes"));
            }
            Ok(bytes)
        };
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (size(low)?, size(high)?);
            if low > high {
                return Err(format!("{text}: the range is empty"));
            }
            return Ok(Self::Between(low, high));
        }
        if !text.contains(':') {
            return Ok(Self::Fixed(size(text)?));
        }
        let mut weighted = Vec::new();
        for part in text.split(',') {
            let (bytes, weight) = part.split_once(':').ok_or(format!("{part}: no weight"))?;
            let weight: u32 = weight.parse().map_err(|_| format!("{part}: not a weight"))?;
            weighted.push((size(bytes)?, weight));
        }
        if weighted.iter().all(|(_, weight)| *weight == 0) {
            return Err(format!("{text}: no size has a weight"));
        }
        Ok(Self::Weighted(weighted))
    }
}

impl Sizes {
    pub(crate) fn largest(&self) -> usize {
        match self {
            Self::Fixed(size) | Self::Between(_, size) => *size,
            Self::Weighted(sizes) => sizes.iter().map(|(size, _)| *size).max().unwrap_or(0),
        }
    }

    /// The size of message `number`.
    pub(crate) fn of(&self, number: u64) -> usize {
        match self {
            Self::Fixed(size) => *size,
            Self::Between(low, high) => {
                let share = scattered(number) as f64 / u64::MAX as f64;
                let ratio = *high as f64 / *low as f64;
                ((*low as f64 * ratio.powf(share)) as usize).clamp(*low, *high)
            }
            Self::Weighted(sizes) => {
                let total: u64 = sizes.iter().map(|(_, weight)| u64::from(*weight)).sum();
                let mut at = scattered(number) % total;
                for (size, weight) in sizes {
                    if at < u64::from(*weight) {
                        return *size;
                    }
                    at -= u64::from(*weight);
                }
                unreachable!("the weights sum up to the total")
            }
        }
    }
}

/// A number that looks random and is the same in every run (the finalizer of SplitMix64).
fn scattered(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Recipient addresses from a pattern in which `{n}` counts through the mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipients {
    before: String,
    after: Option<String>,
    mailboxes: u64,
}

impl Recipients {
    pub(crate) fn new(pattern: &str, mailboxes: u64) -> Self {
        match pattern.split_once("{n}") {
            Some((before, after)) => Self {
                before: before.to_owned(),
                after: Some(after.to_owned()),
                mailboxes: mailboxes.max(1),
            },
            None => Self { before: pattern.to_owned(), after: None, mailboxes: 1 },
        }
    }

    /// Appends the address of recipient `index` of message `number`, which has `count` of them.
    pub(crate) fn write(&self, out: &mut Vec<u8>, number: u64, count: u32, index: u32) {
        out.extend_from_slice(self.before.as_bytes());
        if let Some(after) = &self.after {
            let n = number.wrapping_mul(u64::from(count)).wrapping_add(u64::from(index));
            decimal(out, n % self.mailboxes);
            out.extend_from_slice(after.as_bytes());
        }
    }
}

/// The bytes of messages of any size up to the largest planned.
#[derive(Debug)]
pub(crate) struct Content {
    body: Vec<u8>,
    /// Tells the messages of this run from those of any other.
    run: u64,
}

impl Content {
    pub(crate) fn new(bytes_max: usize, run: u64) -> Self {
        let line = b"The quick brown fox jumps over the lazy dog 0123456789 and back again.\r\n";
        let mut body = Vec::with_capacity(bytes_max + line.len());
        while body.len() < bytes_max {
            body.extend_from_slice(line);
        }
        Self { body, run }
    }

    /// Writes the header of message `number` to `header`; returns the body that makes the message
    /// `size` bytes long (one less where that would cut a CRLF in two), and what ends it.
    pub(crate) fn message(
        &self,
        header: &mut Vec<u8>,
        number: u64,
        size: usize,
    ) -> (&[u8], &'static [u8]) {
        // Writing to a Vec does not fail.
        let _ = write!(
            header,
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\
             From: sender@client.example\r\n\
             To: undisclosed-recipients:;\r\n\
             Subject: load {number}\r\n\
             Message-ID: <{:x}.{number}@client.example>\r\n\r\n",
            self.run
        );
        let length = size.saturating_sub(header.len()).min(self.body.len());
        match &self.body[..length] {
            [] => (&[], b".\r\n"),
            whole @ [.., b'\n'] => (&whole[..whole.len() - 2], b"\r\n.\r\n"),
            [cut @ .., b'\r'] | cut => (cut, b"\r\n.\r\n"),
        }
    }
}

/// Appends a number in decimal, without the formatting machinery: this runs per recipient.
fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_fixed_range_or_weighted() {
        assert_eq!("4k".parse(), Ok(Sizes::Fixed(4096)));
        assert_eq!("1k..64k".parse(), Ok(Sizes::Between(1024, 65536)));
        assert_eq!("4k:80,64k:20".parse(), Ok(Sizes::Weighted(vec![(4096, 80), (65536, 20)])));
        assert!("4".parse::<Sizes>().is_err());
        assert!("64k..1k".parse::<Sizes>().is_err());
        assert!("4k:0".parse::<Sizes>().is_err());
    }

    #[test]
    fn weighted_sizes_come_as_often_as_their_weight_says() {
        let sizes: Sizes = "4k:90,64k:10".parse().unwrap();
        let large = (0..10_000).filter(|n| sizes.of(*n) == 65536).count();
        assert!((800..1200).contains(&large), "{large} of 10,000");
    }

    #[test]
    fn sizes_in_a_range_stay_in_it() {
        let sizes: Sizes = "1k..64k".parse().unwrap();
        assert!((0..1000).all(|n| (1024..=65536).contains(&sizes.of(n))));
        assert_ne!(sizes.of(1), sizes.of(2));
    }

    #[test]
    fn recipients_walk_through_all_mailboxes() {
        let recipients = Recipients::new("u{n}@test.example", 1000);
        let address = |number, count, index| {
            let mut out = Vec::new();
            recipients.write(&mut out, number, count, index);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(address(0, 1, 0), "u0@test.example");
        assert_eq!(address(1999, 1, 0), "u999@test.example");
        assert_eq!(address(3, 100, 7), "u307@test.example");
    }

    #[test]
    fn a_message_has_the_planned_size_and_never_a_cut_line_end() {
        let content = Content::new(8192, 7);
        for size in 400..800 {
            let mut message = Vec::new();
            let (body, end) = content.message(&mut message, 12, size);
            message.extend_from_slice(body);
            message.extend_from_slice(end);
            let text = message.strip_suffix(b".\r\n").unwrap();
            assert!(text.ends_with(b"\r\n"));
            assert!(text.len().abs_diff(size) <= 2, "{} for {size}", text.len());
            let bare = text.iter().enumerate().any(|(at, byte)| {
                *byte == b'\r' && text.get(at + 1) != Some(&b'\n')
                    || *byte == b'\n' && text[at - 1] != b'\r'
            });
            assert!(!bare, "bare CR or LF at size {size}");
        }
    }
}
