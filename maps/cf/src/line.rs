//! Logical lines: the form that main.cf, master.cf and the text tables share.
//!
//! A line that starts with white space continues the one before it. Comment lines (first non-blank is
//! `#`) and blank lines are nothing, also in the middle of a logical line; `#` after text is data
//! (postfix `src/util/readlline.c`).

use std::fmt;

/// Bytes of one logical line, continuations included. Postfix has no limit; a list of ten thousand
/// domains fits, a file that is no configuration does not.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// One logical line, continuation lines joined to it with their leading white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    /// The text without line ends.
    pub text: String,
    /// The physical line it starts on, from 1.
    pub line: u32,
}

/// Why a line cannot be read. The lines after it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// White space at its start, and nothing above it to continue.
    NothingToContinue,
    /// A NUL byte: Postfix would silently drop what follows it.
    Nul,
    /// Not UTF-8.
    Encoding,
    /// Longer than [`LINE_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToContinue => {
                f.write_str("starts with white space, but there is no line before it to continue")
            }
            Self::Nul => f.write_str("holds a NUL byte"),
            Self::Encoding => f.write_str("is not valid UTF-8"),
            Self::TooLong => write!(f, "is longer than {LINE_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for LineError {}

/// The logical lines of a file, each with its number or the cause that makes it unreadable.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    line: u32,
}

impl<'a> Lines<'a> {
    /// Reads the whole text of a file.
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text, line: 0 }
    }

    /// The next physical line without its line end, or `None` at the end.
    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let (line, rest) = match self.rest.iter().position(|&b| b == b'\n') {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        Some(line)
    }

    /// True where the next physical line belongs to the logical line above it.
    fn goes_on(&self) -> bool {
        self.rest.first().is_some_and(|&b| is_space(b) || b == b'#')
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<LogicalLine, (u32, LineError)>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = loop {
            let line = self.physical()?;
            if !is_nothing(line) {
                break line;
            }
        };
        let start = self.line;
        let mut bytes = first.to_vec();
        while self.goes_on() {
            let Some(line) = self.physical() else { break };
            // Past the limit the line is only skipped, so that memory stays bounded too.
            if !is_nothing(line) && bytes.len() <= LINE_BYTES_MAX {
                bytes.extend_from_slice(line);
            }
        }
        Some(read(bytes).map(|text| LogicalLine { text, line: start }).map_err(|why| (start, why)))
    }
}

fn read(bytes: Vec<u8>) -> Result<String, LineError> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    if bytes.first().is_some_and(|&b| is_space(b)) {
        return Err(LineError::NothingToContinue);
    }
    if bytes.contains(&0) {
        return Err(LineError::Nul);
    }
    String::from_utf8(bytes).map_err(|_| LineError::Encoding)
}

/// A blank line or a comment.
pub fn is_nothing(line: &[u8]) -> bool {
    line.iter().find(|&&b| !is_space(b)).is_none_or(|&b| b == b'#')
}

/// C's `isspace`: what Postfix takes for white space.
pub fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u32, String)> {
        Lines::new(text.as_bytes())
            .map(|line| match line {
                Ok(line) => (line.line, line.text),
                Err((line, why)) => (line, format!("! {why}")),
            })
            .collect()
    }

    #[test]
    fn comments_and_blank_lines_inside_a_value_are_nothing() {
        let text = "a = 1\n# comment\n\n   # indented comment\n  2\n\t\n 3\nb = 4 # data\n";
        assert_eq!(lines(text), [(1, "a = 1  2 3".to_owned()), (8, "b = 4 # data".to_owned())]);
    }

    #[test]
    fn the_last_line_needs_no_line_end() {
        assert_eq!(lines("a = 1"), [(1, "a = 1".to_owned())]);
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n#x\n"), []);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_next_one_is_read() {
        let found = lines(" a = 1\nb = 2\0\nc = 3\n");
        assert_eq!(found.len(), 3);
        assert!(found[0].1.contains("no line before it"), "{found:?}");
        assert!(found[1].1.contains("NUL"), "{found:?}");
        assert_eq!(found[2], (3, "c = 3".to_owned()));
        let latin1 =
            Lines::new(b"a = caf\xe9\n# caf\xe9 in a comment\nb = 1\n").collect::<Vec<_>>();
        assert_eq!(latin1[0], Err((1, LineError::Encoding)));
        assert_eq!(latin1[1], Ok(LogicalLine { text: "b = 1".to_owned(), line: 3 }));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_and_does_not_grow() {
        let mut text = b"a =".to_vec();
        for _ in 0..5 {
            text.extend_from_slice(b"\n ");
            text.resize(text.len() + (1 << 20), b'x');
        }
        text.extend_from_slice(b"\nb = 1\n");
        let found = Lines::new(&text).collect::<Vec<_>>();
        assert_eq!(found[0], Err((1, LineError::TooLong)));
        assert_eq!(found[1], Ok(LogicalLine { text: "b = 1".to_owned(), line: 7 }));
    }
}
