//! Cleanup of any content: how it is cut makes no difference, nothing but headers stands in the head,
//! and memory is bounded by `header_size_limit`.

use std::sync::Arc;

use cleanup::{Cleanup, Message, Rules, Summary, Zone};
use mail::{Body, Client, Envelope, Protocol, QueueId, Time};

pub(crate) fn run(bytes: &[u8]) {
    let [cut, options, bytes @ ..] = bytes else { return };
    let from_own_client = options & 1 == 1;
    let limit = if options & 2 == 2 { 64 } else { 102_400 };
    let whole = clean(&[bytes], from_own_client, limit);
    if limit > 64 {
        let pieces: Vec<&[u8]> = bytes.chunks(usize::from(*cut) + 1).collect();
        assert_eq!(clean(&pieces, from_own_client, limit), whole);
    }
    for line in whole.0.split(|&b| b == b'\n').take_while(|line| !line.is_empty()) {
        let folded = line[0] == b' ' || line[0] == b'\t';
        assert!(folded || line.contains(&b':'), "{}", line.escape_ascii());
    }
}

fn clean(pieces: &[&[u8]], from_own_client: bool, limit: usize) -> (Vec<u8>, Summary) {
    let mut rules = Rules::new("mx.example");
    rules.header_size_limit_bytes = limit;
    let envelope = Envelope {
        sender: None,
        recipients: Vec::new(),
        arrival: Time::default(),
        client: Client {
            name: "unknown".into(),
            address: None,
            helo: "x".into(),
            protocol: Protocol::Esmtp,
        },
        body: Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        filter: None,
        not_before: None,
    };
    let message = Message {
        from_own_client,
        ..Message::new(QueueId::from_u64(1), &envelope, Time::default(), Zone::UTC)
    };
    let mut stored = Vec::new();
    let mut cleanup = Cleanup::start(&Arc::new(rules), &message, &mut stored);
    for piece in pieces {
        cleanup.put(piece, &mut stored);
    }
    let summary = cleanup.finish(&mut stored);
    assert_eq!(summary.size_bytes, stored.len() as u64);
    (stored, summary)
}
