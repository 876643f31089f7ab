//! What cleanup costs for a message of 4 KiB, without checks and against many rules.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cleanup::{Cleanup, Message, Rules, Verdict, Zone};
use mail::{Address, Body, Client, Envelope, Protocol, QueueId, Recipient, Time};
use table::{MapList, Memory, Tables};

use super::Figure;
use crate::failure::{Doing, Failure, Result};

const RUNS: u32 = 5;
/// Messages of a run.
const MESSAGES: u32 = 4_000;

/// What cleanup with a thousand header checks may take, in microseconds.
const CHECKED_US: f64 = 30.0;

pub(super) fn figures() -> Result<Vec<Figure>> {
    let content = message();
    let none = Rules::new("mx.example");
    let mut figures = vec![measure("cleanup of 4 KiB, no checks", &none, &content)?];
    for (kind, count) in [("regexp", 10), ("regexp", 1_000), ("pcre", 1_000), ("regexp", 10_000)] {
        let checks = checks(kind, count);
        let heads = Rules { header_checks: checks.clone(), ..none.clone() };
        let what = format!("cleanup of 4 KiB, header_checks of {count} rules, {kind}");
        let figure = measure(&what, &heads, &content)?;
        figures.push(if count == 1_000 { figure.most(CHECKED_US) } else { figure });
        let all = Rules {
            mime_header_checks: checks.clone(),
            nested_header_checks: checks.clone(),
            ..heads
        };
        let all = Rules { body_checks: checks, ..all };
        figures.push(measure("and for parts, and as body_checks", &all, &content)?);
    }
    Ok(figures)
}

/// Rules as administrators write them.
fn checks(kind: &str, count: usize) -> MapList {
    let rules: String = (0..count)
        .map(|n| match n % 4 {
            0 => format!("/^Subject:.*cheap pills number {n}/ REJECT no {n}\n"),
            1 => format!("/^From:.*spammer{n}@example\\.com/ DISCARD\n"),
            2 => format!("/^Received: from \\[?198\\.51\\.100\\.{n}\\]?/ WARN\n"),
            _ => format!("/^X-Mailer: (Bulk|Mass) ?Mailer {n}/ HOLD\n"),
        })
        .collect();
    let files = Memory::default().with("/checks", rules);
    MapList::open(&format!("{kind}:/checks"), &Tables::new(&files))
}

fn measure(what: &str, rules: &Rules, content: &[u8]) -> Result<Figure> {
    let rules = Arc::new(rules.clone());
    let envelope = envelope()?;
    let message = Message::new(QueueId::from_u64(1), &envelope, Time::from_secs(1), Zone::UTC);
    let mut stored = Vec::with_capacity(2 * content.len());
    let mut work = || {
        stored.clear();
        let mut cleanup = Cleanup::start(&rules, &message, &mut stored);
        cleanup.put(black_box(content), &mut stored);
        let summary = cleanup.finish(&mut stored);
        black_box(&stored);
        summary.verdict == Verdict::Accept
    };
    if !work() {
        return Err(Failure::new(format!("{what}: the message was not accepted")));
    }
    // The best of several runs: what disturbs a run only ever makes it slower.
    let best = (0..RUNS).fold(f64::MAX, |best, _| {
        let start = Instant::now();
        for _ in 0..MESSAGES {
            black_box(work());
        }
        best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(MESSAGES))
    });
    Ok(Figure::new(what, best, "us"))
}

fn message() -> Vec<u8> {
    let mut content = b"Received: from client.example (client.example [192.0.2.7])\n\
        \tby relay.example (Postfix) with ESMTPS id 4fCz1L2mXqz9sT\n\
        \tfor <user@mx.example>; Fri, 20 Nov 2026 11:31:12 +0000 (UTC)\n\
        DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=client.example; s=mail;\n\
        \tt=1795174272; bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=;\n\
        \th=From:To:Subject:Date:From;\n\
        \tb=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB4nujc7YopdG5dWLS\n\
        From: Sender <sender@client.example>\n\
        To: User <user@mx.example>\n\
        Subject: a message of ordinary size\n\
        Date: Fri, 20 Nov 2026 11:31:10 +0000\n\
        Message-ID: <20261120113110.1234@client.example>\n\
        MIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=\"part\"\n\
        \n--part\nContent-Type: text/plain; charset=utf-8\n\n"
        .to_vec();
    while content.len() < 4080 {
        content.extend_from_slice(
            b"All happy families are alike; each unhappy family is unhappy in its own way.\n",
        );
    }
    content.extend_from_slice(b"--part--\n");
    content
}

fn envelope() -> Result<Envelope> {
    let address = |text: &str| Address::parse(text.as_bytes()).doing(|| text.to_owned());
    Ok(Envelope {
        sender: Some(address("sender@client.example")?),
        recipients: vec![Recipient::new(address("user@mx.example")?)],
        arrival: Time::default(),
        client: Client {
            name: "client.example".into(),
            address: Some(([192, 0, 2, 1], 50_000).into()),
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
        },
        body: Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        filter: None,
        not_before: None,
    })
}
