//! What becomes of a message, byte for byte.

use std::net::SocketAddr;
use std::sync::Arc;

use cleanup::{Cleanup, Message, Rules, Summary, Zone};
use expect_test::{Expect, expect};
use mail::{Address, Body, Client, Envelope, Protocol, QueueId, Recipient, Time};
use proptest::collection::vec;
use proptest::prelude::*;

/// A message as it stands before cleanup.
struct Case {
    rules: Rules,
    envelope: Envelope,
    from_own_client: bool,
    user_id: Option<u32>,
    zone: Zone<'static>,
}

impl Case {
    fn new() -> Self {
        Self {
            rules: Rules::new("mx.example"),
            envelope: Envelope {
                sender: Some(address("sender@client.example")),
                recipients: vec![Recipient::new(address("user@mx.example"))],
                arrival: Time::default(),
                client: Client {
                    name: "client.example".into(),
                    address: Some(socket("192.0.2.1:50000")),
                    helo: "helo.example".into(),
                    protocol: Protocol::Esmtp,
                },
                body: Body::SevenBit,
                smtputf8: false,
                ret: None,
                envid: None,
                filter: None,
                not_before: None,
            },
            from_own_client: false,
            user_id: None,
            zone: Zone::UTC,
        }
    }

    fn own_client() -> Self {
        Self { from_own_client: true, ..Self::new() }
    }

    fn clean(&self, pieces: &[&[u8]]) -> (Vec<u8>, Summary) {
        let rules = Arc::new(self.rules.clone());
        let mut stored = Vec::new();
        let message = Message {
            from_own_client: self.from_own_client,
            user_id: self.user_id,
            ..Message::new(
                QueueId::from_u64(0x000C_0FFE_E000_0001),
                &self.envelope,
                Time::from_secs(1_795_174_274),
                self.zone,
            )
        };
        let mut cleanup = Cleanup::start(&rules, &message, &mut stored);
        for piece in pieces {
            cleanup.put(piece, &mut stored);
        }
        let summary = cleanup.finish(&mut stored);
        assert_eq!(summary.size_bytes, stored.len() as u64);
        (stored, summary)
    }

    fn check(&self, content: &str, expected: Expect) {
        let (stored, summary) = self.clean(&[content.as_bytes()]);
        let byte_by_byte: Vec<&[u8]> = content.as_bytes().chunks(1).collect();
        assert_eq!(self.clean(&byte_by_byte), (stored.clone(), summary.clone()));
        let mut text: String = stored
            .split_inclusive(|&b| b == b'\n')
            .map(|line| format!("{}\n", shown(line)))
            .collect();
        text.push_str("--\n");
        for (name, value) in [
            ("message-id", Some(summary.message_id.to_string())),
            ("resent-message-id", summary.resent_message_id.map(String::from)),
            ("hops", (summary.hops > 1).then(|| summary.hops.to_string())),
            ("too many hops", summary.too_many_hops.then(String::new)),
            ("delivered-to", summary.has_delivered_to.then(String::new)),
            ("header cut", summary.header_cut.then(String::new)),
        ] {
            if let Some(value) = value {
                text.push_str(format!("{name}: {value}").trim_end());
                text.push('\n');
            }
        }
        expected.assert_eq(&text);
    }
}

/// One stored line, everything unusual escaped, and marked where it does not end.
fn shown(line: &[u8]) -> String {
    match line.strip_suffix(b"\n") {
        Some(line) => line.escape_ascii().to_string().replace("\\t", "\t"),
        None => format!("{}<no line ending>", line.escape_ascii()),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).expect("an address")
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

#[test]
fn a_message_from_elsewhere_gets_a_received_header_and_nothing_else() {
    Case::new().check(
        "Subject: x\nFrom: a@b\n\nbody\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Subject: x
        From: a@b

        body
        --
        message-id:
    "#]],
    );
}

#[test]
fn several_recipients_are_not_betrayed_to_each_other() {
    let mut case = Case::new();
    case.envelope.recipients.push(Recipient::new(address("other@mx.example")));
    case.check(
        "\nbody\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001;
        	Fri, 20 Nov 2026 11:31:14 +0000 (UTC)

        body
        --
        message-id:
    "#]],
    );
}

#[test]
fn received_names_the_client_as_it_came() {
    let mut case = Case::new();
    case.envelope.client = Client {
        name: "unknown".into(),
        address: Some(socket("[2001:db8::1]:25")),
        helo: "".into(),
        protocol: Protocol::Smtp,
    };
    case.zone = Zone { offset_secs: -12_600, name: "NST" };
    case.check(
        "",
        expect![[r#"
        Received: from unknown (unknown [IPv6:2001:db8::1])
        	by mx.example (ringpost) with SMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 08:01:14 -0330 (NST)
        --
        message-id:
    "#]],
    );
    case.envelope.client.address = Some(socket("[::ffff:192.0.2.1]:25"));
    case.envelope.client.protocol = Protocol::Utf8Smtp;
    case.envelope.recipients = vec![Recipient::new(address("\u{e9}@mx.example"))];
    case.check(
        "",
        expect![[r#"
        Received: from unknown (unknown [192.0.2.1])
        	by mx.example (ringpost) with UTF8SMTP id C0FFEE0000001
        	for <\xc3\xa9@mx.example>; Fri, 20 Nov 2026 08:01:14 -0330 (NST)
        --
        message-id:
    "#]],
    );
    case.envelope.client.protocol = Protocol::Local;
    case.check(
        "",
        expect![[r#"
        Received: by mx.example (ringpost)
        	id C0FFEE0000001; Fri, 20 Nov 2026 08:01:14 -0330 (NST)
        --
        message-id:
    "#]],
    );
    case.user_id = Some(1000);
    case.check(
        "",
        expect![[r#"
        Received: by mx.example (ringpost, from userid 1000)
        	id C0FFEE0000001; Fri, 20 Nov 2026 08:01:14 -0330 (NST)
        --
        message-id:
    "#]],
    );
}

#[test]
fn our_own_clients_get_what_their_messages_lack() {
    Case::own_client().check(
        "Subject: x\n\nbody\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Subject: x
        Message-Id: <20261120113114.C0FFEE0000001@mx.example>
        Date: Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        From: sender@client.example

        body
        --
        message-id: <20261120113114.C0FFEE0000001@mx.example>
    "#]],
    );
    let mut case = Case::own_client();
    case.envelope.sender = None;
    case.rules.undisclosed_recipients_header = "To: undisclosed-recipients:;".into();
    case.check(
        "",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Message-Id: <20261120113114.C0FFEE0000001@mx.example>
        Date: Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        From: MAILER-DAEMON@mx.example
        To: undisclosed-recipients:;
        --
        message-id: <20261120113114.C0FFEE0000001@mx.example>
    "#]],
    );
    case.check(
        "message-id: <1@b>\nDATE: now\nFrom : a@b\nCC: c@d\n\nbody\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        message-id: <1@b>
        DATE: now
        From : a@b
        CC: c@d

        body
        --
        message-id: <1@b>
    "#]],
    );
}

#[test]
fn a_resent_message_is_completed_as_such() {
    Case::own_client().check(
        "Resent-To: c@d\nFrom: a@b\nDate: then\nMessage-ID: <1@b>\n\nbody\n",
        expect![[r#"
            Received: from helo.example (client.example [192.0.2.1])
            	by mx.example (ringpost) with ESMTP id C0FFEE0000001
            	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
            Resent-To: c@d
            From: a@b
            Date: then
            Message-ID: <1@b>
            Resent-Message-Id: <20261120113114.C0FFEE0000001@mx.example>
            Resent-Date: Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
            Resent-From: sender@client.example

            body
            --
            message-id: <1@b>
            resent-message-id: <20261120113114.C0FFEE0000001@mx.example>
        "#]],
    );
    Case::own_client().check(
        "Resent-From: c@d\nResent-Date: now\nResent-Message-ID: <2@d>\n\n",
        expect![[r#"
            Received: from helo.example (client.example [192.0.2.1])
            	by mx.example (ringpost) with ESMTP id C0FFEE0000001
            	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
            Resent-From: c@d
            Resent-Date: now
            Resent-Message-ID: <2@d>

            --
            message-id:
            resent-message-id: <2@d>
        "#]],
    );
}

#[test]
fn headers_that_must_not_travel_are_dropped_with_their_folds() {
    Case::new().check(
        "Subject: x\nBcc: secret@example,\n\tsecond@example\nReturn-Path: <x@y>\nContent-Length: 9\nX: y\n\nBcc: body\n",
        expect![[r#"
            Received: from helo.example (client.example [192.0.2.1])
            	by mx.example (ringpost) with ESMTP id C0FFEE0000001
            	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
            Subject: x
            X: y

            Bcc: body
            --
            message-id:
        "#]],
    );
}

#[test]
fn a_message_without_headers_gets_the_empty_line_that_ends_them() {
    Case::new().check(
        "no header\nBcc: body\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)

        no header
        Bcc: body
        --
        message-id:
    "#]],
    );
    Case::new().check(
        " a line that must not fold onto ours\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)

         a line that must not fold onto ours
        --
        message-id:
    "#]],
    );
    Case::new().check(
        "Subject: x\nno header\n\nbody\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Subject: x

        no header

        body
        --
        message-id:
    "#]],
    );
    Case::new().check(
        "Subject",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)

        Subject
        --
        message-id:
    "#]],
    );
}

#[test]
fn a_head_without_body_stays_without() {
    Case::new().check(
        "Subject: x\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Subject: x
        --
        message-id:
    "#]],
    );
    Case::new().check(
        "\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)

        --
        message-id:
    "#]],
    );
}

#[test]
fn a_mailbox_line_becomes_a_header() {
    Case::new().check(
        "From sender Fri Nov 20\nSubject: x\n\nFrom body\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        X-Mailbox-Line: From sender Fri Nov 20
        Subject: x

        From body
        --
        message-id:
    "#]],
    );
    Case::new().check(
        ">>From sender\n folded\nSubject: x\n\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        X-Mailbox-Line: >>From sender
         folded
        Subject: x

        --
        message-id:
    "#]],
    );
    Case::new().check(
        "Subject: x\nFrom sender\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Subject: x

        From sender
        --
        message-id:
    "#]],
    );
}

#[test]
fn every_other_byte_passes() {
    Case::new().check(
        "X: \0\x01\u{ff}\n\n\0\x01\u{ff}\n\n\nno end",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        X: \x00\x01\xc3\xbf

        \x00\x01\xc3\xbf


        no end<no line ending>
        --
        message-id:
    "#]],
    );
}

#[test]
fn the_message_id_is_fit_for_the_log() {
    Case::new().check(
        "Message-ID:\n\t<1@b>\x1b[2J\n forged: line\n\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Message-ID:
        	<1@b>\x1b[2J
         forged: line

        --
        message-id: <1@b>?[2J? forged: line
    "#]],
    );
    Case::new().check(
        "Message-ID: \n\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Message-ID: 

        --
        message-id:
    "#]],
    );
}

#[test]
fn a_loop_is_seen_by_its_hops() {
    let hops = |count: usize| {
        format!("{}Delivered-To: user@mx.example\n\n", "Received: x\n".repeat(count))
    };
    let (_, summary) = Case::new().clean(&[hops(48).as_bytes()]);
    assert!(summary.hops == 49 && !summary.too_many_hops && summary.has_delivered_to);
    let (_, summary) = Case::new().clean(&[hops(49).as_bytes()]);
    assert!(summary.hops == 50 && summary.too_many_hops);
    let in_body = format!("Subject: x\n\n{}", hops(100));
    let (_, summary) = Case::new().clean(&[in_body.as_bytes()]);
    assert!(summary.hops == 1 && !summary.has_delivered_to);
}

#[test]
fn a_header_is_cut_at_its_limit_and_the_body_is_not() {
    let mut case = Case::new();
    case.rules.header_size_limit_bytes = 40;
    case.check(
        "X: 34567890123456789012345678901234567890 cut\n\tall of it\nSubject: kept\n\nbody is longer than the limit, and stays as it is\n",
        expect![[r#"
            Received: from helo.example (client.example [192.0.2.1])
            	by mx.example (ringpost) with ESMTP id C0FFEE0000001
            	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
            X: 3456789012345678901234567890123456789
            Subject: kept

            body is longer than the limit, and stays as it is
            --
            message-id:
            header cut:
        "#]],
    );
    case.check(
        "X: 3456789012345678901234567890123456\n\ta fold beyond\n\tand another\n\n",
        expect![[r#"
            Received: from helo.example (client.example [192.0.2.1])
            	by mx.example (ringpost) with ESMTP id C0FFEE0000001
            	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
            X: 3456789012345678901234567890123456

            --
            message-id:
            header cut:
        "#]],
    );
}

#[test]
fn a_header_keeps_its_name_however_low_the_limit() {
    let mut case = Case::new();
    case.rules.header_size_limit_bytes = 4;
    case.check(
        "Subject : 1\n 2\nX: 3\n\n",
        expect![[r#"
        Received: from helo.example (client.example [192.0.2.1])
        	by mx.example (ringpost) with ESMTP id C0FFEE0000001
        	for <user@mx.example>; Fri, 20 Nov 2026 11:31:14 +0000 (UTC)
        Subject :
        X: 3

        --
        message-id:
        header cut:
    "#]],
    );
}

#[test]
fn a_line_without_end_costs_no_more_than_a_header_may() {
    let line =
        b"X: ".iter().copied().chain(std::iter::repeat_n(b'x', 5_000_000)).collect::<Vec<u8>>();
    let pieces: Vec<&[u8]> = line.chunks(4096).collect();
    let (stored, summary) = Case::new().clean(&pieces);
    assert!(summary.header_cut && stored.len() < 102_400 + 300);
    let (stored, summary) = Case::new().clean(&[&line[..]]);
    assert!(summary.header_cut && stored.len() < 102_400 + 300);
    // The same without a colon is a body, and stays.
    let line = vec![b'x'; 5_000_000];
    let pieces: Vec<&[u8]> = line.chunks(4096).collect();
    let (stored, summary) = Case::new().clean(&pieces);
    assert!(!summary.header_cut && stored.ends_with(&line));
}

/// Heads and bodies in which everything that matters is frequent.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(&b"Subject: x"[..]),
        Just(&b"Received: y"[..]),
        Just(&b"Message-ID: <1@b>"[..]),
        Just(&b"Bcc: x"[..]),
        Just(&b"From x"[..]),
        Just(&b">From x"[..]),
        Just(&b" folded"[..]),
        Just(&b"\t"[..]),
        Just(&b"no header"[..]),
        Just(&b"name :"[..]),
        Just(&b": no name"[..]),
        Just(&b"\0\xff"[..]),
        Just(&b""[..]),
    ];
    vec(line, 0..12)
        .prop_map(|lines| lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect())
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_how_content_is_cut(
        content in content(),
        cuts in vec(any::<usize>(), 0..10),
        from_own_client in any::<bool>(),
    ) {
        let case = Case { from_own_client, ..Case::new() };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (content.len() + 1)).collect();
        at.extend([0, content.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &content[pair[0]..pair[1]]).collect();
        prop_assert_eq!(case.clean(&pieces), case.clean(&[&content]));
    }

    #[test]
    fn a_body_is_what_it_was(
        head in vec("[A-Za-z-]{1,12}: [a-z ]{0,20}\n", 0..8),
        body in vec(any::<u8>(), 0..2000),
    ) {
        let content = [head.concat().as_bytes(), b"\n", &body].concat();
        let (stored, _) = Case::own_client().clean(&[&content]);
        let end = [b"\n\n", &body[..]].concat();
        prop_assert!(stored.ends_with(&end));
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line_and_every_line_in_it_is_a_header(content in content()) {
        let (stored, _) = Case::new().clean(&[&content]);
        for line in stored.split(|&b| b == b'\n').take_while(|line| !line.is_empty()) {
            let name = line.split(|&b| b == b':').next().unwrap_or_default();
            let folded = line[0] == b' ' || line[0] == b'\t';
            prop_assert!(folded || line.contains(&b':') && !name.is_empty(), "{}", line.escape_ascii());
        }
    }
}
