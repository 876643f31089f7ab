//! Recipients that have moved: who mails them is told where to, and no mail for them is delivered or waits.

use tests::{Server, Setup};

const MAIN_CF: &str = "mydestination = local.example
    local_recipient_maps =
    unknown_local_recipient_reject_code = 450
    relay_domains = relay.example
    relay_recipient_maps = inline:{ user@relay.example=x }
    unknown_relay_recipient_reject_code = 450
    virtual_alias_domains = alias.example
    virtual_alias_maps = inline:{ { team@alias.example = gone@relay.example }, \
      { known@relay.example = gone@local.example } }
    unknown_virtual_alias_reject_code = 554
    relocated_maps = inline:{ { gone@relay.example = new@elsewhere.example }, \
      { gone@local.example = The House, 1 Main Street }, { gone@alias.example = nowhere }, \
      { user@foreign.example = new@elsewhere.example }, { @moved.relay.example = all@elsewhere.example }, \
      { known@relay.example = nowhere }, { short = a shorter one } }";

/// Nothing is asked for at RCPT.
const UNASKED: &str = "smtpd_reject_unlisted_recipient = no";

fn start(more: &str) -> Server {
    Setup::new().main_cf(&format!("{MAIN_CF}\n{more}")).start()
}

/// The code and text of the answer to RCPT.
fn rcpt(port: u16, to: &str) -> String {
    let mut session = tests::Session::greeted(port).expect("a session");
    session.command("MAIL FROM:<sender@client.example>").expect("a reply");
    session.command(&format!("RCPT TO:<{to}>")).expect("a reply").last().to_owned()
}

/// A log line of a delivery, from the recipient on, without what is different each time.
fn outcome(line: &str) -> String {
    let (_, line) = line.split_once(": to=").expect("a recipient");
    let mut parts: Vec<&str> = line.split(", ").collect();
    parts.retain(|part| !part.starts_with("delay"));
    parts.join(", ")
}

const MOVED: [(&str, &str); 8] = [
    (
        "gone@relay.example",
        "550 5.1.6 <gone@relay.example>: User has moved to new@elsewhere.example",
    ),
    (
        "GONE@local.example",
        "550 5.1.6 <GONE@local.example>: User has moved to The House, 1 Main Street",
    ),
    (
        "gone+x@local.example",
        "550 5.1.6 <gone+x@local.example>: User has moved to The House, 1 Main Street",
    ),
    ("gone@alias.example", "554 5.1.6 <gone@alias.example>: User has moved to nowhere"),
    (
        "any@moved.relay.example",
        "550 5.1.6 <any@moved.relay.example>: User has moved to all@elsewhere.example",
    ),
    // A name without a domain is one of this host's own domains: this one is somebody else, and unknown.
    (
        "short@relay.example",
        "450 4.1.1 <short@relay.example>: User unknown in relay recipient table",
    ),
    // There is an alias, and it is the one that counts.
    ("known@relay.example", "250 2.1.5 Ok"),
    ("user@foreign.example", "554 5.7.1 <user@foreign.example>: Relay access denied"),
];

#[test]
fn who_has_moved_is_refused_with_the_new_address_whatever_the_class() {
    let server = start("recipient_delimiter = +");
    for (to, answer) in MOVED {
        let said = rcpt(server.port(), to).replace("Recipient address rejected: ", "");
        assert_eq!(said, answer);
    }
}

#[test]
fn who_is_accepted_unasked_or_under_another_name_is_told_by_the_error_agent() {
    let server = start(UNASKED);
    for (to, expected) in [
        (
            "gone@relay.example",
            "<gone@relay.example>, relay=none, dsn=5.1.6, status=bounced (User has moved to new@elsewhere.example)",
        ),
        (
            "team@alias.example",
            "<gone@relay.example>, orig_to=<team@alias.example>, relay=none, dsn=5.1.6, status=bounced (User has \
             moved to new@elsewhere.example)",
        ),
    ] {
        let id = server.accept(&[to], "Subject: x\n\nx\n");
        let line = server.wait_for_log(&[&id, "to=<"]);
        assert!(line.contains("/error["), "{line}");
        assert_eq!(outcome(&line), expected);
    }
}

#[test]
fn a_table_of_those_who_moved_that_is_away_refuses_and_bounces_nobody() {
    const TABLE: &str = "relocated_maps = texthash:PLACE/relocated";
    let server = start(&format!("{TABLE}\n{UNASKED}"));
    for to in ["gone@relay.example", "user@relay.example", "other@local.example"] {
        assert_eq!(rcpt(server.port(), to), format!("451 4.3.0 <{to}>: Temporary lookup failure"));
    }
    server.wait_for_log(&["smtpd", "warning", "relocated_maps"]);

    // What was accepted while it was there waits until it is there again.
    let setup = Setup::new().file("relocated", "gone@relay.example new@elsewhere.example\n");
    let mut server = setup.main_cf(&format!("{MAIN_CF}\n{TABLE}\n{UNASKED}\nlocal_transport = virtual\ndefer_transports = virtual\nqueue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s")).start();
    let id = server.accept(&["user@local.example"], "Subject: x\n\nx\n");
    server.wait_for_log(&[&id, "status=deferred (deferred transport)"]);
    std::fs::remove_file(server.setup.place().join("relocated")).expect("the table");
    server.restart();
    server.wait_for_log(&[&id, "status=deferred", "4.3.0"]);
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("status=bounced")), "{log:#?}");
}

/// Postfix is started by root alone.
mod as_root {
    use tests::wait::until_true;
    use tests::{Session, Setup};

    use super::{MAIN_CF, MOVED, outcome, rcpt};
    use crate::postfix::as_root::Postfix;

    #[test]
    fn postfix_says_the_same() {
        let server = Setup::new().main_cf(&format!("{MAIN_CF}\nrecipient_delimiter = +")).start();
        let text = MAIN_CF.replace("\n    ", "\n");
        let postfix = Postfix::start_with(
            server.setup.place(),
            &format!(
                "{text}\nrecipient_delimiter = +\nsmtpd_relay_restrictions = reject_unauth_destination\n"
            ),
            "",
        );
        until_true("Postfix to listen", || Session::greeted(postfix.port).is_ok());
        for (to, _) in MOVED {
            assert_eq!(rcpt(server.port(), to), rcpt(postfix.port, to), "{to}");
        }
        // The alias is expanded behind RCPT.
        for port in [server.port(), postfix.port] {
            let mut session = Session::greeted(port).expect("a session");
            let reply = session.mail("", &["team@alias.example"], b"Subject: x\r\n\r\nx\r\n");
            assert!(reply.expect("a reply").is_ok());
        }
        let ours = server.wait_for_log(&["status=bounced"]);
        let mut theirs = None;
        until_true("Postfix to give up", || {
            theirs =
                postfix.log().lines().find(|it| it.contains("status=bounced")).map(str::to_owned);
            theirs.is_some()
        });
        assert_eq!(outcome(&ours), outcome(&theirs.expect("a line")));
    }
}
