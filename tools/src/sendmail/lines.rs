//! A message as programs write it, in lines that end in LF (postfix `src/sendmail/sendmail.c`).

/// `sendmail_fix_line_endings`: what becomes of CR before LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEndings {
    /// It goes.
    Always,
    /// It goes where the first line has one.
    AsFirstLine,
    /// It stays.
    Never,
}

impl LineEndings {
    pub(super) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "always" => Self::Always,
            "strict" => Self::AsFirstLine,
            "never" => Self::Never,
            _ => return None,
        })
    }
}

/// How much of a line is looked at before it passes as text, in bytes: `line_length_limit`.
const LINE_BYTES_MAX: usize = 2048;

/// Reads a message in pieces that are cut anywhere.
#[derive(Debug)]
pub(super) struct Lines {
    endings: LineEndings,
    /// A dot alone on its line ends the message.
    dot_ends: bool,
    /// Only lines that mailbox files put before a message have come: they are left out.
    before_message: bool,
    /// The beginning of a line, or the end of a long one.
    line: Vec<u8>,
    /// The line is so long that its beginning is gone.
    continued: bool,
    ended: bool,
}

impl Lines {
    pub(super) fn new(endings: LineEndings, dot_ends: bool) -> Self {
        let (before_message, continued, ended) = (true, false, false);
        Self { endings, dot_ends, before_message, line: Vec::new(), continued, ended }
    }

    /// Takes the next piece; false where the message has ended.
    pub(super) fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(text) => {
                    self.line.extend_from_slice(text);
                    self.end_line(out);
                }
                None => {
                    self.line.extend_from_slice(piece);
                    self.pass_long_line(out);
                }
            }
            if self.ended {
                break;
            }
        }
        !self.ended
    }

    /// Nothing more comes. A last line without its end stays one.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let is_dot = self.dot_ends && !self.continued && self.line == b".";
        if !self.ended && !is_dot {
            out.append(&mut self.line);
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        let mut line = std::mem::take(&mut self.line);
        let continued = std::mem::take(&mut self.continued);
        if self.endings == LineEndings::AsFirstLine {
            let has_cr = line.ends_with(b"\r");
            self.endings = if has_cr { LineEndings::Always } else { LineEndings::Never };
        }
        if self.before_message && !continued && is_mailbox_line(&line) {
            return;
        }
        self.before_message = false;
        if self.endings == LineEndings::Always {
            let kept = line.iter().rposition(|&b| b != b'\r').map_or(0, |last| last + 1);
            line.truncate(kept);
        }
        if self.dot_ends && !continued && line == b"." {
            self.ended = true;
            return;
        }
        line.push(b'\n');
        out.extend_from_slice(&line);
        line.clear();
        self.line = line;
    }

    /// A long line is text, whatever it begins with. Its last CRs may be part of its end.
    fn pass_long_line(&mut self, out: &mut Vec<u8>) {
        if self.line.len() <= LINE_BYTES_MAX {
            return;
        }
        self.before_message = false;
        self.continued = true;
        let passed = self.line.iter().rposition(|&b| b != b'\r').map_or(0, |last| last + 1);
        // So many CRs are none.
        let passed = if passed == 0 { self.line.len() } else { passed };
        out.extend(self.line.drain(..passed));
    }
}

/// `From user date`, perhaps with the signs that copying it has put before it.
fn is_mailbox_line(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|&&b| b == b'>').count();
    line[quotes..].starts_with(b"From ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, and whether something said that it has ended.
    fn read(text: &[u8], endings: LineEndings, dot_ends: bool) -> (String, bool) {
        let whole = read_in_pieces(text, endings, dot_ends, text.len().max(1));
        for cut in [1, 2, 3, 1000] {
            assert_eq!(read_in_pieces(text, endings, dot_ends, cut), whole, "pieces of {cut}");
        }
        whole
    }

    fn read_in_pieces(text: &[u8], endings: LineEndings, dot: bool, cut: usize) -> (String, bool) {
        let (mut lines, mut out) = (Lines::new(endings, dot), Vec::new());
        let more = text.chunks(cut).all(|piece| lines.put(piece, &mut out));
        lines.finish(&mut out);
        (out.escape_ascii().to_string(), !more)
    }

    #[test]
    fn cr_lf_is_an_end_of_line_where_that_is_wanted() {
        use LineEndings::{Always, AsFirstLine, Never};
        for (text, endings, expected) in [
            ("a\r\nb\n", Always, r"a\nb\n"),
            ("a\r\r\nb\rc\r\n", Always, r"a\nb\rc\n"),
            ("a\r\nb\r\n", AsFirstLine, r"a\nb\n"),
            ("a\nb\r\n", AsFirstLine, r"a\nb\r\n"),
            ("a\r\nb\n", Never, r"a\r\nb\n"),
            ("a\r", Always, r"a\r"),
            ("\r\n", Always, r"\n"),
            ("", Always, ""),
        ] {
            assert_eq!(read(text.as_bytes(), endings, true).0, expected, "{text:?}");
        }
        let long = [&vec![b'x'; 5000][..], b"\r\n"].concat();
        assert!(read(&long, Always, true).0.ends_with(r"xx\n"));
        let (crs, _) = read(&[b'\r'; 5000], Always, true);
        assert_eq!(crs, r"\r".repeat(5000));
    }

    #[test]
    fn a_dot_alone_ends_the_message_where_that_is_wanted() {
        for (text, expected, ended) in [
            ("a\n.\nb\n", r"a\n", true),
            ("a\r\n.\r\nb\r\n", r"a\n", true),
            ("a\n.", r"a\n", false),
            ("a\n..\n. \n", r"a\n..\n. \n", false),
        ] {
            let read_with = |dot| read(text.as_bytes(), LineEndings::Always, dot);
            assert_eq!(read_with(true), (expected.to_owned(), ended), "{text:?}");
        }
        assert_eq!(read(b"a\n.\nb\n", LineEndings::Always, false).0, r"a\n.\nb\n");
        // The end of a long line is no line.
        let long = [&vec![b'x'; 4096][..], b".\n"].concat();
        assert!(read(&long, LineEndings::Always, true).0.ends_with(r"x.\n"));
    }

    #[test]
    fn lines_of_mailbox_files_before_the_message_are_left_out() {
        for (text, expected) in [
            ("From me Nov 30\nSubject: x\n", r"Subject: x\n"),
            (">>From me\r\nFrom you\nFrom: x\n", r"From: x\n"),
            ("a\nFrom me\n", r"a\nFrom me\n"),
        ] {
            assert_eq!(read(text.as_bytes(), LineEndings::Always, true).0, expected, "{text:?}");
        }
    }
}
