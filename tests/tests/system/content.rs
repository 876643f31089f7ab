//! What is sent is what is read: bodies byte for byte, headers as promised, by several readers.

use std::fs;
use std::path::Path;

use rustix::process::geteuid;
use tests::peer::{python, run_with_input};
use tests::session::dot_stuffed;
use tests::{Server, Setup};

/// One message as it is sent behind DATA (dots are doubled here), and the body that must be read.
struct Case {
    name: &'static str,
    sent: Vec<u8>,
    body: Vec<u8>,
}

fn case(name: &'static str, sent: &[u8], body: &[u8]) -> Case {
    let sent = [format!("Subject: {name}\r\n\r\n").as_bytes(), sent].concat();
    Case { name, sent, body: body.to_owned() }
}

fn cases() -> Vec<Case> {
    let long = vec![b'l'; 100_000];
    let every: Vec<u8> = (0..=255).filter(|byte| !b"\r\n".contains(byte)).collect();
    vec![
        case("plain", b"hello\r\n", b"hello\n"),
        case("no-final-newline", b"hello", b"hello\n"),
        case("no-body", b"", b""),
        case("empty-lines", b"\r\n\r\na\r\n\r\n", b"\n\na\n\n"),
        case("dots", b".\r\n..\r\n.a\r\na.\r\n", b".\n..\n.a\na.\n"),
        case("from", b"From here\r\n>From there\r\n", b"From here\n>From there\n"),
        case("long-line", &[&long[..], b"\r\n"].concat(), &[&long[..], b"\n"].concat()),
        case("nul", b"a\0b\0\0\r\n\0\r\n", b"a\0b\0\0\n\0\n"),
        case("every-byte", &[&every[..], b"\r\n"].concat(), &[&every[..], b"\n"].concat()),
        case("bare-lf", b"a\nb\n\nc\r\n", b"a\nb\n\nc\n"),
        // A stray CR could pass for a line end further on: cleanup_replace_stray_cr_lf.
        case("bare-cr", b"a\rb\r\n", b"a b\n"),
        case("cr-cr-lf", b"a\r\r\nb\r\n", b"a \nb\n"),
        case("white-space", b"  a\t \r\n \r\n", b"  a\t \n \n"),
        case("look-alike-header", b"Subject: no header\r\n", b"Subject: no header\n"),
    ]
}

fn send(server: &Server, case: &Case) {
    let mut session = server.session();
    session.play(&format!(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<{}@localhost>
         S: 250 *
         C: DATA
         S: 354 *",
        case.name
    ));
    session.send(dot_stuffed(&case.sent)).expect("content");
    let reply = session.reply().expect("a reply");
    assert_eq!(reply.code, 250, "{}: {:?}", case.name, reply.lines);
}

#[test]
fn bodies_arrive_byte_for_byte() {
    let server = Setup::new().start();
    for case in cases() {
        send(&server, &case);
        let mail = server.maildir(case.name).wait_for_one();
        let (got, want) = (mail.body().escape_ascii(), case.body.escape_ascii());
        assert_eq!(got.to_string(), want.to_string(), "{}", case.name);
        assert_eq!(mail.header("Subject").as_deref(), Some(case.name));
    }
}

#[test]
fn chunks_arrive_as_one_message_and_their_dots_are_dots() {
    let server = Setup::new().start();
    let mut session = server.session();
    session.play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<chunks@localhost>
         S: 250 *",
    );
    for (chunk, last) in [
        (&b"Subject: chunks\r"[..], ""),
        (b"\n\r\n.\r\n..\r\n", ""),
        (b"\r\n.\r\nMAIL FROM:<x@y>\r\n", ""),
        (b"no end", " LAST"),
    ] {
        session.send(format!("BDAT {}{last}\r\n", chunk.len())).expect("BDAT");
        session.send(chunk).expect("a chunk");
        assert_eq!(session.reply().expect("a reply").code, 250);
    }
    let mail = server.maildir("chunks").wait_for_one();
    let body = String::from_utf8_lossy(mail.body()).into_owned();
    assert_eq!(body, ".\n..\n\n.\nMAIL FROM:<x@y>\nno end\n");
}

#[test]
fn an_empty_message_is_a_message() {
    let server = Setup::new().start();
    server.accept(&["empty@localhost"], "");
    let mail = server.maildir("empty").wait_for_one();
    assert_eq!(mail.body(), b"");
    assert!(mail.header("Received").is_some());
}

#[test]
fn text_without_headers_is_a_body() {
    let server = Setup::new().start();
    server.accept(&["bare@localhost"], "just text\r\nmore\r\n");
    let mail = server.maildir("bare").wait_for_one();
    assert_eq!(String::from_utf8_lossy(mail.body()), "just text\nmore\n");
}

#[test]
fn trace_headers_stand_on_top_and_the_sender_s_own_follow_unchanged() {
    let server = Setup::new().start();
    let headers = "Received: from a by b; Fri, 13 Nov 2026 09:00:00 +0000\r\n\
                   Subject: folded\r\n\tline\r\nX-Odd :  kept \r\nTo: (comment) a@b,\r\n c@d\r\n";
    let id = server.accept(&["trace@localhost"], format!("{headers}\r\nbody\r\n"));
    let mail = server.maildir("trace").wait_for_one();
    let text = String::from_utf8(mail.headers().to_owned()).expect("ASCII");
    let names: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| line.split_once(':').map(|(name, _)| name))
        .collect();
    assert_eq!(
        names[..5],
        ["Return-Path", "X-Original-To", "Delivered-To", "Received", "Received"],
        "{text}"
    );
    assert!(text.contains(&headers.replace("\r\n", "\n")), "{text}");
    let received = &mail.all_headers("Received")[0];
    assert!(received.starts_with("from client.example (unknown [127.0.0.1])"), "{received}");
    assert!(received.contains(&format!("with ESMTP id {id}")), "{received}");
    assert!(received.contains("for <trace@localhost>"), "{received}");
    assert_eq!(mail.header("Return-Path").as_deref(), Some("<sender@client.example>"));
    assert_eq!(mail.header("X-Original-To").as_deref(), Some("trace@localhost"));
    assert_eq!(mail.header("Delivered-To").as_deref(), Some("trace@localhost"));
}

#[test]
fn a_file_s_name_says_its_size_and_its_queue_id() {
    let server = Setup::new().start();
    let id = server.accept(&["a@localhost", "named@localhost"], "Subject: named\r\n\r\nhello\r\n");
    let mail = server.maildir("named").wait_for_one();
    let named = mail.named().unwrap_or_else(|| panic!("the name of {}", mail.path.display()));
    assert_eq!((named.id, named.recipient), (id, 1));
    assert_eq!(named.size, mail.bytes.len() as u64);
    assert!(!named.host.contains(['/', ':']));
    assert_eq!(server.maildir("named").unfinished(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_message_that_went_round_too_often_is_not_delivered() {
    let server = Setup::new().start();
    let hops = "Received: from a by b; Fri, 13 Nov 2026 09:00:00 +0000\r\n".repeat(50);
    let reply = server.session().mail(
        "sender@client.example",
        &["hops@localhost"],
        format!("{hops}Subject: hops\r\n\r\n").as_bytes(),
    );
    let reply = reply.expect("a reply");
    assert_eq!(reply.code, 554, "{:?}", reply.lines);
    assert!(reply.last().contains("5.4.0") || reply.last().contains("5.4.6"), "{:?}", reply.lines);
    assert_eq!(server.maildir("hops").count(), 0);
}

#[test]
fn a_message_that_was_delivered_to_the_same_recipient_before_is_a_loop() {
    let server = Setup::new().start();
    server.accept(&["loop@localhost"], "Delivered-To: loop@localhost\r\n\r\nround\r\n");
    let line = server.wait_for_log(&["to=<loop@localhost>", "dsn=5.4.6"]);
    assert!(line.contains("mail forwarding loop for loop@localhost"), "{line}");
    assert_eq!(server.maildir("loop").count(), 0);
    // Another recipient's header is nobody's business.
    server.accept(&["other@localhost"], "Delivered-To: loop@localhost\r\n\r\nfine\r\n");
    server.maildir("other").wait_for_one();
}

#[test]
fn python_s_mailbox_module_reads_what_was_sent() {
    let server = Setup::new().start();
    python("smtplib_client.py", [&server.port().to_string(), "message_object"]).expect_ok();
    let maildir = server.maildir("object");
    maildir.wait_for_one();
    let path = maildir.0.to_string_lossy().into_owned();
    let out = python("maildir_reader.py", ["maildir", &path]).expect_ok();
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let [mail] = found.as_array().expect("a list").as_slice() else { panic!("{found}") };
    assert_eq!(mail["subject"], "attachment");
    assert_eq!(mail["return_path"], "<sender@client.example>");
    assert_eq!(mail["parts"][0], "See below.\n");
    let attachment: String = (0..=255u8).map(char::from).collect::<String>().repeat(40);
    assert_eq!(mail["parts"][1], attachment);
    assert_eq!(mail["defects"].as_array().map(Vec::len), Some(0));
}

/// Dovecot's IMAP server, speaking on its standard input and output, as the mailbox's owner.
fn imap(setup: &Setup, maildir: &Path, dialogue: &str) -> String {
    let place = setup.place().join("dovecot");
    fs::create_dir_all(&place).expect("a directory for Dovecot");
    let owner = rustix::fs::stat(maildir).expect("the Maildir's owner").st_uid;
    // Dovecot reads as the owner, or not at all where that is root.
    let reader = if owner == 0 { tests::server::NOBODY } else { owner };
    if geteuid().is_root() {
        std::os::unix::fs::chown(&place, Some(reader), Some(reader)).expect("Dovecot's directory");
        give_away(maildir, reader);
    }
    let directory = place.to_string_lossy();
    let configuration = place.join("dovecot.conf");
    fs::write(
        &configuration,
        format!(
            "base_dir = {directory}\nstate_dir = {directory}\nlog_path = /dev/stderr\n\
             ssl = no\nfirst_valid_uid = 1\nstats_writer_socket_path =\n\
             mail_location = maildir:{}:INDEX=MEMORY\n",
            maildir.display()
        ),
    )
    .expect("Dovecot's configuration");
    let id = reader.to_string();
    let user = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps", "-all"];
    let mut words: Vec<String> =
        vec!["env".into(), "USER=reader".into(), format!("HOME={directory}")];
    if geteuid().is_root() {
        words.extend(user.map(str::to_owned));
    }
    words.extend(["/usr/lib/dovecot/imap", "-c"].map(str::to_owned));
    words.push(configuration.to_string_lossy().into_owned());
    let ran = run_with_input(&words[0].clone(), &words[1..], dialogue);
    // Among others, Dovecot compares each file's size with the S= of its name.
    assert!(ran.out.contains("BYE Logging out"), "{}\n{}", ran.out, ran.err);
    assert!(!ran.err.contains("Error"), "{}\n{}", ran.out, ran.err);
    ran.out
}

fn give_away(path: &Path, owner: u32) {
    std::os::unix::fs::lchown(path, Some(owner), Some(owner)).expect("root may give files away");
    if let Ok(entries) = fs::read_dir(path) {
        entries.flatten().for_each(|entry| give_away(&entry.path(), owner));
    }
}

#[test]
fn dovecot_reads_the_maildir_byte_for_byte() {
    let server = Setup::new().start();
    for number in 0..3 {
        let content = format!("Subject: imap {number}\r\n\r\n.dot\r\nbody {number}\r\n");
        server.accept(&["imap@localhost"], content);
    }
    let maildir = server.maildir("imap");
    maildir.wait_for(3);
    let dialogue = "a SELECT INBOX\r\nb FETCH 1:* (BODY.PEEK[TEXT] RFC822.SIZE)\r\nc LOGOUT\r\n";
    let out = imap(&server.setup, &maildir.0, dialogue);
    assert!(out.contains("* 3 EXISTS"), "{out}");
    for number in 0..3 {
        assert!(out.contains(&format!(".dot\r\nbody {number}\r\n")), "{out}");
    }
}
