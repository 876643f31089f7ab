//! Our own `Received:` header (RFC 5321 section 4.4), in Postfix's shape.

use mail::{Client, Protocol, push};

use crate::date::push_date;
use crate::rules::{Message, Rules};

/// Appends the header with its line endings.
///
/// Everything in it that a stranger chose is one word: the dialogue saw to the HELO name, the address
/// syntax to the recipient, the resolver to the client's name.
pub(crate) fn push_received(out: &mut Vec<u8>, rules: &Rules, message: &Message<'_>) {
    let client = &message.envelope.client;
    if client.protocol == Protocol::Local {
        push_all(out, &["Received: by ", &rules.hostname, " (", &rules.mail_name]);
        if let Some(user_id) = message.user_id {
            // The number, not the name, which is nobody's business (postfix `pickup.c`).
            push_all(out, &[", from userid ", &user_id.to_string()]);
        }
        out.extend_from_slice(b")\n\tid ");
        push::id(out, message.id);
        out.extend_from_slice(b"; ");
    } else {
        push_from(out, client);
        push_all(out, &["\tby ", &rules.hostname, " (", &rules.mail_name, ") with "]);
        out.extend_from_slice(match client.protocol {
            Protocol::Utf8Smtp => b"UTF8SMTP",
            Protocol::Esmtp => b"ESMTP",
            Protocol::Smtp | Protocol::Local => b"SMTP",
        });
        out.extend_from_slice(b" id ");
        push::id(out, message.id);
        match &*message.envelope.recipients {
            // Only where it betrays no recipient to another (RFC 5321 section 7.6).
            [recipient] => push_all(out, &["\n\tfor <", recipient.address.as_str(), ">; "]),
            _ => out.extend_from_slice(b";\n\t"),
        }
    }
    push_date(out, message.arrival, message.zone);
    out.push(b'\n');
}

fn push_from(out: &mut Vec<u8>, client: &Client) {
    let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
    push_all(out, &["Received: from ", helo, " (", &client.name, " ["]);
    match client.address.map(|address| address.ip().to_canonical()) {
        Some(address) => {
            // RFC 5321 section 4.1.3
            if address.is_ipv6() {
                out.extend_from_slice(b"IPv6:");
            }
            push::ip(out, address);
        }
        None => out.extend_from_slice(b"unknown"),
    }
    out.extend_from_slice(b"])\n");
}

pub(crate) fn push_all(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}
