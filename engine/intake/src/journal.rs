//! A session's lines in the log.

use std::rc::Rc;

use mail::QueueId;
use mail::log::{Event, Peer};

use crate::session::Session;

/// Takes one line: the service, the session's number, what happened.
pub type Log = Rc<dyn Fn(&str, u64, Event<'_>)>;

impl Session {
    pub(crate) fn log_connect(&self) {
        self.log(Event::Connect { client: self.peer() });
    }

    pub(crate) fn log_disconnect(&self) {
        let tally = self.dialogue.tally().counts();
        self.log(Event::Disconnect { client: self.peer(), tally: &tally });
    }

    /// The message has its id from here on.
    pub(crate) fn log_client(&self, id: QueueId) {
        self.log(Event::Accepted { id, client: self.peer(), sasl: None });
    }

    pub(crate) fn log_warning(&self, text: &str) {
        self.log(Event::Warning { text });
    }

    /// What the dialogue had to say since the last time.
    pub(crate) fn log_notes(&mut self) {
        let notes = std::mem::take(&mut self.turn.notes);
        for note in &notes {
            self.log(note.event(self.peer(), self.id));
        }
        self.turn.notes = notes;
        self.turn.notes.clear();
    }

    fn log(&self, event: Event<'_>) {
        (self.service.log)("smtpd", self.number.into(), event);
    }

    fn peer(&self) -> Peer<'_> {
        self.service.peer(self.dialogue.client())
    }
}
