//! Turns content as it was received into content as it is stored: lines that end in LF.
//!
//! CR LF and a bare LF become LF. A CR elsewhere becomes a space (`cleanup_replace_stray_cr_lf`): in
//! what we send on it could pass for a line ending. The dots of transparency go (RFC 5321 section
//! 4.5.2). A dot alone on its line is the end of the data or, where a bare LF stands next to it, a
//! look-alike: neither is content, so a relay behind us has nothing to misread (postfix `smtpd.c`,
//! `receive_data_message`). All other bytes, NUL among them, stay as they are.
//!
//! One pass, and one copy of each byte: pieces of the input go to the sink, each with the LF of the
//! line before in front of it.

use mail::Sink;
use memchr::memchr2;

/// How the content was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// DATA: dots are doubled at the start of a line, and one alone ends the message.
    Dots,
    /// BDAT: by length, so that a dot is a dot (RFC 3030 section 2).
    Chunks,
}

/// Decodes one message, given in pieces cut anywhere. The end mark, where there is one, may be part of
/// the input or not.
#[derive(Clone, Debug)]
pub struct Decoder {
    framing: Framing,
    seen: Seen,
}

/// What stands right before the next byte and is not yet in the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A line ending, or nothing at all.
    LineEnd,
    /// Something within a line.
    Text,
    /// A CR within a line.
    Cr,
    /// A dot at the start of a line.
    Dot,
    /// That, and a CR.
    DotCr,
}

impl Decoder {
    /// For one message.
    pub fn new(framing: Framing) -> Self {
        Self { framing, seen: Seen::LineEnd }
    }

    /// Decodes the next piece.
    pub fn decode<S: Sink>(&mut self, raw: &[u8], sink: &mut S) {
        let mut rest = raw;
        // What the last piece left undecided takes a byte or two of this one.
        while !matches!(self.seen, Seen::LineEnd | Seen::Text) {
            let Some((&byte, behind)) = rest.split_first() else { return };
            rest = match (self.seen, byte) {
                (Seen::Cr, b'\n') => {
                    sink.put(b"\n");
                    self.seen = Seen::LineEnd;
                    behind
                }
                (Seen::Dot | Seen::DotCr, b'\n') => {
                    self.seen = Seen::LineEnd;
                    behind
                }
                (Seen::Dot, b'\r') => {
                    self.seen = Seen::DotCr;
                    behind
                }
                (Seen::Cr | Seen::DotCr, _) => {
                    sink.put(b" ");
                    self.seen = Seen::Text;
                    rest
                }
                _ => {
                    self.seen = Seen::Text;
                    rest
                }
            };
        }
        if !rest.is_empty() {
            self.decode_lines(rest, sink);
        }
    }

    /// Ends the message: its last line gets the line ending that it lacks.
    pub fn finish<S: Sink>(self, sink: &mut S) {
        match self.seen {
            Seen::LineEnd | Seen::Dot | Seen::DotCr => {}
            Seen::Text => sink.put(b"\n"),
            Seen::Cr => sink.put(b" \n"),
        }
    }

    /// The long run: nothing is undecided before `raw`, which is not empty.
    fn decode_lines<S: Sink>(&mut self, raw: &[u8], sink: &mut S) {
        // Everything before `copied` is in the sink, or dropped; the search goes on at `at`.
        let mut copied = 0;
        let mut at = 0;
        if self.seen == Seen::LineEnd && self.framing == Framing::Dots {
            match self.unstuff(raw, 0) {
                Some(behind) => (copied, at) = (behind, behind),
                None => return,
            }
        }
        while let Some(found) = memchr2(b'\r', b'\n', &raw[at..]) {
            let mut line_end = at + found;
            if raw[line_end] == b'\r' {
                sink.put(&raw[copied..line_end]);
                copied = line_end + 1;
                match raw.get(copied) {
                    Some(b'\n') => line_end = copied,
                    Some(_) => {
                        sink.put(b" ");
                        at = copied;
                        continue;
                    }
                    None => {
                        self.seen = Seen::Cr;
                        return;
                    }
                }
            }
            at = line_end + 1;
            if self.framing == Framing::Dots && raw.get(at) == Some(&b'.') {
                sink.put(&raw[copied..at]);
                match self.unstuff(raw, at) {
                    Some(behind) => (copied, at) = (behind, behind),
                    None => return,
                }
            }
        }
        sink.put(&raw[copied..]);
        if let Some(&last) = raw[copied..].last() {
            self.seen = if last == b'\n' { Seen::LineEnd } else { Seen::Text };
        }
    }

    /// Where the content of the line at `at` starts, behind its dot if it has one, and behind whole
    /// lines that are only a dot. `None` where that cannot be known yet, or `raw` is used up.
    fn unstuff(&mut self, raw: &[u8], mut at: usize) -> Option<usize> {
        loop {
            at += match raw[at..] {
                [b'.', b'\n', ..] => 2,
                [b'.', b'\r', b'\n', ..] => 3,
                [b'.'] => {
                    self.seen = Seen::Dot;
                    return None;
                }
                [b'.', b'\r'] => {
                    self.seen = Seen::DotCr;
                    return None;
                }
                [b'.', ..] => {
                    self.seen = Seen::Text;
                    return Some(at + 1);
                }
                [] => {
                    self.seen = Seen::LineEnd;
                    return None;
                }
                _ => return Some(at),
            };
        }
    }
}
