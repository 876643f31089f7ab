//! Bodies, where their lines are looked at: boundaries are found, and lines go by the tables, long ones in
//! pieces of `line_length_limit`.

use mail::Sink;
use memchr::memchr;
use table::Answer;

use crate::cleanup::{Cleanup, Place};
use crate::filter::{Asked, List, Subject, ask};
use crate::mime::{Boundary, Class, Encoding, MimeError};

impl Cleanup {
    /// Takes a line of a body, or what there is of it, of bytes that are not empty.
    pub(crate) fn line_step<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> usize {
        let limit = self.rules.line_length_limit_bytes;
        let Some(filter) = &mut self.filter else { return bytes.len() };
        let kept = filter.record.len() - filter.record_at;
        if kept >= limit {
            let end = filter.record_at + limit;
            self.kept_record(end, sink);
            return 0;
        }
        let room = (limit - kept).min(bytes.len());
        let lf = memchr(b'\n', &bytes[..room]);
        let taken = lf.map_or(room, |lf| lf + 1);
        if kept == 0 && (lf.is_some() || room == limit) {
            filter.record.clear();
            filter.record_at = 0;
            self.record(&bytes[..taken], sink);
            return taken;
        }
        filter.record.extend_from_slice(&bytes[..taken]);
        if lf.is_some() {
            let end = filter.record.len();
            self.kept_record(end, sink);
        }
        taken
    }

    /// Looks at what is kept of a line, up to `end`.
    pub(crate) fn kept_record<S: Sink>(&mut self, end: usize, sink: &mut S) {
        let Some(filter) = &mut self.filter else { return };
        let mut record = std::mem::take(&mut filter.record);
        let start = filter.record_at;
        self.record(&record[start..end], sink);
        let Some(filter) = &mut self.filter else { return };
        filter.record_at = end;
        if end == record.len() {
            record.clear();
            filter.record_at = 0;
        }
        filter.record = record;
    }

    /// A line with its line ending, or a piece of a long one.
    fn record<S: Sink>(&mut self, raw: &[u8], sink: &mut S) {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        let Some(filter) = &mut self.filter else { return };
        let continued = std::mem::replace(&mut filter.continued, text.len() == raw.len());
        let shows_end_of_head = std::mem::take(&mut filter.shows_end_of_head);
        let is_7bit = filter.scanner.encoding() == Encoding::SevenBit;
        let eight_bit = filter.strict.eight_bit_body && is_7bit && !text.is_ascii();
        let boundary = match continued {
            true => Boundary::None,
            false => filter.scanner.body_line(text),
        };
        if boundary == Boundary::End {
            filter.offset = 0;
        }
        if boundary == Boundary::Part {
            filter.class = Class::Mime;
            self.place = Place::LineStart;
        }
        if shows_end_of_head {
            self.broke(MimeError::NonEmptyEndOfHead, text);
        }
        if eight_bit {
            self.broke(MimeError::EightBitBody, text);
        }
        self.check_line(raw, sink);
    }

    /// A line goes by the tables, or a piece of one.
    pub(crate) fn check_line<S: Sink>(&mut self, raw: &[u8], sink: &mut S) {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        let limit = self.rules.body_checks_size_limit_bytes;
        let tables = self.rules.body_checks.tables();
        let Some(filter) = &mut self.filter else { return };
        let asks = filter.checks && !tables.is_empty() && (limit == 0 || filter.offset < limit);
        filter.offset += text.len() as u64 + 1;
        if !asks {
            return self.emit_line(raw, sink);
        }
        match ask(tables, 0, text) {
            Asked::Answer(Answer::NotFound) => self.emit_line(raw, sink),
            asked => self.answered(List::Body, Subject::Line(raw.to_vec()), asked, sink),
        }
    }

    pub(crate) fn emit_line<S: Sink>(&mut self, raw: &[u8], sink: &mut S) {
        if !self.is_over() {
            self.emit(raw, sink);
        }
    }
}
