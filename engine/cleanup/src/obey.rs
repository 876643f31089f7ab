//! Answers of tables, and what is done about them.

use mail::Sink;
use memchr::memchr;
use table::Answer;

use crate::action::{Action, Part, Reading, Refusal, Scope};
use crate::cleanup::Cleanup;
use crate::filter::{Asked, Fate, List, Pending, Subject};
use crate::header::{LineStart, line_start};
use crate::heads::folded;
use crate::outcome::{BCC_MAX, EVENTS_MAX, Event, LOGGED_CONTENT_BYTES_MAX, Verdict, beginning};

impl Cleanup {
    pub(crate) fn answered<S: Sink>(
        &mut self,
        list: List,
        subject: Subject,
        asked: Asked,
        sink: &mut S,
    ) {
        let answer = match asked {
            Asked::Answer(answer) => answer,
            Asked::Later { table, later } => {
                if let Some(filter) = &mut self.filter {
                    filter.pending = Some(Pending::Lookup { list, table, later, subject });
                }
                return;
            }
        };
        let fate = match answer {
            Answer::NotFound => Fate::Kept,
            // An empty value is a mistake of whoever filled the table; Postfix calls it a failure, too.
            Answer::Found(value) if value.is_empty() => {
                self.unavailable(&format!("{} lookup returns an empty string result", list.name()));
                Fate::Gone
            }
            Answer::Found(value) => self.act(list, &subject, &value, sink),
            Answer::Unavailable(trouble) => {
                self.warn(false, trouble.to_string());
                self.unavailable(&format!(
                    "{} map lookup problem -- message not accepted, try again later",
                    list.name()
                ));
                Fate::Gone
            }
        };
        match subject {
            Subject::Header => self.header_fate(fate, sink),
            Subject::Line(raw) => match fate {
                Fate::Kept => self.emit_line(&raw, sink),
                Fate::Gone => {}
                Fate::Replaced(text) => {
                    self.emit_line(text.as_bytes(), sink);
                    if raw.ends_with(b"\n") {
                        self.emit_line(b"\n", sink);
                    }
                }
            },
        }
    }

    fn header_fate<S: Sink>(&mut self, fate: Fate, sink: &mut S) {
        match fate {
            Fate::Kept => self.header_checked(sink),
            Fate::Gone => self.forget_header(),
            Fate::Replaced(text) => {
                self.header = folded(text.as_bytes());
                if let LineStart::Header(name_len) = line_start(&self.header) {
                    let colon = memchr(b':', &self.header[name_len..]).unwrap_or_default();
                    (self.name_len, self.value) = (name_len, name_len + colon + 1);
                }
                self.header_checked(sink);
            }
        }
    }

    fn act<S: Sink>(&mut self, list: List, subject: &Subject, value: &str, sink: &mut S) -> Fate {
        let part = match subject {
            Subject::Header => Part::Header,
            Subject::Line(_) => Part::Body,
        };
        let reading = Reading { map: list.name(), part, scope: Scope::Cleanup };
        let (action, warning) = Action::read(value, reading);
        if let Some(warning) = warning {
            self.warn(false, warning);
        }
        let Some(action) = action else { return Fate::Kept };
        let text = self.subject_text(subject).into_owned();
        self.obey(action, part, &text, sink)
    }

    pub(crate) fn obey<S: Sink>(
        &mut self,
        action: Action,
        part: Part,
        line: &[u8],
        sink: &mut S,
    ) -> Fate {
        match action {
            Action::Dunno => return Fate::Kept,
            Action::Ignore => return Fate::Gone,
            Action::Warn(text) => self.acted("warning", part, line, &text),
            Action::Info(text) => self.acted("info", part, line, &text),
            Action::Strip(text) => {
                self.acted("strip", part, line, &text);
                return Fate::Gone;
            }
            Action::Replace(text) => {
                self.acted("replace", part, line, &text);
                return Fate::Replaced(text);
            }
            Action::Prepend(text) => {
                self.acted("prepend", part, line, &text);
                match part {
                    Part::Header => {
                        let detects = self.rules.detects_utf8_headers && self.in_primary_head();
                        self.summary.has_utf8_header |= detects && !text.is_ascii();
                        self.emit(&folded(text.as_bytes()), sink);
                    }
                    Part::Body | Part::Content => self.emit(format!("{text}\n").as_bytes(), sink),
                }
            }
            Action::Pass(text) => {
                self.acted("pass", part, line, &text);
                self.end_checks();
            }
            Action::Filter(text) => {
                self.acted("filter", part, line, &text);
                self.summary.orders.filter = Some(text);
            }
            Action::Redirect(address) => {
                self.acted("redirect", part, line, address.as_str());
                self.summary.orders.redirect = Some(address);
                self.end_checks();
            }
            Action::Bcc(address) => {
                if self.summary.orders.bcc.len() < BCC_MAX {
                    self.acted("bcc", part, line, address.as_str());
                    self.summary.orders.bcc.push(address);
                } else {
                    self.warn(true, format!("checks add more than {BCC_MAX} BCC recipients"));
                }
            }
            Action::Hold(text) => {
                if !self.summary.orders.hold {
                    self.acted("hold", part, line, &text);
                    self.summary.orders.hold = true;
                }
            }
            Action::Delay { secs, text } => {
                self.acted("delay", part, line, &text);
                self.summary.orders.delay_secs = Some(secs);
            }
            Action::Discard(text) => {
                self.acted("discard", part, line, &text);
                self.end_checks();
                self.stop(Verdict::Discard);
            }
            Action::Reject(refusal) => {
                self.acted(
                    "reject",
                    part,
                    line,
                    format!("{} {}", refusal.status, refusal.text).trim_end(),
                );
                self.end_checks();
                let is_returned = self.filter.as_ref().is_some_and(|filter| filter.is_returned);
                let verdict = Verdict::Refuse(refusal);
                if is_returned {
                    self.summary.verdict = verdict;
                } else {
                    self.stop(verdict);
                }
            }
        }
        Fate::Kept
    }

    fn acted(&mut self, action: &'static str, part: Part, line: &[u8], text: &str) {
        let content = beginning(line, LOGGED_CONTENT_BYTES_MAX);
        self.log(Event::Acted { action, part, content, text: text.into() });
    }

    fn end_checks(&mut self) {
        self.summary.orders.no_milters = true;
        if let Some(filter) = &mut self.filter {
            filter.checks = false;
            (filter.strict, filter.end_of_head) = Default::default();
        }
    }

    /// Nobody could say whether the message is to be accepted, so it is not, for now.
    pub(crate) fn unavailable(&mut self, why: &str) {
        self.warn(true, why.to_owned());
        self.stop(Verdict::Refuse(Refusal::unavailable()));
    }

    fn stop(&mut self, verdict: Verdict) {
        self.summary.verdict = verdict;
        if let Some(filter) = &mut self.filter {
            filter.stopped = true;
        }
    }

    fn warn(&mut self, about_message: bool, text: String) {
        self.log(Event::Warning { about_message, text: text.into() });
    }

    pub(crate) fn log(&mut self, event: Event) {
        if self.summary.events.len() < EVENTS_MAX {
            self.summary.events.push(event);
        } else if let Some(filter) = &mut self.filter {
            filter.left_out += 1;
        }
    }
}
