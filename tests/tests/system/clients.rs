//! Real clients: Postfix's smtp-source, swaks, Python's smtplib.

use tests::peer::{python, run};
use tests::{Server, Setup};

/// Sends `messages` with smtp-source over `sessions` parallel sessions, and reads them back.
fn smtp_source(server: &Server, sessions: u32, messages: usize, more: &[&str]) {
    let (port, sessions) = (format!("127.0.0.1:{}", server.port()), sessions.to_string());
    let count = messages.to_string();
    let mut arguments = vec!["-s", &sessions, "-m", &count, "-l", "4096", "-N"];
    arguments.extend_from_slice(more);
    arguments.extend_from_slice(&["-f", "sender@client.example", "-t", "bench@localhost", &port]);
    run("smtp-source", arguments).expect_ok();
    wait_for_mail(server, messages);
    let maildirs = tests::mailbox::maildirs(&server.mail_base());
    let mails: Vec<_> = maildirs.values().flat_map(tests::Maildir::mails).collect();
    assert_eq!(mails.len(), messages);
    for mail in &mails {
        let named = mail.named().unwrap_or_else(|| panic!("name of {}", mail.path.display()));
        assert_eq!(named.size, mail.bytes.len() as u64, "S= of {}", mail.path.display());
        assert!(mail.bytes.len() >= 4096, "smtp-source sends 4096 bytes");
    }
}

/// Waits until there are `count` messages in all Maildirs together, and nothing else is queued.
fn wait_for_mail(server: &Server, count: usize) {
    let base = server.mail_base();
    let found =
        || tests::mailbox::maildirs(&base).values().map(tests::Maildir::count).sum::<usize>();
    tests::wait::until_true(&format!("{count} messages"), || found() >= count);
    server.wait_until_drained();
}

#[test]
fn smtp_source_with_a_connection_for_each_message() {
    smtp_source(&Setup::new().start(), 10, 300, &[]);
}

#[test]
fn smtp_source_with_kept_connections() {
    smtp_source(&Setup::new().start(), 20, 1000, &["-d"]);
}

#[test]
fn smtp_source_with_ten_recipients_a_message() {
    let server = Setup::new().start();
    let port = format!("127.0.0.1:{}", server.port());
    let arguments = ["-s", "5", "-m", "50", "-r", "10", "-d", "-t", "bench@localhost", &port];
    run("smtp-source", arguments).expect_ok();
    wait_for_mail(&server, 500);
    let maildirs = tests::mailbox::maildirs(&server.mail_base());
    assert_eq!(maildirs.len(), 10, "{:?}", maildirs.keys());
    assert!(maildirs.values().all(|maildir| maildir.count() == 50));
}

#[test]
fn swaks_sees_the_extensions_and_delivers() {
    let server = Setup::new().start();
    let port = server.port().to_string();
    let out = run(
        "swaks",
        [
            "--server",
            "127.0.0.1",
            "--port",
            &port,
            "--from",
            "sender@client.example",
            "--to",
            "me@localhost",
            "--header",
            "Subject: swaks",
            "--pipeline",
        ],
    )
    .expect_ok();
    for extension in
        ["PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"]
    {
        assert!(out.contains(extension), "{extension} in\n{out}");
    }
    assert!(out.contains("queued as"), "{out}");
    assert_eq!(server.maildir("me").wait_for_one().header("Subject").as_deref(), Some("swaks"));
}

#[test]
fn swaks_is_told_that_relaying_is_denied() {
    let server = Setup::new().start();
    let port = server.port().to_string();
    let ran =
        run("swaks", ["--server", "127.0.0.1", "--port", &port, "--to", "someone@else.example"]);
    assert!(!ran.ok, "swaks reports failure");
    assert!(ran.out.contains("554 5.7.1 <someone@else.example>: Relay access denied"), "{ran:?}");
}

fn smtplib(server: &Server, case: &str) {
    python("smtplib_client.py", [&server.port().to_string(), case]).expect_ok();
}

#[test]
fn smtplib_sends_eight_bit_content_that_arrives_unchanged() {
    let server = Setup::new().start();
    smtplib(&server, "eight_bit");
    let mail = server.maildir("eightbit").wait_for_one();
    assert_eq!(mail.body(), b"gr\xc3\xbc\xc3\x9fe \xff\xfe\n");
}

#[test]
fn smtplib_sends_to_an_address_beyond_ascii() {
    let server = Setup::new().start();
    smtplib(&server, "utf8_address");
    let mail = server.maildir("günter").wait_for_one();
    assert_eq!(mail.header("Subject").as_deref(), Some("Grüße"));
    assert_eq!(mail.header("Return-Path").as_deref(), Some("<jürgen@client.example>"));
    assert!(mail.header("Received").is_some_and(|value| value.contains("with UTF8SMTP")));
}

#[test]
fn an_address_beyond_ascii_needs_the_smtputf8_parameter_where_that_is_asked_for() {
    let server = Setup::new().option("strict_smtputf8=yes").start();
    smtplib(&server, "utf8_without_the_parameter");
}

#[test]
fn smtplib_pipelines_the_envelope_and_the_next_message_behind_the_dot() {
    let server = Setup::new().start();
    smtplib(&server, "pipelined");
    let mut bodies: Vec<_> =
        server.maildir("one").wait_for(2).iter().map(|mail| mail.body().to_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, [b"first\n".to_vec(), b"second\n".to_vec()]);
    assert_eq!(server.maildir("two").wait_for_one().body(), b"first\n");
}

#[test]
fn dsn_parameters_are_taken_and_malformed_ones_refused() {
    let server = Setup::new().start();
    smtplib(&server, "dsn_parameters");
    assert_eq!(server.maildir("dsn").wait_for_one().body(), b"hello\n");
}

#[test]
fn nine_megabytes_arrive_byte_for_byte() {
    let server = Setup::new().start();
    smtplib(&server, "large");
    let mail = server.maildir("large").wait_for_one();
    let line = [&[b'x'; 74][..], b"\n"].concat();
    let wanted = 9_000_000 / (line.len() + 1);
    assert_eq!(mail.body().len(), wanted * line.len());
    assert!(mail.body().chunks(line.len()).all(|chunk| chunk == line));
    server.wait_until_drained();
}

#[test]
fn a_message_beyond_the_size_limit_is_refused_and_the_session_goes_on() {
    let server = Setup::new().start();
    smtplib(&server, "over_size");
    assert_eq!(server.maildir("oversize").wait_for_one().body(), b"small\n");
}

#[test]
fn a_thousand_recipients_get_one_message_each_and_one_more_is_told_to_come_later() {
    let server = Setup::new().start();
    smtplib(&server, "thousand_recipients");
    wait_for_mail(&server, 1000);
    let maildirs = tests::mailbox::maildirs(&server.mail_base());
    assert_eq!(maildirs.len(), 1000);
    for (name, maildir) in &maildirs {
        let mails = maildir.mails();
        assert_eq!(mails.len(), 1, "{}", name.display());
        let user = name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let delivered_to = mails[0].header("Delivered-To");
        assert_eq!(delivered_to.as_deref(), Some(&*format!("{user}@localhost")));
    }
}

#[test]
fn a_session_of_many_small_messages_keeps_its_order_of_replies() {
    let server = Setup::new().start();
    let mut session = server.session();
    let mut ids = std::collections::BTreeSet::new();
    for number in 0..200 {
        let content = format!("Subject: {number}\r\n\r\n{number}\r\n");
        let reply = session.mail("", &["many@localhost"], content.as_bytes()).expect("a reply");
        ids.insert(reply.queue_id().expect("a queue id").to_owned());
    }
    assert_eq!(ids.len(), 200, "every message has an id of its own");
    let mails = server.maildir("many").wait_for(200);
    let subjects: std::collections::BTreeSet<_> =
        mails.iter().filter_map(|mail| mail.header("Subject")).collect();
    assert_eq!(subjects.len(), 200);
    assert!(mails.iter().all(|mail| mail.header("Return-Path").as_deref() == Some("<>")));
}
