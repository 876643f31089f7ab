//! Input from those who mean no good: others are served meanwhile, memory stays bounded, and nothing
//! is left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::{Server, Session, Setup};

/// How much the server's memory may grow while it is attacked. One message of the largest size fits;
/// what an attacker sends in all does not.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// The longest that somebody else may wait for a whole session meanwhile.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Runs `attack`, and other people's mail beside it; then checks what it cost.
fn under(setup: Setup, attack: impl FnOnce(&Server)) {
    let mut server = setup.start();
    server.accept(&["warm@localhost"], "Subject: warm\r\n\r\n");
    server.maildir("warm").wait_for_one();
    let rss_kib = server.rss_kib();
    let attacking = AtomicBool::new(true);
    let (others, longest, most_kib) = thread::scope(|scope| {
        let others = scope.spawn(|| {
            let (mut count, mut longest, mut most_kib) = (0, Duration::ZERO, 0);
            while attacking.load(Ordering::Acquire) || count < 3 {
                let start = Instant::now();
                server.accept(&["other@localhost"], "Subject: other\r\n\r\nhello\r\n");
                longest = longest.max(start.elapsed());
                most_kib = most_kib.max(server.rss_kib());
                count += 1;
            }
            (count, longest, most_kib)
        });
        let ends = Ends(&attacking);
        attack(&server);
        drop(ends);
        others.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert!(longest < OTHERS_WAIT_MAX, "somebody else waited {longest:?}");
    let grown = most_kib.saturating_sub(rss_kib);
    assert!(grown < GROWTH_KIB_MAX, "from {rss_kib} KiB to {most_kib} KiB");
    assert!(server.runs());
    server.maildir("other").wait_for(others);
    server.wait_until_drained();
    assert_no_litter(&server);
    assert!(server.stop().success(), "a clean stop");
}

/// Says that the attack is over, also where it failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// No content files, and nothing unfinished in a mailbox.
fn assert_no_litter(server: &Server) {
    for maildir in tests::mailbox::maildirs(&server.mail_base()).values() {
        assert_eq!(maildir.unfinished(), Vec::<PathBuf>::new());
    }
    let nothing = || content_files(&server.setup.data().join("queue")).is_empty();
    tests::wait::until_true("content files to be removed", nothing);
}

/// The files of messages that were too large for the log.
fn content_files(queue: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![queue.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else if directory.ends_with("content") {
                found.push(path);
            }
        }
    }
    found
}

/// No waiting for those who make mistakes; everything else as it is by default.
fn setup() -> Setup {
    Setup::new().option("smtpd_error_sleep_time=0")
}

/// Sends until the server has had enough; that is no failure.
fn pour(session: &mut Session, bytes: &[u8], times: usize) -> io::Result<()> {
    (0..times).try_for_each(|_| session.send(bytes))
}

#[test]
fn a_command_line_of_ten_megabytes() {
    under(setup(), |server| {
        let mut session = server.session();
        // It is refused at the latest when it ends, or cut off before.
        let poured = pour(&mut session, &[b'x'; 65_536], 160).and_then(|()| session.send("\r\n"));
        if poured.is_ok()
            && let Ok(reply) = session.reply()
        {
            assert!(reply.code >= 421, "{:?}", reply.lines);
        }
    });
}

#[test]
fn a_hundred_megabytes_without_an_end() {
    under(setup(), |server| {
        let mut session = server.session();
        // Nothing that the server reads is kept, so the sender may go on or be cut off.
        let _ = pour(&mut session, &[b'x'; 65_536], 1600);
    });
}

#[test]
fn one_line_of_nine_megabytes_in_a_message() {
    under(setup(), |server| {
        let mut content = b"Subject: one line\r\n\r\n".to_vec();
        content.resize(9_000_000, b'x');
        server.accept(&["line@localhost"], &content);
        let mail = server.maildir("line").wait_for_one();
        assert_eq!(mail.body().len(), 9_000_000 - 21 + 1);
    });
}

#[test]
fn one_header_of_five_megabytes() {
    under(setup(), |server| {
        for (name, separator) in [("line", "x"), ("folded", "x\r\n ")] {
            let value = separator.repeat(5_000_000 / separator.len());
            let content = format!("Subject: {value}\r\nX-Last: yes\r\n\r\nbody\r\n");
            server.accept(&[&format!("{name}@localhost")], content);
            // What is beyond header_size_limit may be dropped; what follows may not.
            let mail = server.maildir(name).wait_for_one();
            assert_eq!(mail.header("X-Last").as_deref(), Some("yes"), "{name}");
            assert_eq!(mail.body(), b"body\n", "{name}");
        }
    });
}

#[test]
fn fifty_thousand_headers() {
    under(setup(), |server| {
        let headers: String = (0..50_000).map(|n| format!("X-{n}: value\r\n")).collect();
        server.accept(&["headers@localhost"], format!("{headers}\r\nbody\r\n"));
        let mail = server.maildir("headers").wait_for_one();
        assert_eq!(mail.body(), b"body\n");
        assert!(mail.header("X-49999").is_some());
    });
}

#[test]
fn a_from_line_of_64_kilobytes_in_front_of_the_headers() {
    under(setup(), |server| {
        let content = format!("From {}\r\nSubject: mbox\r\n\r\nbody\r\n", "x".repeat(65_536));
        let reply = server.session().mail("", &["fromline@localhost"], content.as_bytes());
        assert!(matches!(reply.expect("a reply").code, 250 | 550..=554));
    });
}

#[test]
fn nul_bytes_everywhere() {
    under(setup(), |server| {
        let mut session = server.connect();
        session.play("S: 220 *");
        for command in [&b"EH\0LO x\r\n"[..], b"\0\r\n", b"MAIL FROM:<a\0b@c>\r\n", b"NOOP\0\r\n"] {
            session.send(command).expect("a command");
            let reply = session.reply().expect("a reply");
            assert_eq!(reply.code / 100, 5, "{:?}", reply.lines);
        }
        session.play("C: EHLO client.example\nS: 250 *");
        let reply = session.mail("", &["nul@localhost"], &[0; 100_000]).expect("a reply");
        assert_eq!(reply.code, 250, "{:?}", reply.lines);
        let mail = server.maildir("nul").wait_for_one();
        assert_eq!(mail.bytes.iter().filter(|&&byte| byte == 0).count(), 100_000);
    });
}

#[test]
fn a_hundred_thousand_recipients() {
    under(setup(), |server| {
        let mut session = server.session();
        session.play("C: MAIL FROM:<>\nS: 250 *");
        let (mut accepted, mut later, mut ended) = (0, 0, false);
        'pouring: for group in 0..1000 {
            let commands: String =
                (0..100).map(|n| format!("RCPT TO:<u{group}x{n}@localhost>\r\n")).collect();
            if session.send(commands).is_err() {
                ended = true;
                break;
            }
            for _ in 0..100 {
                match session.reply().map(|reply| reply.code) {
                    Ok(250) => accepted += 1,
                    Ok(452) => later += 1,
                    Ok(421) | Err(_) => {
                        ended = true;
                        break 'pouring;
                    }
                    Ok(other) => panic!("{other}"),
                }
            }
        }
        assert_eq!(accepted, 1000, "smtpd_recipient_limit");
        assert!(later >= 1000, "smtpd_recipient_overshoot_limit");
        assert!(ended, "who does not listen is put out: {later} times 452");
    });
}

#[test]
fn a_flood_of_noops_and_other_junk() {
    for command in ["NOOP", "RSET", "VRFY me@localhost", "HELP", "FOO", ""] {
        under(setup(), |server| {
            let mut session = server.session();
            let mut replies = 0;
            while let Ok(reply) = session.command(command) {
                replies += 1;
                if reply.code == 421 {
                    break;
                }
                assert!(replies < 1000, "{command}: there is a limit");
            }
            assert!(session.is_closed());
            // smtpd_junk_command_limit and smtpd_hard_error_limit together.
            assert!(replies <= 121, "{command}: {replies}");
        });
    }
}

#[test]
fn errors_slow_a_session_down_and_nobody_else() {
    let server =
        Setup::new().option("smtpd_error_sleep_time=1").option("smtpd_soft_error_limit=1").start();
    let mut session = server.session();
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(session.command("FOO").expect("a reply").code / 100, 5);
    }
    assert!(start.elapsed() > Duration::from_millis(1500), "{:?}", start.elapsed());
    let start = Instant::now();
    server.session().play("C: NOOP\nS: 250 *");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_silent_client_is_put_out_after_smtpd_timeout() {
    let server = Setup::new().option("smtpd_timeout=1s").start();
    let mut before_helo = server.connect();
    let mut after_helo = server.session();
    let mut in_data = server.session();
    in_data.play(
        "C: MAIL FROM:<>
         S: 250 *
         C: RCPT TO:<silent@localhost>
         S: 250 *
         C: DATA
         S: 354 *",
    );
    in_data.send("Subject: cut").expect("content");
    before_helo.play("S: 220 *\nS: 421 4.4.2 *timeout exceeded\nS: closed");
    after_helo.play("S: 421 4.4.2 *timeout exceeded\nS: closed");
    assert!(in_data.is_closed());
    server.wait_for_log(&["timeout after CONNECT from unknown[127.0.0.1]"]);
    server.wait_for_log(&["timeout after DATA (12 bytes) from unknown[127.0.0.1]"]);
    server.wait_for_log(&["timeout after EHLO from unknown[127.0.0.1]"]);
    assert_eq!(server.maildir("silent").count(), 0);
    assert_eq!(server.queue().len(), 0);
}

#[test]
fn twenty_clients_that_send_a_byte_at_a_time() {
    let setup = setup().option("smtpd_timeout=2s");
    under(setup, |server| {
        let mut slow: Vec<_> = (0..20).map(|_| server.session()).collect();
        for session in &mut slow {
            session.play(
                "C: MAIL FROM:<>
                 S: 250 *
                 C: RCPT TO:<slow@localhost>
                 S: 250 *
                 C: DATA
                 S: 354 *",
            );
        }
        // One byte each, as often as others manage a whole message.
        for _ in 0..30 {
            server.accept(&["quick@localhost"], "Subject: quick\r\n\r\n");
            for session in &mut slow {
                let _ = session.send("x");
            }
        }
        assert!(server.maildir("quick").wait_for(30).len() == 30);
        for session in slow {
            drop(session);
        }
        assert_eq!(server.maildir("slow").count(), 0);
    });
}

#[test]
fn two_hundred_connections_reset_inside_a_message() {
    under(setup(), |server| {
        for number in 0..200 {
            let mut session = server.session();
            session.play(
                "C: MAIL FROM:<>
                 S: 250 *
                 C: RCPT TO:<reset@localhost>
                 S: 250 *
                 C: DATA
                 S: 354 *",
            );
            // Some are beyond what stays in the log and have begun a file of their own.
            let size = if number % 20 == 0 { 3_000_000 } else { 5000 };
            session.send(vec![b'x'; size]).expect("content");
            session.reset().expect("a reset");
        }
        tests::wait::until_true("all of them to be noticed", || {
            server.log().iter().filter(|line| line.contains("lost connection after DATA")).count()
                >= 200
        });
        assert_eq!(server.maildir("reset").count(), 0);
    });
}

#[test]
fn half_closed_connections_get_their_answers_and_end() {
    under(setup(), |server| {
        for _ in 0..20 {
            let mut session = server.session();
            session
                .send("MAIL FROM:<>\r\nRCPT TO:<half@localhost>\r\nDATA\r\n")
                .expect("an envelope");
            for code in [250, 250, 354] {
                assert_eq!(session.reply().expect("a reply").code, code);
            }
            session.send("Subject: half\r\n\r\n.\r\nQUIT\r\n").expect("content");
            session.end_sending().expect("a half close");
            assert_eq!(session.reply().expect("the answer to the dot").code, 250);
            assert_eq!(session.reply().expect("the answer to QUIT").code, 221);
            assert!(session.is_closed());
        }
        // In the middle of a message there is nothing to answer.
        let mut session = server.session();
        session.send("MAIL FROM:<>\r\nRCPT TO:<cut@localhost>\r\nDATA\r\n").expect("an envelope");
        for code in [250, 250, 354] {
            assert_eq!(session.reply().expect("a reply").code, code);
        }
        session.send("Subject: cut\r\n").expect("content");
        session.end_sending().expect("a half close");
        assert!(session.is_closed());
        server.maildir("half").wait_for(20);
        assert_eq!(server.maildir("cut").count(), 0);
    });
}

#[test]
fn a_client_that_never_reads_its_replies() {
    under(setup().option("smtpd_timeout=2s"), |server| {
        let mut deaf = server.session();
        deaf.narrow().expect("a socket");
        deaf.play("C: MAIL FROM:<>\nS: 250 *");
        let commands = "RCPT TO:<x@localhost>\r\n".repeat(1000);
        // Until the server stops reading because it cannot write, or has had enough.
        let _ = (0..1000).try_for_each(|_| deaf.send_within(&commands, Duration::from_secs(5)));
        server.accept(&["heard@localhost"], "Subject: heard\r\n\r\n");
        server.maildir("heard").wait_for_one();
    });
}

#[test]
fn a_flood_of_connections() {
    under(setup(), |server| {
        for _ in 0..10 {
            let open: Vec<_> = (0..200).map(|_| server.connect()).collect();
            drop(open);
        }
        let mut held: Vec<_> = (0..500).map(|_| server.session()).collect();
        server.session().play("C: NOOP\nS: 250 *");
        assert!(held.iter_mut().all(|session| session.command("NOOP").is_ok_and(|r| r.is_ok())));
    });
}

#[test]
fn odd_bdat_commands_are_refused_and_both_sides_stay_in_step() {
    under(setup(), |server| {
        for command in [
            "BDAT",
            "BDAT -1",
            "BDAT x",
            "BDAT 1x LAST",
            "BDAT 99999999999999999999999 LAST",
            "BDAT 18446744073709551615 LAST",
            "BDAT 0x10",
            "BDAT 5 FIRST",
            "BDAT 5 LAST LAST",
        ] {
            let mut session = server.session();
            session.play("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<bdat@localhost>\nS: 250 *");
            let reply = session.command(command);
            let code = reply.as_ref().map_or(421, |reply| reply.code);
            assert!(matches!(code, 421 | 500..=555), "{command}: {reply:?}");
        }
        // Without a transaction, the chunk is read and dropped.
        let mut session = server.session();
        session.send("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n").expect("BDAT");
        assert_eq!(session.reply().expect("a reply").code, 503);
        assert_eq!(session.reply().expect("the answer to NOOP").code, 250);
        // After an error in BDAT, DATA does not begin a message.
        session.play("C: MAIL FROM:<>\nS: 250 *\nC: BDAT 3\nC: a\nS: 5*\nC: DATA\nS: 503 *");
        assert_eq!(server.maildir("bdat").count(), 0);
    });
}

#[test]
fn thirty_thousand_chunks_of_one_byte() {
    under(setup(), |server| {
        let mut session = server.session();
        session.play("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<tiny@localhost>\nS: 250 *");
        for _ in 0..300 {
            session.send("BDAT 1\r\n.".repeat(100)).expect("chunks");
            for _ in 0..100 {
                assert_eq!(session.reply().expect("a reply").code, 250);
            }
        }
        session.play("C: BDAT 0 LAST\nS: 250 *");
        let mail = server.maildir("tiny").wait_for_one();
        let dots = [&[b'.'; 30_000][..], b"\n"].concat();
        assert!(mail.bytes.ends_with(&dots));
    });
}

#[test]
fn a_message_far_beyond_the_size_limit_takes_no_room() {
    under(setup().option("message_size_limit=100000"), |server| {
        for _ in 0..5 {
            let mut session = server.session();
            session.play("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<big@localhost>\nS: 250 *");
            session.play("C: DATA\nS: 354 *");
            let line = [&[b'x'; 998][..], b"\r\n"].concat();
            let sent = pour(&mut session, &line.repeat(100), 300)
                .and_then(|()| session.send(".\r\n"))
                .and_then(|()| session.reply());
            if let Ok(reply) = sent {
                assert_eq!(reply.code, 552, "{:?}", reply.lines);
            }
        }
        assert_eq!(server.maildir("big").count(), 0);
    });
}

#[test]
fn those_who_do_not_speak_smtp() {
    under(setup(), |server| {
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\nrandom\r\n\r\n";
        for words in [
            &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nMAIL FROM:<a@b>\r\n",
            b"CONNECT smtp.example:25 HTTP/1.0\r\n\r\n",
            hello,
        ] {
            let mut session = server.connect();
            session.play("S: 220 *");
            session.send(words).expect("a request");
            session.end_sending().expect("a half close");
            let mut replies = Vec::new();
            while let Ok(reply) = session.reply() {
                replies.push(reply.code);
            }
            // 221 to who is known for it, 500 to what is not even text.
            assert!(replies.iter().all(|code| matches!(code, 221 | 500..=555)), "{replies:?}");
        }
        server.wait_for_log(&["non-SMTP command from unknown[127.0.0.1]: GET / HTTP/1.1"]);
    });
}

#[test]
fn commands_sent_before_the_greeting_are_not_carried_out() {
    under(setup(), |server| {
        let mut session = server.connect();
        let early =
            "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<early@localhost>\r\nDATA\r\n\r\n.\r\nQUIT\r\n";
        let _ = session.send(early);
        assert!(session.is_closed());
        server.wait_for_log(&["improper command pipelining after "]);
        assert_eq!(server.maildir("early").count(), 0);
    });
}

#[test]
fn commands_out_of_order_are_refused() {
    under(setup(), |server| {
        server.session().play(
            "C: RCPT TO:<me@localhost>
             S: 503 5.5.1 *
             C: DATA
             S: 503 5.5.1 *
             C: MAIL FROM:<>
             S: 250 *
             C: MAIL FROM:<>
             S: 503 5.5.1 *
             C: DATA
             S: 5*
             C: RSET
             S: 250 *
             C: RCPT TO:<me@localhost>
             S: 503 5.5.1 *
             C: STARTTLS
             S: 502 5.5.1 *
             C: MAIL FROM:<a@b> SIZE=99999999999999999999999
             S: 5*
             C: MAIL FROM:<a@b> SIZE=1 SIZE=2
             S: 501 *
             C: MAIL FROM:<a@b> =
             S: 5*
             C: QUIT
             S: 221 *
             S: closed",
        );
    });
}
