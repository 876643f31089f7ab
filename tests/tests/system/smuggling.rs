//! One message stays one message, whatever its content looks like (CVE-2023-51764 and its kin).
//!
//! Each variant puts something that resembles the end of the data in the middle of a message, and
//! commands for a second message behind it. Whatever the mode and however the bytes are cut, there is
//! one message or a refusal, and nobody gets the second.

use tests::{Server, Setup};

/// What stands before and after the dot. CR LF on both sides would be the true end.
fn variants() -> Vec<(String, Vec<u8>)> {
    let ends: [&[u8]; 12] = [
        b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n", b"\n\n", b"\r\r", b"\r\n\r", b"\r\n\0",
        b"\0\r\n", b"\0\n", b"\x0b",
    ];
    let dots: [&[u8]; 4] = [b".", b".\0", b"..", b". "];
    let mut variants = Vec::new();
    for before in ends {
        for dot in dots {
            for after in ends {
                let bytes = [before, dot, after].concat();
                let is_true_end = bytes.windows(5).any(|five| five == b"\r\n.\r\n");
                if !is_true_end {
                    variants.push((bytes.escape_ascii().to_string(), bytes));
                }
            }
        }
    }
    variants
}

/// Content that holds `fake` and then a whole second message, up to the true end.
fn content(fake: &[u8], number: usize) -> Vec<u8> {
    let mut content = b"Subject: outer\r\n\r\nfirst part".to_vec();
    content.extend_from_slice(fake);
    content.extend_from_slice(
        format!(
            "MAIL FROM:<smuggler@client.example>\r\nRCPT TO:<smuggled{number}@localhost>\r\nDATA\r\n\
             Subject: smuggled\r\n\r\nsecond part\r\n.\r\n"
        )
        .as_bytes(),
    );
    content
}

/// Plays every variant and returns how many were accepted as one message.
fn smuggle(server: &Server, line_end: &str, cut: bool) -> usize {
    let mut accepted = 0;
    for (number, (name, fake)) in variants().into_iter().enumerate() {
        let mut session = server.session();
        let end = line_end.replace("\\r", "\r").replace("\\n", "\n");
        for command in
            ["MAIL FROM:<a@client.example>", &format!("RCPT TO:<outer{number}@localhost>"), "DATA"]
        {
            session.send(format!("{command}{end}")).expect("a command");
            let reply = session.reply().expect("a reply");
            assert!(matches!(reply.code, 250 | 354), "{name}: {:?}", reply.lines);
        }
        let bytes = content(&fake, number);
        // A message that is refused early may close the connection on us.
        let sent = if cut {
            let at = bytes.len().min(28 + number % (fake.len() + 2));
            session.send(&bytes[..at]).and_then(|()| session.send(&bytes[at..]))
        } else {
            session.send(&bytes)
        };
        let Ok(reply) = sent.and_then(|()| session.reply()) else { continue };
        if !reply.is_ok() {
            assert!(reply.code >= 500, "{name}: {:?}", reply.lines);
            continue;
        }
        accepted += 1;
        // The next reply answers our next command: no other was taken out of the content.
        let reply = session.command("NOOP").expect("a reply");
        assert_eq!(reply.last(), "250 2.0.0 Ok", "{name}: {:?}", reply.lines);
        let reply = session.command("QUIT").expect("a reply");
        assert_eq!(reply.code, 221, "{name}: {:?}", reply.lines);
    }
    accepted
}

/// Nothing was delivered to a smuggled recipient; each outer one has one message or, refused, none.
fn verify(server: &Server, accepted: usize) {
    let base = server.mail_base();
    let what = format!("{accepted} messages");
    tests::wait::until_true(&what, || tests::mailbox::maildirs(&base).len() >= accepted);
    server.wait_until_drained();
    let maildirs = tests::mailbox::maildirs(&base);
    let mut delivered = 0;
    for (name, maildir) in &maildirs {
        assert!(!name.to_string_lossy().contains("smuggled"), "{}", name.display());
        let mails = maildir.mails();
        assert_eq!(mails.len(), 1, "{}", name.display());
        assert_eq!(mails[0].header("Subject").as_deref(), Some("outer"));
        // And nobody who passes it on has a CR to misread.
        assert!(!mails[0].bytes.contains(&b'\r'), "{}", name.display());
        delivered += 1;
    }
    assert_eq!(delivered, accepted);
    assert!(server.log().iter().all(|line| !line.contains("smuggler@client.example")));
}

fn mode(mode: &str) {
    let server = Setup::new()
        .option(&format!("smtpd_forbid_bare_newline={mode}"))
        .option("smtpd_error_sleep_time=0")
        .start();
    let whole = smuggle(&server, "\\r\\n", false);
    verify(&server, whole);
    drop(server);
    let server = Setup::new()
        .option(&format!("smtpd_forbid_bare_newline={mode}"))
        .option("smtpd_error_sleep_time=0")
        .start();
    let cut = smuggle(&server, "\\r\\n", true);
    verify(&server, cut);
    assert_eq!(whole, cut, "how the bytes are cut decides nothing");
    let all = variants().len();
    if mode == "reject" {
        assert!(whole < all, "messages with bare LF are refused");
    } else {
        assert_eq!(whole, all, "every message is taken, as one");
    }
}

#[test]
fn no_variant_yields_a_second_message_with_normalize() {
    mode("normalize");
}

#[test]
fn no_variant_yields_a_second_message_with_note() {
    mode("note");
}

#[test]
fn no_variant_yields_a_second_message_with_reject() {
    mode("reject");
}

#[test]
fn no_variant_yields_a_second_message_with_no() {
    mode("no");
}

#[test]
fn a_client_that_speaks_in_bare_lf_is_held_to_crlf_at_the_end_of_data_by_default() {
    let server = Setup::new().start();
    let accepted = smuggle(&server, "\\n", false);
    verify(&server, accepted);
    assert_eq!(accepted, variants().len());
}

#[test]
fn chunks_cannot_be_left_before_their_length_is_used_up() {
    let server = Setup::new().start();
    let mut session = server.session();
    let inner = content(b"\r\n.\r\n", 1);
    session
        .play("C: MAIL FROM:<a@client.example>\nS: 250 *\nC: RCPT TO:<outer@localhost>\nS: 250 *");
    session.send(format!("BDAT {} LAST\r\n", inner.len())).expect("BDAT");
    session.send(&inner).expect("a chunk");
    assert_eq!(session.reply().expect("a reply").code, 250);
    session.play("C: NOOP\nS: 250 2.0.0 Ok\nC: QUIT\nS: 221 *\nS: closed");
    server.maildir("outer").wait_for_one();
    assert_eq!(tests::mailbox::maildirs(&server.mail_base()).len(), 1);
}
