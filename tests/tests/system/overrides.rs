//! `receive_override_options`: what a service leaves out for the mail that it receives, and nobody else does.

use std::net::{Ipv4Addr, SocketAddr};

use tests::{Server, Session, Setup};

const MAIN_CF: &str = "virtual_mailbox_domains = example.com
    virtual_mailbox_maps = inline:{ a@example.com=a/, list@example.com=list/, copy@example.com=copy/ }
    virtual_uid_maps = static:65534
    virtual_gid_maps = static:65534
    virtual_alias_maps = inline:{ list@example.com=a@example.com }
    always_bcc = copy@example.com
    header_checks = inline:{ { Subject: bad = REJECT } }";

const VIRTUAL: &str = "virtual  unix  -  n  n  -  -  virtual\n";

/// What is done for mail at one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    unknown_recipient_checks: bool,
    address_mappings: bool,
    header_body_checks: bool,
}

const EVERYTHING: Done =
    Done { unknown_recipient_checks: true, address_mappings: true, header_body_checks: true };

/// Finds out by sending mail.
fn done_at(server: &Server, address: SocketAddr) -> Done {
    let session = || Session::greeted_by(address).expect("a session");
    let mut asking = session();
    asking.command("MAIL FROM:<>").expect("a reply");
    let unknown = asking.command("RCPT TO:<nobody@example.com>").expect("a reply");
    let bad = session().mail("", &["list@example.com"], b"Subject: bad\r\n\r\nx\r\n");
    let good = session().mail("", &["list@example.com"], b"Subject: good\r\n\r\nx\r\n");
    let good = good.expect("a reply");
    let id = good.queue_id().expect("a message that nothing speaks against");
    server.wait_for_log(&[id, ": removed"]);
    let sent_to = |to: &str| {
        server.log().iter().any(|line| [id, to, "status=sent"].iter().all(|it| line.contains(it)))
    };
    let address_mappings = match [" to=<list@", " to=<a@", " to=<copy@"].map(sent_to) {
        [false, true, true] => true,
        [true, false, false] => false,
        other => panic!("sent to list, a, copy: {other:?}"),
    };
    Done {
        unknown_recipient_checks: unknown.code == 550,
        address_mappings,
        header_body_checks: bad.expect("a reply").code == 550,
    }
}

/// Each service has an address of its own: one that is repeated overrides the one before.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(number + 2).expect("few services"))
}

fn start(main_cf: &str, services: &[&str]) -> Server {
    let mut master_cf = format!("smtp inet n - n - - smtpd\n{VIRTUAL}");
    for (number, options) in services.iter().enumerate() {
        master_cf.push_str(&format!("{}:0 inet n - n - - smtpd {options}\n", address(number)));
    }
    Setup::new().main_cf(&format!("{MAIN_CF}\n{main_cf}")).master_cf(&master_cf).start()
}

#[test]
fn each_option_acts_for_the_service_that_sets_it() {
    let server = start(
        "",
        &[
            "-o receive_override_options=no_unknown_recipient_checks",
            "-o receive_override_options=no_address_mappings",
            "-o receive_override_options=no_header_body_checks",
            // There are none that could be left out.
            "-o receive_override_options=no_milters",
            "-o { receive_override_options = no_milters no_unknown_recipient_checks, no_header_body_checks }",
        ],
    );
    let expected = [
        EVERYTHING,
        Done { unknown_recipient_checks: false, ..EVERYTHING },
        Done { address_mappings: false, ..EVERYTHING },
        Done { header_body_checks: false, ..EVERYTHING },
        EVERYTHING,
        Done { address_mappings: true, unknown_recipient_checks: false, header_body_checks: false },
    ];
    let addresses = server.addresses();
    assert_eq!(addresses.len(), expected.len());
    for (number, (address, expected)) in addresses.into_iter().zip(expected).enumerate() {
        assert_eq!(done_at(&server, address), expected, "server {number}");
    }
}

#[test]
fn what_a_service_sets_takes_the_place_of_what_main_cf_sets() {
    let server = start(
        "receive_override_options = no_address_mappings",
        &[
            "-o receive_override_options=no_header_body_checks",
            "-o receive_override_options=",
            "-o receive_override_options=$mine,no_unknown_recipient_checks -o mine=no_address_mappings",
        ],
    );
    let expected = [
        Done { address_mappings: false, ..EVERYTHING },
        Done { header_body_checks: false, ..EVERYTHING },
        EVERYTHING,
        Done { address_mappings: false, unknown_recipient_checks: false, ..EVERYTHING },
    ];
    for (address, expected) in server.addresses().into_iter().zip(expected) {
        assert_eq!(done_at(&server, address), expected);
    }
}

/// As in Postfix, where the SMTP server tells cleanup what to leave out.
#[test]
fn a_cleanup_service_is_told_by_its_servers_what_to_leave_out() {
    let server = Setup::new()
        .main_cf(MAIN_CF)
        .master_cf(&format!(
            "smtp         inet  n  -  n  -  -  smtpd -o cleanup_service_name=other
127.0.0.1:0  inet  n  -  n  -  -  smtpd -o cleanup_service_name=other
    -o receive_override_options=no_header_body_checks
other        unix  n  -  n  -  0  cleanup -o receive_override_options=no_address_mappings
{VIRTUAL}"
        ))
        .start();
    let expected = [EVERYTHING, Done { header_body_checks: false, ..EVERYTHING }];
    for (address, expected) in server.addresses().into_iter().zip(expected) {
        assert_eq!(done_at(&server, address), expected);
    }
}

#[test]
fn a_filter_gives_mail_back_to_a_port_that_does_not_filter_again() {
    let server = start(
        "content_filter = discard:to-the-filter
        receive_override_options = no_address_mappings",
        &["-o content_filter= -o local_recipient_maps= -o mynetworks=127.0.0.0/8
            -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
            -o smtpd_recipient_restrictions=permit_mynetworks,reject
discard unix - - n - - discard"],
    );
    let [first, again] = server.addresses()[..] else { panic!("two addresses") };
    let send = |address| {
        let mut session = Session::greeted_by(address).expect("a session");
        let reply = session.mail("", &["list@example.com"], b"Subject: good\r\n\r\nx\r\n");
        let reply = reply.expect("a reply");
        reply.queue_id().unwrap_or_else(|| panic!("{:?}", reply.lines)).to_owned()
    };
    let id = send(first);
    server.wait_for_log(&[&id, "to=<list@example.com>", "relay=none", "(to-the-filter)"]);
    let id = send(again);
    server.wait_for_log(&[&id, "to=<a@example.com>", "orig_to=<list@example.com>", "status=sent"]);
    server.wait_for_log(&[&id, "to=<copy@example.com>", "status=sent"]);
}

#[test]
fn a_word_that_is_no_option_is_an_error_with_its_line() {
    let setup = Setup::new().main_cf(MAIN_CF).master_cf(&format!(
        "smtp inet n - n - - smtpd\n  -o receive_override_options=no_milters,no_header_checks\n{VIRTUAL}"
    ));
    let ran = setup.refused();
    assert!(
        ran.err.contains(
            "master.cf:2: receive_override_options: found \"no_milters,no_header_checks\", expected \
             no_unknown_recipient_checks, no_address_mappings, no_header_body_checks, no_milters, not \
             \"no_header_checks\""
        ),
        "{ran:?}"
    );
}

/// Postfix is started by root alone.
mod as_root {
    use std::net::SocketAddr;

    use tests::wait::until_true;
    use tests::{Server, Session, Setup};

    use super::address;
    use crate::postfix::as_root::Postfix;

    /// Everything that the options leave out. Nothing is delivered, so that it can be looked at.
    const MAIN_CF: &str = "virtual_mailbox_domains = example.com
virtual_mailbox_maps = inline:{ a@example.com=x, b@example.com=x, list@example.com=x, odd@example.com=x }
virtual_alias_maps = inline:{ { list@example.com = a@example.com, b@example.com },
    all@example.com=kept@example.com, late@example.com=kept@example.com }
canonical_maps = inline:{ old@client.example=new@client.example, odd@example.com=even@example.com }
masquerade_domains = masked.example
always_bcc = all@example.com
sender_bcc_maps = inline:{ new@client.example=of-sender@example.com, old@client.example=of-old@example.com }
recipient_bcc_maps = inline:{ even@example.com=of-even@example.com, odd@example.com=of-odd@example.com }
header_checks = regexp:PLACE/header_checks
body_checks = regexp:PLACE/body_checks
strict_7bit_headers = yes
strict_8bitmime_body = yes
message_strip_characters = \\001
message_reject_characters = \\002
defer_transports = virtual
";
    const HEADER_CHECKS: &str = "/^Subject: bad/ REJECT\n/^Subject: late/ BCC late@example.com\n\
         /^X-Gone:/ IGNORE\n/^Subject: pass/ PASS\n";
    const BODY_CHECKS: &str = "/^gone/ IGNORE\n/^bad/ REJECT\n";

    const OPTIONS: [&str; 7] = [
        "",
        "no_unknown_recipient_checks",
        "no_address_mappings",
        "no_header_body_checks",
        "no_milters",
        "no_unknown_recipient_checks,no_header_body_checks,no_milters",
        "no_unknown_recipient_checks,no_address_mappings,no_header_body_checks,no_milters",
    ];

    /// Sender, recipients, and content behind the first headers.
    const MESSAGES: [(&str, &[&str], &str); 11] = [
        ("old@client.example", &["list@example.com"], "X-Gone: x\r\n\r\ngone\r\nx\r\n"),
        (
            "a@host.masked.example",
            &["odd@example.com", "a@example.com"],
            "Subject: late\r\n\r\nx\r\n",
        ),
        ("new@client.example", &["list@example.com"], "Subject: late\r\nX-Gone: x\r\n\r\nx\r\n"),
        ("old@client.example", &["nobody@example.com"], "\r\nx\r\n"),
        ("", &["odd@example.com"], "Subject: bad\r\n\r\nx\r\n"),
        ("", &["a@example.com"], "Subject: x\r\n\r\nx\r\nbad\r\n"),
        ("", &["a@example.com"], "Subject: \u{e4}\r\n\r\nx\r\n"),
        ("", &["a@example.com"], "Subject: x\r\n\r\n\u{e4}\r\n"),
        ("", &["a@example.com"], "Subject: x\u{1}y\r\n\r\nx\u{1}y\r\n"),
        ("", &["a@example.com"], "Subject: x\r\n\r\nx\u{2}y\r\n"),
        ("", &["a@example.com"], "Subject: pass\r\nX-Gone: x\r\n\r\nx\u{2}y\r\ngone\r\n"),
    ];
    const HEAD: &str = "From: <old@client.example>, b@host.masked.example\r\nTo: odd@example.com\r\n\
         Message-ID: <1@x>\r\nDate: Mon, 30 Nov 2026 20:00:00 +0000\r\n";

    fn send(
        address: SocketAddr,
        (from, to, content): (&str, &[&str], &str),
    ) -> (String, Option<String>) {
        let mut session = Session::greeted_by(address).expect("a session");
        let content = format!("{HEAD}{content}");
        let reply = session.mail(from, to, content.as_bytes()).expect("a reply");
        let id = reply.queue_id().map(str::to_owned);
        let text = reply.lines.join(" ");
        (id.as_ref().map_or(text.clone(), |id| text.replace(id, "ID")), id)
    }

    /// Who sends what to whom, as postcat shows it.
    fn mail(shown: &str) -> String {
        let is_address = |line: &&str| {
            ["sender: ", "recipient: ", "original_recipient: "]
                .iter()
                .any(|it| line.starts_with(it))
        };
        let is_trace =
            |line: &&str| line.starts_with([' ', '\t']) || line.starts_with("Received: ");
        let (envelope, rest) = shown.split_once("*** MESSAGE CONTENTS").expect("content");
        let content = rest.split_once("***\n").expect("a line").1;
        let (content, extracted) = content.split_once("*** HEADER EXTRACTED").expect("its end");
        let mut lines: Vec<&str> = envelope.lines().filter(is_address).collect();
        // Where a recipient is recorded is each one's own business.
        lines.extend(extracted.lines().filter(is_address));
        lines.extend(content.lines().skip_while(is_trace));
        lines.join("\n")
    }

    fn ours(server: &Server, address: SocketAddr, message: (&str, &[&str], &str)) -> String {
        let (reply, id) = send(address, message);
        let shown = id.map(|id| server.ringpost(&["queue", "show", &id]).expect_ok());
        format!("{reply}\n{}", shown.map(|it| mail(&it)).unwrap_or_default())
    }

    fn theirs(postfix: &Postfix, address: SocketAddr, message: (&str, &[&str], &str)) -> String {
        let (reply, id) = send(address, message);
        let shown = id.map(|id| {
            postfix.wait_until_deferred(&id);
            postfix.command("postcat", &["-q", &id])
        });
        format!("{reply}\n{}", shown.map(|it| mail(&it)).unwrap_or_default())
    }

    #[test]
    fn the_options_leave_out_what_postfix_leaves_out() {
        let setup =
            Setup::new().file("header_checks", HEADER_CHECKS).file("body_checks", BODY_CHECKS);
        let place = setup.place().to_owned();
        let main_cf = MAIN_CF.replace("PLACE", &place.to_string_lossy());
        let services: String = OPTIONS
            .iter()
            .enumerate()
            .map(|(number, options)| {
                let address = address(number);
                format!(
                    "{address}:PORT inet n - n - - smtpd -o receive_override_options={options}\n"
                )
            })
            .collect();
        let own = format!("myhostname = mx.example\nmydestination =\n{main_cf}");
        let first = "smtp inet n - n - - smtpd\nvirtual unix - n n - - virtual\n";
        let server = setup
            .main_cf(&own.replace("\n    ", " "))
            .master_cf(&format!("{first}{}", services.replace("PORT", "0")))
            .start();
        let postfix = Postfix::start_with(&place, &main_cf, &services);
        let addresses = server.addresses().split_off(1);
        assert_eq!(addresses.len(), OPTIONS.len());
        let mut differing = Vec::new();
        for (number, our_address) in addresses.into_iter().enumerate() {
            let their_address = SocketAddr::new(address(number).into(), postfix.port);
            until_true("Postfix to listen", || Session::greeted_by(their_address).is_ok());
            for message in MESSAGES {
                let ours = ours(&server, our_address, message);
                let theirs = theirs(&postfix, their_address, message);
                if ours != theirs {
                    differing.push(format!(
                        "{}: {message:?}\nours: {ours}\nPostfix's: {theirs}\n",
                        OPTIONS[number]
                    ));
                }
            }
        }
        assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    }
}
