//! Clients that do something too often: whom the limits hold for, what is logged, and what they are told.

use std::net::SocketAddr;
use std::time::Instant;

use mail::log::{self, Peer};
use table::{Matched, Parents};
use wire::{Question, Refusal};

use crate::anvil::{Counted, Event};
use crate::service::Service;
use crate::session::{CLIENT_NAME, Session};

impl Service {
    /// The reply for a client that has more connections than it may have, or comes too often.
    pub(crate) async fn too_many(&self, peer: SocketAddr, counted: &Counted) -> Option<String> {
        let smtpd = &self.settings.smtpd;
        let limit = smtpd.smtpd_client_connection_count_limit;
        let many = limit > 0 && counted.connections as usize > limit;
        let rate_limit = self.limit(Event::Connection);
        let often = rate_limit > 0 && counted.connection_rate > rate_limit;
        if !(many || often) || self.is_exempt(peer).await {
            return None;
        }
        if many {
            self.log_limit("Connection concurrency", counted.connections, peer);
        } else {
            self.log_limit("Connection rate", counted.connection_rate, peer);
        }
        let (hostname, client) = (&self.settings.site.myhostname, peer.ip().to_canonical());
        Some(format!("421 4.7.0 {hostname} Error: too many connections from {client}\r\n"))
    }

    /// How many of these a client may have in a time unit; 0 is no limit.
    fn limit(&self, event: Event) -> u32 {
        let smtpd = &self.settings.smtpd;
        match event {
            Event::Connection => smtpd.smtpd_client_connection_rate_limit,
            Event::Message => smtpd.smtpd_client_message_rate_limit,
            Event::Recipient => smtpd.smtpd_client_recipient_rate_limit,
        }
    }

    /// Whether no limit holds for this client. One that nobody can tell to be exempt is not: it is told to
    /// come back.
    async fn is_exempt(&self, peer: SocketAddr) -> bool {
        let exempt = &self.settings.smtpd.smtpd_client_event_limit_exceptions;
        match exempt.has_client(CLIENT_NAME, peer.ip(), Parents::Dotted).await {
            Matched::Yes => true,
            Matched::No => false,
            Matched::Unavailable(trouble) => {
                self.warn(&trouble, 0);
                false
            }
        }
    }

    fn log_limit(&self, what: &str, count: u32, peer: SocketAddr) {
        let (client, count) = (Peer::new(CLIENT_NAME, peer), count.into());
        let event = log::Event::RateLimit { what, count, client, service: &self.name };
        (self.log)("smtpd", 0, event);
    }
}

impl Session {
    /// What a question is counted as, where that is limited at all.
    pub(crate) fn limited(&self, question: Question) -> Option<Event> {
        let event = match question {
            Question::Sender => Event::Message,
            Question::Recipient | Question::Verify => Event::Recipient,
            Question::Client | Question::Data => return None,
        };
        (self.service.limit(event) > 0).then_some(event)
    }

    /// Counts a message or a recipient; the refusal where there are too many (postfix `smtpd.c`,
    /// `mail_cmd` and `rcpt_cmd`). What is refused counts, too: who goes on asking waits longer.
    pub(crate) async fn too_often(&self, event: Event) -> Option<Refusal> {
        let peer = self.dialogue.client().address?;
        let rate = self.counted.count(event, Instant::now());
        if rate <= self.service.limit(event) || self.service.is_exempt(peer).await {
            return None;
        }
        let (what, much) = match event {
            Event::Connection => ("Connection rate", "too many connections"),
            Event::Message => ("Message delivery request rate", "too much mail"),
            Event::Recipient => ("Recipient address rate", "too many recipients"),
        };
        self.service.log_limit(what, rate, peer);
        Some(Refusal::too_often(format!("Error: {much} from {}", peer.ip().to_canonical())))
    }
}
