//! What checks make of a message: what is stored, what is logged, what the client is told.

mod common;

use std::sync::Arc;

use cleanup::{
    Characters, Event, Message, MimeLimits, NonEmptyEndOfHead, Receive, Rules, Strict, Verdict,
};
use expect_test::{Expect, expect};
use mail::{Protocol, Status};
use proptest::prelude::*;

use common::{away, checks, clean, envelope, logged, message};

/// The message, the log and the verdict; the same however the message is cut, and whether tables answer at
/// once or later.
fn check(rules: impl Fn(bool) -> Rules, content: &str, expected: Expect) {
    let envelope = envelope();
    let mut shown = Vec::new();
    for slow in [false, true] {
        let rules = Arc::new(rules(slow));
        for cut in [usize::MAX, 1, 7] {
            let pieces: Vec<&[u8]> = content.as_bytes().chunks(cut).collect();
            let (stored, summary) = clean(&rules, &message(&envelope), &pieces);
            let mut text =
                stored.escape_ascii().to_string().replace("\\n", "\n").replace("\\t", "\t");
            let received = text.find("(UTC)\n").map_or(0, |at| at + 6);
            if text.starts_with("Received: from helo") {
                text.replace_range(..received, "");
            }
            text.push_str("--\n");
            for line in logged(&summary, &envelope) {
                text.push_str(&line.replace("C0FFEE0000001", "ID"));
                text.push('\n');
            }
            match &summary.verdict {
                Verdict::Accept => {}
                Verdict::Discard => text.push_str("discarded\n"),
                Verdict::Refuse(it) => {
                    text.push_str(&format!("{} {} {}\n", it.code, it.status, it.text));
                }
            }
            let orders = &summary.orders;
            if *orders != cleanup::Orders::default() {
                text.push_str(&format!("{orders:?}\n"));
            }
            shown.push(text);
        }
    }
    for other in &shown[1..] {
        assert_eq!(*other, shown[0]);
    }
    expected.assert_eq(&shown[0]);
}

fn header_checks(text: &'static str) -> impl Fn(bool) -> Rules {
    move |slow| {
        let header_checks = checks(slow, text);
        Rules {
            mime_header_checks: header_checks.clone(),
            nested_header_checks: header_checks.clone(),
            header_checks,
            ..Rules::new("mx.example")
        }
    }
}

fn body_checks(text: &'static str) -> impl Fn(bool) -> Rules {
    move |slow| Rules { body_checks: checks(slow, text), ..Rules::new("mx.example") }
}

const MESSAGE: &str = "From: a@b.example\nSubject: one\n two\nX-Last: yes\n\nbody\n";

#[test]
fn a_header_is_matched_with_its_continuation_lines() {
    check(
        header_checks("/^(Subject: one\\n two)$/ WARN seen $1\n"),
        MESSAGE,
        expect![[r#"
        From: a@b.example
        Subject: one
         two
        X-Last: yes

        body
        --
        ID: warning: header Subject: one? two from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: seen Subject: one? two
    "#]],
    );
}

#[test]
fn headers_are_replaced_prepended_stripped_and_ignored() {
    check(
        header_checks(
            "/^From:/ PREPEND X-First: yes\n/^Subject:\\s*(.*)/ REPLACE Subject : new $1\n\
             /^X-Last:/ STRIP because\n/^Received:/ IGNORE\n",
        ),
        MESSAGE,
        expect![[r#"
            X-First: yes
            From: a@b.example
            Subject : new one
             two

            body
            --
            ID: prepend: header From: a@b.example from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: X-First: yes
            ID: replace: header Subject: one? two from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: Subject : new one? two
            ID: strip: header X-Last: yes from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: because
        "#]],
    );
}

#[test]
fn a_refusal_ends_the_message() {
    check(
        header_checks("/^Subject:/ REJECT 5.7.9 no thanks\n/^X-Last/ WARN\n"),
        MESSAGE,
        expect![[r#"
        From: a@b.example
        --
        ID: reject: header Subject: one? two from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: 5.7.9 no thanks
        550 5.7.9 no thanks
        Orders { hold: false, filter: None, redirect: None, bcc: [], delay_secs: None, no_milters: true }
    "#]],
    );
    check(
        header_checks("/^Subject:/ REJECT 4.7.1 later\n"),
        MESSAGE,
        expect![[r#"
        From: a@b.example
        --
        ID: reject: header Subject: one? two from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: 4.7.1 later
        451 4.7.1 later
        Orders { hold: false, filter: None, redirect: None, bcc: [], delay_secs: None, no_milters: true }
    "#]],
    );
}

#[test]
fn what_is_thrown_away_is_accepted() {
    check(
        body_checks("/body/ DISCARD why\n"),
        MESSAGE,
        expect![[r#"
        From: a@b.example
        Subject: one
         two
        X-Last: yes

        --
        ID: discard: body body from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: why
        discarded
        Orders { hold: false, filter: None, redirect: None, bcc: [], delay_secs: None, no_milters: true }
    "#]],
    );
}

#[test]
fn orders_are_gathered_and_redirection_ends_the_checks() {
    check(
        header_checks(
            "/^From:/ FILTER smtp:[127.0.0.1]:10025\n/^Subject:/ BCC copy@example.com\n\
             /^X-A:/ HOLD a\n/^X-B:/ HOLD b\n/^X-C:/ DELAY 1h\n/^X-D:/ REDIRECT other@example.com\n\
             /^X-E:/ WARN\n",
        ),
        "From: x\nSubject: y\nX-A: 1\nX-B: 1\nX-C: 1\nX-D: 1\nX-E: 1\n\nbody\n",
        expect![[r#"
            From: x
            Subject: y
            X-A: 1
            X-B: 1
            X-C: 1
            X-D: 1
            X-E: 1

            body
            --
            ID: filter: header From: x from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: smtp:[127.0.0.1]:10025
            ID: bcc: header Subject: y from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: copy@example.com
            ID: hold: header X-A: 1 from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: a
            ID: delay: header X-C: 1 from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: 1h
            ID: redirect: header X-D: 1 from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: other@example.com
            Orders { hold: true, filter: Some("smtp:[127.0.0.1]:10025"), redirect: Some(<other@example.com>), bcc: [<copy@example.com>], delay_secs: Some(3600), no_milters: true }
        "#]],
    );
}

#[test]
fn a_mistake_in_a_table_is_told_and_changes_nothing() {
    check(
        header_checks("/^From:/ REJCT x\n/^Subject:/ FILTER\n/^X-Last:/ REPLACE none\n"),
        MESSAGE,
        expect![[r#"
            From: a@b.example
            Subject: one
             two
            X-Last: yes

            body
            --
            warning: unknown command in header_checks map: REJCT x
            warning: missing FILTER command argument in header_checks map
            warning: bad REPLACE header text "none" in header_checks map -- need "headername: headervalue"
        "#]],
    );
}

#[test]
fn lines_of_bodies_are_checked_one_by_one() {
    check(
        body_checks(
            "/^one$/ REPLACE 1\n/^two$/ PREPEND before two\n/^three/ IGNORE\n/^four/ INFO\n",
        ),
        "S: x\n\none\ntwo\nthree\nfour",
        expect![[r#"
            S: x

            1
            before two
            two
            four--
            ID: replace: body one from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: 1
            ID: prepend: body two from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: before two
            ID: info: body four from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>
        "#]],
    );
}

const MIXED: &str = "Subject: outer\nContent-Type: multipart/mixed; boundary=\"b\"\n\npreamble\n--b\n\
    Content-Type: text/plain; name=a.exe\nX-Part: p\n\ntext\n--b\nContent-Type: message/rfc822\n\n\
    Subject: inner\nContent-Type: text/html\n\ninner text\n--b--\nepilogue\n";

#[test]
fn each_class_of_headers_has_its_table() {
    let rules = |slow| Rules {
        header_checks: checks(slow, "/./ WARN primary\n"),
        mime_header_checks: checks(slow, "/./ WARN mime\n"),
        nested_header_checks: checks(slow, "/./ WARN nested\n"),
        body_checks: checks(slow, "/^./ WARN body\n"),
        ..Rules::new("mx.example")
    };
    let envelope = envelope();
    let (_, summary) = clean(&Arc::new(rules(false)), &message(&envelope), &[MIXED.as_bytes()]);
    let seen: Vec<String> = summary.events[1..]
        .iter()
        .map(|event| match event {
            Event::Acted { part, content, text, .. } => {
                format!("{} {}: {}", text, part.as_str(), content)
            }
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            "primary header: Subject: outer",
            "mime header: Content-Type: multipart/mixed; boundary=\"b\"",
            "body body: preamble",
            "body body: --b",
            "mime header: Content-Type: text/plain; name=a.exe",
            "mime header: X-Part: p",
            "body body: text",
            "body body: --b",
            "mime header: Content-Type: message/rfc822",
            "nested header: Subject: inner",
            "mime header: Content-Type: text/html",
            "body body: inner text",
            "body body: --b--",
            "body body: epilogue",
        ]
    );
    let without = |slow| Rules { disable_mime_input_processing: true, ..rules(slow) };
    let (_, summary) = clean(&Arc::new(without(false)), &message(&envelope), &[MIXED.as_bytes()]);
    let headers = summary
        .events
        .iter()
        .filter(|event| matches!(event, Event::Acted { part: cleanup::Part::Header, .. }));
    assert_eq!(headers.count(), 3, "all behind the head is body");
}

#[test]
fn of_each_body_so_much_is_looked_at() {
    let rules = |slow| Rules {
        body_checks: checks(slow, "/line/ INFO\n"),
        body_checks_size_limit_bytes: 10,
        ..Rules::new("mx.example")
    };
    let content = "Content-Type: multipart/x; boundary=b\n\n--b\n\nline 1\nline 2\nline 3\n\
                   --b\n\nline 4\nline 5\nline 6\n--b--\n";
    let envelope = envelope();
    let (_, summary) = clean(&Arc::new(rules(false)), &message(&envelope), &[content.as_bytes()]);
    let lines: Vec<&str> = summary
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Acted { content, .. } => Some(&**content),
            _ => None,
        })
        .collect();
    // The empty line counts one, each line seven.
    assert_eq!(lines, ["line 1", "line 2", "line 4", "line 5"]);
}

#[test]
fn long_lines_are_looked_at_in_pieces() {
    let rules = |slow| Rules {
        body_checks: checks(slow, "/^(b+)$/ INFO\n"),
        line_length_limit_bytes: 512,
        ..Rules::new("mx.example")
    };
    let content = format!("S: x\n\n{}{}a\nbb\n", "a".repeat(512), "b".repeat(512));
    let envelope = envelope();
    for cut in [1, 100, 511, 512, 513, 5000] {
        let pieces: Vec<&[u8]> = content.as_bytes().chunks(cut).collect();
        let (stored, summary) = clean(&Arc::new(rules(false)), &message(&envelope), &pieces);
        assert!(stored.ends_with(content.as_bytes()));
        assert_eq!(summary.events.len(), 2, "pieces of {cut}");
    }
}

#[test]
fn a_table_that_is_away_lets_nothing_pass() {
    let rules = |_| Rules { header_checks: away(), ..Rules::new("mx.example") };
    check(
        rules,
        MESSAGE,
        expect![[r#"
        --
        warning: table pcre:/none: open /none: entity not found
        warning: ID: header_checks map lookup problem -- message not accepted, try again later
        451 4.3.0 Error: queue file write error
    "#]],
    );
    let rules = |_| Rules { body_checks: away(), ..Rules::new("mx.example") };
    let envelope = envelope();
    let (_, summary) = clean(&Arc::new(rules(false)), &message(&envelope), &[MESSAGE.as_bytes()]);
    assert_eq!(summary.verdict, Verdict::Refuse(cleanup::Refusal::unavailable()));
    assert!(summary.is_cut);
}

#[test]
fn who_does_not_wait_for_a_table_gets_nothing_accepted() {
    let rules = Arc::new(header_checks("/^X-/ WARN\n")(true));
    assert!(!rules.is_immediate());
    let envelope = envelope();
    let mut stored = Vec::new();
    let mut cleanup = cleanup::Cleanup::start(&rules, &message(&envelope), &mut stored);
    cleanup.put(MESSAGE.as_bytes(), &mut stored);
    assert!(cleanup.is_waiting());
    let summary = cleanup.finish(&mut stored);
    assert_eq!(summary.verdict, Verdict::Refuse(cleanup::Refusal::unavailable()));
    assert!(summary.is_cut);
    assert_eq!(stored, b"");
}

#[test]
fn broken_mime_is_refused_where_it_is_to_be() {
    let strict = Strict { seven_bit_headers: true, eight_bit_body: true, encoding_domain: true };
    let rules = move |_| Rules { strict, ..Rules::new("mx.example") };
    check(
        rules,
        "Subject: J\u{f6}rg\nContent-Type: multipart/x; boundary=b\n\
         Content-Transfer-Encoding: base64\n\n--b\n\n\u{e4}\n--b--\n",
        expect![[r#"
            Subject: J\xc3\xb6rg
            Content-Type: multipart/x; boundary=b
            Content-Transfer-Encoding: base64

            --b

            \xc3\xa4
            --b--
            --
            ID: reject: mime-error improper use of 8-bit data in message header: Subject: Jörg from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example>
            ID: reject: mime-error invalid message/* or multipart/* encoding domain: base64 from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example>
            ID: reject: mime-error improper use of 8-bit data in message body: ä from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example>
            550 5.6.0 improper use of 8-bit data in message header
        "#]],
    );
}

#[test]
fn a_head_that_ends_without_an_empty_line_is_mended_marked_or_refused() {
    let rules = |end| move |_| Rules { non_empty_end_of_head: end, ..Rules::new("mx.example") };
    check(
        rules(NonEmptyEndOfHead::AddHeader),
        "S: x\nno header\nX: y\n",
        expect![[r#"
        S: x
        MIME-Error: message header was not terminated by empty line

        no header
        X: y
        --
    "#]],
    );
    check(
        rules(NonEmptyEndOfHead::Reject),
        "S: x\nno header\nX: y\n",
        expect![[r#"
        S: x

        no header
        X: y
        --
        ID: reject: mime-error primary header was terminated with non-empty line: no header from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example>
        550 5.6.0 primary header was terminated with non-empty line
    "#]],
    );
}

#[test]
fn characters_are_stripped_or_refused_before_anything_sees_them() {
    let rules = |slow| Rules {
        strip_characters: Characters::parse(r"\0"),
        reject_characters: Characters::parse(r"\001"),
        header_checks: checks(slow, "/^Subject: ab$/ WARN\n"),
        ..Rules::new("mx.example")
    };
    check(
        rules,
        "Subject: a\0b\n\nbo\0dy\nbad\u{1} line\nmore\n",
        expect![[r#"
        Subject: ab

        body
        --
        ID: warning: header Subject: ab from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>
        ID: reject: content bad? line from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: 5.7.1 disallowed character
        550 5.7.1 disallowed character
        Orders { hold: false, filter: None, redirect: None, bcc: [], delay_secs: None, no_milters: true }
    "#]],
    );
}

/// As in Postfix, characters are among the checks that a rule can end, from the next line on.
#[test]
fn characters_stay_once_a_rule_has_ended_the_checks() {
    let rules = |slow| Rules {
        strip_characters: Characters::parse(r"\0"),
        reject_characters: Characters::parse(r"\001"),
        header_checks: checks(slow, "/^Subject: pass$/ PASS\n"),
        body_checks: checks(slow, "/^redirect$/ REDIRECT other@example.com\n"),
        ..Rules::new("mx.example")
    };
    check(
        rules,
        "Subject: pass\nX: a\0b\nX: a\0b\n\nbad\u{1} line\nlast\u{1}",
        expect![[r#"
        Subject: pass
        X: ab
        X: a\x00b

        bad\x01 line
        last\x01--
        ID: pass: header Subject: pass from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>
        Orders { hold: false, filter: None, redirect: None, bcc: [], delay_secs: None, no_milters: true }
    "#]],
    );
    check(
        rules,
        "Subject: x\n\na\0b\nredirect\na\0b\u{1}\nlast\n",
        expect![[r#"
        Subject: x

        ab
        redirect
        a\x00b\x01
        last
        --
        ID: redirect: body redirect from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: other@example.com
        Orders { hold: false, filter: None, redirect: Some(<other@example.com>), bcc: [], delay_secs: None, no_milters: true }
    "#]],
    );
}

#[test]
fn content_is_converted_at_once_where_that_is_forced() {
    let rules = |slow| Rules {
        force_mime_input_conversion: true,
        body_checks: checks(slow, "/=C3/ WARN\n"),
        ..Rules::new("mx.example")
    };
    check(
        rules,
        "Content-Transfer-Encoding: 8bit\nS: x\n\n\u{e4}\n",
        expect![[r#"
        S: x
        Content-Transfer-Encoding: quoted-printable

        =C3=A4
        --
        ID: warning: body =C3=A4 from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>
    "#]],
    );
}

#[test]
fn a_table_cannot_make_two_headers_of_one() {
    // What a sender wrote behind the fold would begin a line.
    check(
        header_checks("/^X-A: (.*\\n)\\s+(.*)/ REPLACE X-A: $1$2\n"),
        "X-A: one\n Bcc: two\n\nbody\n",
        expect![[r#"
            X-A: one
            	Bcc: two

            body
            --
            ID: replace: header X-A: one? Bcc: two from client.example[192.0.2.1]; from=<sender@client.example> to=<user@mx.example> proto=ESMTP helo=<helo.example>: X-A: one?Bcc: two
        "#]],
    );
}

#[test]
fn a_message_that_would_be_returned_is_read_to_its_end() {
    let rules = Arc::new(header_checks("/^Subject:/ REJECT no\n/^X-Last/ WARN\n")(false));
    let mut envelope = envelope();
    envelope.client.protocol = Protocol::Local;
    let message = Message { is_returned: true, ..message(&envelope) };
    let (stored, summary) = clean(&rules, &message, &[MESSAGE.as_bytes()]);
    assert!(stored.ends_with(MESSAGE.as_bytes()));
    let refused = cleanup::Refusal::new(550, Status(5, 7, 1), "no");
    assert_eq!(summary.verdict, Verdict::Refuse(refused));
    assert!(!summary.is_cut);
    assert_eq!(
        logged(&summary, &envelope),
        ["0C0FFEE0000001: reject: header Subject: one? two from local; \
          from=<sender@client.example> to=<user@mx.example>: 5.7.1 no"
            .replace("0C0FFEE", "C0FFEE")]
    );
}

#[test]
fn receive_override_options_switch_checks_off() {
    let rules = Rules {
        strict: Strict { seven_bit_headers: true, ..Strict::default() },
        reject_characters: Characters::parse("o"),
        ..header_checks("/./ REJECT no\n")(false)
    };
    let envelope = envelope();
    let receive = Receive { no_header_body_checks: true, ..Receive::default() };
    let message = Message { receive, ..message(&envelope) };
    let (_, summary) = clean(&Arc::new(rules), &message, &["Subject: \u{e4}\n\nx\n".as_bytes()]);
    assert_eq!((summary.verdict, summary.events), (Verdict::Accept, Vec::new()));
}

#[test]
fn one_message_writes_so_much_to_the_log_and_adds_so_many_recipients() {
    let envelope = envelope();
    let content = format!("S: x\n\n{}", "line\n".repeat(5000));
    let rules = body_checks("/line/ WARN\n")(false);
    let (_, summary) = clean(&Arc::new(rules), &message(&envelope), &[content.as_bytes()]);
    assert_eq!(summary.events.len(), cleanup::EVENTS_MAX + 1);
    let last = logged(&summary, &envelope).pop().unwrap_or_default();
    assert!(last.ends_with("4000 more actions of checks are not logged"), "{last}");
    let rules = body_checks("/line/ BCC x@example.com\n")(false);
    let (_, summary) = clean(&Arc::new(rules), &message(&envelope), &[content.as_bytes()]);
    assert_eq!(summary.orders.bcc.len(), cleanup::BCC_MAX);
}

/// Every rule about MIME, and checks that match nothing.
fn everything(slow: bool) -> Rules {
    let nothing = checks(slow, "/^no line is like this$/ REJECT\n");
    Rules {
        header_checks: nothing.clone(),
        mime_header_checks: nothing.clone(),
        nested_header_checks: nothing.clone(),
        body_checks: nothing,
        body_checks_size_limit_bytes: 0,
        strict: Strict { seven_bit_headers: true, eight_bit_body: true, encoding_domain: true },
        mime_limits: MimeLimits::default(),
        line_length_limit_bytes: 512,
        ..Rules::new("mx.example")
    }
}

/// What is stored where nothing is looked at.
fn untouched(content: &[u8]) -> Vec<u8> {
    let envelope = envelope();
    clean(&Arc::new(Rules::new("mx.example")), &message(&envelope), &[content]).0
}

#[test]
fn hostile_messages_are_read_in_bounded_time_and_stay_as_they_are() {
    let nested = |kind: &str| -> String {
        (0..2000).map(|n| format!("Content-Type: {kind}; boundary=b{n}x\n\n--b{n}x\n")).collect()
    };
    let long = "x".repeat(20_000);
    let parameters = "; name=value".repeat(8_000);
    let attacks = [
        nested("multipart/mixed"),
        nested("message/rfc822"),
        format!("Content-Type: multipart/x; boundary=b\n\n{}", "--b\nA: b\n\nx\n".repeat(100_000)),
        format!("Content-Type: multipart/x; boundary={long}\n\n--{long}\nA: b\n\nx\n--{long}--\n"),
        format!("Content-Type: text/plain{}\n\nx\n", parameters),
        format!("Content-Type: text/plain;{}\n\nx\n", " a=(".repeat(25_000)),
        format!(
            "Content-Type: multipart/x{}\n\n{}",
            "; boundary=bb".repeat(8000),
            "--b\n".repeat(100_000)
        ),
        format!("{}\n\nx\n", "A: b\n".repeat(50_000).trim_end()),
        format!("S: x\n\n{}", "-".repeat(5_000_000)),
        "\n".repeat(500_000),
    ];
    for content in attacks {
        let start = std::time::Instant::now();
        let envelope = envelope();
        let rules = Arc::new(everything(false));
        let pieces: Vec<&[u8]> = content.as_bytes().chunks(65_536).collect();
        let (stored, _) = clean(&rules, &message(&envelope), &pieces);
        let beginning: String = content.chars().take(60).collect();
        assert!(stored == untouched(content.as_bytes()), "{beginning}");
        // Unoptimised, on a busy machine: what must not happen is minutes.
        assert!(start.elapsed().as_secs() < 20, "{beginning}: {:?}", start.elapsed());
    }
}

#[test]
fn deep_messages_are_refused_where_headers_are_checked() {
    let deep: String = (0..200)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}x\n\n--b{n}x\n"))
        .collect();
    let envelope = envelope();
    let (_, summary) = clean(&Arc::new(everything(false)), &message(&envelope), &[deep.as_bytes()]);
    let refused = cleanup::Refusal::new(550, Status(5, 6, 0), "MIME nesting exceeds safety limit");
    assert_eq!(summary.verdict, Verdict::Refuse(refused));
}

fn messages() -> impl Strategy<Value = String> {
    "(Subject : x\n|A: b\n| folded\n|Content-Type: multipart/x; boundary=b\n|\
     Content-Type: multipart/digest; boundary=\"c d\"\n|Content-Type: message/rfc822\n|\
     Content-Transfer-Encoding: 8bit\n|\n|--b\n|--b--\n|--c d\n|>?From x\n|\
     [ -~\u{e4}\0]{0,40}\n|[a-z:\n ]{0,9}|x{600}){0,25}"
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn checks_that_find_nothing_change_nothing(content in messages()) {
        let envelope = envelope();
        let rules = Arc::new(everything(false));
        let (stored, _) = clean(&rules, &message(&envelope), &[content.as_bytes()]);
        prop_assert_eq!(
            stored.escape_ascii().to_string(),
            untouched(content.as_bytes()).escape_ascii().to_string()
        );
    }

    #[test]
    fn neither_cuts_nor_slow_tables_make_a_difference(content in messages(), cut in 1..70_usize) {
        let rules = |slow| {
            let some = checks(slow, "/[ab]/ WARN\n/^Subject/ REPLACE A: c\n/x/ STRIP\n/c/ PREPEND D: e\n");
            Arc::new(Rules {
                header_checks: some.clone(),
                mime_header_checks: some.clone(),
                nested_header_checks: some.clone(),
                body_checks: some,
                ..everything(slow)
            })
        };
        let envelope = envelope();
        let whole = clean(&rules(false), &message(&envelope), &[content.as_bytes()]);
        let pieces: Vec<&[u8]> = content.as_bytes().chunks(cut).collect();
        for slow in [false, true] {
            let again = clean(&rules(slow), &message(&envelope), &pieces);
            prop_assert_eq!(&again, &whole);
        }
    }
}
