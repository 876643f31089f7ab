//! Services of master.cf: what each listens on, and what it sets for itself.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;
use tests::session::Session;
use tests::{Server, Setup, wait};

const MAIN_CF: &str = "virtual_mailbox_domains = example.com
    virtual_mailbox_template = %d/%u/
    virtual_uid_maps = static:65534
    virtual_gid_maps = static:65534
    smtpd_banner = first";

/// The first service listens where the test says, the second where the kernel likes.
const MASTER_CF: &str = "\
smtp         inet  n  -  n  -  -  smtpd
127.0.0.1:0  inet  n  -  n  -  1  smtpd
    -o smtpd_banner=second
    # a comment in between
    -o syslog_name=postfix/submission
    -o { smtpd_recipient_limit = 1 } -o smtpd_recipient_overshoot_limit=1
virtual      unix  -  n  n  -  -  virtual
";

fn start() -> Server {
    Setup::new().main_cf(MAIN_CF).master_cf(MASTER_CF).start()
}

fn ports(server: &Server) -> Vec<u16> {
    server.addresses().iter().map(SocketAddr::port).collect()
}

fn greeting(port: u16) -> String {
    let mut session = Session::connect(port).expect("a connection");
    session.reply().expect("a greeting").last().to_owned()
}

fn rewrite_master_cf(server: &Server, text: &str) {
    let master_cf = server.setup.place().join("etc/master.cf");
    fs::write(master_cf, text).expect("a file in the test's place");
    server.main_process().signal(Signal::HUP);
}

#[test]
fn what_a_service_sets_holds_for_it_alone() {
    let server = start();
    let ports = ports(&server);
    assert_eq!(ports.len(), 2, "{:?}", server.output());
    assert!(greeting(ports[0]).contains("first") && greeting(ports[1]).contains("second"));
    for (port, last) in [(ports[0], 250), (ports[1], 452)] {
        // The second has one session at a time, and it may take a moment to notice the end of the first.
        let mut session = wait::until("a session", || Session::greeted(port).ok());
        for (command, code) in [
            ("MAIL FROM:<>", 250),
            ("RCPT TO:<a@example.com>", 250),
            ("RCPT TO:<b@example.com>", last),
        ] {
            assert_eq!(session.command(command).expect("a reply").code, code, "{command}");
        }
    }
    server.wait_for_log(&[" postfix/submission/smtpd[", "connect from"]);
    server.wait_for_log(&[" postfix/smtpd[", "connect from"]);
}

#[test]
fn a_service_has_no_more_sessions_than_its_process_limit() {
    let server = start();
    let port = ports(&server)[1];
    let first = Session::greeted(port).expect("a session");
    let mut second = Session::connect(port).expect("a connection");
    assert_eq!(second.reply().expect("a reply").code, 421);
    server.wait_for_log(&["submission/smtpd", "warning: service 127.0.0.1:0 has as many sessions"]);
    drop(first);
    wait::until_true("there is room again", || Session::greeted(port).is_ok());
}

#[test]
fn services_come_and_go_with_a_reload() {
    let server = start();
    let ports = ports(&server);
    let mut begun = Session::greeted(ports[1]).expect("a session");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let new = free.local_addr().expect("its address").port();
    drop(free);
    rewrite_master_cf(
        &server,
        &format!(
            "smtp inet n - n - - smtpd\n127.0.0.1:{new} inet n - n - - smtpd -o smtpd_banner=third\n"
        ),
    );
    server.wait_for_error(&["reload -- version"]);
    assert!(greeting(new).contains("third"));
    assert!(greeting(ports[0]).contains("first"));
    wait::until_true("the old port is closed", || {
        TcpStream::connect(("127.0.0.1", ports[1]))
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    assert_eq!(begun.command("NOOP").expect("a reply").code, 250);
}

#[test]
fn a_bad_master_cf_is_refused_with_its_line() {
    let setup = Setup::new()
        .main_cf(MAIN_CF)
        .master_cf("smtp inet n - n - - smtpd\na unix - - n - many smtp\n");
    let ran = setup.refused();
    assert!(ran.err.contains("master.cf:2: a/unix: process_limit: found \"many\""), "{ran:?}");

    let server = start();
    rewrite_master_cf(&server, "smtp inet n - n - - smtpd -o smtpd_timeout=never\n");
    server.wait_for_error(&["warning: reload:", "master.cf:1: smtpd_timeout: found \"never\""]);
    assert!(greeting(ports(&server)[1]).contains("second"));
}

#[test]
fn each_delivery_service_has_its_own_mailboxes() {
    let other = "data/mail/other";
    let setup = Setup::new()
        .main_cf(&format!("{MAIN_CF}\ntransport_maps = inline:{{ b@example.com=archive: }}"))
        .master_cf(&format!(
            "smtp     inet  n  -  n  -  -  smtpd
virtual  unix  -  n  n  -  -  virtual
retry    unix  -  -  n  -  -  error
archive  unix  -  n  n  -  -  virtual
    -o virtual_mailbox_base=PLACE/{other}
"
        ));
    let base = setup.place().join(other);
    fs::create_dir_all(&base).expect("a directory in the test's place");
    setup.give_to_user(&base);
    let server = setup.start();
    server.accept(&["a@example.com", "b@example.com"], "Subject: x\n\nx\n");
    server.wait_for_log(&["/archive[", "to=<b@example.com>", "relay=archive", "status=sent"]);
    server.wait_for_log(&["/virtual[", "to=<a@example.com>", "relay=virtual", "status=sent"]);
    assert!(base.join("example.com/b/new").is_dir(), "{}", base.display());
    assert_eq!(server.maildir_at("example.com", "a").wait_for(1).len(), 1);
    assert!(!server.mail_base().join("example.com/b").exists());
}

#[test]
fn each_server_can_have_a_cleanup_of_its_own() {
    let server = Setup::new()
        .main_cf(&format!(
            "{MAIN_CF}\nheader_checks = inline:{{ {{ Subject: x = REJECT everywhere }} }}"
        ))
        .master_cf(
            "smtp         inet  n  -  n  -  -  smtpd
127.0.0.1:0  inet  n  -  n  -  -  smtpd
    -o cleanup_service_name=checked -o header_checks=
checked      unix  n  -  n  -  0  cleanup
    -o { header_checks = inline:{ { Subject: y = REJECT only there } } }
virtual      unix  -  n  n  -  -  virtual
",
        )
        .start();
    let ports = ports(&server);
    for (port, subject, code) in
        [(ports[0], "x", 550), (ports[0], "y", 250), (ports[1], "x", 250), (ports[1], "y", 550)]
    {
        let mut session = Session::greeted(port).expect("a session");
        let content = format!("Subject: {subject}\r\n\r\nx\r\n");
        let reply = session.mail("", &["a@example.com"], content.as_bytes()).expect("a reply");
        assert_eq!(reply.code, code, "{subject} at {port}: {reply:?}");
    }
}

/// Who asks which service for the way of a recipient: the server for its checks, cleanup for what incomplete
/// addresses are completed with, the queue manager for where it delivers.
#[test]
fn addresses_are_completed_and_resolved_as_the_service_says_that_is_asked() {
    let server = Setup::new()
        .main_cf(&format!(
            "{MAIN_CF}\nvirtual_mailbox_domains = example.com example.net\nmydestination =
    smtpd_recipient_restrictions = reject_unauth_destination"
        ))
        .master_cf(
            "\
smtp         inet  n  -  n  -  -  smtpd
127.0.0.1:0  inet  n  -  n  -  -  smtpd
    -o rewrite_service_name=closed -o cleanup_service_name=second
cleanup      unix  n  -  n  -  0  cleanup
second       unix  n  -  n  -  0  cleanup -o rewrite_service_name=net
rewrite      unix  -  -  n  -  -  trivial-rewrite -o transport_maps=inline:{d@example.com=discard:}
closed       unix  -  -  n  -  -  trivial-rewrite -o virtual_mailbox_domains=example.com
net          unix  -  -  n  -  -  trivial-rewrite -o myorigin=example.net
virtual      unix  -  n  n  -  -  virtual
discard      unix  -  -  n  -  -  discard
",
        )
        .start();
    let ports = ports(&server);
    let code = |port: u16, to: &str| {
        let mut session = Session::greeted(port).expect("a session");
        session.command("MAIL FROM:<>").expect("a reply");
        session.command(&format!("RCPT TO:<{to}>")).expect("a reply").code
    };
    assert_eq!(code(ports[0], "a@example.net"), 250);
    assert_eq!(code(ports[1], "a@example.net"), 554);
    assert_eq!(code(ports[1], "a@example.com"), 250);

    let send = |port: u16, to: &str, content: &str| {
        let mut session = Session::greeted(port).expect("a session");
        let reply = session.mail("x@client.example", &[to], content.as_bytes()).expect("a reply");
        assert_eq!(reply.code, 250, "{to}");
    };
    send(ports[1], "b@example.com", "From: me\r\n\r\nx\r\n");
    let mail = server.maildir_at("example.com", "b").wait_for_one();
    let text = String::from_utf8_lossy(&mail.bytes);
    assert!(text.contains("From: me@example.net"), "{text}");
    // What the default service has for itself, the queue manager knows.
    send(ports[0], "d@example.com", "\r\n");
    server.wait_for_log(&["to=<d@example.com>", "relay=none", "status=sent"]);
    let explained = server.ringpost(&["explain", "d@example.com"]);
    assert!(explained.out.contains("resolved as rewrite at"), "{explained:?}");
    assert!(explained.out.contains("discard"), "{explained:?}");
}
