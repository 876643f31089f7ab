//! What MIME says about the lines of a message: which are headers, which are body, where a part begins.
//!
//! The rules are those of postfix `src/global/mime_state.c`, so that checks see the same headers there
//! and here: RFC 2045 and 2046 read in a way that a sender who breaks them hides nothing. Nesting is a
//! list, not recursion, and as deep as `mime_nesting_limit`; of a boundary no more than
//! `mime_boundary_length_limit` bytes are kept and compared.
//!
//! It is told of complete headers and of lines by whoever cuts the message into them, and keeps none.

use crate::header::{Known, known};
use crate::tokens::{Item, Items};

/// Whose header a header is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// The message's own.
    #[default]
    Primary,
    /// That of a part of a multipart, or one that describes content.
    Mime,
    /// That of a message within the message.
    Nested,
}

/// What is wrong with a message's MIME; graver ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MimeError {
    /// Deeper than `mime_nesting_limit`.
    Nesting,
    /// Bytes outside ASCII in a header.
    EightBitHeader,
    /// Bytes outside ASCII in a body that is 7bit.
    EightBitBody,
    /// An encoding that its type does not allow (RFC 2045 section 6.4).
    EncodingDomain,
    /// The line behind the message's head is not empty.
    NonEmptyEndOfHead,
}

impl MimeError {
    /// In Postfix's words (postfix `src/global/mime_state.c`). The status of all of them is 5.6.0.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nesting => "MIME nesting exceeds safety limit",
            Self::EightBitHeader => "improper use of 8-bit data in message header",
            Self::EightBitBody => "improper use of 8-bit data in message body",
            Self::EncodingDomain => "invalid message/* or multipart/* encoding domain",
            Self::NonEmptyEndOfHead => "primary header was terminated with non-empty line",
        }
    }
}

/// The limits of the scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MimeLimits {
    /// `mime_nesting_limit`: multiparts within each other that are looked into.
    pub nesting_max: usize,
    /// `mime_boundary_length_limit`: bytes of a boundary that are compared.
    pub boundary_bytes_max: usize,
}

impl Default for MimeLimits {
    fn default() -> Self {
        Self { nesting_max: 100, boundary_bytes_max: 2048 }
    }
}

/// What content is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Multipart,
    /// message/rfc822: begins with a head.
    Message,
    /// message/global (RFC 6532): the same, and it may be encoded.
    MessageGlobal,
    /// message/partial and message/external-body: always 7bit (RFC 2046 section 5.2).
    MessagePiece,
    MessageOther,
    Other,
}

/// RFC 2045 section 6.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    SevenBit,
    EightBit,
    Binary,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    /// What the content is made of once it is encoded: 7bit, 8bit or binary.
    fn domain(self) -> Self {
        match self {
            Self::Base64 | Self::QuotedPrintable => Self::SevenBit,
            domain => domain,
        }
    }

    fn is_domain(self) -> bool {
        self == self.domain()
    }

    fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Binary => "binary",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
        }
    }

    /// The value of a Content-Transfer-Encoding.
    pub(crate) fn of(value: &[u8]) -> Option<Self> {
        let first = Items::structured(value).first_word()?;
        [Self::SevenBit, Self::EightBit, Self::Binary, Self::Base64, Self::QuotedPrintable]
            .into_iter()
            .find(|it| first.eq_ignore_ascii_case(it.name().as_bytes()))
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Lines of a body.
    Body,
    /// The head of a message within the message.
    NestedHead,
}

/// What a line of a body is, beside a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Nothing else.
    None,
    /// The head of a part follows.
    Part,
    /// The last part is over.
    End,
}

/// A multipart that has begun and not yet ended.
#[derive(Debug)]
struct Multipart {
    boundary: Box<[u8]>,
    /// What a part is that does not say so: a message in a digest (RFC 2046 section 5.1.5).
    parts: Kind,
}

/// Follows one message.
#[derive(Debug)]
pub struct Scanner {
    limits: MimeLimits,
    /// False with `disable_mime_input_processing`: then all behind the head is body.
    enabled: bool,
    kind: Kind,
    encoding: Encoding,
    open: Vec<Multipart>,
}

impl Scanner {
    /// At the beginning of a message. Where it is not `enabled`, all behind the head is body.
    pub fn new(limits: MimeLimits, enabled: bool) -> Self {
        Self { limits, enabled, kind: Kind::Text, encoding: Encoding::SevenBit, open: Vec::new() }
    }

    /// What the content that begins or goes on is encoded in.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The content is not in 7bit as it stands.
    pub(crate) fn is_beyond_7bit(&self) -> bool {
        self.encoding.domain() != Encoding::SevenBit
    }

    /// What an encoding is called where the content is made 7bit: composite types have none of their own.
    pub(crate) fn encoding_in_7bit(&self) -> &'static str {
        match self.kind {
            Kind::Multipart | Kind::Message | Kind::MessagePiece | Kind::MessageOther => "7bit",
            Kind::MessageGlobal | Kind::Text | Kind::Other => "quoted-printable",
        }
    }

    /// A header of the head that is being read, by its name and by what stands behind the colon.
    ///
    /// Fails where multiparts are deeper in each other than the limit: this one is then not looked into.
    pub fn named_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), MimeError> {
        known(name).map_or(Ok(()), |known| self.header(known, value))
    }

    /// [`Self::named_header`] for a name that is known already.
    pub(crate) fn header(&mut self, known: Known, value: &[u8]) -> Result<(), MimeError> {
        match known {
            _ if !self.enabled => Ok(()),
            Known::ContentType => self.content_type(value),
            Known::ContentTransferEncoding => {
                self.encoding = Encoding::of(value).unwrap_or(self.encoding);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn content_type(&mut self, value: &[u8]) -> Result<(), MimeError> {
        let mut items = Items::parameters(value);
        let Some(first) = items.next() else { return Ok(()) };
        let Some(name) = first.name() else {
            if !first.is_empty() {
                self.kind = Kind::Other;
            }
            return Ok(());
        };
        let is = |word: &[u8], text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        let subtype = first.value(b'/').unwrap_or_default();
        if is(name, "text") {
            self.kind = Kind::Text;
        } else if is(name, "message") {
            self.kind = match subtype {
                it if is(it, "rfc822") => Kind::Message,
                it if is(it, "global") => Kind::MessageGlobal,
                it if is(it, "partial") || is(it, "external-body") => Kind::MessagePiece,
                _ => Kind::MessageOther,
            };
        } else if is(name, "multipart") {
            self.kind = Kind::Multipart;
            let parts = if is(subtype, "digest") { Kind::Message } else { Kind::Text };
            // More than one boundary is illegal, and hides content from those who take the first or
            // the last: so all of them count.
            let mut result = Ok(());
            for item in items.filter(|it| it.name().is_some_and(|name| is(name, "boundary"))) {
                result = result.and(self.begin_multipart(&item, parts));
            }
            return result;
        } else {
            self.kind = Kind::Other;
        }
        Ok(())
    }

    fn begin_multipart(&mut self, item: &Item<'_>, parts: Kind) -> Result<(), MimeError> {
        let Some(boundary) = item.any_value(b'=') else { return Ok(()) };
        // Postfix's counter starts at -1, so that there is room for two more.
        if self.open.len() > self.limits.nesting_max.saturating_add(1) {
            return Err(MimeError::Nesting);
        }
        let boundary = boundary[..boundary.len().min(self.limits.boundary_bytes_max)].into();
        self.open.push(Multipart { boundary, parts });
        Ok(())
    }

    /// The encoding of a composite type has to be an identity; of a piece of a message, 7bit. The error
    /// names the encoding.
    pub(crate) fn check_domain(&self) -> Result<(), &'static str> {
        let wrong = match self.kind {
            Kind::MessagePiece => self.is_beyond_7bit(),
            Kind::Message | Kind::Multipart => !self.encoding.is_domain(),
            _ => false,
        };
        if wrong { Err(self.encoding.name()) } else { Ok(()) }
    }

    /// A head is over: at an empty line, or at a line that can be no header, which then belongs to the
    /// body, whatever was said about it.
    ///
    /// `downgrading` is for who makes the content 7bit: what is encoded then is not looked into.
    pub fn end_head(&mut self, at_empty_line: bool, downgrading: bool) -> Behind {
        if !at_empty_line {
            return Behind::Body;
        }
        let nested = match self.kind {
            Kind::Message => true,
            Kind::MessageGlobal => !downgrading || !self.is_beyond_7bit(),
            _ => false,
        };
        if nested {
            (self.kind, self.encoding) = (Kind::Text, Encoding::SevenBit);
            return Behind::NestedHead;
        }
        if self.kind == Kind::Multipart {
            // What stands before the first part.
            (self.kind, self.encoding) = (Kind::Other, Encoding::SevenBit);
        }
        Behind::Body
    }

    /// A line of a body.
    ///
    /// What follows a boundary on its line is not looked at: some clients put something there, and what is
    /// kept of a boundary may have been cut. The boundary of an outer multipart ends the inner ones.
    pub fn body_line(&mut self, line: &[u8]) -> Boundary {
        if self.open.is_empty() || line.len() <= 2 || !line.starts_with(b"--") {
            return Boundary::None;
        }
        let text = &line[2..];
        let Some(found) = self.open.iter().rposition(|it| text.starts_with(&it.boundary)) else {
            return Boundary::None;
        };
        self.open.truncate(found + 1);
        let Multipart { boundary, parts } = &self.open[found];
        let (at_end, parts) = (text[boundary.len()..].starts_with(b"--"), *parts);
        self.encoding = Encoding::SevenBit;
        if at_end {
            self.open.pop();
            self.kind = Kind::Other;
            return Boundary::End;
        }
        self.kind = parts;
        Boundary::Part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner() -> Scanner {
        Scanner::new(MimeLimits::default(), true)
    }

    fn part_follows(scanner: &mut Scanner, line: &str) -> bool {
        scanner.body_line(line.as_bytes()) == Boundary::Part
    }

    fn typed(value: &str) -> Scanner {
        let mut scanner = scanner();
        scanner.header(Known::ContentType, value.as_bytes()).unwrap();
        scanner
    }

    #[test]
    fn boundaries_are_found_however_they_are_written() {
        for value in [
            " multipart/mixed; boundary=abc",
            "multipart/mixed (comment; boundary=no);\n\tBOUNDARY = \"abc\"",
            "Multipart/Mixed; charset=x; boundary=\"a\\bc\"; more=1",
            "multipart/mixed; ; boundary=other; boundary=abc",
            "multipart; boundary=abc",
        ] {
            let mut scanner = typed(value);
            assert_eq!(scanner.end_head(true, false), Behind::Body, "{value}");
            assert!(!part_follows(&mut scanner, "--ab"), "{value}");
            assert!(part_follows(&mut scanner, "--abc"), "{value}");
            assert!(part_follows(&mut scanner, "--abc and more"), "{value}");
            assert!(!part_follows(&mut scanner, "--abc--"), "{value}");
            assert!(!part_follows(&mut scanner, "--abc"), "{value}: it is over");
        }
    }

    #[test]
    fn an_outer_boundary_ends_what_is_within() {
        let mut scanner = typed("multipart/mixed; boundary=outer");
        scanner.header(Known::ContentType, b"multipart/mixed; boundary=inner").unwrap();
        assert!(part_follows(&mut scanner, "--inner"));
        assert!(part_follows(&mut scanner, "--outer"));
        assert!(!part_follows(&mut scanner, "--inner"));
    }

    #[test]
    fn messages_within_begin_with_a_head() {
        for (value, behind) in [
            ("message/rfc822", Behind::NestedHead),
            ("message/global", Behind::NestedHead),
            ("message/partial; id=x", Behind::Body),
            ("message/delivery-status", Behind::Body),
            ("text/plain", Behind::Body),
            ("", Behind::Body),
        ] {
            assert_eq!(typed(value).end_head(true, false), behind, "{value}");
            assert_eq!(typed(value).end_head(false, false), Behind::Body, "{value}");
        }
        let mut digest = typed("multipart/digest; boundary=x");
        assert!(part_follows(&mut digest, "--x"));
        assert_eq!(digest.end_head(true, false), Behind::NestedHead);
    }

    #[test]
    fn encodings_belong_to_their_types() {
        for (kind, encoding, wrong) in [
            ("multipart/mixed; boundary=x", "base64", Some("base64")),
            ("multipart/mixed; boundary=x", "8bit", None),
            ("message/rfc822", "Quoted-Printable", Some("quoted-printable")),
            ("message/global", "base64", None),
            ("message/partial", "8BIT (really)", Some("8bit")),
            ("text/plain", "base64", None),
            ("multipart/mixed; boundary=x", "x-unknown", None),
        ] {
            let mut scanner = typed(kind);
            scanner.header(Known::ContentTransferEncoding, encoding.as_bytes()).unwrap();
            assert_eq!(scanner.check_domain().err(), wrong, "{kind} {encoding}");
        }
    }

    #[test]
    fn nesting_and_boundaries_have_limits() {
        let limits = MimeLimits { nesting_max: 3, boundary_bytes_max: 4 };
        let mut scanner = Scanner::new(limits, true);
        let value = b"multipart/mixed; boundary=abcdefgh";
        for _ in 0..5 {
            assert_eq!(scanner.header(Known::ContentType, value), Ok(()));
        }
        assert_eq!(scanner.header(Known::ContentType, value), Err(MimeError::Nesting));
        assert_eq!(scanner.open.len(), 5);
        assert!(part_follows(&mut scanner, "--abcdXXXX"), "the first four bytes count");
    }

    #[test]
    fn without_mime_nothing_is_looked_into() {
        let mut scanner = Scanner::new(MimeLimits::default(), false);
        scanner.header(Known::ContentType, b"multipart/mixed; boundary=x").unwrap();
        scanner.header(Known::ContentTransferEncoding, b"8bit").unwrap();
        assert_eq!((part_follows(&mut scanner, "--x"), scanner.is_beyond_7bit()), (false, false));
    }
}
