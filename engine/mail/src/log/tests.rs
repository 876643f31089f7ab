//! The lines, against the shapes that Postfix prints and that tools look for.

use std::net::IpAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use regex::Regex;

use super::*;

const CLIENT: Peer<'static> = Peer {
    name: "mail.example.com",
    address: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))),
    port: None,
};

fn id() -> QueueId {
    QueueId::from_u64(0x0000_F538_3D12_3407)
}

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

fn written(style: Style, service: &str, event: Event<'_>) -> String {
    let mut formatter =
        Formatter::new(style, "mx.example.com", "postfix", TimeZone::fixed(jiff::tz::offset(1)), 2);
    let mut out = Vec::new();
    // 2025-01-10 18:56:48.748493 in UTC+1
    let time = Time(1_736_531_808_748_493);
    formatter.write(&Record { time, name: None, service, session: 7650, event }, &mut out);
    let line = String::from_utf8(out).unwrap();
    assert!(line.ends_with('\n') && !line.trim_end_matches('\n').contains('\n'), "{line:?}");
    line.trim_end_matches('\n').to_owned()
}

fn body(event: Event<'_>) -> String {
    let line = written(Style::Postfix, "smtpd", event);
    line.strip_prefix("Jan 10 18:56:48 mx postfix/smtpd[7650]: ").expect(&line).to_owned()
}

#[test]
fn syslog_is_told_who_and_how_bad_and_no_host() {
    let mail = |event| written(Style::Syslog { facility: 2 }, "smtpd", event);
    let head = "Jan 10 18:56:48 postfix/smtpd[7650]: ";
    assert_eq!(mail(Event::Info { text: "x" }), format!("<22>{head}x"));
    assert_eq!(mail(Event::Warning { text: "x" }), format!("<20>{head}warning: x"));
    assert_eq!(mail(Event::Fatal { text: "x" }), format!("<18>{head}fatal: x"));
    let local7 = written(Style::Syslog { facility: 23 }, "smtpd", Event::Info { text: "x" });
    assert!(local7.starts_with("<190>"), "{local7}");
}

fn rejection<'a>() -> Policy<'a> {
    Policy {
        action: "reject",
        id: None,
        stage: "RCPT",
        client: CLIENT,
        reply: "550 5.1.1 <u@d.example>: Recipient address rejected: User unknown in virtual mailbox table",
        from: Some("s@x.example"),
        to: Some("u@d.example"),
        protocol: "ESMTP",
        helo: Some("h.example"),
        sasl_username: None,
    }
}

fn delivered<'a>(to: &'a Address) -> Delivery<'a> {
    Delivery {
        id: id(),
        to,
        orig_to: None,
        relay: "virtual",
        connection_use: 1,
        delays: Delays {
            total: Duration::from_millis(3_580),
            before: Duration::from_millis(200),
            active: Duration::from_millis(20),
            connecting: Duration::from_millis(40),
            delivering: Duration::from_millis(3_320),
        },
        dsn: Status(2, 0, 0),
        status: "sent",
        text: "delivered to maildir",
    }
}

#[test]
fn a_service_with_a_name_of_its_own_is_logged_under_it() {
    let mut out = Vec::new();
    let client = Peer::new("unknown", "192.0.2.1:40000".parse().unwrap());
    let (time, name) = (Time::from_secs(0), Some("postfix/submission"));
    let record =
        Record { time, name, service: "smtpd", session: 7, event: Event::Connect { client } };
    for style in [Style::Postfix, Style::Json] {
        Formatter::new(style, "mx", "postfix", TimeZone::UTC, 2).write(&record, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(" mx postfix/submission/smtpd[7]: connect from "), "{text}");
    assert!(text.contains("\"name\":\"postfix/submission\",\"service\":\"smtpd\""), "{text}");
}

#[test]
fn every_event_is_the_line_that_postfix_prints() {
    let from = address("s@x.example");
    let to = address("u@d.example");
    let original = address("a@d.example");
    let same = address("U@D.example");
    let unknown = Peer { name: "unknown", address: "2001:db8::1".parse().ok(), port: Some(4711) };
    let counts = |counts: &[(&'static str, u32, u32)]| -> Vec<Count> {
        counts.iter().map(|&(verb, succeeded, tried)| Count { verb, succeeded, tried }).collect()
    };
    let tally = counts(&[
        ("helo", 0, 0),
        ("ehlo", 2, 2),
        ("starttls", 1, 1),
        ("mail", 1, 1),
        ("rcpt", 0, 1),
        ("data", 0, 1),
        ("quit", 1, 1),
    ]);
    let cases = [
        (Event::Connect { client: CLIENT }, "connect from mail.example.com[192.0.2.1]"),
        (Event::Connect { client: unknown }, "connect from unknown[2001:db8::1]:4711"),
        (
            Event::Disconnect { client: CLIENT, tally: &tally },
            "disconnect from mail.example.com[192.0.2.1] ehlo=2 starttls=1 mail=1 rcpt=0/1 data=0/1 \
             quit=1 commands=5/7",
        ),
        (
            Event::Disconnect { client: CLIENT, tally: &[] },
            "disconnect from mail.example.com[192.0.2.1] commands=0/0",
        ),
        (
            Event::Accepted { id: id(), client: CLIENT, sasl: None },
            "F5383D123407: client=mail.example.com[192.0.2.1]",
        ),
        (
            Event::Accepted {
                id: id(),
                client: CLIENT,
                sasl: Some(Sasl { method: "PLAIN", username: "user@d.example" }),
            },
            "F5383D123407: client=mail.example.com[192.0.2.1], sasl_method=PLAIN, \
             sasl_username=user@d.example",
        ),
        (
            Event::PickedUp { id: id(), uid: 1000, from: "user" },
            "F5383D123407: uid=1000 from=<user>",
        ),
        (
            Event::Policy(rejection()),
            "NOQUEUE: reject: RCPT from mail.example.com[192.0.2.1]: 550 5.1.1 <u@d.example>: \
             Recipient address rejected: User unknown in virtual mailbox table; from=<s@x.example> \
             to=<u@d.example> proto=ESMTP helo=<h.example>",
        ),
        (
            Event::Policy(Policy {
                id: Some(id()),
                stage: "END-OF-MESSAGE",
                reply: "452 4.3.1 Insufficient system storage",
                from: Some(""),
                to: None,
                helo: None,
                sasl_username: Some("u"),
                ..rejection()
            }),
            "F5383D123407: reject: END-OF-MESSAGE from mail.example.com[192.0.2.1]: 452 4.3.1 \
             Insufficient system storage; from=<> proto=ESMTP sasl_username=<u>",
        ),
        (
            Event::Ended {
                cause: EndCause::LostConnection,
                id: None,
                stage: "DATA",
                content_bytes: Some(0),
                client: CLIENT,
            },
            "lost connection after DATA (0 bytes) from mail.example.com[192.0.2.1]",
        ),
        (
            Event::Ended {
                cause: EndCause::Timeout,
                id: Some(id()),
                stage: "END-OF-MESSAGE",
                content_bytes: None,
                client: CLIENT,
            },
            "F5383D123407: timeout after END-OF-MESSAGE from mail.example.com[192.0.2.1]",
        ),
        (
            Event::Ended {
                cause: EndCause::TooManyErrors,
                id: None,
                stage: "RCPT",
                content_bytes: None,
                client: CLIENT,
            },
            "too many errors after RCPT from mail.example.com[192.0.2.1]",
        ),
        (
            Event::Pipelining { stage: "EHLO", client: CLIENT, early: "DATA\\r\\n" },
            "improper command pipelining after EHLO from mail.example.com[192.0.2.1]: DATA\\r\\n",
        ),
        (
            Event::RateLimit {
                what: "Connection concurrency",
                count: 51,
                client: CLIENT,
                service: "smtp",
            },
            "warning: Connection concurrency limit exceeded: 51 from mail.example.com[192.0.2.1] for \
             service smtp",
        ),
        (
            Event::MessageId { id: id(), message_id: "<x@y.example>" },
            "F5383D123407: message-id=<x@y.example>",
        ),
        (
            Event::Active { id: id(), from: Some(&from), size: 5360, recipients: 1 },
            "F5383D123407: from=<s@x.example>, size=5360, nrcpt=1 (queue active)",
        ),
        (
            Event::Active { id: id(), from: None, size: 0, recipients: 2 },
            "F5383D123407: from=<>, size=0, nrcpt=2 (queue active)",
        ),
        (
            Event::Delivery(Delivery { orig_to: Some(&original), ..delivered(&to) }),
            "F5383D123407: to=<u@d.example>, orig_to=<a@d.example>, relay=virtual, delay=3.6, \
             delays=0.2/0.02/0.04/3.3, dsn=2.0.0, status=sent (delivered to maildir)",
        ),
        (
            Event::Delivery(Delivery {
                orig_to: Some(&same),
                relay: "mx[192.0.2.9]:25",
                connection_use: 2,
                status: "deferred",
                dsn: Status(4, 4, 1),
                text: "connect to mx[192.0.2.9]:25: Connection timed out",
                ..delivered(&to)
            }),
            "F5383D123407: to=<u@d.example>, relay=mx[192.0.2.9]:25, conn_use=2, delay=3.6, \
             delays=0.2/0.02/0.04/3.3, dsn=4.4.1, status=deferred (connect to mx[192.0.2.9]:25: \
             Connection timed out)",
        ),
        (Event::Removed { id: id() }, "F5383D123407: removed"),
        (
            Event::GivenUp {
                id: id(),
                from: Some(&from),
                status: "expired",
                action: "returned to sender",
            },
            "F5383D123407: from=<s@x.example>, status=expired, returned to sender",
        ),
        (
            Event::Statistics {
                what: "max connection rate",
                value: "1/60s",
                whose: Some("smtp:192.0.2.1"),
                at: Time::from_secs(1_763_625_600),
            },
            "statistics: max connection rate 1/60s for (smtp:192.0.2.1) at Nov 20 09:00:00",
        ),
        (
            Event::Started { version: "0.1.0", configuration: "/etc/ringpost" },
            "daemon started -- version 0.1.0, configuration /etc/ringpost",
        ),
        (
            Event::Reloaded { version: "0.1.0", configuration: "/etc/ringpost" },
            "reload -- version 0.1.0, configuration /etc/ringpost",
        ),
        (Event::Terminating { signal: 15 }, "terminating on signal 15"),
        (Event::Warning { text: "queue: disk full" }, "warning: queue: disk full"),
        (Event::Fatal { text: "no more" }, "fatal: no more"),
        (Event::Info { text: "listening" }, "listening"),
    ];
    for (event, expected) in cases {
        assert_eq!(body(event), expected);
    }
}

#[test]
fn days_are_padded_and_the_host_is_short() {
    let mut formatter = Formatter::new(Style::Postfix, "mx.example.com", "in", TimeZone::UTC, 2);
    let mut out = Vec::new();
    for secs in [0, 59, 60, 59] {
        let event = Event::Info { text: "x" };
        formatter.write(
            &Record { time: Time::from_secs(secs), name: None, service: "a/b", session: 0, event },
            &mut out,
        );
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "Jan  1 00:00:00 mx in/a/b[0]: x\n\
         Jan  1 00:00:59 mx in/a/b[0]: x\n\
         Jan  1 00:01:00 mx in/a/b[0]: x\n\
         Jan  1 00:00:59 mx in/a/b[0]: x\n"
    );
}

/// Every field that a stranger can fill.
fn with_everywhere<'a>(text: &'a str, to: &'a Address) -> Vec<Event<'a>> {
    let peer = Peer { name: text, ..CLIENT };
    vec![
        Event::Connect { client: peer },
        Event::Accepted {
            id: id(),
            client: peer,
            sasl: Some(Sasl { method: text, username: text }),
        },
        Event::PickedUp { id: id(), uid: 0, from: text },
        Event::Policy(Policy {
            reply: text,
            from: Some(text),
            to: Some(text),
            helo: Some(text),
            sasl_username: Some(text),
            ..rejection()
        }),
        Event::Pipelining { stage: "DATA", client: peer, early: text },
        Event::MessageId { id: id(), message_id: text },
        Event::Delivery(Delivery { relay: text, text, ..delivered(to) }),
        Event::Warning { text },
        Event::Info { text },
    ]
}

#[test]
fn nothing_from_outside_can_end_or_forge_a_line() {
    let to = address("u@d.example");
    let evil = "x\r\nJan 10 18:56:48 mx postfix/smtpd[1]: \u{1b}[2J\u{85}\u{2028}\u{202e}\0\u{7f}é";
    for event in with_everywhere(evil, &to) {
        let line = body(event);
        assert!(line.contains("x??Jan 10 18:56:48 mx postfix/smtpd[1]: ?[2J?????é"), "{line}");
        // `written` has checked that it is one line.
        let json = written(Style::Json, "smtpd", event);
        assert!(json.chars().all(|c| !c.is_control()), "{json}");
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(object.to_string().contains("postfix/smtpd[1]"), "{object}");
    }
}

#[test]
fn json_lines_carry_the_same_facts_under_names() {
    let to = address("\"a \\\" b\"@d.example");
    let original = address("a@d.example");
    let delivery = Delivery { orig_to: Some(&original), ..delivered(&to) };
    assert_eq!(
        written(Style::Json, "virtual", Event::Delivery(delivery)),
        r#"{"time":"2025-01-10T17:56:48.748493Z","host":"mx","name":"postfix","service":"virtual","session":7650,"event":"delivery","id":"F5383D123407","to":"\"a \\\" b\"@d.example","orig_to":"a@d.example","relay":"virtual","conn_use":1,"delay":3.580000,"delay_before":0.200000,"delay_active":0.020000,"delay_connecting":0.040000,"delay_delivering":3.320000,"dsn":"2.0.0","status":"sent","text":"delivered to maildir"}"#
    );
    let tally = [
        Count { verb: "ehlo", succeeded: 1, tried: 1 },
        Count { verb: "mail", succeeded: 0, tried: 0 },
        Count { verb: "rcpt", succeeded: 0, tried: 2 },
    ];
    let json = written(Style::Json, "smtpd", Event::Disconnect { client: CLIENT, tally: &tally });
    assert!(
        json.ends_with(
            r#""event":"disconnect","client":"mail.example.com","address":"192.0.2.1","commands":{"ehlo":[1,1],"rcpt":[0,2]}}"#
        ),
        "{json}"
    );
    let json = written(Style::Json, "smtpd", Event::Policy(rejection()));
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (name, value) in
        [("action", "reject"), ("stage", "RCPT"), ("from", "s@x.example"), ("helo", "h.example")]
    {
        assert_eq!(object[name], value, "{json}");
    }
    assert_eq!(object.get("id"), None);
}

/// The patterns that pflogsumm, fail2ban, postfix_exporter and the grok filters stand on, reduced to
/// what they take out of a line.
#[test]
fn the_patterns_of_log_tools_find_what_they_look_for() {
    let to = address("u@d.example");
    let from = address("s@x.example");
    let reject = written(Style::Postfix, "smtpd", Event::Policy(rejection()));
    let sent = written(Style::Postfix, "virtual", Event::Delivery(delivered(&to)));
    let active = Event::Active { id: id(), from: Some(&from), size: 5360, recipients: 1 };
    let active = written(Style::Postfix, "qmgr", active);
    let tally = [Count { verb: "auth", succeeded: 0, tried: 1 }];
    let auth = Event::Disconnect { client: CLIENT, tally: &tally };
    let auth = written(Style::Postfix, "smtpd", auth);
    let lost = Event::Ended {
        cause: EndCause::LostConnection,
        id: None,
        stage: "AUTH",
        content_bytes: None,
        client: CLIENT,
    };
    let lost = written(Style::Postfix, "smtpd", lost);
    for (tool, pattern, line, found) in [
        (
            "syslog prefix",
            r"^(\w{3}) {1,2}(\d{1,2}) (\d{2}:\d{2}:\d{2}) (\S+) postfix/([a-z/]+)\[(\d+)\]: ",
            &active,
            "Jan 10 18:56:48 mx qmgr 7650",
        ),
        (
            "pflogsumm, queue manager",
            r": ([A-F0-9]+): from=<([^>]*)>, size=(\d+), nrcpt=(\d+) \(queue active\)$",
            &active,
            "F5383D123407 s@x.example 5360 1",
        ),
        (
            "pflogsumm, delivery",
            r": ([A-F0-9]+): to=<([^>]*)>, (?:orig_to=<[^>]*>, )?relay=([^,]+), (?:conn_use=[^,]+, )?delay=([^,]+), (?:delays=[^,]+, )?(?:dsn=[^,]+, )?status=(\S+)(?: \(.*\))?$",
            &sent,
            "F5383D123407 u@d.example virtual 3.6 sent",
        ),
        (
            "postfix_exporter, delays",
            r", relay=(\S+), .*delays=([0-9.]+)/([0-9.]+)/([0-9.]+)/([0-9.]+), ",
            &sent,
            "virtual 0.2 0.02 0.04 3.3",
        ),
        (
            "fail2ban, reject",
            r"NOQUEUE: reject: RCPT from [^\[]*\[([0-9a-fA-F.:]+)\](?::\d+)?: ([45]50) ([45]\.\d\.\d+) (?:<[^>]*>)?: (?:Recipient) address rejected",
            &reject,
            "192.0.2.1 550 5.1.1",
        ),
        (
            "fail2ban, sign-in",
            r"disconnect from \S+\[([0-9.]+)\](?: \S+=\d+)* auth=0/((?:[1-9]|\d\d+))",
            &auth,
            "192.0.2.1 1",
        ),
        (
            "fail2ban, aborted sign-in",
            r"\]: lost connection after ([A-Z]+) from [^\[]*\[([0-9.]+)\]$",
            &lost,
            "AUTH 192.0.2.1",
        ),
    ] {
        let captures = Regex::new(pattern).unwrap().captures(line);
        let captures = captures.unwrap_or_else(|| panic!("{tool} does not match {line}"));
        let groups: Vec<&str> =
            captures.iter().skip(1).flatten().map(|group| group.as_str()).collect();
        assert_eq!(groups.join(" "), found, "{tool}");
    }
}

#[test]
fn a_check_of_content_is_logged_with_what_it_saw() {
    let check = Check {
        id: id(),
        action: "reject",
        what: "header",
        content: "Subject: a\n b",
        client: Some(CLIENT),
        from: "s@x.example",
        to: Some("u@d.example"),
        protocol: Some("ESMTP"),
        helo: Some("h.example"),
        text: "5.7.1 no",
    };
    assert_eq!(
        body(Event::Check(check)),
        "F5383D123407: reject: header Subject: a? b from mail.example.com[192.0.2.1]; \
         from=<s@x.example> to=<u@d.example> proto=ESMTP helo=<h.example>: 5.7.1 no"
    );
    let mime = Check {
        what: "mime-error MIME nesting exceeds safety limit",
        content: "Content-Type: x",
        client: None,
        protocol: None,
        helo: None,
        text: "",
        ..check
    };
    assert_eq!(
        body(Event::Check(mime)),
        "F5383D123407: reject: mime-error MIME nesting exceeds safety limit: Content-Type: x \
         from local; from=<s@x.example> to=<u@d.example>"
    );
    let json = written(Style::Json, "cleanup", Event::Check(check));
    assert!(
        json.contains("\"event\":\"check\"") && json.contains("\"action\":\"reject\""),
        "{json}"
    );
}
