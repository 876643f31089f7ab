//! What one message costs between the socket and the log: finding its end, decoding it, cleaning it up.
//!
//! `cargo run --release -p wire --example content_cost [BYTES]`

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use cleanup::{Cleanup, Message, Rules, Zone};
use mail::{Address, Body, Client, Envelope, Protocol, QueueId, Recipient, Time};
use wire::{Decoder, Dialogue, EndOfData, Framing, Input, LineEnds, Output, Policy, Turn, Verdict};

/// Repeated until the figures stand still.
const ROUNDS: u32 = 200_000;

fn main() {
    let size_bytes = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(4096);
    let raw = message(size_bytes);
    let envelope = envelope();
    let rules = Arc::new(Rules::new("mx.example"));
    let mut log = Vec::with_capacity(2 * raw.len() + 4096);
    println!("{} bytes raw, {} lines", raw.len(), raw.iter().filter(|&&b| b == b'\n').count());

    report("end of data", || {
        let mut end = EndOfData::new(LineEnds::Crlf, false);
        black_box(end.scan(black_box(&raw)));
    });
    report("end of data, watching for bare LF", || {
        let mut end = EndOfData::new(LineEnds::Crlf, true);
        black_box(end.scan(black_box(&raw)));
    });
    report("decoding", || {
        log.clear();
        let mut decoder = Decoder::new(Framing::Dots);
        decoder.decode(black_box(&raw), &mut log);
        decoder.finish(&mut log);
        black_box(&log);
    });
    report("cleanup of an empty message: our Received", || {
        log.clear();
        clean(&rules, &envelope, b".\r\n", &mut log);
        black_box(&log);
    });
    report("decoding and cleanup", || {
        log.clear();
        clean(&rules, &envelope, &raw, &mut log);
        black_box(&log);
    });
    report("end of data, decoding and cleanup", || {
        log.clear();
        let mut end = EndOfData::new(LineEnds::Crlf, false);
        black_box(end.scan(black_box(&raw)));
        clean(&rules, &envelope, &raw, &mut log);
        black_box(&log);
    });
    report("one copy and nothing else", || {
        log.clear();
        log.extend_from_slice(black_box(&raw));
        black_box(&log);
    });
    let mut session = Session::new();
    report("dialogue: MAIL, RCPT, DATA, commit", || session.message());
}

fn report(what: &str, mut work: impl FnMut()) {
    for _ in 0..ROUNDS / 10 {
        work();
    }
    // The best of several runs: what disturbs a run only ever makes it slower.
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS / 5 {
                work();
            }
            start.elapsed().as_nanos() / u128::from(ROUNDS / 5)
        })
        .min();
    println!("{:>7} ns  {what}", best.unwrap_or_default());
}

fn clean(rules: &Arc<Rules>, envelope: &Envelope, raw: &[u8], log: &mut Vec<u8>) {
    let id = QueueId::from_u64(0x000C_0FFE_E000_0001);
    let message = Message::new(id, envelope, Time::from_secs(1_795_174_274), Zone::UTC);
    let mut cleanup = Cleanup::start(rules, &message, log);
    let mut decoder = Decoder::new(Framing::Dots);
    decoder.decode(raw, &mut cleanup.onto(log));
    decoder.finish(&mut cleanup.onto(log));
    black_box(cleanup.finish(log));
}

/// Headers as they are, and text in lines of 76.
fn message(size_bytes: usize) -> Vec<u8> {
    let mut raw = b"Received: from client.example (client.example [192.0.2.7])\r\n\
        \tby relay.example (Postfix) with ESMTPS id 4fCz1L2mXqz9sT\r\n\
        \tfor <user@mx.example>; Fri, 20 Nov 2026 11:31:12 +0000 (UTC)\r\n\
        DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=client.example; s=mail;\r\n\
        \tt=1795174272; bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=;\r\n\
        \th=From:To:Subject:Date:From;\r\n\
        \tb=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB4nujc7YopdG5dWLS\r\n\
        \t dNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHutKVdkLLkpVaVVQPzeRDI009SO2Il5Lu7r\r\n\
        From: Sender <sender@client.example>\r\n\
        To: User <user@mx.example>\r\n\
        Subject: a message of ordinary size\r\n\
        Date: Fri, 20 Nov 2026 11:31:10 +0000\r\n\
        Message-ID: <20261120113110.1234@client.example>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 7bit\r\n\
        \r\n"
        .to_vec();
    while raw.len() + 3 < size_bytes {
        let line =
            b"All happy families are alike; each unhappy family is unhappy in its own way.\r\n";
        raw.extend_from_slice(&line[line.len().saturating_sub(size_bytes - 3 - raw.len())..]);
    }
    raw.extend_from_slice(b".\r\n");
    raw
}

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).expect("an address")
}

fn client() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50_000))
}

fn envelope() -> Envelope {
    Envelope {
        sender: Some(address("sender@client.example")),
        recipients: vec![Recipient::new(address("user@mx.example"))],
        arrival: Time::default(),
        client: Client {
            name: "client.example".into(),
            address: Some(client()),
            helo: "client.example".into(),
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

/// A kept connection, over which message follows message.
struct Session {
    dialogue: Dialogue,
    turn: Turn,
}

impl Session {
    fn new() -> Self {
        let policy = Arc::new(Policy::new("mx.example"));
        let dialogue = Dialogue::new(policy, "client.example", client());
        let mut session = Self { dialogue, turn: Turn::default() };
        let _ = session.dialogue.step(Input::Connected { behind: b"" }, &mut session.turn);
        session.accept();
        let _ = session.line(b"EHLO client.example");
        session
    }

    fn line(&mut self, text: &[u8]) -> Output {
        let input = Input::Line { text, bare_lf: false, behind: b"" };
        self.dialogue.step(input, &mut self.turn)
    }

    fn accept(&mut self) {
        let _ = self.dialogue.step(Input::Verdict(Verdict::Accept), &mut self.turn);
    }

    fn message(&mut self) {
        self.turn.replies.clear();
        for line in [
            &b"MAIL FROM:<sender@client.example> SIZE=4096"[..],
            b"RCPT TO:<user@mx.example>",
            b"DATA",
        ] {
            let output = self.line(black_box(line));
            assert!(matches!(output, Output::Judge(_)), "{output:?}");
            self.accept();
        }
        let received = EndOfData::new(LineEnds::Crlf, false).received();
        let input = Input::Received { received, arrival: Time::default() };
        let committed = self.dialogue.step(input, &mut self.turn);
        let Output::Commit(envelope) = black_box(committed) else { panic!("it is accepted") };
        let committed = Input::Committed { result: Ok(QueueId::from_u64(1)), envelope: &envelope };
        let _ = self.dialogue.step(committed, &mut self.turn);
    }
}
