//! Heads, where something is looked at or rewritten: complete headers go by the tables, by the rules about
//! MIME and by whoever rewrites addresses (postfix `src/cleanup/cleanup_message.c`).

use std::borrow::Cow;

use mail::Sink;

use crate::cleanup::{Cleanup, Place};
use crate::filter::{List, Pending, Subject, ask};
use crate::header::{Known, known};
use crate::mime::{Behind, Class, MimeError};
use crate::outcome::{Event, LOGGED_MIME_BYTES_MAX, beginning};
use crate::rewriting::{AddressHeader, Rewriting, Rewritten};
use crate::rules::{NonEmptyEndOfHead, Strict};

impl Cleanup {
    /// A header is complete.
    #[cold]
    pub(crate) fn check_header<S: Sink>(&mut self, known: Option<Known>, sink: &mut S) {
        let Some(filter) = &mut self.filter else { return };
        let text = self.header.strip_suffix(b"\n").unwrap_or(&self.header);
        let mut broken = Ok(());
        if let Some(known) = known {
            broken = filter.scanner.header(known, &text[self.value..]);
        }
        let eight_bit = filter.strict.seven_bit_headers && !text.is_ascii();
        let asks = filter.checks;
        let class = match known {
            Some(known) if known.is_mime() => Class::Mime,
            _ => filter.class,
        };
        if broken.is_err()
            && (filter.strict != Strict::default() || self.rules.have_header_checks())
        {
            self.broke_in_header(MimeError::Nesting);
        }
        if eight_bit {
            self.broke_in_header(MimeError::EightBitHeader);
        }
        let list = List::of(class);
        let tables = list.maps(&self.rules).tables();
        if !asks || tables.is_empty() {
            return self.header_checked(sink);
        }
        let subject = Subject::Header;
        let asked = ask(tables, 0, &self.subject_text(&subject));
        self.answered(list, subject, asked, sink);
    }

    /// What is looked up. White space before the colon, which is obsolete, hides no header.
    pub(crate) fn subject_text<'a>(&'a self, subject: &'a Subject) -> Cow<'a, [u8]> {
        let text = match subject {
            Subject::Header => &self.header[..],
            Subject::Line(line) => line,
        };
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        match subject {
            Subject::Header if self.value > self.name_len + 1 => {
                [&text[..self.name_len], &text[self.value - 1..]].concat().into()
            }
            _ => text.into(),
        }
    }

    fn broke_in_header(&mut self, error: MimeError) {
        let header = std::mem::take(&mut self.header);
        self.broke(error, header.strip_suffix(b"\n").unwrap_or(&header));
        self.header = header;
    }

    /// Each rule is told of once.
    pub(crate) fn broke(&mut self, error: MimeError, text: &[u8]) {
        let Some(filter) = &mut self.filter else { return };
        if filter.checks && !filter.broken.contains(&error) {
            filter.broken.push(error);
            let content = beginning(text, LOGGED_MIME_BYTES_MAX);
            self.log(Event::Mime { error, content });
        }
    }

    /// Nothing stands against the header.
    pub(crate) fn header_checked<S: Sink>(&mut self, sink: &mut S) {
        let known = known(&self.header[..self.name_len]);
        if known == Some(Known::ContentTransferEncoding) {
            self.detect_encoding();
        }
        let Some(filter) = &self.filter else { return };
        if filter.stopped {
            return self.forget_header();
        }
        if filter.class != Class::Primary {
            return self.emit_header(sink);
        }
        let Some(known) = known else { return self.pass_header(sink) };
        self.note(known);
        self.rewrite_header(known, sink);
    }

    fn rewrite_header<S: Sink>(&mut self, known: Known, sink: &mut S) {
        let (Some(filter), Some(rewriter)) = (&self.filter, &self.rules.header_rewriter) else {
            return self.pass_header(sink);
        };
        let (Some(context), Some(role)) = (filter.rewriting, known.role()) else {
            return self.pass_header(sink);
        };
        let text = self.header.strip_suffix(b"\n").unwrap_or(&self.header);
        let (name, value) = (&text[..self.name_len], &text[self.value..]);
        let maps = filter.maps;
        match rewriter.rewrite(AddressHeader { name, value, role, context, maps }) {
            Rewriting::Ready(rewritten) => self.header_rewritten(rewritten, sink),
            Rewriting::Later(later) => {
                if let Some(filter) = &mut self.filter {
                    filter.pending = Some(Pending::Rewriting(later));
                }
            }
        }
    }

    pub(crate) fn header_rewritten<S: Sink>(&mut self, rewritten: Rewritten, sink: &mut S) {
        match rewritten {
            Ok(None) => self.pass_header(sink),
            Ok(Some(header)) => {
                self.header = folded(&header);
                self.pass_header(sink);
            }
            Err(trouble) => {
                self.unavailable(&trouble.to_string());
                self.forget_header();
            }
        }
    }

    fn emit_header<S: Sink>(&mut self, sink: &mut S) {
        self.summary.size_bytes += self.header.len() as u64;
        sink.put(&self.header);
        self.forget_header();
    }

    /// A head is over: at an empty line, or at a line that is none of it and is given as far as it is there.
    #[cold]
    pub(crate) fn end_filtered_head<S: Sink>(&mut self, line: Option<Vec<u8>>, sink: &mut S) {
        let Some(filter) = &mut self.filter else { return };
        let primary = filter.class == Class::Primary;
        let looks = filter.looks_into_body;
        if filter.strict.encoding_domain
            && let Err(name) = filter.scanner.check_domain()
        {
            self.broke(MimeError::EncodingDomain, name.as_bytes());
        }
        if primary {
            self.end_head(sink);
            if line.is_some() {
                self.note_end_of_head(sink);
            }
        }
        let Some(filter) = &mut self.filter else { return };
        let behind = filter.scanner.end_head(line.is_none(), false);
        filter.offset = 0;
        filter.continued = false;
        match (line, behind) {
            (None, _) if !looks => {
                self.place = Place::Through;
                self.emit(b"\n", sink);
            }
            (None, Behind::Body) => {
                self.place = Place::Lines;
                self.check_line(b"\n", sink);
            }
            (None, Behind::NestedHead) => {
                filter.class = Class::Nested;
                self.place = Place::LineStart;
                self.check_line(b"\n", sink);
            }
            (Some(line), _) => {
                if looks {
                    filter.record = line;
                    filter.record_at = 0;
                    self.place = Place::Lines;
                    if primary {
                        self.emit(b"\n", sink);
                    }
                } else {
                    self.place = Place::Through;
                    self.emit(b"\n", sink);
                    self.emit(&line, sink);
                }
            }
        }
    }

    /// The message's head ended without an empty line.
    fn note_end_of_head<S: Sink>(&mut self, sink: &mut S) {
        let Some(filter) = &mut self.filter else { return };
        match filter.end_of_head {
            NonEmptyEndOfHead::FixQuietly => {}
            NonEmptyEndOfHead::AddHeader => {
                self.emit(b"MIME-Error: message header was not terminated by empty line\n", sink)
            }
            NonEmptyEndOfHead::Reject => filter.shows_end_of_head = true,
        }
    }
}

/// The text of a header with its line ending. A header of one of our tables' making has to be one header: each
/// further line begins with white space (postfix `cleanup_out.c`), and none is empty.
pub(crate) fn folded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1);
    for (number, line) in text.split(|&b| b == b'\n').enumerate() {
        if number > 0 {
            out.push(b'\n');
            if !matches!(line.first(), Some(b' ' | b'\t')) {
                out.push(b'\t');
            }
        }
        out.extend_from_slice(line);
    }
    out.push(b'\n');
    out
}
