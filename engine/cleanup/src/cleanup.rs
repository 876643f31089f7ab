//! The pass over one message's content.

use std::sync::Arc;

use mail::{Address, QueueId, Sink, Time};
use memchr::memchr;

use crate::date::{Civil, push_date, push_digits};
use crate::filter::Filter;
use crate::from::from_header;
use crate::header::{Known, LineStart, is_mailbox_line, known, line_start};
use crate::outcome::{Summary, Verdict};
use crate::received::{push_all, push_received};
use crate::rules::{Message, Rules};

/// How much of a Message-ID goes to the log.
const LOGGED_MESSAGE_ID_BYTES_MAX: usize = 1000;

/// How much of a line is gathered at once while it is not known whether it is a header.
const UNDECIDED_BYTES: usize = 4096;

/// One message on its way: LF-terminated content in, the same with its headers seen to out.
#[derive(Debug)]
pub struct Cleanup {
    pub(crate) rules: Arc<Rules>,
    pub(crate) place: Place,
    /// The header that is being gathered, with the line endings between its lines.
    pub(crate) header: Vec<u8>,
    /// Where its last line starts.
    line: usize,
    /// The name of the header that is being gathered ends here; 0 while its line is too short to say.
    pub(crate) name_len: usize,
    /// Its value starts here, behind the colon.
    pub(crate) value: usize,
    /// Where a header that got too long will be cut.
    cut: Option<usize>,
    first_line: bool,
    seen: Seen,
    missing: Missing,
    pub(crate) summary: Summary,
    /// What looks at the message beyond its own head, or asks tables; `None` for nearly every message.
    pub(crate) filter: Option<Box<Filter>>,
}

/// Where in the message we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the first byte of a line of a head.
    LineStart,
    /// Within such a line.
    InLine,
    /// Behind the head, with nothing in the way.
    Body,
    /// Behind the head, where something may have gone before: characters are filtered, or tables were asked.
    Through,
    /// In a body whose lines are looked at.
    Lines,
}

/// Headers that were there.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    message_id: bool,
    date: bool,
    from: bool,
    recipients: bool,
    /// Any `Resent-` header: then it is those that have to be complete (RFC 5322 section 3.6.6).
    resent: bool,
    resent_message_id: bool,
    resent_date: bool,
    resent_from: bool,
}

/// What to add where it is missing.
#[derive(Debug)]
enum Missing {
    /// Nothing: a stranger's message stays as it is.
    LeftOut,
    /// Everything that Postfix adds.
    Added {
        id: QueueId,
        arrival: Time,
        date: Box<[u8]>,
        sender: Option<Address>,
        name: Option<Box<str>>,
    },
}

impl Cleanup {
    /// Begins a message: its `Received:` header goes to the sink.
    pub fn start<S: Sink>(rules: &Arc<Rules>, message: &Message<'_>, sink: &mut S) -> Self {
        let mut header = Vec::with_capacity(512);
        let mut cleanup = Self {
            rules: rules.clone(),
            place: Place::LineStart,
            header: Vec::new(),
            line: 0,
            name_len: 0,
            value: 0,
            cut: None,
            first_line: true,
            seen: Seen::default(),
            missing: Missing::of(rules, message),
            summary: Summary::default(),
            filter: Filter::of(rules, message),
        };
        for prepended in message.prepended {
            push_all(&mut header, &[prepended, "\n"]);
        }
        push_received(&mut header, rules, message);
        if cleanup.filter.is_some() {
            cleanup.put_own(&header, sink);
        } else {
            cleanup.summary.hops = 1;
            cleanup.summary.too_many_hops = rules.hopcount_limit <= 1;
            cleanup.emit(&header, sink);
        }
        if cleanup.header.capacity() == 0 {
            header.clear();
            cleanup.header = header;
        }
        cleanup
    }

    /// The sink that a decoder writes to, so that content goes through here to `sink`.
    pub fn onto<'a, S: Sink>(&'a mut self, sink: &'a mut S) -> Onto<'a, S> {
        Onto { cleanup: self, sink }
    }

    /// The next piece of content, cut anywhere.
    #[inline]
    pub fn put<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        if self.place == Place::Body {
            self.emit(bytes, sink);
        } else if self.filter.is_some() {
            self.put_filtered(bytes, sink);
        } else {
            self.put_head(bytes, sink);
        }
    }

    /// Ends the message. A head without a body is complete as it is.
    ///
    /// Where a table has yet to answer, the message is refused for now: whoever has such tables waits,
    /// see [`Cleanup::settle`] and [`Cleanup::finish_settled`].
    pub fn finish<S: Sink>(mut self, sink: &mut S) -> Summary {
        self.close(sink);
        self.into_summary()
    }

    /// Ends a message of which nothing more comes and nothing is kept: what became known of it, for the log.
    pub fn abandon(self) -> Summary {
        Summary { verdict: Verdict::Discard, ..self.into_summary() }
    }

    /// What is left to do at the end; again, where it had to stop for a table.
    pub(crate) fn close<S: Sink>(&mut self, sink: &mut S) {
        self.close_filter(sink);
        if self.place == Place::InLine && !self.is_paused() {
            self.close_line(sink);
        }
        self.close_lines(sink);
        if matches!(self.place, Place::LineStart | Place::InLine) && !self.is_paused() {
            self.end_header(sink);
            if !self.is_paused() && self.in_primary_head() {
                self.end_head(sink);
                self.place = Place::Body;
            }
        }
    }

    /// A last line without its end: no decoder leaves one, but nothing depends on that.
    fn close_line<S: Sink>(&mut self, sink: &mut S) {
        if self.in_primary_head() {
            if !self.end_line(sink) {
                self.take(b"\n", sink);
            }
            return;
        }
        self.decide(sink);
        if self.place == Place::InLine && self.name_len == 0 {
            self.begin_body(sink);
        }
    }

    pub(crate) fn into_summary(mut self) -> Summary {
        if self.summary.too_many_hops && self.summary.verdict == Verdict::Accept {
            self.summary.verdict = Verdict::too_many_hops();
        }
        self.settle_verdict();
        self.summary
    }

    #[inline]
    pub(crate) fn emit<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        self.summary.size_bytes += bytes.len() as u64;
        sink.put(bytes);
    }

    fn put_head<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) {
        while !bytes.is_empty() {
            if self.place == Place::Body {
                return self.emit(bytes, sink);
            }
            let used = self.head_step(bytes, sink);
            bytes = &bytes[used..];
        }
    }

    /// Takes a line of a head, or what there is of it, of bytes that are not empty. Returns how many bytes
    /// that were: none where the header before has to be waited for.
    #[inline(always)]
    pub(crate) fn head_step<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> usize {
        let first = bytes[0];
        if self.place == Place::LineStart {
            self.begin_line(first, sink);
            if self.is_paused() {
                self.place = Place::LineStart;
                return 0;
            }
        }
        let bytes = match self.name_len {
            0 => &bytes[..bytes.len().min(UNDECIDED_BYTES)],
            _ => bytes,
        };
        // The decoder's pieces begin with the line ending before: no need to look for that one.
        let lf = if first == b'\n' { Some(0) } else { memchr(b'\n', bytes) };
        let Some(lf) = lf else {
            self.gather(bytes);
            self.decide(sink);
            return bytes.len();
        };
        self.gather(&bytes[..lf]);
        if self.end_line(sink) { lf + 1 } else { lf }
    }

    /// A line that begins with white space goes on with the header before it (RFC 5322 section
    /// 2.2.3), and any other ends it.
    fn begin_line<S: Sink>(&mut self, first: u8, sink: &mut S) {
        // A client's first line goes on with nothing of ours.
        let is_first = self.first_line && !self.is_own();
        let continues = matches!(first, b' ' | b'\t') && !self.header.is_empty() && !is_first;
        if !continues {
            self.end_header(sink);
        }
        self.line = self.header.len();
        self.place = Place::InLine;
    }

    /// Keeps as much of a header as `header_size_limit` allows; the limit does not concern lines of
    /// which it is not yet known whether they are headers.
    fn gather(&mut self, bytes: &[u8]) {
        let limit = self.header_limit();
        let decided = self.name_len > 0;
        if !decided || self.header.len() + bytes.len() <= limit {
            return self.header.extend_from_slice(bytes);
        }
        if self.cut.is_none() {
            // As Postfix: between two lines where that costs no more than a tenth of the header,
            // else in the midst of one.
            let nice = self.line > limit - limit / 10 && self.line > 0;
            self.cut = Some(if nice { self.line } else { limit });
        }
        let room = limit.saturating_sub(self.header.len());
        self.header.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    /// `header_size_limit`, but never so little that a header loses its name.
    fn header_limit(&self) -> usize {
        self.rules.header_size_limit_bytes.max(self.value)
    }

    /// Looks at a first line as far as it is there: is it a header's?
    fn decide<S: Sink>(&mut self, sink: &mut S) {
        if self.name_len > 0 {
            return;
        }
        if self.first_line && !self.is_own() {
            match is_mailbox_line(&self.header) {
                None => return,
                // So it is kept, and the head goes on behind it (postfix `smtpd.c`).
                Some(true) => drop(self.header.splice(0..0, *b"X-Mailbox-Line: ")),
                Some(false) => {}
            }
            self.first_line = false;
        }
        match line_start(&self.header) {
            LineStart::Undecided => {}
            LineStart::Header(name_len) => {
                self.name_len = name_len;
                let colon = memchr(b':', &self.header[name_len..]).unwrap_or_default();
                self.value = name_len + colon + 1;
                let limit = self.header_limit();
                if self.header.len() > limit {
                    self.cut = Some(limit);
                    self.header.truncate(limit);
                }
            }
            LineStart::Other => self.begin_body(sink),
        }
    }

    /// False where its line ending is not dealt with yet: the line is one of a body whose lines are looked
    /// at.
    fn end_line<S: Sink>(&mut self, sink: &mut S) -> bool {
        if self.name_len == 0 && self.header.is_empty() {
            self.end_head_at_empty_line(sink);
            return true;
        }
        self.decide(sink);
        if self.place == Place::InLine && self.name_len == 0 {
            // The whole line is there and shows no colon.
            self.begin_body(sink);
        }
        match self.place {
            Place::Body | Place::Through => self.emit(b"\n", sink),
            Place::Lines => return false,
            Place::LineStart | Place::InLine => {
                if self.cut.is_none() {
                    self.header.push(b'\n');
                }
                self.place = Place::LineStart;
            }
        }
        true
    }

    fn end_head_at_empty_line<S: Sink>(&mut self, sink: &mut S) {
        if self.filter.is_some() {
            return self.end_filtered_head(None, sink);
        }
        self.end_head(sink);
        self.place = Place::Body;
        self.emit(b"\n", sink);
    }

    /// What was gathered is no header: the head is over, and the empty line behind it is missing.
    fn begin_body<S: Sink>(&mut self, sink: &mut S) {
        let line = std::mem::take(&mut self.header);
        if self.filter.is_some() {
            return self.end_filtered_head(Some(line), sink);
        }
        self.end_head(sink);
        self.place = Place::Body;
        self.emit(b"\n", sink);
        self.emit(&line, sink);
    }

    /// The header is complete: everything that has to be known of it is found here.
    fn end_header<S: Sink>(&mut self, sink: &mut S) {
        if self.header.is_empty() {
            return;
        }
        if let Some(cut) = self.cut.take() {
            self.summary.header_cut = true;
            self.header.truncate(cut);
            if !self.header.ends_with(b"\n") {
                self.header.push(b'\n');
            }
        }
        let known = known(&self.header[..self.name_len]);
        if known == Some(Known::Received) {
            self.summary.hops += 1;
        }
        if self.filter.is_some() {
            return self.check_header(known, sink);
        }
        if let Some(known) = known {
            self.note(known);
        }
        self.pass_header(sink);
    }

    /// The header goes on, or is one that has to go, and the next one may come.
    pub(crate) fn pass_header<S: Sink>(&mut self, sink: &mut S) {
        let name = &self.header[..self.name_len];
        let mut dropped = self.rules.message_drop_headers.iter();
        if !dropped.any(|it| it.as_bytes().eq_ignore_ascii_case(name)) {
            self.summary.size_bytes += self.header.len() as u64;
            if self.rules.detects_utf8_headers && self.in_primary_head() {
                self.summary.has_utf8_header |= !self.header.is_ascii();
            }
            sink.put(&self.header);
        }
        self.forget_header();
    }

    pub(crate) fn forget_header(&mut self) {
        self.header.clear();
        (self.name_len, self.value) = (0, 0);
    }

    /// The header tells what the encoding of content is.
    pub(crate) fn detect_encoding(&mut self) {
        let value = self.header[self.value..].trim_ascii();
        // binary counts, too (postfix `cleanup_message.c`).
        let says_8bit =
            value.eq_ignore_ascii_case(b"8bit") || value.eq_ignore_ascii_case(b"binary");
        self.summary.says_8bit |= says_8bit && self.rules.detect_8bit_encoding_header;
    }

    pub(crate) fn note(&mut self, known: Known) {
        let seen = &mut self.seen;
        seen.resent |= known.is_resent();
        match known {
            Known::Received => {
                self.summary.too_many_hops |= self.summary.hops >= self.rules.hopcount_limit;
            }
            Known::DeliveredTo => self.summary.has_delivered_to = true,
            Known::MessageId => {
                seen.message_id = true;
                self.summary.message_id = printable(&self.header[self.value..]);
            }
            Known::Date => seen.date = true,
            Known::From => seen.from = true,
            Known::To | Known::Cc | Known::ResentTo | Known::ResentCc => seen.recipients = true,
            Known::ResentMessageId => {
                let value = printable(&self.header[self.value..]);
                self.summary.resent_message_id = Some(value);
                seen.resent_message_id = true;
            }
            Known::ResentDate => seen.resent_date = true,
            Known::ResentFrom => seen.resent_from = true,
            Known::ContentTransferEncoding => self.detect_encoding(),
            _ => {}
        }
    }

    /// Adds what is missing behind the last header.
    pub(crate) fn end_head<S: Sink>(&mut self, sink: &mut S) {
        let Missing::Added { id, arrival, date, sender, name } =
            std::mem::replace(&mut self.missing, Missing::LeftOut)
        else {
            return;
        };
        let seen = self.seen;
        let (prefix, has_id, has_date, has_from) = if seen.resent {
            ("Resent-", seen.resent_message_id, seen.resent_date, seen.resent_from)
        } else {
            ("", seen.message_id, seen.date, seen.from)
        };
        let mut added = Vec::new();
        if !has_id {
            let message_id = self.make_message_id(id, arrival);
            push_all(&mut added, &[prefix, "Message-Id: ", &message_id, "\n"]);
            if seen.resent {
                self.summary.resent_message_id = Some(message_id);
            } else {
                self.summary.message_id = message_id;
            }
        }
        if !has_date {
            push_all(&mut added, &[prefix, "Date: "]);
            added.extend_from_slice(&date);
            added.push(b'\n');
        }
        if !has_from {
            let from = from_header(
                prefix,
                sender.as_ref(),
                &self.rules.hostname,
                name.as_deref(),
                self.rules.header_from_format,
                &self.rules.full_name_encoding_charset,
            );
            added.extend_from_slice(from.as_bytes());
        }
        if !seen.recipients && !self.rules.undisclosed_recipients_header.is_empty() {
            push_all(&mut added, &[&self.rules.undisclosed_recipients_header, "\n"]);
        }
        self.emit(&added, sink);
    }

    /// Unique, since the id is: `<20261120113114.0123456789ABCD@mx.example>`.
    fn make_message_id(&self, id: QueueId, arrival: Time) -> Box<str> {
        let civil = Civil::new(arrival, 0);
        let mut stamp = Vec::with_capacity(14);
        push_digits::<4>(&mut stamp, civil.year);
        let month = civil.month as u64 + 1;
        for number in [month, civil.day, civil.hour, civil.minute, civil.second] {
            push_digits::<2>(&mut stamp, number);
        }
        let stamp = String::from_utf8_lossy(&stamp);
        format!("<{stamp}.{id}@{}>", self.rules.hostname).into()
    }
}

/// See [`Cleanup::onto`].
#[derive(Debug)]
pub struct Onto<'a, S> {
    cleanup: &'a mut Cleanup,
    sink: &'a mut S,
}

impl<S: Sink> Sink for Onto<'_, S> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.cleanup.put(bytes, self.sink);
    }
}

impl Missing {
    fn of(rules: &Rules, message: &Message<'_>) -> Self {
        let is_added = message.from_own_client
            || rules.rewrites_remote_headers
            || rules.always_add_missing_headers;
        if !is_added {
            return Self::LeftOut;
        }
        let mut date = Vec::with_capacity(48);
        push_date(&mut date, message.arrival, message.zone);
        let sender = message.envelope.sender.clone();
        let name = message.full_name.map(Into::into);
        Self::Added { id: message.id, arrival: message.arrival, date: date.into(), sender, name }
    }
}

/// A header's value for the log: one line, printable, and not too long.
fn printable(value: &[u8]) -> Box<str> {
    let value = value.trim_ascii();
    let value = &value[..value.len().min(LOGGED_MESSAGE_ID_BYTES_MAX)];
    if let Ok(text) = std::str::from_utf8(value)
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
    {
        return text.into();
    }
    String::from_utf8_lossy(value)
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c })
        .collect()
}
