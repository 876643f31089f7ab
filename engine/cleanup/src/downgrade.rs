//! 8bit to 7bit: what a host that does not offer 8BITMIME is sent (RFC 6152 section 3), and
//! `force_mime_input_conversion`.
//!
//! Each entity that says to be 8bit or binary becomes quoted-printable, composite ones 7bit, with a new
//! Content-Transfer-Encoding at the end of its head; the rest stays byte for byte, as in postfix
//! `src/global/mime_state.c`. Nothing becomes base64: line endings were made canonical on the way here, so
//! what is left is text. One pass, of which only the headers that matter are kept.

use mail::Sink;
use memchr::memchr;

use crate::header::{Known, LineStart, known, line_start};
use crate::mime::{Behind, Boundary, MimeError, MimeLimits, Scanner};

/// A line of encoded text is broken once it is longer than this; what is appended after that, and the `=`
/// at its end, keep it under the 76 of RFC 2045 section 6.7.
const SOFT_BREAK_BYTES: usize = 72;

/// Bytes of a line that are looked at together.
const LINE_BYTES_MAX: usize = 2048;

/// Converts one message, given in pieces cut anywhere.
#[derive(Debug)]
pub struct Downgrade {
    scanner: Scanner,
    place: Place,
    header: Header,
    /// The header that is kept, or what a line that is not complete begins with.
    kept: Vec<u8>,
    header_bytes_max: usize,
    line: Vec<u8>,
    /// The line goes on that the last piece began.
    continued: bool,
    encoded: Vec<u8>,
    too_deep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// There is none yet.
    None,
    /// It has been passed on.
    Passed,
    /// Passed on, and kept for what it says.
    Type,
    /// Kept until it is known whether it stays.
    Encoding,
}

impl Downgrade {
    /// For one message. Of a header that says what content is, `header_bytes_max` are looked at.
    pub fn new(limits: MimeLimits, header_bytes_max: usize) -> Self {
        Self {
            scanner: Scanner::new(limits, true),
            place: Place::Head,
            header: Header::None,
            kept: Vec::new(),
            header_bytes_max,
            line: Vec::new(),
            continued: false,
            encoded: Vec::new(),
            too_deep: false,
        }
    }

    /// The next piece of lines that end in LF.
    pub fn put<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) {
        while !bytes.is_empty() {
            let room = (LINE_BYTES_MAX - self.line.len()).min(bytes.len());
            let lf = memchr(b'\n', &bytes[..room]);
            let (piece, rest) = bytes.split_at(lf.map_or(room, |lf| lf + 1));
            bytes = rest;
            if self.line.is_empty() && lf.is_some() {
                self.record(piece, sink);
                continue;
            }
            self.line.extend_from_slice(piece);
            if lf.is_some() || self.line.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(&mut self.line);
                self.record(&line, sink);
                self.line = line;
                self.line.clear();
            }
        }
    }

    /// Ends the message. The error is a message whose multiparts nest deeper than `mime_nesting_limit`: it
    /// may still hold 8bit data.
    pub fn finish<S: Sink>(mut self, sink: &mut S) -> Result<(), MimeError> {
        self.end(sink)
    }

    pub(crate) fn end<S: Sink>(&mut self, sink: &mut S) -> Result<(), MimeError> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.record(&line, sink);
        }
        if self.place == Place::Head {
            self.end_header(sink);
            self.end_head(sink);
        }
        if !self.encoded.is_empty() {
            sink.put(&self.encoded);
            self.encoded.clear();
        }
        if self.too_deep { Err(MimeError::Nesting) } else { Ok(()) }
    }

    /// A line with its LF, or a piece of a long one.
    fn record<S: Sink>(&mut self, record: &[u8], sink: &mut S) {
        let continued = std::mem::replace(&mut self.continued, !record.ends_with(b"\n"));
        if self.place == Place::Head && self.head(record, continued, sink) {
            return;
        }
        self.place = Place::Body;
        let boundary = match continued {
            true => Boundary::None,
            false => self.scanner.body_line(record.strip_suffix(b"\n").unwrap_or(record)),
        };
        if self.scanner.is_beyond_7bit() {
            self.encode(record, sink);
        } else {
            sink.put(record);
        }
        if boundary == Boundary::Part {
            (self.place, self.header) = (Place::Head, Header::None);
        }
    }

    /// True where the line belongs to a head. The empty line behind it does not.
    fn head<S: Sink>(&mut self, record: &[u8], continued: bool, sink: &mut S) -> bool {
        let folded = matches!(record.first(), Some(b' ' | b'\t'));
        if self.header != Header::None && (continued || folded) {
            self.header_piece(record, sink);
            return true;
        }
        self.end_header(sink);
        let LineStart::Header(name_len) = line_start(record) else {
            self.end_head(sink);
            let at_empty_line = record == b"\n";
            if !at_empty_line && self.scanner.is_beyond_7bit() {
                // Encoded, the line could pass for a header.
                sink.put(b"\n");
            }
            if self.scanner.end_head(at_empty_line, true) == Behind::NestedHead {
                sink.put(record);
                self.header = Header::None;
                return true;
            }
            return false;
        };
        self.header = match known(&record[..name_len]) {
            Some(Known::ContentType) => Header::Type,
            Some(Known::ContentTransferEncoding) => Header::Encoding,
            _ => Header::Passed,
        };
        self.header_piece(record, sink);
        true
    }

    fn header_piece<S: Sink>(&mut self, record: &[u8], sink: &mut S) {
        if self.header != Header::Encoding {
            sink.put(record);
        }
        if self.header != Header::Passed {
            let room = self.header_bytes_max.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&record[..room.min(record.len())]);
        }
    }

    fn end_header<S: Sink>(&mut self, sink: &mut S) {
        let header = std::mem::replace(&mut self.header, Header::None);
        let colon = memchr(b':', &self.kept).map_or(0, |at| at + 1);
        let value = &self.kept[colon..];
        match header {
            Header::None | Header::Passed => {}
            Header::Type => {
                self.too_deep |= self.scanner.header(Known::ContentType, value).is_err();
            }
            Header::Encoding => {
                self.too_deep |=
                    self.scanner.header(Known::ContentTransferEncoding, value).is_err();
                if !self.scanner.is_beyond_7bit() {
                    sink.put(&self.kept);
                    if !self.kept.ends_with(b"\n") {
                        sink.put(b"\n");
                    }
                }
            }
        }
        self.kept.clear();
    }

    fn end_head<S: Sink>(&mut self, sink: &mut S) {
        if self.scanner.is_beyond_7bit() {
            sink.put(b"Content-Transfer-Encoding: ");
            sink.put(self.scanner.encoding_in_7bit().as_bytes());
            sink.put(b"\n");
        }
    }

    /// RFC 2045 section 6.7
    fn encode<S: Sink>(&mut self, record: &[u8], sink: &mut S) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let hex = |b: u8| [b'=', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]];
        for &b in record {
            if b == b'\n' {
                // White space at a line's end would be lost on the way.
                if let Some(last @ (b' ' | b'\t')) = self.encoded.last().copied() {
                    self.encoded.pop();
                    self.encoded.extend_from_slice(&hex(last));
                }
                self.encoded.push(b'\n');
                sink.put(&self.encoded);
                self.encoded.clear();
                continue;
            }
            if self.encoded.len() > SOFT_BREAK_BYTES {
                self.encoded.extend_from_slice(b"=\n");
                sink.put(&self.encoded);
                self.encoded.clear();
            }
            if (b < b' ' && b != b'\t') || b == b'=' || b > b'~' {
                self.encoded.extend_from_slice(&hex(b));
            } else {
                self.encoded.push(b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn convert(text: &[u8], cut: usize) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let mut downgrade = Downgrade::new(MimeLimits::default(), 102_400);
        for piece in text.chunks(cut) {
            downgrade.put(piece, &mut out);
        }
        let converted = downgrade.finish(&mut out).is_ok();
        (out, converted)
    }

    fn converted(text: &str) -> String {
        let (out, complete) = convert(text.as_bytes(), usize::MAX);
        assert!(complete);
        for cut in 1..40 {
            assert_eq!(convert(text.as_bytes(), cut).0, out, "pieces of {cut}");
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_says_to_be_8bit_becomes_quoted_printable() {
        assert_eq!(
            converted(
                "Subject: x\nContent-Transfer-Encoding:\n 8bit\nMIME-Version: 1.0\n\n\
                 J\u{f6}rg = x \n\ntab\t\nend"
            ),
            "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n\
             J=C3=B6rg =3D x=20\n\ntab=09\nend"
        );
    }

    #[test]
    fn only_the_parts_that_need_it_are_touched() {
        assert_eq!(
            converted(
                "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n\
                 pre\n--b\nContent-Transfer-Encoding: 8bit\n\n\u{e4}\n--b\n\
                 Content-Transfer-Encoding: base64\n\n4pyT\n--b\n\nplain = \n--b--\nafter =\n"
            ),
            "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\n\
             pre\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--b\n\
             Content-Transfer-Encoding: base64\n\n4pyT\n--b\n\nplain = \n--b--\nafter =\n"
        );
    }

    #[test]
    fn what_was_no_header_becomes_none() {
        assert_eq!(
            converted("Content-Transfer-Encoding: 8bit\nX-J\u{f6}rg: 1\n\nx\n"),
            "Content-Transfer-Encoding: quoted-printable\n\nX-J=C3=B6rg: 1\n\nx\n"
        );
    }

    #[test]
    fn messages_within_are_converted_by_their_own_heads() {
        assert_eq!(
            converted(
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n\
                 Subject: in\nContent-Transfer-Encoding: binary\n\n\u{e4}\n"
            ),
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
             Subject: in\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n"
        );
    }

    #[test]
    fn what_is_7bit_already_stays_byte_for_byte() {
        for text in [
            "Subject: J\u{f6}rg\n\n\u{e4} = not announced\n",
            "Content-Transfer-Encoding: Base64\n\nAA==\n",
            "no head\n\n--x\n",
            "",
            "Only: head",
        ] {
            assert_eq!(converted(text), text);
        }
    }

    #[test]
    fn lines_are_broken_before_they_are_too_long() {
        let text = format!("Content-Transfer-Encoding: 8bit\n\n{}\n", "\u{e4}".repeat(5000));
        let out = converted(&text);
        assert!(out.lines().all(|line| line.len() <= 76));
        let body = out.split_once("\n\n").unwrap().1.replace("=\n", "");
        assert_eq!(body.trim_end(), "=C3=A4".repeat(5000));
    }

    #[test]
    fn too_deep_a_message_is_told_of() {
        let deep: String = (0..200)
            .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}x\n\n--b{n}x\n"))
            .collect();
        assert!(!convert(deep.as_bytes(), 100).1);
    }

    proptest! {
        #[test]
        fn how_it_is_cut_makes_no_difference(
            text in "(Content-Type: multipart/x; boundary=b\n|Content-Type: message/rfc822\n|\
                     Content-Transfer-Encoding: 8bit\n|Content-Transfer-Encoding: x\n|\n|--b\n|\
                     --b--\n| \u{e4} =\n|[a-z:\u{e4} ]{0,90}|\n){0,30}",
            cut in 1..50_usize,
        ) {
            let whole = convert(text.as_bytes(), usize::MAX);
            prop_assert_eq!(convert(text.as_bytes(), cut), whole);
        }
    }
}
