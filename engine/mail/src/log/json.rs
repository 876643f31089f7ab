//! The same events as JSON objects: one kind of event, its fields under fixed names.

use std::time::Duration;

use super::push::{id, ip, is_unsafe, number, own};
use super::{Count, Delays, Event, Peer};
use crate::{Address, QueueId, Time};

/// Appends `,"event":"...",...`, the fields that follow those of the record.
pub(super) fn push(out: &mut Vec<u8>, event: &Event<'_>) {
    let mut object = Object { out };
    match *event {
        Event::Connect { client } => {
            object.event("connect").peer(client);
        }
        Event::Disconnect { client, tally } => {
            object.event("disconnect").peer(client).counts(tally);
        }
        Event::Accepted { id, client, sasl } => {
            object.event("accepted").id(id).peer(client);
            if let Some(sasl) = sasl {
                object.text("sasl_method", sasl.method).text("sasl_username", sasl.username);
            }
        }
        Event::PickedUp { id, uid, from } => {
            object.event("picked_up").id(id).number("uid", uid.into()).text("from", from);
        }
        Event::Policy(ref decision) => {
            object
                .event("policy")
                .text("action", decision.action)
                .some(decision.id, Object::id)
                .text("stage", decision.stage)
                .peer(decision.client)
                .text("reply", decision.reply)
                .some(decision.from, |object, from| object.text("from", from))
                .some(decision.to, |object, to| object.text("to", to))
                .text("proto", decision.protocol)
                .some(decision.helo, |object, helo| object.text("helo", helo))
                .some(decision.sasl_username, |object, user| object.text("sasl_username", user));
        }
        Event::Check(ref check) => {
            object
                .event("check")
                .id(check.id)
                .text("action", check.action)
                .text("what", check.what)
                .text("content", check.content)
                .some(check.client, Object::peer)
                .text("from", check.from)
                .some(check.to, |object, to| object.text("to", to))
                .some(check.protocol, |object, protocol| object.text("proto", protocol))
                .some(check.helo, |object, helo| object.text("helo", helo))
                .text("text", check.text);
        }
        Event::Ended { cause, id, stage, content_bytes, client } => {
            object
                .event("session_ended")
                .text("cause", cause.as_str())
                .some(id, Object::id)
                .text("stage", stage)
                .some(content_bytes, |object, bytes| object.number("content_bytes", bytes))
                .peer(client);
        }
        Event::Pipelining { stage, client, early } => {
            object
                .event("improper_pipelining")
                .text("stage", stage)
                .peer(client)
                .text("early", early);
        }
        Event::RateLimit { what, count, client, service } => {
            object
                .event("rate_limit")
                .text("what", what)
                .number("count", count)
                .peer(client)
                .text("for_service", service);
        }
        Event::MessageId { id, message_id } => {
            object.event("message_id").id(id).text("message_id", message_id);
        }
        Event::Active { id, from, size, recipients } => {
            object
                .event("active")
                .id(id)
                .sender(from)
                .number("size", size)
                .number("nrcpt", recipients.into());
        }
        Event::Delivery(ref done) => {
            object
                .event("delivery")
                .id(done.id)
                .text("to", done.to.as_str())
                .some(done.orig_to, |object, to| object.text("orig_to", to.as_str()))
                .text("relay", done.relay)
                .number("conn_use", done.connection_use.max(1).into())
                .delays(&done.delays);
            object.field("dsn");
            out.push(b'"');
            number(out, done.dsn.0.into());
            out.push(b'.');
            number(out, done.dsn.1.into());
            out.push(b'.');
            number(out, done.dsn.2.into());
            out.push(b'"');
            Object { out }.text("status", done.status).text("text", done.text);
        }
        Event::Removed { id } => {
            object.event("removed").id(id);
        }
        Event::GivenUp { id, from, status, action } => {
            object
                .event("given_up")
                .id(id)
                .sender(from)
                .text("status", status)
                .text("action", action);
        }
        Event::Statistics { what, value, whose, at } => {
            object
                .event("statistics")
                .text("what", what)
                .text("value", value)
                .some(whose, |object, whose| object.text("whose", whose))
                .time("at", at);
        }
        Event::Started { version, configuration } => {
            object.event("started").text("version", version).text("configuration", configuration);
        }
        Event::Reloaded { version, configuration } => {
            object.event("reloaded").text("version", version).text("configuration", configuration);
        }
        Event::Terminating { signal } => {
            object.event("terminating").number("signal", signal.unsigned_abs().into());
        }
        Event::Info { text } => {
            object.event("info").text("text", text);
        }
        Event::Warning { text } => {
            object.event("warning").text("text", text);
        }
        Event::Fatal { text } => {
            object.event("fatal").text("text", text);
        }
    }
}

/// Appends a quoted string. JSON keeps control characters apart by itself; they are escaped, not lost.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                c if is_unsafe(c) => {
                    own(out, "\\u");
                    for place in [12, 8, 4, 0] {
                        out.push(b"0123456789abcdef"[(c as usize >> place) & 15]);
                    }
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl Object<'_> {
    fn field(&mut self, name: &str) {
        own(self.out, ",\"");
        own(self.out, name);
        own(self.out, "\":");
    }

    fn event(&mut self, name: &str) -> &mut Self {
        self.text("event", name)
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.field(name);
        string(self.out, value);
        self
    }

    fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.field(name);
        number(self.out, value);
        self
    }

    fn some<T>(
        &mut self,
        value: Option<T>,
        field: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => field(self, value),
            None => self,
        }
    }

    fn id(&mut self, value: QueueId) -> &mut Self {
        self.field("id");
        self.out.push(b'"');
        id(self.out, value);
        self.out.push(b'"');
        self
    }

    fn sender(&mut self, from: Option<&Address>) -> &mut Self {
        self.text("from", from.map_or("", Address::as_str))
    }

    fn peer(&mut self, peer: Peer<'_>) -> &mut Self {
        self.text("client", peer.name);
        if let Some(address) = peer.address {
            self.field("address");
            self.out.push(b'"');
            ip(self.out, address);
            self.out.push(b'"');
        }
        self.some(peer.port, |object, port| object.number("port", port.into()))
    }

    fn counts(&mut self, tally: &[Count]) -> &mut Self {
        self.field("commands");
        self.out.push(b'{');
        for (place, count) in tally.iter().filter(|count| count.tried > 0).enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            string(self.out, count.verb);
            own(self.out, ":[");
            number(self.out, count.succeeded.into());
            self.out.push(b',');
            number(self.out, count.tried.into());
            self.out.push(b']');
        }
        self.out.push(b'}');
        self
    }

    /// In seconds, to the microsecond.
    fn delays(&mut self, delays: &Delays) -> &mut Self {
        for (name, delay) in [
            ("delay", delays.total),
            ("delay_before", delays.before),
            ("delay_active", delays.active),
            ("delay_connecting", delays.connecting),
            ("delay_delivering", delays.delivering),
        ] {
            self.field(name);
            seconds(self.out, delay);
        }
        self
    }

    fn time(&mut self, name: &str, time: Time) -> &mut Self {
        self.field(name);
        seconds(self.out, Duration::from_micros(time.0));
        self
    }
}

fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    let micros = u64::from(duration.subsec_micros());
    if micros > 0 {
        out.push(b'.');
        for place in [100_000, 10_000, 1_000, 100, 10, 1] {
            out.push(b'0' + (micros / place % 10) as u8);
        }
    }
}
