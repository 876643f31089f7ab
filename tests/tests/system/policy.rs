//! Who may send what to whom.

use tests::{Server, Setup};

/// A host with one domain and a table of its users.
fn with_users() -> Server {
    Setup::new()
        .file("users", "# who is here\nknown@example.com example.com/known/\n@any.example any/\n")
        .main_cf(
            "virtual_mailbox_domains = example.com, any.example
             virtual_mailbox_maps = texthash:PLACE/users
             smtpd_error_sleep_time = 0",
        )
        .start()
}

#[test]
fn an_unknown_user_is_refused_at_rcpt() {
    let server = with_users();
    server.session().play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 2.1.0 Ok
         C: RCPT TO:<nobody@example.com>
         S: 550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in virtual mailbox table
         C: RCPT TO:<known@example.com>
         S: 250 2.1.5 Ok
         C: RCPT TO:<KNOWN@EXAMPLE.COM>
         S: 250 2.1.5 Ok
         C: RCPT TO:<anybody@any.example>
         S: 250 2.1.5 Ok
         C: QUIT
         S: 221 2.0.0 Bye
         S: closed",
    );
    server.wait_for_log(&["NOQUEUE: reject: RCPT from", "550 5.1.1 <nobody@example.com>"]);
}

#[test]
fn a_table_that_cannot_be_read_defers_and_never_refuses_or_accepts() {
    for table in ["texthash:PLACE/missing", "nosuchtype:PLACE/users"] {
        let server = Setup::new()
            .file("users", "known@example.com example.com/known/\n")
            .main_cf(&format!(
                "virtual_mailbox_domains = example.com
                 virtual_mailbox_maps = {table}, texthash:PLACE/users
                 smtpd_error_sleep_time = 0"
            ))
            .start();
        server.session().play(
            "C: MAIL FROM:<sender@client.example>
             S: 250 *
             C: RCPT TO:<nobody@example.com>
             S: 451 4.3.0 <nobody@example.com>: Temporary lookup failure",
        );
    }
}

/// Ways in which a host has been talked into relaying. None of these domains is the host's.
const RELAYING: [&str; 14] = [
    "<victim@else.example>",
    "<victim%else.example@else2.example>",
    "<@localhost:victim@else.example>",
    "<@localhost,@else2.example:victim@else.example>",
    "<\"victim@localhost\"@else.example>",
    "<victim@localhost.else.example>",
    "<victim@localhost@else.example>",
    "<victim@else.example.>",
    "<victim@[192.0.2.1]>",
    "<victim@[IPv6:2001:db8::1]>",
    "victim@else.example",
    "<victim@else.example@localhost@else.example>",
    "<victim@xn--else-9na.example>",
    "<victim@sub.example.com>",
];

#[test]
fn nobody_may_relay_whatever_the_address_looks_like() {
    for server in [with_users(), Setup::new().start()] {
        for recipient in RELAYING {
            let mut session = server.session();
            session.play("C: MAIL FROM:<known@example.com>\nS: 250 *");
            let reply = session.command(&format!("RCPT TO:{recipient}")).expect("a reply");
            assert_eq!(reply.code / 100, 5, "{recipient}: {:?}", reply.lines);
            assert_eq!(session.command("DATA").expect("a reply").code, 554, "{recipient}");
        }
        server.session().play(
            "C: MAIL FROM:<>
             S: 250 *
             C: RCPT TO:<victim@else.example>
             S: 554 5.7.1 <victim@else.example>: Relay access denied",
        );
        server.wait_for_log(&["554 5.7.1 <victim@else.example>: Relay access denied; from=<> to="]);
        assert_eq!(server.queue().len(), 0);
    }
}

#[test]
fn a_local_part_with_a_percent_or_an_at_is_a_user_like_any_other_and_goes_nowhere_else() {
    let server = Setup::new().start();
    for recipient in ["victim%else.example@localhost", "\"victim@else.example\"@localhost"] {
        server.session().play(&format!(
            "C: MAIL FROM:<>
             S: 250 *
             C: RCPT TO:<{recipient}>
             S: *"
        ));
    }
    assert!(server.log().iter().all(|line| !line.contains("to=<victim@else.example>")));
}

#[test]
fn an_address_cannot_name_a_path_outside_the_mailboxes() {
    let server = Setup::new().option("smtpd_error_sleep_time=0").start();
    for user in ["../escape", "..", "a/../../../escape", "/etc/escape", ".", "a/b/new/c"] {
        let mut session = server.session();
        session.play("C: MAIL FROM:<>\nS: 250 *");
        let reply = session.command(&format!("RCPT TO:<\"{user}\"@localhost>")).expect("a reply");
        if !reply.is_ok() {
            continue;
        }
        assert_eq!(session.command("DATA").expect("a reply").code, 354);
        session.send("Subject: escape\r\n\r\n.\r\n").expect("content");
        let reply = session.reply().expect("a reply");
        let id = reply.queue_id().unwrap_or_else(|| panic!("{user}: {:?}", reply.lines)).to_owned();
        server.wait_for_log(&[&id, "status="]);
    }
    for path in [server.setup.data(), server.setup.place(), std::path::Path::new("/etc")] {
        assert!(!path.join("escape").exists(), "in {}", path.display());
    }
    let base = server.mail_base();
    for name in tests::mailbox::maildirs(&base).keys() {
        assert!(name.starts_with("localhost"), "{}", name.display());
    }
    assert!(!base.join("localhost/new").exists(), "the domain is nobody's Maildir");
    assert!(!base.join("new").exists());
}

#[test]
fn the_address_of_a_stranger_is_never_run_or_expanded() {
    let server = Setup::new().option("smtpd_error_sleep_time=0").start();
    let mark = server.setup.place().join("ran");
    let mark = mark.to_string_lossy();
    for sender in [
        format!("\";touch {mark};\"@client.example"),
        format!("\"`touch {mark}`\"@client.example"),
        format!("\"$(touch {mark})\"@client.example"),
        format!("\"|touch {mark}\"@client.example"),
        "${myhostname}@client.example".to_owned(),
        "${run{/bin/false}}@client.example".to_owned(),
    ] {
        let mut session = server.session();
        let reply = session.mail(&sender, &["expand@localhost"], b"Subject: x\r\n\r\n");
        let reply = reply.expect("a reply");
        assert!(matches!(reply.code, 250 | 501), "{sender}: {:?}", reply.lines);
    }
    server.wait_until_drained();
    assert!(!std::path::Path::new(&*mark).exists());
    for mail in server.maildir("expand").mails() {
        let path = mail.header("Return-Path").expect("Return-Path");
        assert!(path.ends_with("@client.example>"), "{path}");
        assert!(path == "<${myhostname}@client.example>" || path.contains(['"', '{']), "{path}");
    }
}

#[test]
fn a_dollar_in_a_recipient_stays_a_dollar() {
    let server = Setup::new().start();
    server.accept(&["$domain@localhost", "${user}@localhost"], "Subject: dollar\r\n\r\n");
    server.maildir("$domain").wait_for_one();
    server.maildir("${user}").wait_for_one();
}

#[test]
fn vrfy_tells_no_more_than_rcpt_and_expn_nothing() {
    let server = with_users();
    server.session().play(
        "C: VRFY known@example.com
         S: 252 2.0.0 known@example.com
         C: VRFY nobody@example.com
         S: 550 5.1.1 *
         C: EXPN everybody
         S: 502 5.5.* *
         C: ETRN example.com
         S: 50* *",
    );
    Setup::new()
        .option("disable_vrfy_command=yes")
        .start()
        .session()
        .play("C: VRFY me@localhost\nS: 502 5.5.1 *");
}

#[test]
fn verbs_are_forbidden_and_ignored_by_tables_too() {
    let server = Setup::new()
        .file("verbs", "HELLO x\n")
        .main_cf(
            "virtual_mailbox_domains = example.com
            smtpd_forbidden_commands = texthash:PLACE/verbs, pcre:{{/^X-/ x}}
            smtpd_noop_commands = regexp:{{/^WIZ/ x}}, !QUITE, fail:away, STATIC",
        )
        .start();
    // Without the default's pattern, a digit is merely no command.
    server.session().play(
        "C: 123
         S: 500 5.5.2 *
         C: wizard
         S: 250 2.0.0 Ok
         C: QUITE
         S: 500 5.5.2 *
         C: STATIC
         S: 500 5.5.2 *
         C: hello there
         S: 221 2.7.0 *",
    );
    server.session().play("C: x-command\nS: 221 2.7.0 *");
}

#[test]
fn trust_is_not_given_to_those_who_ask_for_it() {
    Setup::new().start().session().play(
        "C: XCLIENT ADDR=192.0.2.1 NAME=spoofed.example
         S: 550 5.7.0 *
         C: XFORWARD ADDR=192.0.2.1
         S: 550 5.7.0 *
         C: AUTH PLAIN AGEAYgBj
         S: 503 5.5.1 *",
    );
}

#[test]
fn more_connections_than_one_client_may_have_are_refused_and_it_heals() {
    let server = Setup::new()
        .option("smtpd_client_event_limit_exceptions=")
        .option("smtpd_client_connection_count_limit=10")
        .start();
    let mut sessions: Vec<_> = (0..300).map(|_| server.connect()).collect();
    let codes: Vec<u16> = sessions.iter_mut().map(|s| s.reply().map_or(0, |r| r.code)).collect();
    let welcome = codes.iter().filter(|&&code| code == 220).count();
    let refused = codes.iter().filter(|&&code| code == 421).count();
    assert_eq!((welcome, refused), (10, 290), "{codes:?}");
    server.wait_for_log(&["warning: Connection concurrency limit exceeded:", "127.0.0.1"]);
    drop(sessions);
    tests::wait::until_true("a connection to be welcome again", || {
        tests::Session::greeted(server.port()).is_ok()
    });
}
