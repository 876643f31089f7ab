//! Checks of any content: rules that match nothing change nothing, how content is cut makes no difference,
//! what is made 7bit is, and the recipients of a head are read in bounded time.

use std::sync::{Arc, LazyLock};

use cleanup::{
    Cleanup, Downgrade, Extract, ExtractLimits, Message, MimeLimits, Rules, Strict, Summary, Zone,
};
use mail::{Body, Client, Envelope, Protocol, QueueId, Time};
use table::{MapList, Memory, Tables};

static ENVELOPE: LazyLock<Envelope> = LazyLock::new(|| Envelope {
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
});

static PLAIN: LazyLock<Arc<Rules>> = LazyLock::new(|| Arc::new(Rules::new("mx.example")));
static NOTHING: LazyLock<Arc<Rules>> = LazyLock::new(|| rules("/^no line is like this$/ REJECT\n"));
static MUCH: LazyLock<Arc<Rules>> = LazyLock::new(|| {
    rules(
        "/^[ab]/ WARN\n/^Subject/ REPLACE X: y\n/x$/ STRIP\n/c/ PREPEND D: e\n/dd/ HOLD\n\
         /ee/ REDIRECT a@b\n/ff/ DISCARD\n/gg/ REJECT\n/hh/ PASS\n",
    )
});

fn rules(text: &str) -> Arc<Rules> {
    let files = Memory::default().with("/checks", text);
    let checks = MapList::open("pcre:/checks", &Tables::new(&files));
    Arc::new(Rules {
        header_checks: checks.clone(),
        mime_header_checks: checks.clone(),
        nested_header_checks: checks.clone(),
        body_checks: checks,
        strict: Strict { seven_bit_headers: true, eight_bit_body: true, encoding_domain: true },
        mime_limits: MimeLimits { nesting_max: 4, boundary_bytes_max: 8 },
        line_length_limit_bytes: 512,
        ..Rules::new("mx.example")
    })
}

pub(crate) fn run(bytes: &[u8]) {
    let [cut, bytes @ ..] = bytes else { return };
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(*cut) + 1).collect();
    let (untouched, _) = clean(&PLAIN, &[bytes]);
    assert_eq!(clean(&NOTHING, &[bytes]).0, untouched);
    assert_eq!(clean(&MUCH, &pieces), clean(&MUCH, &[bytes]));

    let downgraded = downgrade(&[bytes]);
    assert_eq!(downgrade(&pieces), downgraded);
    if let Some(downgraded) = downgraded {
        assert_eq!(downgrade(&[&downgraded]).as_ref(), Some(&downgraded), "once is enough");
    }

    let mut extract = Extract::new(ExtractLimits::default());
    pieces.iter().for_each(|piece| extract.put(piece));
    let mut whole = Extract::new(ExtractLimits::default());
    whole.put(bytes);
    assert_eq!(extract.finish(), whole.finish());
}

fn clean(rules: &Arc<Rules>, pieces: &[&[u8]]) -> (Vec<u8>, Summary) {
    let message = Message::new(QueueId::from_u64(1), &ENVELOPE, Time::default(), Zone::UTC);
    let mut stored = Vec::new();
    let mut cleanup = Cleanup::start(rules, &message, &mut stored);
    for piece in pieces {
        cleanup.put(piece, &mut stored);
    }
    let summary = cleanup.finish(&mut stored);
    assert_eq!(summary.size_bytes, stored.len() as u64);
    (stored, summary)
}

fn downgrade(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut downgrade = Downgrade::new(MimeLimits::default(), 102_400);
    for piece in pieces {
        downgrade.put(piece, &mut out);
    }
    downgrade.finish(&mut out).is_ok().then_some(out)
}
