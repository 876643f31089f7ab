//! Checks: what tables and the rules about MIME say of a message, line by line.
//!
//! This is the part of the pass that most messages do not need. Lines of heads are put together by the
//! pass itself; a complete header is looked at in `heads`, lines of bodies are told apart by [`Scanner`] and
//! looked at in `lines`, and what a table says is done in `obey`. Here is how the bytes flow.
//!
//! A table that answers at once is asked on the way. Where an answer takes a while the pass stands still,
//! right before the byte that would need it; what comes meanwhile waits, in `backlog` or in front of [`Stage`],
//! and [`Cleanup::settle`] goes on.

use std::pin::Pin;

use mail::Sink;
use table::{Answer, Later, MapList, Response, Table};

use crate::action::Refusal;
use crate::cleanup::{Cleanup, Place};
use crate::mime::{Class, MimeError, Scanner};
use crate::outcome::{Event, Summary, Verdict};
use crate::rewriting::{Context, Rewritten};
use crate::rules::{Message, NonEmptyEndOfHead, Rules, Strict};
use crate::stage::Stage;

/// See the module.
pub(crate) struct Filter {
    /// Until a check says that there are to be none.
    pub(crate) checks: bool,
    pub(crate) strict: Strict,
    pub(crate) end_of_head: NonEmptyEndOfHead,
    /// The lines of bodies are looked at.
    pub(crate) looks_into_body: bool,
    /// How addresses in headers are completed, where they are.
    pub(crate) rewriting: Option<Context>,
    pub(crate) maps: bool,
    pub(crate) is_returned: bool,
    pub(crate) stage: Option<Stage>,
    pub(crate) scanner: Scanner,
    pub(crate) class: Class,
    /// Rules about MIME that were broken, the gravest first.
    pub(crate) broken: Vec<MimeError>,
    /// The line that ended the head was not empty, and its beginning has yet to be logged.
    pub(crate) shows_end_of_head: bool,
    /// A line of a body that is not complete.
    pub(crate) record: Vec<u8>,
    /// Where the rest of it begins that has not been looked at.
    pub(crate) record_at: usize,
    /// The next line goes on one that was looked at in part.
    pub(crate) continued: bool,
    /// How much of the body has been looked at.
    pub(crate) offset: u64,
    /// Bytes of our own headers that are still to come.
    pub(crate) own: usize,
    pub(crate) pending: Option<Pending>,
    pub(crate) backlog: Vec<u8>,
    pub(crate) backlog_at: usize,
    /// Nothing more goes to the sink.
    pub(crate) stopped: bool,
    pub(crate) closing: bool,
    /// Log lines beyond the limit.
    pub(crate) left_out: usize,
}

/// What the pass stands still for.
pub(crate) enum Pending {
    Lookup { list: List, table: usize, later: Later, subject: Subject },
    Rewriting(Pin<Box<dyn Future<Output = Rewritten>>>),
}

/// What is looked up.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The header that was gathered.
    Header,
    /// A line of a body, with its line ending if it has one.
    Line(Vec<u8>),
}

/// Which tables are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Header,
    MimeHeader,
    NestedHeader,
    Body,
}

/// An answer, or where it has to be waited for.
pub(crate) enum Asked {
    Answer(Answer),
    Later { table: usize, later: Later },
}

/// What becomes of the header or line.
pub(crate) enum Fate {
    Kept,
    Gone,
    Replaced(Box<str>),
}

impl List {
    pub(crate) fn of(class: Class) -> Self {
        match class {
            Class::Primary => Self::Header,
            Class::Mime => Self::MimeHeader,
            Class::Nested => Self::NestedHeader,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Header => "header_checks",
            Self::MimeHeader => "mime_header_checks",
            Self::NestedHeader => "nested_header_checks",
            Self::Body => "body_checks",
        }
    }

    pub(crate) fn maps(self, rules: &Rules) -> &MapList {
        match self {
            Self::Header => &rules.header_checks,
            Self::MimeHeader => &rules.mime_header_checks,
            Self::NestedHeader => &rules.nested_header_checks,
            Self::Body => &rules.body_checks,
        }
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("class", &self.class)
            .field("stopped", &self.stopped)
            .field("pending", &self.pending.is_some())
            .finish_non_exhaustive()
    }
}

impl Filter {
    /// `None` where nothing has to be looked at.
    pub(crate) fn of(rules: &Rules, message: &Message<'_>) -> Option<Box<Self>> {
        let checks = !message.receive.no_header_body_checks;
        let context = match (message.from_own_client, rules.rewrites_remote_headers) {
            (true, _) => Some(Context::Local),
            (false, true) => Some(Context::Remote),
            (false, false) => None,
        };
        let rewriting = context.filter(|_| rules.header_rewriter.is_some());
        let characters = checks && rules.have_characters();
        let downgrades = rules.force_mime_input_conversion && !rules.disable_mime_input_processing;
        let has_work = checks && rules.have_checks() || characters || downgrades;
        if !has_work && rewriting.is_none() {
            return None;
        }
        let mime = !rules.disable_mime_input_processing;
        Some(Box::new(Self {
            checks,
            strict: if checks && mime { rules.strict } else { Strict::default() },
            end_of_head: if checks && mime {
                rules.non_empty_end_of_head
            } else {
                NonEmptyEndOfHead::FixQuietly
            },
            looks_into_body: checks && rules.look_into_body(),
            rewriting,
            maps: !message.receive.no_address_mappings,
            is_returned: message.is_returned,
            stage: Stage::of(rules, characters, downgrades),
            scanner: Scanner::new(rules.mime_limits, mime),
            class: Class::Primary,
            broken: Vec::new(),
            shows_end_of_head: false,
            record: Vec::new(),
            record_at: 0,
            continued: false,
            offset: 0,
            own: 0,
            pending: None,
            backlog: Vec::new(),
            backlog_at: 0,
            stopped: false,
            closing: false,
            left_out: 0,
        }))
    }
}

/// The flow: bytes in, standing still and going on.
impl Cleanup {
    /// True where a table has yet to answer before the pass can go on: [`Cleanup::settle`] waits for it.
    pub fn is_waiting(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.pending.is_some())
    }

    /// True where the pass has come to its end early: the message is refused or thrown away, and its rest is
    /// of no interest.
    pub fn is_over(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.stopped)
    }

    /// Waits for tables until everything that has been put is dealt with. The sink must be one that may be
    /// held while that takes: memory of the caller's own, not the queue's open batch.
    pub async fn settle<S: Sink>(&mut self, sink: &mut S) {
        while let Some(pending) = self.filter.as_mut().and_then(|filter| filter.pending.take()) {
            match pending {
                Pending::Lookup { list, table, later, subject } => {
                    let answer = match later.await {
                        Answer::NotFound => {
                            let text = self.subject_text(&subject);
                            ask(list.maps(&self.rules).tables(), table + 1, &text)
                        }
                        answer => Asked::Answer(answer),
                    };
                    self.answered(list, subject, answer, sink);
                }
                Pending::Rewriting(later) => {
                    let rewritten = later.await;
                    self.header_rewritten(rewritten, sink);
                }
            }
            self.take_backlog(sink);
        }
    }

    /// [`Cleanup::finish`] that waits for tables.
    pub async fn finish_settled<S: Sink>(mut self, sink: &mut S) -> Summary {
        self.close(sink);
        while self.is_waiting() {
            self.settle(sink).await;
            self.close(sink);
        }
        self.into_summary()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.pending.is_some() || filter.stopped)
    }

    /// True within our own headers, which no client's line stands before.
    pub(crate) fn is_own(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.own > 0)
    }

    pub(crate) fn in_primary_head(&self) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.class == Class::Primary)
    }

    /// Our own headers are checked like all others: who wants to hide where mail comes from, drops them.
    #[cold]
    pub(crate) fn put_own<S: Sink>(&mut self, headers: &[u8], sink: &mut S) {
        if let Some(filter) = &mut self.filter {
            filter.own = headers.len();
        }
        self.take(headers, sink);
    }

    /// Takes bytes, or keeps them until it can.
    #[cold]
    pub(crate) fn take<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        let waits = self.is_waiting();
        let used = if waits { 0 } else { self.feed(bytes, sink) };
        if let Some(filter) = &mut self.filter
            && !filter.stopped
        {
            filter.backlog.extend_from_slice(&bytes[used..]);
        }
    }

    fn take_backlog<S: Sink>(&mut self, sink: &mut S) {
        let Some(filter) = &mut self.filter else { return };
        let at = filter.backlog_at;
        let mut backlog = std::mem::take(&mut filter.backlog);
        let used = self.feed(&backlog[at..], sink);
        let Some(filter) = &mut self.filter else { return };
        filter.backlog_at = at + used;
        if filter.backlog_at == backlog.len() || filter.stopped {
            backlog.clear();
            filter.backlog_at = 0;
        }
        filter.backlog = backlog;
        self.take_waiting(sink);
    }

    /// Returns how many bytes were taken: not all where a table has to be waited for.
    fn feed<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.is_paused() {
            let rest = &bytes[at..];
            let used = match self.place {
                Place::Body | Place::Through => {
                    self.emit(rest, sink);
                    rest.len()
                }
                Place::Lines => self.line_step(rest, sink),
                Place::LineStart | Place::InLine => self.head_step(rest, sink),
            };
            at += used;
            if let Some(filter) = &mut self.filter {
                filter.own = filter.own.saturating_sub(used);
            }
        }
        at
    }

    /// A last line of a body that has no line ending.
    pub(crate) fn close_lines<S: Sink>(&mut self, sink: &mut S) {
        while self.place == Place::Lines && !self.is_paused() {
            let Some(filter) = &mut self.filter else { return };
            if filter.record_at == filter.record.len() {
                return;
            }
            let end =
                filter.record.len().min(filter.record_at + self.rules.line_length_limit_bytes);
            self.kept_record(end, sink);
        }
    }

    /// The last word about the message.
    pub(crate) fn settle_verdict(&mut self) {
        let Some(filter) = &mut self.filter else { return };
        let summary = &mut self.summary;
        summary.is_cut = filter.stopped || filter.pending.is_some();
        if filter.pending.is_some() {
            summary.verdict = Verdict::Refuse(Refusal::unavailable());
        }
        if let Some(gravest) = filter.broken.iter().min()
            && summary.verdict == Verdict::Accept
        {
            summary.verdict = Verdict::broken_mime(*gravest);
        }
        if filter.left_out > 0 {
            let text = format!("{} more actions of checks are not logged", filter.left_out).into();
            summary.events.push(Event::Warning { about_message: true, text });
        }
    }
}

/// Asks tables one after the other, from one of them on.
pub(crate) fn ask(tables: &[Table], from: usize, text: &[u8]) -> Asked {
    for (at, table) in tables.iter().enumerate().skip(from) {
        match table.lookup_line(text) {
            Response::Ready(Answer::NotFound) => {}
            Response::Ready(answer) => return Asked::Answer(answer),
            Response::Later(later) => return Asked::Later { table: at, later },
        }
    }
    Asked::Answer(Answer::NotFound)
}
