//! What an administrator can have changed in a session: limits per client, commands, replies.

use tests::{Server, Session, Setup};

/// A host with two users, whose limits hold for the test's own address, too.
fn with(text: &str) -> Server {
    Setup::new()
        .file("users", "one@example.com one/\ntwo@example.com two/\n")
        .file("replies", "/^550 5\\.1\\.1 .*two/ \\c. You are $$client_address\n")
        .file("rewordings", "/^550 (5\\.1\\.1) <three@.*/ 450 4.1.1 Not today\n/^503 / 250 Ok\n/^502 / 421 4.7.0 Go away\n")
        .file("commands", "/^EHLO$/ EHLO nameless.example\n/^\\s*(RCPT TO:<[^>]*)\\.invalid>/ $1>\n")
        .file("keywords", "127.0.0.1 SIZE, dsn, no-such\n")
        .main_cf(&format!(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = texthash:PLACE/users
             smtpd_client_event_limit_exceptions =
             smtpd_error_sleep_time = 0
             {text}"
        ))
        .start()
}

#[test]
fn a_client_that_connects_too_often_is_turned_away_for_a_while() {
    let server = with("smtpd_client_connection_rate_limit = 2\nanvil_rate_time_unit = 1h");
    // One was there to see whether the server answers, or none.
    let refused = (0..4).find_map(|_| {
        let mut session = Session::connect(server.port()).expect("a connection");
        let reply = session.reply().expect("a reply");
        (reply.code != 220).then_some(reply)
    });
    let reply = refused.expect("a client that is turned away");
    assert_eq!(reply.code, 421);
    assert!(reply.last().ends_with("Error: too many connections from 127.0.0.1"), "{reply:?}");
    server.wait_for_log(&[
        "warning: Connection rate limit exceeded: 3 from unknown[127.0.0.1] for service smtp",
    ]);
}

#[test]
fn messages_and_recipients_over_the_rate_are_refused_over_all_sessions() {
    let server = with(
        "smtpd_client_message_rate_limit = 2\nsmtpd_client_recipient_rate_limit = 2\nanvil_rate_time_unit = 1h",
    );
    server.session().play(
        "C: MAIL FROM:<a@client.example>
         S: 250 *
         C: RCPT TO:<one@example.com>
         S: 250 *",
    );
    server.session().play(
        "C: MAIL FROM:<a@client.example>
         S: 250 *
         C: RCPT TO:<nobody@example.com>
         S: 550 *
         C: RCPT TO:<two@example.com>
         S: 450 4.7.1 Error: too many recipients from 127.0.0.1
         C: RSET
         S: 250 *
         C: MAIL FROM:<a@client.example>
         S: 450 4.7.1 Error: too much mail from 127.0.0.1
         C: RCPT TO:<one@example.com>
         S: 503 5.5.1 Error: need MAIL command",
    );
    server.wait_for_log(&["warning: Recipient address rate limit exceeded: 3 from unknown[127.0.0.1] for service smtp"]);
    server.wait_for_log(&["warning: Message delivery request rate limit exceeded: 3 from unknown[127.0.0.1] for service smtp"]);
    assert!(
        server.log().iter().all(|line| !line.contains("reject: RCPT from unknown[127.0.0.1]: 450"))
    );
}

#[test]
fn trusted_clients_have_no_rates() {
    let server = with(
        "smtpd_client_message_rate_limit = 1\nsmtpd_client_event_limit_exceptions = 127.0.0.0/8",
    );
    let mut session = server.session();
    for _ in 0..4 {
        session.play("C: MAIL FROM:<a@client.example>\nS: 250 *\nC: RSET\nS: 250 *");
    }
}

#[test]
fn refusals_have_a_footer_about_the_session_they_were_made_in() {
    let server = with(
        "smtpd_reject_footer = \\c; ask $server_name about $sender to $recipient\\n$client_port $helo_name $localtime
         smtpd_reject_footer_maps = regexp:PLACE/replies
         myhostname = mx.example",
    );
    let mut session = server.session();
    // Pipelined: the second reply is not about the third message.
    session
        .send("MAIL FROM:<a@client.example>\r\nRCPT TO:<x@example.com>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<none-two@example.com>\r\nDATA\r\n")
        .expect("a group of commands");
    assert!(session.reply().expect("a reply").is_ok());
    let reply = session.reply().expect("a reply");
    assert_eq!(
        reply.lines[0],
        "550-5.1.1 <x@example.com>: Recipient address rejected: User unknown in virtual mailbox table; \
         ask mx.example about a@client.example to x@example.com"
    );
    assert!(reply.lines[1].starts_with("550 5.1.1 "), "{reply:?}");
    assert!(reply.lines[1].contains(" client.example "), "{reply:?}");
    assert!(session.reply().expect("a reply").is_ok());
    assert!(session.reply().expect("a reply").is_ok());
    let reply = session.reply().expect("a reply");
    assert!(reply.last().ends_with("virtual mailbox table. You are 127.0.0.1"), "{reply:?}");
    let reply = session.reply().expect("a reply");
    assert!(reply.lines[0].contains(" about <> to "), "{reply:?}");
    // What is no refusal has no footer.
    session.play("C: NOOP\nS: 250 2.0.0 Ok");
    assert!(server.log().iter().all(|line| !line.contains("You are")), "footers are not logged");
}

#[test]
fn a_footer_that_cannot_be_looked_up_is_left_out() {
    let server = with("smtpd_reject_footer_maps = texthash:PLACE/missing");
    server.session().play(
        "C: RCPT TO:<one@example.com>
         S: 503 5.5.1 Error: need MAIL command",
    );
    server.wait_for_log(&["warning: ", "missing"]);
}

#[test]
fn refusals_can_be_replaced_but_only_by_refusals() {
    let server =
        with("smtpd_reject_filter_maps = pcre:PLACE/rewordings\ndisable_vrfy_command = yes");
    server.session().play(
        "C: RCPT TO:<three@example.com>
         S: 503 5.5.1 Error: need MAIL command
         C: MAIL FROM:<a@client.example>
         S: 250 *
         C: RCPT TO:<three@example.com>
         S: 450 4.1.1 Not today
         C: VRFY one
         S: 421 4.7.0 Go away
         S: closed",
    );
    server.wait_for_log(&[
        "NOQUEUE: reply filter in: 550 5.1.1 <three@example.com>: Recipient address",
    ]);
    server.wait_for_log(&["NOQUEUE: reply filter out: 450 4.1.1 Not today"]);
    server.wait_for_log(&["warning: NOQUEUE: ignoring invalid reject filter result: 250 Ok"]);
}

#[test]
fn commands_can_be_replaced_before_they_are_understood() {
    let server = with("smtpd_command_filter = pcre:PLACE/commands");
    let mut session = Session::connect(server.port()).expect("a connection");
    session.play(
        "S: 220 *
         C: EHLO
         S: 250 *
         C: MAIL FROM:<a@client.example>
         S: 250 *
         C:  rcpt to:<one@example.com>
         S: 250 *
         C: RCPT TO:<two@example.com.invalid>
         S: 250 *
         C: RCPT TO:<two@example.invalid>
         S: 554 *",
    );
    server.wait_for_log(&[
        "unknown[127.0.0.1]: replacing command \"EHLO\" with \"EHLO nameless.example\"",
    ]);
    server.wait_for_log(&["Relay access denied", "helo=<nameless.example>"]);
}

#[test]
fn a_session_whose_commands_cannot_be_looked_up_ends() {
    let server = with("smtpd_command_filter = texthash:PLACE/missing\nmyhostname = mx.example");
    let mut session = Session::connect(server.port()).expect("a connection");
    session.play(
        "S: 220 *
         C: EHLO client.example
         S: 421 4.3.0 mx.example Server local data error
         S: closed",
    );
}

#[test]
fn ehlo_keywords_can_be_kept_from_some_clients() {
    let server = with(
        "smtpd_discard_ehlo_keyword_address_maps = texthash:PLACE/keywords\nsmtpd_discard_ehlo_keywords = chunking",
    );
    let mut session = server.session();
    let offered = session.command("EHLO client.example").expect("a reply").lines.join(" ");
    assert!(!offered.contains("SIZE") && !offered.contains("DSN"), "{offered}");
    assert!(offered.contains("CHUNKING"), "the table is in place of the list: {offered}");
    session.play(
        "C: MAIL FROM:<a@client.example> RET=HDRS
         S: 501 5.7.1 DSN support is disabled",
    );
    let away = with("smtpd_discard_ehlo_keyword_address_maps = texthash:PLACE/missing");
    let mut session = Session::connect(away.port()).expect("a connection");
    session.play("S: 421 4.3.0 * Server local data error\nS: closed");
}
