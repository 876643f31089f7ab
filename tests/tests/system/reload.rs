//! A configuration that changes while the server runs.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::session::Session;
use tests::{Server, Setup, wait};

/// The longest that a session may be kept waiting by a new configuration. What is promised is 10 ms; the
/// machine may be busy with other tests.
const STALL_MAX: Duration = Duration::from_millis(250);

const MAIN_CF: &str = "virtual_mailbox_domains = example.com
    virtual_mailbox_maps = texthash:PLACE/users
    virtual_uid_maps = static:65534
    virtual_gid_maps = static:65534
    smtpd_client_connection_count_limit = 0
    smtpd_junk_command_limit = 10000
    smtpd_banner = first";

fn start() -> Server {
    Setup::new().file("users", "alice@example.com example.com/alice/\n").main_cf(MAIN_CF).start()
}

/// Changes settings of the main.cf that is in use.
fn configure(server: &Server, settings: &str) {
    let main_cf = server.setup.place().join("etc/main.cf");
    let mut text = fs::read_to_string(&main_cf).expect("the main.cf of the test");
    for setting in settings.lines() {
        let name = setting.split('=').next().unwrap_or_default();
        text = text
            .lines()
            .filter(|line| !line.starts_with(name))
            .fold(String::new(), |text, line| text + line + "\n");
        text += &setting.replace("PLACE", &server.setup.place().display().to_string());
        text.push('\n');
    }
    fs::write(&main_cf, text).expect("a file in the test's place");
}

fn reload(server: &Server) {
    server.main_process().signal(Signal::HUP);
}

fn banner(server: &Server) -> String {
    let mut session = Session::connect(server.port()).expect("a connection");
    session.reply().expect("a greeting").last().to_owned()
}

#[test]
fn what_comes_after_a_reload_follows_the_new_configuration_and_what_has_begun_the_old_one() {
    let server = start();
    let mut before = server.session();
    configure(
        &server,
        "smtpd_banner = second\nsmtpd_recipient_limit = 1\nsmtpd_recipient_overshoot_limit = 1",
    );
    reload(&server);
    server.wait_for_error(&["master", "reload -- version"]);
    assert!(banner(&server).contains("second"), "{}", banner(&server));

    // 452 at the second recipient is the new limit.
    let mut after = server.session();
    let two = ["alice@example.com", "alice@example.com"];
    let codes = |session: &mut Session| -> Vec<u16> {
        let mut codes = vec![session.command("MAIL FROM:<>").expect("a reply").code];
        for to in two {
            codes.push(session.command(&format!("RCPT TO:<{to}>")).expect("a reply").code);
        }
        codes
    };
    assert_eq!(codes(&mut before), [250, 250, 250]);
    assert_eq!(codes(&mut after), [250, 250, 452]);
}

#[test]
fn new_domains_and_tables_are_known_to_the_server_and_to_delivery() {
    let server = start();
    let more = server.setup.place().join("more");
    fs::write(&more, "bob@example.net example.net/bob/\n").expect("a file in the test's place");
    configure(
        &server,
        "virtual_mailbox_domains = example.com example.net
virtual_mailbox_maps = texthash:PLACE/users texthash:PLACE/more",
    );
    reload(&server);
    server.wait_for_error(&["reload -- version"]);
    server.accept(&["bob@example.net", "alice@example.com"], "Subject: x\n\nx\n");
    assert_eq!(server.maildir_at("example.net", "bob").wait_for(1).len(), 1);
    assert_eq!(server.maildir_at("example.com", "alice").wait_for(1).len(), 1);

    // The new table is watched as those are that were there from the start.
    fs::write(&more, "bob@example.net example.net/bob/\ncarol@example.net example.net/carol/\n")
        .expect("a file in the test's place");
    wait::until_true("carol is known", || {
        let mut session = server.session();
        session.command("MAIL FROM:<>").expect("a reply");
        session.command("RCPT TO:<carol@example.net>").expect("a reply").code == 250
    });
}

#[test]
fn a_bad_configuration_leaves_the_one_before_and_says_why() {
    let server = start();
    configure(&server, "smtpd_timeout = soon\nsmtpd_banner = never");
    reload(&server);
    let why = server.wait_for_error(&["warning: reload:", "smtpd_timeout"]);
    assert!(why.contains("main.cf:") && why.contains("\"soon\""), "{why}");
    server.wait_for_error(&["the configuration before stays in use"]);
    assert!(banner(&server).contains("first"));
    server.accept(&["alice@example.com"], "Subject: x\n\nx\n");

    configure(&server, "smtpd_timeout = 300s\nsmtpd_banner = third");
    reload(&server);
    server.wait_for_error(&["reload -- version"]);
    assert!(banner(&server).contains("third"));
}

#[test]
fn a_reload_under_load_drops_nothing_and_holds_nobody_up() {
    const RELOADS: usize = 10;
    let server = start();
    let port = server.port();
    let until = Instant::now() + Duration::from_secs(2);
    let load: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut accepted = 0;
                let mut session = Session::greeted(port).expect("a session");
                while Instant::now() < until {
                    let reply = session
                        .mail(
                            "s@client.example",
                            &["alice@example.com"],
                            b"Subject: x\r\n\r\nx\r\n",
                        )
                        .expect("a session that goes on");
                    assert_eq!(reply.code, 250, "{reply:?}");
                    accepted += 1;
                }
                accepted
            })
        })
        .collect();
    // They wait for no disk, which has other tests to serve.
    let bystanders = [(); 4].map(|()| {
        thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            let mut session = Session::greeted(port).expect("a session");
            while Instant::now() < until {
                let began = Instant::now();
                assert_eq!(session.command("NOOP").expect("a session that goes on").code, 250);
                slowest = slowest.max(began.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            slowest
        })
    });
    for turn in 0..RELOADS {
        configure(&server, &format!("smtpd_banner = turn {turn}"));
        reload(&server);
        wait::until_true("the reload", || banner(&server).contains(&format!("turn {turn}")));
    }
    let mut accepted = 0;
    for load in load {
        accepted += load.join().expect("the load");
    }
    for bystander in bystanders {
        let slowest = bystander.join().expect("a bystander");
        assert!(slowest < STALL_MAX, "{slowest:?}");
    }
    assert_eq!(server.maildir_at("example.com", "alice").wait_for(accepted).len(), accepted);
    let warnings = |line: &&String| line.contains("warning");
    assert_eq!(server.log().iter().find(warnings), None);
}
