//! Where recipients go: classes, aliases, copies, transports that deliver nothing, filters.

use tests::{Server, Setup, wait};

const MAIN_CF: &str = "mydestination = local.example
    virtual_mailbox_domains = example.com
    virtual_mailbox_template = %d/%u/
    virtual_uid_maps = static:65534
    virtual_gid_maps = static:65534
    virtual_alias_domains = alias.example
    relay_domains = relay.example";

fn start(more: &str) -> Server {
    Setup::new().main_cf(&format!("{MAIN_CF}\n{more}")).start()
}

/// The code and text of the answer to RCPT.
fn rcpt(server: &Server, to: &str) -> String {
    let mut session = server.session();
    session.command("MAIL FROM:<sender@client.example>").expect("a reply");
    let reply = session.command(&format!("RCPT TO:<{to}>")).expect("a reply");
    reply.last().to_owned()
}

#[test]
fn each_class_answers_for_its_own_recipients() {
    let server = start(
        "local_recipient_maps = inline:{ root=x }
        relay_recipient_maps = inline:{ user@relay.example=x }
        virtual_alias_maps = inline:{ list@alias.example=a@example.com }
        unknown_relay_recipient_reject_code = 450",
    );
    for (to, code, text) in [
        ("list@alias.example", "250", "Ok"),
        (
            "other@alias.example",
            "550",
            "5.1.1 <other@alias.example>: Recipient address rejected: User unknown in virtual alias table",
        ),
        ("other@local.example", "550", "User unknown in local recipient table"),
        // There is no agent for them yet: later, and not never.
        ("root@local.example", "451", "4.3.5"),
        ("user@relay.example", "451", "4.3.5"),
        (
            "other@relay.example",
            "450",
            "4.1.1 <other@relay.example>: Recipient address rejected: User unknown in relay recipient table",
        ),
        ("user@elsewhere.example", "554", "5.7.1 <user@elsewhere.example>: Relay access denied"),
        ("user%elsewhere.example@local.example", "554", "Relay access denied"),
        ("a@example.com", "250", "Ok"),
    ] {
        let said = rcpt(&server, to);
        assert!(said.starts_with(code) && said.contains(text), "{to}: {said}");
    }
}

#[test]
fn aliases_are_expanded_and_copies_made_and_nobody_gets_a_message_twice_under_one_name() {
    let server = start(
        "virtual_alias_maps = inline:{ { list@alias.example = a@example.com, b@example.com, a@example.com } }
        recipient_bcc_maps = inline:{ list@alias.example=archive@example.com }
        always_bcc = all@example.com",
    );
    server.accept(&["list@alias.example", "b@example.com"], "Subject: x\n\nx\n");
    // b is there under two names, and each of them gets a copy that says so (enable_original_recipient).
    for (user, copies) in [("a", 1), ("b", 2), ("archive", 1), ("all", 1)] {
        assert_eq!(server.maildir_at("example.com", user).wait_for(copies).len(), copies, "{user}");
    }
    let line = server.wait_for_log(&["to=<a@example.com>", "orig_to=<list@alias.example>"]);
    assert!(line.contains("status=sent"), "{line}");
}

#[test]
fn copies_that_checks_want_follow_aliases_and_redirected_mail_goes_to_one_address() {
    let server = Setup::new()
        .file(
            "checks",
            "/^Subject: copy/ BCC list@alias.example\n/^Subject: same/ BCC all@example.com\n\
             /^Subject: other/ REDIRECT c@example.com\n",
        )
        .main_cf(&format!(
            "{MAIN_CF}
            virtual_alias_maps = inline:{{ list@alias.example=b@example.com }}
            always_bcc = all@example.com
            header_checks = regexp:PLACE/checks"
        ))
        .start();
    let users = |expected: [(&str, usize); 4]| {
        for (user, copies) in expected {
            let found = server.maildir_at("example.com", user).wait_for(copies).len();
            assert_eq!(found, copies, "{user}");
        }
    };
    server.accept(&["a@example.com"], "Subject: copy\n\nx\n");
    users([("a", 1), ("b", 1), ("all", 1), ("c", 0)]);
    // One that has a file of its own.
    server.accept(&["a@example.com"], format!("Subject: copy\n\n{}", "x\n".repeat(1 << 20)));
    users([("a", 2), ("b", 2), ("all", 2), ("c", 0)]);
    // Who gets a copy already gets no other.
    server.accept(&["a@example.com"], "Subject: same\n\nx\n");
    users([("a", 3), ("b", 2), ("all", 3), ("c", 0)]);
    server.accept(&["a@example.com", "b@example.com"], "Subject: other\n\nx\n");
    server.wait_for_log(&["to=<c@example.com>", "orig_to=<a@example.com>", "status=sent"]);
    server.wait_until_drained();
    users([("a", 3), ("b", 2), ("all", 3), ("c", 1)]);
}

#[test]
fn transports_that_deliver_nothing_say_so_in_the_log() {
    let server = start(
        "transport_maps = inline:{ { no@example.com = error:5.2.1 mailbox is closed }, \
         { later@example.com = retry:4.2.0 not today }, { gone@example.com = discard:thrown away } }
        smtpd_reject_unlisted_recipient = no",
    );
    for (to, service, outcome) in [
        ("no@example.com", "error", "dsn=5.2.1, status=bounced (mailbox is closed)"),
        ("later@example.com", "retry", "dsn=4.2.0, status=deferred (not today)"),
        ("gone@example.com", "discard", "dsn=2.0.0, status=sent (thrown away)"),
    ] {
        server.accept(&[to], "Subject: x\n\nx\n");
        let line = server.wait_for_log(&[&format!("/{service}["), &format!("to=<{to}>"), outcome]);
        assert!(line.contains("relay=none"), "{line}");
    }
}

#[test]
fn a_filter_takes_mail_before_its_transport_does_and_one_that_is_missing_loses_none() {
    let server = start("content_filter = scan:[127.0.0.1]:10024");
    server.accept(&["a@example.com"], "Subject: x\n\nx\n");
    server.wait_for_log(&["to=<a@example.com>", "status=deferred (mail transport unavailable)"]);
    assert_eq!(server.queue().len(), 1);
}

#[test]
fn a_table_that_is_away_defers_what_was_accepted_and_refuses_nothing_for_good() {
    let server = start("transport_maps = texthash:PLACE/transport");
    let said = rcpt(&server, "a@example.com");
    assert!(said.starts_with("451 4.3.0"), "{said}");
    std::fs::write(server.setup.place().join("transport"), "b@example.com error:gone\n")
        .expect("a file in the test's place");
    tests::wait::until_true("the table is there", || {
        rcpt(&server, "a@example.com").starts_with("250")
    });
    server.accept(&["a@example.com"], "Subject: x\n\nx\n");
    assert_eq!(server.maildir_at("example.com", "a").wait_for(1).len(), 1);
}

#[test]
fn deferred_transports_wait_until_they_are_not_deferred_any_more() {
    let server = start("defer_transports = virtual");
    server.accept(&["a@example.com"], "Subject: x\n\nx\n");
    server.wait_for_log(&["to=<a@example.com>", "dsn=4.3.2, status=deferred (deferred transport)"]);
}

#[test]
fn a_main_cf_that_only_says_a_name_refuses_no_local_user_for_good_while_there_are_no_aliases() {
    // The kind of table that a default names and that no host has: /etc/aliases.cdb.
    // One shard: each says once a minute what is away.
    let server = Setup::new()
        .main_cf("myhostname = mx.example\n default_database_type = cdb")
        .argument("--shards")
        .argument("1")
        .start();
    for _ in 0..3 {
        for (to, answer) in [
            // Always there; and there is no agent yet that would deliver to him.
            ("postmaster@mx.example", "451 4.3.5"),
            ("postmaster", "451 4.3.5"),
            // They may be aliases: nobody can tell.
            ("root@mx.example", "451 4.3.0"),
            ("no-such-user@mx.example", "451 4.3.0"),
            ("user@elsewhere.example", "554 5.7.1"),
        ] {
            let said = rcpt(&server, to);
            assert!(said.starts_with(answer), "{to}: {said}");
        }
    }
    let denied = |line: &String| line.contains("Relay access denied");
    wait::until_true("the last of them in the log", || {
        server.log().iter().filter(|line| denied(line)).count() == 3
    });
    let log = server.log();
    let about = log.iter().filter(|line| line.contains("/etc/aliases.cdb"));
    assert!(about.count() <= 1, "{log:#?}");
}
