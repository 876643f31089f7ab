//! A message and the rules it goes by.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::sync::Arc;

use cleanup::{Cleanup, Message, Rules, Summary, Zone};
use mail::{Address, Body, Client, Envelope, Protocol, QueueId, Recipient, Time};
use table::{
    Answer, Lookup, MapList, Memory, Nature, Open, Opening, Response, Table, Tables, Type, block_on,
};

pub(crate) fn id() -> QueueId {
    QueueId::from_u64(0x000C_0FFE_E000_0001)
}

pub(crate) fn arrival() -> Time {
    Time::from_secs(1_795_174_274)
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).expect("an address")
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        sender: Some(address("sender@client.example")),
        recipients: vec![Recipient::new(address("user@mx.example"))],
        arrival: Time::default(),
        client: Client {
            name: "client.example".into(),
            address: Some("192.0.2.1:50000".parse().expect("an address and a port")),
            helo: "helo.example".into(),
            protocol: Protocol::Esmtp,
        },
        body: Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        filter: None,
        not_before: None,
    }
}

/// A list of one table of this text; `slow` answers each question later.
pub(crate) fn checks(slow: bool, text: &str) -> MapList {
    let files = Memory::default().with("/checks", text);
    let tables = Tables::new(&files).with_types([slow_type()]);
    let list = MapList::open(if slow { "slow:pcre:/checks" } else { "pcre:/checks" }, &tables);
    assert_eq!(list.notes().collect::<Vec<_>>(), [], "{text}");
    list
}

fn slow_type() -> Type {
    #[derive(Debug)]
    struct Slow(Table);
    impl Lookup for Slow {
        fn lookup(&self, key: &str) -> Response {
            self.lookup_line(key.as_bytes())
        }

        fn lookup_line(&self, line: &[u8]) -> Response {
            let answer = block_on(self.0.lookup_line(line).answer());
            Response::Later(Box::pin(async { answer }))
        }
    }
    let open =
        Open::Shared(Arc::new(|it: &Opening<'_>| Ok(Box::new(Slow(it.table(it.name()))) as _)));
    Type { name: "slow", nature: Nature::Remote, format: None, open }
}

/// A table that cannot be asked.
pub(crate) fn away() -> MapList {
    let files = Memory::default();
    let list = MapList::open("pcre:/none", &Tables::new(&files));
    assert!(matches!(block_on(list.lookup("x")), Answer::Unavailable(_)));
    list
}

pub(crate) fn message(envelope: &Envelope) -> Message<'_> {
    Message::new(id(), envelope, arrival(), Zone::UTC)
}

/// Cleans a message that comes in pieces; what is stored, and what became known.
pub(crate) fn clean(
    rules: &Arc<Rules>,
    message: &Message<'_>,
    pieces: &[&[u8]],
) -> (Vec<u8>, Summary) {
    let mut stored = Vec::new();
    let mut cleanup = Cleanup::start(rules, message, &mut stored);
    for piece in pieces {
        cleanup.put(piece, &mut stored);
        if !rules.is_immediate() {
            block_on(cleanup.settle(&mut stored));
        }
    }
    let summary = match rules.is_immediate() {
        true => cleanup.finish(&mut stored),
        false => block_on(cleanup.finish_settled(&mut stored)),
    };
    assert_eq!(summary.size_bytes, stored.len() as u64);
    (stored, summary)
}

/// The lines that the log gets.
pub(crate) fn logged(summary: &Summary, envelope: &Envelope) -> Vec<String> {
    let zone = jiff::tz::TimeZone::UTC;
    let mut formatter =
        mail::log::Formatter::new(mail::log::Style::Postfix, "mx", "postfix", zone, 2);
    let mut lines = Vec::new();
    for event in &summary.events {
        event.line(id(), envelope, |event| {
            let mut line = Vec::new();
            let record = mail::log::Record {
                time: arrival(),
                name: None,
                service: "cleanup",
                session: 1,
                event,
            };
            formatter.write(&record, &mut line);
            let line = String::from_utf8(line).expect("text");
            let body = line.trim_end().split_once("cleanup[1]: ").expect("a line").1;
            lines.push(body.to_owned());
        });
    }
    lines
}
