//! A message as lookup keys: what `header_checks` and `body_checks` would be asked for.
//!
//! Each header with its continuation lines is one key, each line of the body another. With MIME, the
//! headers of attachments and of attached messages are headers, too; without, they are lines of the body.
//! Which is which, the server's own reader of MIME says, so that what is tried here is what mail meets.

use cleanup::{Behind, Boundary, MimeLimits, Scanner};

use super::options::MessageKeys;

/// Turns lines into keys.
pub(crate) struct Message {
    which: MessageKeys,
    header_bytes_max: usize,
    state: State,
    mime: Scanner,
    /// The header that is being put together.
    header: Vec<u8>,
    /// Bytes of its name.
    name_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the message's own header.
    Primary,
    /// In the header of an attachment or of an attached message.
    Attached,
    Body,
}

/// One key.
pub(crate) type Key<'a> = &'a [u8];

/// Said once nothing that follows can be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done(pub(crate) bool);

impl Message {
    /// A message of which these lines are keys. What is longer in a header is cut at a line's end.
    pub(crate) fn new(which: MessageKeys, header_bytes_max: usize) -> Self {
        Self {
            which,
            header_bytes_max,
            state: State::Primary,
            mime: Scanner::new(MimeLimits::default(), which.mime),
            header: Vec::new(),
            name_len: 0,
        }
    }

    /// Takes the next line, without its line end; gives the keys that it completes to `key`.
    pub(crate) fn line<E>(
        &mut self,
        line: &[u8],
        key: &mut impl FnMut(Key<'_>) -> Result<(), E>,
    ) -> Result<Done, E> {
        if self.state != State::Body {
            if !self.header.is_empty() && matches!(line.first(), Some(b' ' | b'\t')) {
                if self.header.len() < self.header_bytes_max {
                    self.header.push(b'\n');
                    self.header.extend_from_slice(line);
                }
                return Ok(Done(false));
            }
            self.header_ends(key)?;
            if let Some((name, rest)) = split_header(line) {
                self.name_len = name.len();
                self.header.extend_from_slice(name);
                self.header.extend_from_slice(rest);
                return Ok(Done(false));
            }
            let primary = self.state == State::Primary;
            if primary && !self.which.body && !self.which.mime {
                return Ok(Done(true));
            }
            self.state = match self.mime.end_head(line.is_empty(), false) {
                Behind::NestedHead => State::Attached,
                Behind::Body => State::Body,
            };
            if primary && !line.is_empty() && self.which.body {
                // The blank line that is missing.
                key(b"")?;
            }
        }
        match self.mime.body_line(line) {
            Boundary::None => {}
            Boundary::Part => self.state = State::Attached,
            Boundary::End => self.state = State::Body,
        }
        if self.which.body {
            key(line)?;
        }
        Ok(Done(false))
    }

    /// Nothing follows.
    pub(crate) fn end<E>(
        mut self,
        key: &mut impl FnMut(Key<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.header_ends(key)
    }

    fn header_ends<E>(&mut self, key: &mut impl FnMut(Key<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.header.is_empty() {
            return Ok(());
        }
        let header = std::mem::take(&mut self.header);
        let (name, value) = header.split_at(self.name_len);
        // What is too deep is body.
        let _ = self.mime.named_header(name, &value[1..]);
        if self.which.header { key(&header) } else { Ok(()) }
    }
}

/// `name` and `: value` of a header's first line, without white space between the two (RFC 5322 section
/// 4.5); `None` for a line that begins no header.
fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&b| !b.is_ascii_graphic() || b == b':')?;
    let (name, rest) = line.split_at(end);
    let spaces = rest.iter().take_while(|&&b| b == b' ' || b == b'\t').count();
    let rest = &rest[spaces..];
    (!name.is_empty() && rest.first() == Some(&b':')).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn keys(options: &str, text: &str) -> Vec<String> {
        let has = |c| options.contains(c);
        let which = MessageKeys { header: has('h'), body: has('b'), mime: has('m') };
        let mut message = Message::new(which, 60);
        let mut keys = Vec::new();
        let mut take = |key: &[u8]| {
            keys.push(String::from_utf8_lossy(key).into_owned());
            Ok::<(), Infallible>(())
        };
        for line in text.lines() {
            let Ok(Done(done)) = message.line(line.as_bytes(), &mut take);
            if done {
                break;
            }
        }
        let Ok(()) = message.end(&mut take);
        keys
    }

    const MIXED: &str = "Subject : one\n two\nContent-Type: multipart/mixed (x); boundary=\"a b\"\n\n\
        preamble\n--a b\nX-Part: 1\n\ntext\n--a b\nContent-Type: message/rfc822\n\nSubject: inner\n\n\
        inner body\n--a b--\nafter: all\n";

    #[test]
    fn headers_end_at_the_first_line_that_is_none() {
        assert_eq!(
            keys("h", MIXED),
            ["Subject: one\n two", "Content-Type: multipart/mixed (x); boundary=\"a b\""]
        );
        assert_eq!(keys("h", "A: 1\nnot a header\nB: 2\n"), ["A: 1"]);
    }

    #[test]
    fn without_mime_everything_after_the_header_is_body() {
        let body = keys("b", MIXED);
        assert_eq!(body[..4], ["", "preamble", "--a b", "X-Part: 1"]);
        assert_eq!(body.last().map(String::as_str), Some("after: all"));
        assert_eq!(keys("b", "A: 1\nnot a header\nB: 2\n"), ["", "not a header", "B: 2"]);
    }

    #[test]
    fn with_mime_the_headers_of_attachments_are_headers() {
        assert_eq!(
            keys("hm", MIXED),
            [
                "Subject: one\n two",
                "Content-Type: multipart/mixed (x); boundary=\"a b\"",
                "X-Part: 1",
                "Content-Type: message/rfc822",
                "Subject: inner",
            ]
        );
        assert_eq!(
            keys("bm", MIXED),
            [
                "",
                "preamble",
                "--a b",
                "",
                "text",
                "--a b",
                "",
                "",
                "inner body",
                "--a b--",
                "after: all"
            ]
        );
    }

    #[test]
    fn parts_of_a_digest_are_messages() {
        let text =
            "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: in\n\nbody\n--x--\n";
        assert_eq!(keys("hm", text)[1..], ["Subject: in"]);
    }

    #[test]
    fn long_headers_and_deep_nesting_are_bounded() {
        let long = format!("A: 1\n{}", " 234567890\n".repeat(100));
        assert!(keys("h", &long)[0].len() < 80);
        let mut deep = String::new();
        for n in 0..300 {
            deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{n}x\n\n--b{n}x\n"));
        }
        let seen = keys("hm", &deep).len();
        assert_eq!(seen, MimeLimits::default().nesting_max + 3, "the rest is body");
    }
}
