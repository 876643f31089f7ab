//! Two mail servers as those that run in containers have them: `data/containers`. Only directories, ports and the
//! owner of mailboxes are others here than in the files.

use std::path::PathBuf;

use expect_test::expect_file;
use rusqlite::Connection;
use tests::{Server, Session, Setup};

fn files(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data/containers", name].iter().collect()
}

/// One of the configurations. Of each service in `ports`, the first word of its entry in master.cf is another.
fn setup(name: &str, ports: &[(&str, &str)]) -> Setup {
    let setup = Setup::new();
    let etc = setup.config_directory().to_string_lossy().into_owned();
    let data = setup.data().to_string_lossy().into_owned();
    let setup = setup.directory(&files(name), |name, text| {
        let text = text
            .replace("/etc/postfix", &etc)
            .replace("/etc/aliases", &format!("{etc}/aliases"))
            .replace("/var/mail", &format!("{data}/mail"))
            .replace("/dev/stdout", &format!("{data}/mail.log"))
            .replace("static:5000", "static:65534");
        match name {
            // Behind everything, so that lines keep their numbers.
            "main.cf" => {
                return format!(
                    "{text}queue_directory = {data}/queue\ndata_directory = {data}\nmail_owner = nobody\n"
                );
            }
            "master.cf" => {}
            _ => return text,
        }
        let at_port = |line: &str| {
            let (service, rest) = line.split_once(' ').unwrap_or((line, ""));
            let port = ports.iter().find(|(it, _)| *it == service && rest.trim_start().starts_with("inet "));
            format!("{} {rest}\n", port.map_or(service, |(_, port)| port))
        };
        text.lines().map(at_port).collect()
    });
    let sql = setup.config_directory().join("sql/addresses");
    if let Ok(text) = std::fs::read_to_string(sql.with_extension("sql")) {
        let database = Connection::open(sql.with_extension("db")).expect("a database");
        database.execute_batch(&text).expect("statements");
    }
    setup
}

/// What `ringpost check` says of the configuration, but not of this host.
fn check(name: &str) {
    let setup = setup(name, &[]);
    let ran = setup.ringpost(&["check"]);
    assert!(!ran.ok, "{ran:?}");
    let (found, rest) = ran.out.split_once("\nThis host\n").expect("a part about the host");
    let summary = rest.lines().last().expect("a summary");
    let etc = setup.config_directory().to_string_lossy().into_owned();
    expect_file![files(name).join("check.txt")]
        .assert_eq(&format!("{found}\n{summary}\n").replace(&etc, "/etc/postfix"));
}

/// A session at the service that is the `number`th in the order of master.cf.
fn session(server: &Server, number: usize) -> Session {
    Session::greeted_by(server.addresses()[number]).expect("a session")
}

fn rcpt(session: &mut Session, to: &str) -> String {
    session.command("RSET").expect("a reply");
    session.command("MAIL FROM:<a@client.example>").expect("a reply");
    session.command(&format!("RCPT TO:<{to}>")).expect("a reply").last().to_owned()
}

fn send(mut session: Session, to: &[&str], content: &str) -> String {
    let reply = session.mail("a@client.example", to, content.as_bytes()).expect("a reply");
    reply.queue_id().unwrap_or_else(|| panic!("not accepted: {:?}", reply.lines)).to_owned()
}

/// The content of a message in the queue.
fn queued(server: &Server, id: &str) -> String {
    let shown = server.ringpost(&["queue", "show", id]).expect_ok();
    let (_, rest) = shown.split_once("*** MESSAGE CONTENTS").expect("content");
    let (content, _) = rest.split_once("*** HEADER EXTRACTED").expect("its end");
    content.split_once("***\n").expect("a line").1.to_owned()
}

fn lines_of<'a>(content: &'a str, begin: &str) -> Vec<&'a str> {
    content.lines().filter(|line| line.starts_with(begin)).collect()
}

#[test]
fn a_mail_server_in_a_container_is_checked() {
    check("mailserver");
}

#[test]
fn a_suite_of_containers_is_checked() {
    check("suite");
}

/// The order of its ports in master.cf.
const MAILSERVER_PORTS: [(&str, &str); 3] = [
    ("submission", "127.0.0.2:0"),
    ("submissions", "127.0.0.3:0"),
    ("127.0.0.1:10025", "127.0.0.4:0"),
];
const SUBMISSION: usize = 1;
const FROM_FILTER: usize = 3;

fn mailserver() -> Server {
    setup("mailserver", &MAILSERVER_PORTS).start()
}

#[test]
fn mail_goes_to_the_filter_and_comes_back_to_be_delivered() {
    let server = mailserver();
    let content = "Subject: [ad] buy\r\nX-Spam-Flag: NO\r\n\r\nx\r\n";
    let id = send(session(&server, 0), &["sales@example.org"], content);
    // There is nobody who could bring it to the filter, which is what the test does now.
    server.wait_for_log(&[&id, "to=<alice@example.org>", "status=deferred"]);
    server.wait_for_log(&[&id, "to=<bob@example.org>", "status=deferred"]);
    assert!(server.log().iter().any(|line| line.contains("/cleanup[") && line.contains("prepend")));
    let seen = queued(&server, &id);
    assert_eq!(lines_of(&seen, "X-Spam"), [""; 0], "{seen}");
    assert_eq!(lines_of(&seen, "X-Seen-By:").len(), 1, "{seen}");
    let filtered = format!("X-Spam-Flag: NO\r\n{}", seen.replace('\n', "\r\n"));

    let back = ["alice@example.org", "bob@example.org"];
    let id = send(session(&server, FROM_FILTER), &back, &filtered);
    server.wait_for_log(&["postfix/smtpd-amavis/smtpd[", &id, "client="]);
    for user in ["alice", "bob"] {
        let mail = server.maildir_at("example.org", user).wait_for_one();
        assert_eq!(mail.header("X-Spam-Flag").as_deref(), Some("NO"));
        assert_eq!(mail.all_headers("X-Seen-By").len(), 1, "checked once");
        assert_eq!(mail.all_headers("Received").len(), 2);
        assert_eq!(mail.body(), b"x\n");
    }
    server.wait_for_log(&[&id, ": removed"]);
}

#[test]
fn what_users_send_goes_through_a_cleanup_that_says_less_of_them() {
    let server = mailserver();
    let content = "User-Agent: x\r\nMIME-Version: 1.0 (x)\r\nSubject: [ad] y\r\n\r\nx\r\n";
    let id = send(session(&server, SUBMISSION), &["test7@example.org"], content);
    server.wait_for_log(&["postfix/submission/smtpd[", &id, "client="]);
    server.wait_for_log(&["postfix/sender-cleanup/cleanup[", &id, "message-id="]);
    server.wait_for_log(&[&id, "to=<bob@example.org>", "orig_to=<test7@", "status=deferred"]);
    let seen = queued(&server, &id);
    assert_eq!(lines_of(&seen, "Received:"), [""; 0], "{seen}");
    assert_eq!(lines_of(&seen, "User-Agent:"), [""; 0], "{seen}");
    assert_eq!(lines_of(&seen, "MIME-Version:"), ["MIME-Version: 1.0"]);
    assert_eq!(lines_of(&seen, "X-Seen-By:"), [""; 0], "that is the other cleanup's");
}

#[test]
fn each_port_asks_for_recipients_as_its_options_say() {
    let server = mailserver();
    for (number, expected) in
        [(0, "550 5.1.1"), (SUBMISSION, "250 2.1.5"), (FROM_FILTER, "250 2.1.5")]
    {
        let said = rcpt(&mut session(&server, number), "nobody@example.org");
        assert!(said.starts_with(expected), "{number}: {said}");
    }
    for (to, expected) in [
        ("carol@example.net", "250 2.1.5"),
        ("carol+lists@example.net", "250 2.1.5"),
        ("root@localhost", "4"),
        ("a@elsewhere.example", "554 5.7.1"),
    ] {
        let said = rcpt(&mut session(&server, 0), to);
        assert!(said.starts_with(expected), "{to}: {said}");
    }
}

/// The order of its ports in master.cf, behind those of postscreen.
const SUITE_PORTS: [(&str, &str); 7] = [
    ("10025", "127.0.0.2:0"),
    ("smtps", "127.0.0.3:0"),
    ("10465", "127.0.0.4:0"),
    ("submission", "127.0.0.5:0"),
    ("588", "127.0.0.6:0"),
    ("590", "127.0.0.7:0"),
    ("127.0.0.1:10026", "127.0.0.8:0"),
];
const USERS: usize = 4;
const QUARANTINE: usize = 6;
const ENCRYPTED: usize = 7;

#[test]
fn a_suite_delivers_what_it_has_an_agent_for_and_puts_the_rest_off() {
    let server = setup("suite", &SUITE_PORTS).start();
    for (to, expected) in [
        ("archive@example.org", "250 2.1.5"),
        ("archive+2024@example.net", "250 2.1.5"),
        ("former@example.org", "250 2.1.5"),
        // Behind LMTP, and another host's: there is no agent for them yet.
        (
            "alice@example.org",
            "451 4.3.5 <alice@example.org>: Recipient address rejected: mail transport \"lmtp\"",
        ),
        ("carol@branch.example", "451 4.3.5"),
        ("nobody@example.org", "550 5.1.1"),
        ("nobody@branch.example", "550 5.1.1"),
        ("a@old.example", "554 5.7.1"),
    ] {
        let said = rcpt(&mut session(&server, 0), to);
        assert!(said.starts_with(expected), "{to}: {said}");
    }
    let content = "X-Mailer: x\r\nSubject: x\r\n\r\nx\r\n";
    let archive = server.maildir_at("example.org", "archive");
    for (number, (to, name)) in [
        (0, ("former@example.org", "postfix/smtpd[")),
        (USERS, ("journal@example.org", "postfix/submission/smtpd[")),
        (QUARANTINE, ("archive@example.net", "postfix/quarantine/smtpd[")),
        (ENCRYPTED, ("archive+x@example.org", "postfix/smtpd[")),
    ] {
        let already = archive.count();
        let id = send(session(&server, number), &[to], content);
        server.wait_for_log(&[name, &id, "client="]);
        server.wait_for_log(&[&id, "to=<archive", "status=sent"]);
        let mails = archive.wait_for(already + 1);
        let mail = mails.iter().find(|mail| mail.path.to_string_lossy().contains(&id));
        let mail = mail.unwrap_or_else(|| panic!("{id} among {mails:#?}"));
        let is_users = number == USERS;
        assert_eq!(mail.header("X-Mailer").is_none(), is_users, "{to}");
        let received = mail.header("Received").expect("a trace");
        assert_eq!(
            received.starts_with("from localhost (localhost [127.0.0.1])"),
            is_users,
            "{received}"
        );
    }
}
