//! `message_reject_characters` and `message_strip_characters`: bytes that are not wanted in messages.

use mail::Sink;
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

/// A line that has a byte that is not allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejected<'a>(pub(crate) &'a [u8]);

impl CharacterFilter {
    pub(crate) fn new(reject: Characters, strip: Characters, line_bytes_max: usize) -> Self {
        Self { reject, strip, line_bytes_max, line: Vec::new() }
    }

    /// Passes the lines on that are complete.
    pub(crate) fn put<S: Sink>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut S,
    ) -> Result<(), Rejected<'_>> {
        while !bytes.is_empty() {
            let room = self.line_bytes_max.saturating_sub(self.line.len()).max(1).min(bytes.len());
            let lf = memchr(b'\n', &bytes[..room]);
            let taken = lf.map_or(room, |lf| lf + 1);
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if lf.is_some() || self.line.len() >= self.line_bytes_max {
                if self.is_rejected() {
                    return Err(Rejected(self.text()));
                }
                self.pass(sink);
            }
        }
        Ok(())
    }

    /// The last line, where it has no end.
    pub(crate) fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), Rejected<'_>> {
        if self.is_rejected() {
            return Err(Rejected(self.text()));
        }
        self.pass(sink);
        Ok(())
    }

    /// The line ending is none of the line's characters.
    fn text(&self) -> &[u8] {
        self.line.strip_suffix(b"\n").unwrap_or(&self.line)
    }

    fn is_rejected(&self) -> bool {
        !self.reject.is_empty() && self.text().iter().any(|&byte| self.reject.has(byte))
    }

    fn pass<S: Sink>(&mut self, sink: &mut S) {
        if !self.strip.is_empty() {
            let ends = self.line.ends_with(b"\n");
            self.line.retain(|&byte| !self.strip.has(byte) || byte == b'\n');
            debug_assert_eq!(ends, self.line.ends_with(b"\n"), "a line stays one");
        }
        sink.put(&self.line);
        self.line.clear();
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
            let mut out = Vec::new();
            for piece in b"a\rb\r\n0123456789\nno\0\nc".chunks(cut) {
                if let Err(Rejected(line)) = filter.put(piece, &mut out) {
                    assert_eq!(line, b"no\0");
                    break;
                }
            }
            assert_eq!(out.escape_ascii().to_string(), "ab\\n0123456789\\n", "pieces of {cut}");
        }
    }
}
