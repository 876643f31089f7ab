//! A session's lines in the log.

use std::rc::Rc;

use mail::QueueId;
use mail::log::{EndCause, Event, Peer, Policy};
use wire::Note;

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

    pub(crate) fn log_message_id(&self, id: QueueId, message_id: &str) {
        let event = Event::MessageId { id, message_id };
        (self.service.log)("cleanup", self.number.into(), event);
    }

    pub(crate) fn log_warning(&self, text: &str) {
        self.log(Event::Warning { text });
    }

    /// What the dialogue had to say since the last time.
    pub(crate) fn log_notes(&mut self) {
        let notes = std::mem::take(&mut self.turn.notes);
        for note in &notes {
            self.log_note(note);
        }
        self.turn.notes = notes;
        self.turn.notes.clear();
    }

    fn log_note(&self, note: &Note) {
        let client = self.peer();
        let ended = |cause, stage, content_bytes| {
            self.log(Event::Ended { cause, id: self.id, stage, content_bytes, client });
        };
        match note {
            Note::Reject { stage, reply, context } => self.log(Event::Policy(Policy {
                action: "reject",
                id: self.id,
                stage,
                client,
                reply,
                from: context.from.as_deref(),
                to: context.to.as_deref(),
                protocol: context.protocol,
                helo: context.helo.as_deref(),
                sasl_username: None,
            })),
            Note::ImproperPipelining { stage, early } => {
                self.log(Event::Pipelining { stage, client, early });
            }
            Note::TooManyErrors { stage } => ended(EndCause::TooManyErrors, stage, None),
            Note::Timeout { stage, content_bytes } => {
                ended(EndCause::Timeout, stage, *content_bytes);
            }
            Note::LostConnection { stage, content_bytes } => {
                ended(EndCause::LostConnection, stage, *content_bytes);
            }
            Note::NonSmtpCommand { .. }
            | Note::IllegalAddress { .. }
            | Note::LineTooLong { .. }
            | Note::InputDisabled
            | Note::MalformedBdat { .. }
            | Note::MessageTooBig => {
                let client = self.client_text();
                self.log_warning(note.line(&client).trim_start_matches("warning: "));
            }
        }
    }

    fn log(&self, event: Event<'_>) {
        (self.service.log)("smtpd", self.number.into(), event);
    }

    fn peer(&self) -> Peer<'_> {
        let client = self.dialogue.client();
        let port = self.service.settings.smtpd.smtpd_client_port_logging;
        Peer { port: client.address.filter(|_| port).map(|at| at.port()), ..Peer::from(client) }
    }

    fn client_text(&self) -> String {
        let client = self.dialogue.client();
        match client.address {
            Some(address) => format!("{}[{}]", client.name, address.ip()),
            None => client.name.to_string(),
        }
    }
}
