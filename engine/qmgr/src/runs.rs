//! What waits outside the active queue: the backlog of new mail, and the queue runs over deferred
//! mail. Decides which is asked for next; Postfix's `src/qmgr/qmgr.c` alternates between the two and
//! prefers new mail when the active queue has been full.

use std::collections::VecDeque;

use mail::QueueId;

use crate::{Cursor, Pull, Source};

/// Messages asked for at once: enough that reading the index costs little, few enough that both
/// sources get their turn often.
pub(crate) const PULL_MESSAGES_MAX: usize = 256;

/// Sites flushed one by one; beyond that everything is flushed.
const SITES_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Runs {
    /// New mail that is only in the index lies behind this place.
    backlog: Option<Option<Cursor>>,
    deferred: VecDeque<Run>,
    open: Option<Open>,
    deferred_next: bool,
}

/// A walk over deferred mail.
#[derive(Debug)]
struct Run {
    source: Source,
    after: Option<Cursor>,
}

/// The question that waits for its answer.
#[derive(Debug)]
struct Open {
    of: Of,
    messages: usize,
    recipients: usize,
    /// The oldest message that the answer may have missed.
    refused: Option<QueueId>,
}

#[derive(Debug)]
enum Of {
    Backlog,
    Deferred(Source),
}

impl Runs {
    /// At start, whatever is in the index counts as backlog.
    pub(crate) fn new() -> Self {
        Self { backlog: Some(None), deferred: VecDeque::new(), open: None, deferred_next: false }
    }

    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }

    /// Places kept for the answer to the open question: messages and recipients.
    pub(crate) fn reserved(&self) -> (usize, usize) {
        self.open.as_ref().map_or((0, 0), |open| (open.messages, open.recipients))
    }

    /// A new message stays in the index.
    pub(crate) fn refuse(&mut self, id: QueueId) {
        if let Some(Open { of: Of::Backlog, refused, .. }) = &mut self.open {
            *refused = Some(refused.map_or(id, |oldest| oldest.min(id)));
        }
        // Ids are given out before the message is committed, so they may come in another order.
        self.backlog = match self.backlog {
            None => Some(before(id)),
            Some(Some(after)) if after.id >= id => Some(before(id)),
            known => known,
        };
    }

    /// Deferred mail that is due is to be fetched, after what is under way. One such run that has
    /// not begun is enough.
    pub(crate) fn start_due(&mut self, source: Source) {
        let covers = |run: &Run| {
            run.after.is_none() && matches!(run.source, Source::Due { .. } | Source::Deferred)
        };
        if !self.deferred.iter().any(covers) {
            self.deferred.push_back(Run { source, after: None });
        }
    }

    /// All deferred mail is to be fetched.
    pub(crate) fn start_all(&mut self) {
        self.deferred.clear();
        self.deferred.push_back(Run { source: Source::Deferred, after: None });
    }

    /// The deferred mail of one site is to be fetched.
    pub(crate) fn start_site(&mut self, site: &str) {
        let source = Source::Site(site.to_ascii_lowercase().into());
        if self.deferred.iter().any(|run| run.source == Source::Deferred) {
            return;
        }
        if self.deferred.len() >= SITES_MAX {
            return self.start_all();
        }
        self.deferred.retain(|run| run.source != source);
        self.deferred.push_back(Run { source, after: None });
    }

    /// The next question, where there is room for its answer.
    pub(crate) fn ask(&mut self, messages: usize, recipients: usize) -> Option<Pull> {
        if self.open.is_some() {
            return None;
        }
        if messages == 0 || recipients == 0 {
            self.deferred_next = false;
            return None;
        }
        let both = self.backlog.is_some() && !self.deferred.is_empty();
        let messages = messages.min(PULL_MESSAGES_MAX);
        let messages = if both { messages.div_ceil(2) } else { messages };
        let backlog_turn = self.backlog.filter(|_| self.deferred.is_empty() || !self.deferred_next);
        let (of, source, after) = match backlog_turn {
            Some(after) => (Of::Backlog, Source::Incoming, after),
            None => {
                let run = self.deferred.pop_front()?;
                (Of::Deferred(run.source.clone()), run.source, run.after)
            }
        };
        self.deferred_next = matches!(of, Of::Backlog);
        self.open = Some(Open { of, messages, recipients, refused: None });
        Some(Pull { source, after, at_most: messages, recipients_at_most: recipients })
    }

    /// The open question has its answer, and `next` says where to go on.
    pub(crate) fn answered(&mut self, next: Option<Cursor>) {
        match self.open.take() {
            Some(Open { of: Of::Backlog, refused, .. }) => {
                self.backlog = next.map(Some);
                if let Some(id) = refused {
                    self.refuse(id);
                }
            }
            // A flush of everything that was asked for meanwhile covers this run too.
            Some(Open { of: Of::Deferred(source), .. })
                if next.is_some()
                    && !self.deferred.iter().any(|run| run.source == Source::Deferred) =>
            {
                self.deferred.push_front(Run { source, after: next });
            }
            _ => {}
        }
    }
}

fn before(id: QueueId) -> Option<Cursor> {
    let id = id.as_u64().checked_sub(1)?;
    Some(Cursor { time: mail::Time(0), id: QueueId::from_u64(id) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Time;

    fn due() -> Source {
        Source::Due { by: Time(1), beyond: Time(2) }
    }

    fn cursor(id: u64) -> Option<Cursor> {
        Some(Cursor { time: Time(0), id: QueueId::from_u64(id) })
    }

    fn emptied() -> Runs {
        let mut runs = Runs::new();
        assert_eq!(runs.ask(9, 9).map(|pull| pull.source), Some(Source::Incoming));
        runs.answered(None);
        runs
    }

    #[test]
    fn new_and_deferred_mail_take_turns() {
        let mut runs = emptied();
        runs.refuse(QueueId::from_u64(100));
        runs.start_due(due());
        let mut seen = Vec::new();
        for id in 101..105 {
            seen.push(runs.ask(1000, 9).unwrap().source);
            runs.answered(cursor(id));
        }
        assert_eq!(seen, [due(), Source::Incoming, due(), Source::Incoming]);
    }

    #[test]
    fn a_message_refused_while_the_backlog_is_read_is_not_forgotten() {
        let mut runs = emptied();
        runs.refuse(QueueId::from_u64(100));
        assert_eq!(runs.ask(9, 9).unwrap().after, cursor(99));
        runs.refuse(QueueId::from_u64(105));
        runs.answered(None);
        assert!(runs.has_backlog());
        assert_eq!(runs.ask(9, 9).unwrap().after, cursor(104));
    }

    #[test]
    fn a_message_refused_late_with_an_early_id_is_found() {
        let mut runs = emptied();
        runs.refuse(QueueId::from_u64(100));
        runs.refuse(QueueId::from_u64(90));
        assert_eq!(runs.ask(9, 9).unwrap().after, cursor(89));
    }

    #[test]
    fn a_full_active_queue_asks_nothing_and_then_prefers_new_mail() {
        let mut runs = emptied();
        runs.refuse(QueueId::from_u64(100));
        runs.start_due(due());
        for source in [due(), Source::Incoming] {
            assert_eq!(runs.ask(2, 9).unwrap().source, source);
            runs.answered(cursor(101));
        }
        assert_eq!(runs.ask(0, 9), None);
        assert_eq!(runs.ask(2, 9).unwrap().source, Source::Incoming);
    }

    #[test]
    fn many_sites_to_flush_become_one_flush_of_everything() {
        let mut runs = emptied();
        for site in 0..1_000 {
            runs.start_site(&format!("host{site}.example"));
        }
        assert_eq!(runs.deferred.len(), 1);
        assert_eq!(runs.ask(9, 9).unwrap().source, Source::Deferred);
    }
}
