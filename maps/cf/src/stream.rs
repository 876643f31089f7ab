//! Logical lines of a file that may be larger than memory.
//!
//! What postmap reads: the lines of [`crate::Lines`], one after the other from a stream. Memory is bounded
//! by the longest line, and that by [`LINE_BYTES_MAX`].

use std::io::{self, BufRead};

use crate::line::{is_nothing, is_space};
use crate::{LINE_BYTES_MAX, LineError};

/// Reads logical lines, see [`LineReader::next`].
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    line: u32,
    bytes: Vec<u8>,
    consumed: u64,
    ended: bool,
}

/// One logical line, until the next is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The text without line ends.
    pub text: &'a str,
    /// The physical line it starts on, from 1.
    pub line: u32,
}

/// A logical line that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine<'a> {
    /// Why.
    pub why: LineError,
    /// The physical line it starts on, from 1.
    pub line: u32,
    /// What it says, as far as it was read.
    pub bytes: &'a [u8],
}

impl<R: BufRead> LineReader<R> {
    /// Reads from the source's present position, which is line 1.
    pub fn new(source: R) -> Self {
        Self { source, line: 0, bytes: Vec::new(), consumed: 0, ended: false }
    }

    /// The next logical line; `None` at the end. After a line that is too long there is no next one: what
    /// has no line ends is no text, and may have no end either.
    #[expect(clippy::should_implement_trait, reason = "an Iterator could not lend its buffer")]
    pub fn next(&mut self) -> io::Result<Option<Result<Line<'_>, BadLine<'_>>>> {
        self.bytes.clear();
        while self.bytes.is_empty() {
            if self.ended || !self.add_physical()? {
                return Ok(None);
            }
        }
        let line = self.line;
        while !self.ended && self.goes_on()? && self.add_physical()? {}
        let bytes = &*self.bytes;
        let why = if bytes.len() > LINE_BYTES_MAX {
            LineError::TooLong
        } else if bytes.first().is_some_and(|&b| is_space(b)) {
            LineError::NothingToContinue
        } else if memchr::memchr(0, bytes).is_some() {
            LineError::Nul
        } else {
            match std::str::from_utf8(bytes) {
                Ok(text) => return Ok(Some(Ok(Line { text, line }))),
                Err(_) => LineError::Encoding,
            }
        };
        Ok(Some(Err(BadLine { why, line, bytes })))
    }

    /// How many bytes of the source were read so far.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Adds the next physical line, if it is more than a comment; false at the end of the source.
    fn add_physical(&mut self) -> io::Result<bool> {
        let start = self.bytes.len();
        let mut read_any = false;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                self.ended = true;
                break;
            }
            let end = memchr::memchr(b'\n', buffer);
            let line = &buffer[..end.unwrap_or(buffer.len())];
            // The first byte over the limit is kept, so that the limit shows.
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&line[..line.len().min(room)]);
            let consumed = line.len() + usize::from(end.is_some());
            self.source.consume(consumed);
            self.consumed += consumed as u64;
            read_any = true;
            if self.bytes.len() > LINE_BYTES_MAX {
                self.line = self.line.saturating_add(1);
                self.ended = true;
                return Ok(true);
            }
            if end.is_some() {
                break;
            }
        }
        if read_any {
            self.line = self.line.saturating_add(1);
            if is_nothing(&self.bytes[start..]) {
                self.bytes.truncate(start);
            }
        }
        Ok(read_any)
    }

    /// True where the next physical line belongs to the logical line above it.
    fn goes_on(&mut self) -> io::Result<bool> {
        loop {
            match self.source.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().is_some_and(|&b| is_space(b) || b == b'#')),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;
    use crate::Lines;

    type Lent = Result<(u32, String), (u32, LineError)>;

    fn streamed(text: &[u8], buffer: usize) -> Vec<Lent> {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, text));
        let mut lines = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            lines.push(match line {
                Ok(line) => Ok((line.line, line.text.to_owned())),
                Err(bad) => Err((bad.line, bad.why)),
            });
        }
        assert_eq!(reader.consumed(), text.len() as u64);
        lines
    }

    proptest! {
        #[test]
        fn a_stream_has_the_lines_of_the_whole_text(
            text in "[ab #\n\t\r\0é]{0,40}",
            buffer in 1usize..8,
        ) {
            let whole: Vec<Lent> = Lines::new(text.as_bytes())
                .map(|line| line.map(|line| (line.line, line.text)))
                .collect();
            prop_assert_eq!(streamed(text.as_bytes(), buffer), whole);
        }
    }

    #[test]
    fn a_source_without_line_ends_is_given_up_in_bounded_memory() {
        let endless = std::io::repeat(b'x').take(u64::MAX);
        let mut reader = LineReader::new(BufReader::new(endless));
        let bad = reader.next().unwrap().unwrap().unwrap_err();
        assert_eq!((bad.why, bad.line), (LineError::TooLong, 1));
        assert_eq!(bad.bytes.len(), LINE_BYTES_MAX + 1);
        assert!(reader.next().unwrap().is_none());
        assert!(reader.consumed() < 2 * LINE_BYTES_MAX as u64);
    }

    #[test]
    fn a_line_that_cannot_be_used_is_shown() {
        let mut reader = LineReader::new(&b"a 1\ncaf\xe9 2\n"[..]);
        assert_eq!(reader.next().unwrap(), Some(Ok(Line { text: "a 1", line: 1 })));
        let bad = BadLine { why: LineError::Encoding, line: 2, bytes: b"caf\xe9 2" };
        assert_eq!(reader.next().unwrap(), Some(Err(bad)));
    }
}
