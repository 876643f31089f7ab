//! Cuts command lines out of the input.
//!
//! A line that is too long is never kept: what was read of it is dropped at once, and only its
//! length is remembered until it ends. After twice the limit nobody waits for the end any longer.

use memchr::memchr;

/// One step of [`Lines::next`]. `consumed` counts from the start of the buffer that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A command without its line ending.
    Whole {
        /// Up to `line_length_limit` bytes; one CR before the LF is not part of it.
        text: &'a [u8],
        /// The line ended in LF alone.
        bare_lf: bool,
        /// Take so many bytes off the buffer once the command is done with.
        consumed: usize,
    },
    /// No line ending yet: take `consumed` bytes off the buffer, and read more.
    Partial {
        /// Not zero only within a line that is too long already.
        consumed: usize,
    },
    /// A line that was too long has ended.
    TooLong {
        /// Take so many bytes off the buffer.
        consumed: usize,
    },
    /// A line that does not end: the session does.
    Endless,
}

/// Remembers how much of an overlong line was dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    dropped_bytes: usize,
}

impl Lines {
    /// The next line of `buffer`, which starts where the last line ended.
    pub fn next<'a>(&mut self, buffer: &'a [u8], limit_bytes: usize) -> Line<'a> {
        let Some(end) = memchr(b'\n', buffer) else {
            // Room for a CR that belongs to the line ending.
            if self.dropped_bytes == 0 && buffer.len() <= limit_bytes + 1 {
                return Line::Partial { consumed: 0 };
            }
            self.dropped_bytes = self.dropped_bytes.saturating_add(buffer.len());
            if self.dropped_bytes > limit_bytes.saturating_mul(2) {
                return Line::Endless;
            }
            return Line::Partial { consumed: buffer.len() };
        };
        let (text, bare_lf) = match buffer[..end].strip_suffix(b"\r") {
            Some(text) => (text, false),
            None => (&buffer[..end], true),
        };
        let consumed = end + 1;
        if self.dropped_bytes > 0 || text.len() > limit_bytes {
            let length = self.dropped_bytes.saturating_add(end);
            self.dropped_bytes = 0;
            return if length > limit_bytes.saturating_mul(2) {
                Line::Endless
            } else {
                Line::TooLong { consumed }
            };
        }
        Line::Whole { text, bare_lf, consumed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crlf_and_lf_end_a_line_and_the_difference_is_told() {
        let mut lines = Lines::default();
        let input = b"NOOP\r\nQUIT\nrest";
        assert_eq!(
            lines.next(input, 10),
            Line::Whole { text: b"NOOP", bare_lf: false, consumed: 6 }
        );
        assert_eq!(
            lines.next(&input[6..], 10),
            Line::Whole { text: b"QUIT", bare_lf: true, consumed: 5 }
        );
        assert_eq!(lines.next(&input[11..], 10), Line::Partial { consumed: 0 });
    }

    #[test]
    fn a_line_may_be_exactly_as_long_as_the_limit() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(b"12345\r", 5), Line::Partial { consumed: 0 });
        let whole = Line::Whole { text: b"12345", bare_lf: false, consumed: 7 };
        assert_eq!(lines.next(b"12345\r\n", 5), whole);
        assert_eq!(lines.next(b"123456\r\n", 5), Line::TooLong { consumed: 8 });
    }

    #[test]
    fn a_long_line_is_dropped_as_it_arrives_and_the_next_one_is_whole() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(b"12345678", 6), Line::Partial { consumed: 8 });
        assert_eq!(lines.next(b"9\r\nNOOP\r\n", 6), Line::TooLong { consumed: 3 });
        let whole = Line::Whole { text: b"NOOP", bare_lf: false, consumed: 6 };
        assert_eq!(lines.next(b"NOOP\r\n", 6), whole);
    }

    #[test]
    fn a_line_without_an_end_is_given_up_at_twice_the_limit() {
        let mut lines = Lines::default();
        let piece = [b'x'; 1000];
        assert_eq!(lines.next(&piece, 900), Line::Partial { consumed: 1000 });
        assert_eq!(lines.next(&piece, 900), Line::Endless);
        assert_eq!(
            Lines::default().next(&[b"x".repeat(5000), b"\r\n".to_vec()].concat(), 900),
            Line::Endless
        );
    }
}
