//! The log as tools for Postfix read it: fail2ban, pflogsumm, and whoever takes JSON.

use std::fs;

use tests::peer::run;
use tests::session::matches;
use tests::{Server, Setup};

/// Accepted, refused, unknown, broken off: a morning at a mail host.
fn morning() -> Server {
    let server = Setup::new()
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = inline:{ a@example.com=example.com/a/, b@example.com=example.com/b/ }
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0",
        )
        .start();
    for _ in 0..5 {
        let to = ["a@example.com", "b@example.com"];
        server.accept(&to, "Subject: logged\r\nMessage-ID: <1@client.example>\r\n\r\nhello\r\n");
    }
    for recipient in ["nobody@example.com", "victim@else.example"] {
        for _ in 0..3 {
            let mut session = server.session();
            session.play("C: MAIL FROM:<sender@client.example>\nS: 250 *");
            let reply = session.command(&format!("RCPT TO:<{recipient}>")).expect("a reply");
            assert_eq!(reply.code / 100, 5);
            session.play("C: QUIT\nS: 221 *\nS: closed");
        }
    }
    let mut session = server.session();
    session.play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<a@example.com>
         S: 250 *
         C: DATA
         S: 354 *",
    );
    drop(session);
    server.wait_until_drained();
    server.wait_for_log(&["lost connection after DATA"]);
    server
}

/// What stands behind `host `, less the number in brackets.
fn services_and_bodies(server: &Server) -> Vec<(String, String)> {
    let parse = |line: &String| {
        let (head, body) = line.split_once("]: ")?;
        let service = head.rsplit(' ').next()?.split('[').next()?;
        Some((service.to_owned(), body.to_owned()))
    };
    server.log().iter().filter_map(parse).collect()
}

#[test]
fn a_message_s_life_is_told_in_postfix_s_lines() {
    let server = Setup::new().start();
    let content = "Subject: life\r\nMessage-ID: <life@client.example>\r\n\r\nhello\r\n";
    let mut session = server.session();
    let reply = session.mail("sender@client.example", &["me@localhost"], content.as_bytes());
    let id = reply.expect("a reply").queue_id().expect("a queue id").to_owned();
    session.play("C: QUIT\nS: 221 *\nS: closed");
    server.wait_for_log(&["disconnect from"]);
    server.wait_for_log(&[&id, "removed"]);
    let lines = services_and_bodies(&server);
    for (service, pattern) in [
        ("postfix/smtpd", "connect from unknown[127.0.0.1]".to_owned()),
        ("postfix/smtpd", format!("{id}: client=unknown[127.0.0.1]")),
        ("postfix/cleanup", format!("{id}: message-id=<life@client.example>")),
        (
            "postfix/qmgr",
            format!("{id}: from=<sender@client.example>, size=*, nrcpt=1 (queue active)"),
        ),
        (
            "postfix/virtual",
            format!(
                "{id}: to=<me@localhost>, relay=virtual, delay=*, delays=*/*/*/*, dsn=2.0.0, \
                 status=sent (delivered to maildir)"
            ),
        ),
        ("postfix/qmgr", format!("{id}: removed")),
        (
            "postfix/smtpd",
            "disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"
                .to_owned(),
        ),
    ] {
        let found = lines.iter().any(|(who, body)| who == service && matches(&pattern, body));
        assert!(found, "{service}: {pattern}\nin {lines:#?}");
    }
    let order = |part: &str| {
        let wanted = format!("{id}: {part}");
        lines.iter().position(|(_, body)| body.starts_with(&wanted)).expect("checked above")
    };
    assert!(order("client=") < order("from="), "{lines:#?}");
    assert!(order("from=") < order("to="), "{lines:#?}");
    assert!(order("to=") < order("removed"), "{lines:#?}");
}

#[test]
fn the_number_in_brackets_is_the_session_s() {
    let server = Setup::new().start();
    let mut first = server.session();
    let mut second = server.session();
    first.play("C: QUIT\nS: 221 *\nS: closed");
    second.play("C: QUIT\nS: 221 *\nS: closed");
    let ends = || server.log().iter().filter(|line| line.contains("disconnect from")).count();
    tests::wait::until_true("both sessions to end", || ends() == 2);
    let numbers = |word: &str| {
        let mut numbers: Vec<String> = server
            .log()
            .iter()
            .filter(|line| line.contains(&format!("]: {word} from unknown")))
            .filter_map(|line| Some(line.split_once("smtpd[")?.1.split_once(']')?.0.to_owned()))
            .collect();
        numbers.sort();
        numbers
    };
    let connected = numbers("connect");
    assert_eq!(connected.len(), 2);
    assert_ne!(connected[0], connected[1]);
    assert_eq!(connected, numbers("disconnect"));
}

#[test]
fn nothing_that_a_stranger_says_starts_or_forges_a_log_line() {
    let server = Setup::new().option("smtpd_error_sleep_time=0").start();
    let mut session = server.connect();
    session.play("S: 220 *");
    for line in [
        &b"EHLO a\x1b[31mb\x07\r\n"[..],
        b"MAIL FROM:<\"a\x1bb\"@client.example>\r\n",
        b"MAIL FROM:<a@client.example>\r\n",
        b"RCPT TO:<x\x7fy@else.example>\r\n",
        b"RCPT TO:<\"x\ty\"@else.example>\r\n",
        b"F\x1bOO\rNov 20 00:00:00 host postfix/smtpd[1]: forged\r\n",
    ] {
        session.send(line).expect("a command");
        session.reply().expect("a reply");
    }
    session.play(
        "C: RCPT TO:<me@localhost>
         S: 250 *
         C: DATA
         S: 354 *",
    );
    session.send(b"Message-ID: <a\x1b\x07@b>\r\nSubject: x\r\n\r\n.\r\n").expect("content");
    let id = session.reply().expect("a reply").queue_id().expect("a queue id").to_owned();
    server.wait_for_log(&[&id, "removed"]);
    let bytes = fs::read(server.setup.data().join("mail.log")).expect("the log");
    let odd: Vec<u8> =
        bytes.iter().copied().filter(|byte| byte.is_ascii_control() && *byte != b'\n').collect();
    assert_eq!(odd, Vec::<u8>::new());
    assert!(!server.log().iter().any(|line| line.starts_with("Nov 20 00:00:00 host")));
}

#[test]
fn fail2ban_finds_those_who_were_refused() {
    let server = morning();
    let log = server.setup.data().join("mail.log").to_string_lossy().into_owned();
    let filter = "/etc/fail2ban/filter.d/postfix.conf[mode=more]";
    let out = run("fail2ban-regex", ["--print-all-matched", &log, filter]).expect_ok();
    let matched = out
        .lines()
        .find_map(|line| line.strip_prefix("Lines: ")?.split(", ").nth(2))
        .unwrap_or_else(|| panic!("{out}"));
    // Three unknown users, three tries to relay.
    assert_eq!(matched, "6 matched", "{out}");
    assert!(out.contains("Date template hits:"), "{out}");
}

#[test]
fn pflogsumm_counts_what_happened() {
    let server = morning();
    let log = server.setup.data().join("mail.log").to_string_lossy().into_owned();
    let out = run("pflogsumm", ["--smtpd-stats", &log]).expect_ok();
    let count = |what: &str| {
        let line = out.lines().find(|line| line.trim_end().ends_with(what) || line.contains(what));
        line.and_then(|line| line.split_whitespace().next()).map(str::to_owned)
    };
    for (what, wanted) in [
        // One of them was broken off; Postfix's log would have it counted too.
        ("received", "6"),
        ("delivered", "10"),
        ("deferred", "0"),
        ("bounced", "0"),
        ("rejected (", "6"),
        ("recipients", "2"),
        ("senders", "1"),
    ] {
        assert_eq!(count(&format!("  {what}")).as_deref(), Some(wanted), "{what} in\n{out}");
    }
    assert!(out.contains("User unknown in virtual mailbox table (total: 3)"), "{out}");
    assert!(out.contains("Relay access denied (total: 3)"), "{out}");
}

#[test]
fn the_json_log_tells_the_same_in_objects() {
    let server = Setup::new().argument("--log").argument("json").start();
    let id = server.accept(&["me@localhost"], "Subject: json\r\nMessage-ID: <j@x>\r\n\r\n");
    server.wait_for_log(&[&id, "removed"]);
    let objects: Vec<serde_json::Value> = server
        .log()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let about: Vec<_> = objects.iter().filter(|object| object.to_string().contains(&id)).collect();
    assert!(about.len() >= 5, "client, message-id, from, to, removed: {about:#?}");
    let text = |object: &serde_json::Value| object.to_string();
    assert!(about.iter().any(|o| text(o).contains("me@localhost") && text(o).contains("sent")));
    assert!(about.iter().all(|object| object.is_object()));
}

#[test]
fn one_line_is_printed_for_each_delivery() {
    let server = Setup::new().start();
    let id = server.accept(&["a@localhost", "b@localhost"], "Subject: out\r\n\r\n");
    server.wait_for_output(&[&id, "to=<a@localhost>", "status=sent"]);
    server.wait_for_output(&[&id, "to=<b@localhost>", "status=sent"]);
    let lines = server.output();
    assert_eq!(lines.iter().filter(|line| line.contains(&id)).count(), 2, "{lines:#?}");
}
#[test]
fn a_log_that_was_moved_away_is_opened_again_when_asked() {
    let server = Setup::new().start();
    let first = server.accept(&["a@localhost"], "Subject: first\r\n\r\n");
    server.wait_for_log(&[&first, "removed"]);
    let log = server.setup.data().join("mail.log");
    let moved = server.setup.data().join("mail.log.1");
    fs::rename(&log, &moved).expect("rotation");
    server.main_process().signal(rustix::process::Signal::USR1);
    let mut sent = 0;
    tests::wait::until_true("lines in the new file", || {
        sent += 1;
        let id = server.accept(&["a@localhost"], "Subject: next\r\n\r\n");
        tests::wait::within(std::time::Duration::from_secs(1), || {
            server.log().iter().any(|line| line.contains(&id)).then_some(())
        })
        .is_some()
    });
    assert!(fs::read_to_string(&moved).expect("the old log").contains(&first));
    assert!(sent < 10, "{sent} messages until it was noticed");
}

/// Who checks mail to find out what is wrong with it wants to know, the more so where nothing comes of it.
#[test]
fn what_checks_find_is_logged_whatever_becomes_of_the_message() {
    let server = Setup::new()
        .file(
            "checks",
            "/^X-Copy:/ BCC copy@example.com\n/^X-(Warn):/ WARN $1\n/^X-No:/ REJECT no\n",
        )
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_template = %d/%u/
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             header_checks = regexp:PLACE/checks
             message_size_limit = 5000000
             # Away for these alone.
             virtual_alias_maps = pipemap:{inline:{copy@example.com=x},fail:away}
             sender_bcc_maps = pipemap:{inline:{away@client.example=x},fail:away}
             smtpd_error_sleep_time = 0",
        )
        .start();
    let small = "x\n".to_owned();
    let large = "x\n".repeat(1 << 20);
    let later = "451 4.3.0 Error: Temporary lookup failure";
    let kept = "sender@client.example";
    for (number, (from, head, body, answer)) in [
        (kept, "", &small, "250 2.0.0 Ok"),
        (kept, "", &large, "250 2.0.0 Ok"),
        (kept, "X-Copy: x\n", &small, later),
        (kept, "X-Copy: x\n", &large, later),
        (kept, "X-No: x\n", &small, "550 5.7.1 no"),
        (kept, "X-No: x\n", &large, "550 5.7.1 no"),
        ("away@client.example", "", &large, later),
        (kept, "", &large.repeat(3), "552 5.3.4"),
    ]
    .into_iter()
    .enumerate()
    {
        let content = format!("Message-ID: <{number}@x>\nX-Warn: {number}\n{head}\n{body}");
        let reply = server.session().mail(from, &["a@example.com"], content.as_bytes());
        let reply = reply.expect("a reply");
        assert!(reply.last().starts_with(answer), "{number}: {reply:?}");
        let found =
            format!(": warning: header X-Warn: {number} from unknown[127.0.0.1]; from=<{from}> ");
        let line =
            server.wait_for_log(&[&found, "to=<a@example.com> proto=ESMTP helo=<", ">: Warn"]);
        let id = line.split("]: ").nth(1).and_then(|it| it.split(':').next()).expect("an id");
        server.wait_for_log(&[&format!("{id}: message-id=<{number}@x>")]);
        assert_eq!(server.log().iter().filter(|line| line.contains(&found)).count(), 1, "{number}");
    }
    // Postfix does not look at content either whose envelope it could not make: there is nothing to tell.
    let content = b"X-Warn: unseen\r\n\r\nx\r\n";
    let reply = server.session().mail("away@client.example", &["a@example.com"], content);
    assert!(reply.expect("a reply").last().starts_with(later));

    // A client that goes away in the midst of it.
    let mut session = server.session();
    session.play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<a@example.com>
         S: 250 *
         C: DATA
         S: 354 *",
    );
    session.send(format!("X-Warn: lost\r\n\r\n{}", "x\r\n".repeat(1 << 20))).expect("content");
    drop(session);
    server.wait_for_log(&["warning: header X-Warn: lost from", ">: Warn"]);
    assert!(!server.log().iter().any(|line| line.contains("unseen")));
}
