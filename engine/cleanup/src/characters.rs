//! `message_reject_characters` and `message_strip_characters`: bytes that are not wanted in messages.

use std::borrow::Cow;

use memchr::memchr;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Characters([u64; 4]);

impl Characters {
    /// Reads C's escapes, `\0 \a \b \f \n \r \t \v \nnn`; any other character stands for itself.
    pub fn parse(text: &str) -> Self {
        let mut set = Self::default();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'\\' => match bytes.next() {
                    Some(b'a') => 7,
                    Some(b'b') => 8,
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'v') => 11,
                    Some(b'f') => 12,
                    Some(b'r') => b'\r',
                    Some(digit @ b'0'..=b'7') => {
                        let mut value = u32::from(digit - b'0');
                        for _ in 0..2 {
                            match bytes.next_if(|it| matches!(it, b'0'..=b'7')) {
                                Some(digit) => value = value * 8 + u32::from(digit - b'0'),
                                None => break,
                            }
                        }
                        value as u8
                    }
                    Some(any) => any,
                    None => b'\\',
                },
                byte => byte,
            };
            set.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        set
    }

    /// True where nothing is unwanted.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Whether the byte is one of them.
    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }
}

/// Looks at a message line by line, before anything else does; long lines in pieces.
#[derive(Debug)]
pub(crate) struct CharacterFilter {
    reject: Characters,
    strip: Characters,
    line_bytes_max: usize,
    line: Vec<u8>,
}

/// A complete line with its line ending, or a piece of a long one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Without what is stripped.
    Passed(Cow<'a, [u8]>),
    /// It has a byte that is not allowed.
    Refused(Cow<'a, [u8]>),
}

impl CharacterFilter {
    pub(crate) fn new(reject: Characters, strip: Characters, line_bytes_max: usize) -> Self {
        Self { reject, strip, line_bytes_max, line: Vec::new() }
    }

    /// Takes bytes, which are not empty, up to the end of a line. Returns how many, and the line if it is
    /// complete.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> (usize, Option<Line<'a>>) {
        let room = self.line_bytes_max.saturating_sub(self.line.len()).max(1).min(bytes.len());
        let lf = memchr(b'\n', &bytes[..room]);
        let taken = lf.map_or(room, |lf| lf + 1);
        let piece = &bytes[..taken];
        let is_complete = lf.is_some() || self.line.len() + taken >= self.line_bytes_max;
        if is_complete && self.line.is_empty() {
            return (taken, Some(self.judge(piece.into())));
        }
        self.line.extend_from_slice(piece);
        let line = is_complete.then(|| std::mem::take(&mut self.line));
        (taken, line.map(|line| self.judge(line.into())))
    }

    /// The last line, where it has no end.
    pub(crate) fn last(mut self) -> Line<'static> {
        let line = std::mem::take(&mut self.line);
        self.judge(line.into())
    }

    /// The line that has begun, as it is.
    pub(crate) fn begun(self) -> Vec<u8> {
        self.line
    }

    /// The line ending is none of the line's characters.
    fn judge<'a>(&self, line: Cow<'a, [u8]>) -> Line<'a> {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !self.reject.is_empty() && text.iter().any(|&byte| self.reject.has(byte)) {
            return Line::Refused(line);
        }
        let is_stripped = |byte: &u8| self.strip.has(*byte) && *byte != b'\n';
        if self.strip.is_empty() || !line.iter().any(is_stripped) {
            return Line::Passed(line);
        }
        let mut line = line.into_owned();
        line.retain(|byte| !is_stripped(byte));
        Line::Passed(line.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_with_escapes() {
        let set = Characters::parse(r"\0\r\377ab\\\1012\q");
        let has: Vec<u8> = (0..=255).filter(|&byte| set.has(byte)).collect();
        assert_eq!(has, [0, b'\r', b'2', b'A', b'\\', b'a', b'b', b'q', 255]);
        assert!(Characters::parse("").is_empty());
        assert!(Characters::parse("\\").has(b'\\'));
    }

    #[test]
    fn lines_lose_what_is_stripped_and_show_what_is_rejected() {
        let (reject, strip) = (Characters::parse(r"\0"), Characters::parse(r"\r\n"));
        for cut in 1..20 {
            let mut filter = CharacterFilter::new(reject, strip, 8);
            let (mut out, mut refused) = (Vec::new(), Vec::new());
            for mut piece in b"a\rb\r\n0123456789\nno\0\nc\r".chunks(cut) {
                while !piece.is_empty() {
                    let (used, line) = filter.next(piece);
                    piece = &piece[used..];
                    match line {
                        None => {}
                        Some(Line::Passed(line)) => out.extend_from_slice(&line),
                        Some(Line::Refused(line)) => refused.push(line.into_owned()),
                    }
                }
            }
            assert_eq!(out.escape_ascii().to_string(), "ab\\n0123456789\\n", "pieces of {cut}");
            assert_eq!(refused, [b"no\0\n"], "pieces of {cut}");
            assert_eq!(filter.last(), Line::Passed(b"c".into()), "pieces of {cut}");
        }
    }
}
