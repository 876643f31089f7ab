//! A message as lookup keys: what `header_checks` and `body_checks` would be asked for.
//!
//! Each header with its continuation lines is one key, each line of the body another. With MIME, the
//! headers of attachments and of attached messages are headers, too; without, they are lines of the body.
//! Rules and limits are those of postfix `src/global/mime_state.c`.

use super::options::MessageKeys;

/// Bytes of a boundary that are compared (`mime_boundary_length_limit`).
const BOUNDARY_BYTES_MAX: usize = 2048;
/// How deep multiparts may be in each other (`mime_nesting_limit`). Deeper ones are body.
const NESTING_DEPTH_MAX: usize = 100;

/// Turns lines into keys.
pub(crate) struct Message {
    which: MessageKeys,
    header_bytes_max: usize,
    state: State,
    content: Content,
    /// The header that is being put together.
    header: Vec<u8>,
    /// Multiparts that have begun, the innermost last.
    open: Vec<Multipart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the message's own header.
    Primary,
    /// In the header of an attachment or of an attached message.
    Attached,
    Body,
}

/// What a header says that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Multipart,
    /// A message with a header of its own.
    Message,
    Other,
}

struct Multipart {
    boundary: Vec<u8>,
    /// What a part without a type is: a message in a digest.
    parts: Content,
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
            content: Content::Other,
            header: Vec::new(),
            open: Vec::new(),
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
                self.header.extend_from_slice(name);
                self.header.extend_from_slice(rest);
                return Ok(Done(false));
            }
            let primary = self.state == State::Primary;
            if primary && !self.which.body && !self.which.mime {
                return Ok(Done(true));
            }
            self.headers_end(line.is_empty());
            if primary && !line.is_empty() && self.which.body {
                // The blank line that is missing.
                key(b"")?;
            }
        }
        self.look_for_boundary(line);
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
        if self.which.mime {
            self.content_type(&header);
        }
        if self.which.header { key(&header) } else { Ok(()) }
    }

    /// What comes after this block of headers. Where no blank line ends it, it is body in any case.
    fn headers_end(&mut self, blank: bool) {
        (self.state, self.content) = match self.content {
            Content::Message if blank => (State::Attached, Content::Other),
            Content::Multipart if blank => (State::Body, Content::Other),
            content => (State::Body, content),
        };
    }

    fn look_for_boundary(&mut self, line: &[u8]) {
        let Some(text) = line.strip_prefix(b"--").filter(|text| !text.is_empty()) else { return };
        let Some(found) = self.open.iter().rposition(|it| text.starts_with(&it.boundary)) else {
            return;
        };
        self.open.truncate(found + 1);
        let multipart = &self.open[found];
        if text[multipart.boundary.len()..].starts_with(b"--") {
            self.open.pop();
            (self.state, self.content) = (State::Body, Content::Other);
        } else {
            (self.state, self.content) = (State::Attached, multipart.parts);
        }
    }

    fn content_type(&mut self, header: &[u8]) {
        const NAME: &[u8] = b"content-type:";
        let Some((name, value)) = header.split_at_checked(NAME.len()) else { return };
        if !name.eq_ignore_ascii_case(NAME) {
            return;
        }
        let fields = fields(value);
        let Some(Field { name, subname, .. }) = fields.first() else {
            self.content = Content::Other;
            return;
        };
        let is = |word: &[u8], text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        if is(name, "message") {
            let nested = is(subname, "rfc822") || is(subname, "global");
            self.content = if nested { Content::Message } else { Content::Other };
        } else if is(name, "multipart") {
            self.content = Content::Multipart;
            let parts = if is(subname, "digest") { Content::Message } else { Content::Other };
            // More than one is against the rules, and hides content from those who take only one.
            for field in fields[1..].iter().filter(|it| is(&it.name, "boundary") && it.sign == b'=')
            {
                if self.open.len() <= NESTING_DEPTH_MAX {
                    let mut boundary = field.subname.clone();
                    boundary.truncate(BOUNDARY_BYTES_MAX);
                    self.open.push(Multipart { boundary, parts });
                }
            }
        } else if is(name, "text") {
            self.content = Content::Other;
        }
    }
}

/// `type/subtype` or `name=value`.
#[derive(Default)]
struct Field {
    name: Vec<u8>,
    sign: u8,
    subname: Vec<u8>,
}

/// The fields of a Content-Type (RFC 2045 section 5.1), comments left out.
fn fields(value: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut field = Field::default();
    let mut rest = value;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'(' => {
                rest = after_comment(rest);
                continue;
            }
            b';' => {
                fields.push(std::mem::take(&mut field));
                continue;
            }
            b'/' | b'=' if field.sign == 0 && !field.name.is_empty() => {
                field.sign = first;
                continue;
            }
            _ => {}
        }
        let mut word = Vec::new();
        if first == b'"' {
            let mut escaped = false;
            while let Some((&b, after)) = rest.split_first() {
                rest = after;
                match b {
                    _ if escaped => {
                        escaped = false;
                        word.push(b);
                    }
                    b'\\' => escaped = true,
                    b'"' => break,
                    _ => word.push(b),
                }
            }
        } else {
            word.push(first);
            if !is_special(first) {
                let end = rest.iter().position(|&b| is_special(b)).unwrap_or(rest.len());
                word.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
        let place = if field.sign == 0 { &mut field.name } else { &mut field.subname };
        if place.is_empty() {
            *place = word;
        }
    }
    fields.push(field);
    fields
}

/// RFC 2045 tspecials, white space and control characters.
fn is_special(b: u8) -> bool {
    b"()<>@,;:\\\"/[]?=".contains(&b) || b == b' ' || b.is_ascii_control()
}

fn after_comment(text: &[u8]) -> &[u8] {
    let mut level = 1;
    let mut escaped = false;
    for (at, b) in text.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => level += 1,
            b')' => level -= 1,
            _ => {}
        }
        if level == 0 {
            return &text[at + 1..];
        }
    }
    &[]
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
        assert_eq!(seen, NESTING_DEPTH_MAX + 2, "the rest is body");
    }
}
