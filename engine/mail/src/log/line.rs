//! Events in Postfix's words. Each shape is the one its source prints: `smtpd/smtpd.c`,
//! `cleanup/cleanup_message.c`, `global/opened.c`, `global/log_adhoc.c`, `anvil/anvil.c`,
//! `master/master.c`.

use jiff::tz::TimeZone;

use super::push::{id, ip, number, outside, own};
use super::{Check, Count, Delivery, Event, Peer, Policy, delay, format};
use crate::{Address, QueueId};

/// Appends the body of a line, without its end.
pub(super) fn push(out: &mut Vec<u8>, event: &Event<'_>, zone: &TimeZone, decimals_max: u8) {
    match *event {
        Event::Connect { client } => {
            own(out, "connect from ");
            peer(out, client);
        }
        Event::Disconnect { client, tally } => {
            own(out, "disconnect from ");
            peer(out, client);
            counts(out, tally);
        }
        Event::Accepted { id: message, client, sasl } => {
            id(out, message);
            own(out, ": client=");
            peer(out, client);
            if let Some(sasl) = sasl {
                own(out, ", sasl_method=");
                outside(out, sasl.method);
                own(out, ", sasl_username=");
                outside(out, sasl.username);
            }
        }
        Event::PickedUp { id: message, uid, from } => {
            id(out, message);
            own(out, ": uid=");
            number(out, uid.into());
            own(out, " from=<");
            outside(out, from);
            out.push(b'>');
        }
        Event::Policy(ref decision) => policy(out, decision),
        Event::Ended { cause, id: message, stage, content_bytes, client } => {
            // Since 3.10 Postfix says NOQUEUE: here too. Patterns written before that expect the words
            // right behind the prefix, so the older form stays.
            if let Some(message) = message {
                id(out, message);
                own(out, ": ");
            }
            own(out, cause.as_str());
            own(out, " after ");
            own(out, stage);
            if let Some(bytes) = content_bytes {
                own(out, " (");
                number(out, bytes);
                own(out, " bytes)");
            }
            own(out, " from ");
            peer(out, client);
        }
        Event::Pipelining { stage, client, early } => {
            own(out, "improper command pipelining after ");
            own(out, stage);
            own(out, " from ");
            peer(out, client);
            own(out, ": ");
            outside(out, early);
        }
        Event::RateLimit { what, count, client, service } => {
            own(out, "warning: ");
            own(out, what);
            own(out, " limit exceeded: ");
            number(out, count);
            own(out, " from ");
            peer(out, client);
            own(out, " for service ");
            own(out, service);
        }
        Event::MessageId { id: message, message_id } => {
            id(out, message);
            own(out, ": message-id=");
            outside(out, message_id);
        }
        Event::Check(ref check) => content_check(out, check),
        Event::Active { id: message, from, size, recipients } => {
            id(out, message);
            own(out, ": from=<");
            sender(out, from);
            own(out, ">, size=");
            number(out, size);
            own(out, ", nrcpt=");
            number(out, recipients.into());
            own(out, " (queue active)");
        }
        Event::Delivery(ref done) => delivery(out, done, decimals_max),
        Event::Removed { id: message } => {
            id(out, message);
            own(out, ": removed");
        }
        Event::GivenUp { id: message, from, status, action } => {
            id(out, message);
            own(out, ": from=<");
            sender(out, from);
            own(out, ">, status=");
            own(out, status);
            own(out, ", ");
            own(out, action);
        }
        Event::Statistics { what, value, whose, at } => {
            own(out, "statistics: ");
            own(out, what);
            out.push(b' ');
            own(out, value);
            if let Some(whose) = whose {
                own(out, " for (");
                outside(out, whose);
                out.push(b')');
            }
            own(out, " at ");
            format::date(out, at, zone);
        }
        Event::Started { version, configuration } => {
            daemon(out, "daemon started", version, configuration);
        }
        Event::Reloaded { version, configuration } => daemon(out, "reload", version, configuration),
        Event::Terminating { signal } => {
            own(out, "terminating on signal ");
            number(out, signal.unsigned_abs().into());
        }
        Event::Info { text } => outside(out, text),
        Event::Warning { text } => {
            own(out, "warning: ");
            outside(out, text);
        }
        Event::Fatal { text } => {
            own(out, "fatal: ");
            outside(out, text);
        }
    }
}

/// `name[address]`, `name[address]:port`.
pub(super) fn peer(out: &mut Vec<u8>, peer: Peer<'_>) {
    outside(out, peer.name);
    out.push(b'[');
    match peer.address {
        Some(address) => ip(out, address),
        None => own(out, "unknown"),
    }
    out.push(b']');
    if let Some(port) = peer.port {
        out.push(b':');
        number(out, port.into());
    }
}

fn queue_id(out: &mut Vec<u8>, message: Option<QueueId>) {
    match message {
        Some(message) => id(out, message),
        None => own(out, "NOQUEUE"),
    }
}

fn sender(out: &mut Vec<u8>, from: Option<&Address>) {
    outside(out, from.map_or("", Address::as_str));
}

/// ` ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4`: successes, and all where that differs.
fn counts(out: &mut Vec<u8>, tally: &[Count]) {
    let (mut succeeded, mut tried) = (0u64, 0u64);
    for count in tally.iter().filter(|count| count.tried > 0) {
        out.push(b' ');
        own(out, count.verb);
        out.push(b'=');
        number(out, count.succeeded.into());
        if count.succeeded != count.tried {
            out.push(b'/');
            number(out, count.tried.into());
        }
        succeeded += u64::from(count.succeeded);
        tried += u64::from(count.tried);
    }
    own(out, " commands=");
    number(out, succeeded);
    // Any count with a slash is a sign of trouble; a session without a command is one too.
    if succeeded != tried || tried == 0 {
        out.push(b'/');
        number(out, tried);
    }
}

fn policy(out: &mut Vec<u8>, decision: &Policy<'_>) {
    queue_id(out, decision.id);
    own(out, ": ");
    own(out, decision.action);
    own(out, ": ");
    own(out, decision.stage);
    own(out, " from ");
    peer(out, decision.client);
    own(out, ": ");
    outside(out, decision.reply);
    out.push(b';');
    for (name, value) in [(" from=<", decision.from), (" to=<", decision.to)] {
        if let Some(value) = value {
            own(out, name);
            outside(out, value);
            out.push(b'>');
        }
    }
    own(out, " proto=");
    own(out, decision.protocol);
    for (name, value) in [(" helo=<", decision.helo), (" sasl_username=<", decision.sasl_username)]
    {
        if let Some(value) = value {
            own(out, name);
            outside(out, value);
            out.push(b'>');
        }
    }
}

/// postfix `cleanup_act_log` and `cleanup_mime_error_callback`.
fn content_check(out: &mut Vec<u8>, check: &Check<'_>) {
    id(out, check.id);
    own(out, ": ");
    own(out, check.action);
    own(out, ": ");
    own(out, check.what);
    // What kind of MIME error it is ends in a colon, what kind of content it is does not.
    own(out, if check.what.starts_with("mime-error") { ": " } else { " " });
    outside(out, check.content);
    own(out, " from ");
    match check.client {
        Some(client) => peer(out, client),
        None => own(out, "local"),
    }
    own(out, "; from=<");
    outside(out, check.from);
    out.push(b'>');
    if let Some(to) = check.to {
        own(out, " to=<");
        outside(out, to);
        out.push(b'>');
    }
    if let Some(protocol) = check.protocol {
        own(out, " proto=");
        own(out, protocol);
    }
    if let Some(helo) = check.helo {
        own(out, " helo=<");
        outside(out, helo);
        out.push(b'>');
    }
    if !check.text.is_empty() {
        own(out, ": ");
        outside(out, check.text);
    }
}

fn delivery(out: &mut Vec<u8>, done: &Delivery<'_>, decimals_max: u8) {
    id(out, done.id);
    own(out, ": to=<");
    outside(out, done.to.as_str());
    if let Some(original) = done.orig_to
        && !original.as_str().eq_ignore_ascii_case(done.to.as_str())
    {
        own(out, ">, orig_to=<");
        outside(out, original.as_str());
    }
    own(out, ">, relay=");
    outside(out, done.relay);
    if done.connection_use > 1 {
        own(out, ", conn_use=");
        number(out, done.connection_use.into());
    }
    own(out, ", ");
    delay::push(out, &done.delays, decimals_max);
    own(out, ", dsn=");
    number(out, done.dsn.0.into());
    out.push(b'.');
    number(out, done.dsn.1.into());
    out.push(b'.');
    number(out, done.dsn.2.into());
    own(out, ", status=");
    own(out, done.status);
    own(out, " (");
    outside(out, done.text);
    out.push(b')');
}

fn daemon(out: &mut Vec<u8>, what: &str, version: &str, configuration: &str) {
    own(out, what);
    own(out, " -- version ");
    own(out, version);
    own(out, ", configuration ");
    outside(out, configuration);
}
