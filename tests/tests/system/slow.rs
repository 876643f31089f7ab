//! Clients that take their time: one that sends a byte now and then is put out where
//! `smtpd_per_request_deadline` holds, one that only has a slow line is not.

use std::io;
use std::time::Duration;

use tests::{Server, Session, Setup};

/// Between two pieces that a slow client sends.
const PAUSE: Duration = Duration::from_millis(100);

fn with_a_deadline() -> Server {
    Setup::new()
        .option("smtpd_timeout=2s")
        .option("smtpd_per_request_deadline=yes")
        .option("smtpd_min_data_rate=500")
        .start()
}

/// Sends `piece` again and again; whether the server has ended the session before `times` are over.
fn is_cut_off(session: &mut Session, piece: &[u8], times: usize) -> bool {
    session.set_reply_timeout(PAUSE).expect("a socket option");
    (0..times).any(|_| {
        session.send(piece).is_err()
            || match session.reply() {
                Ok(reply) => {
                    assert_eq!(reply.code, 421, "{:?}", reply.lines);
                    true
                }
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            }
    })
}

fn in_data(server: &Server) -> Session {
    let mut session = server.session();
    session.play(
        "C: MAIL FROM:<>
         S: 250 *
         C: RCPT TO:<slow@localhost>
         S: 250 *
         C: DATA
         S: 354 *",
    );
    session
}

#[test]
fn a_command_that_comes_byte_by_byte_has_no_more_time_than_any_other() {
    let server = with_a_deadline();
    let mut session = server.session();
    assert!(is_cut_off(&mut session, b"N", 200));
    server.wait_for_log(&["timeout after EHLO from unknown[127.0.0.1]"]);
}

#[test]
fn content_that_comes_byte_by_byte_is_cut_off() {
    let server = with_a_deadline();
    let mut session = in_data(&server);
    assert!(is_cut_off(&mut session, b"x", 200));
    server.wait_for_log(&["timeout after DATA (", " bytes) from unknown[127.0.0.1]"]);
    assert_eq!(server.maildir("slow").count(), 0);
}

#[test]
fn content_over_a_slow_line_may_take_longer_than_the_timeout() {
    let server = with_a_deadline();
    let mut session = in_data(&server);
    // Four seconds and a bit, at twenty times the least rate or what a busy machine makes of it.
    let line = [b"x".repeat(998).as_slice(), b"\r\n"].concat();
    assert!(!is_cut_off(&mut session, &line, 42));
    session.set_reply_timeout(Duration::from_secs(30)).expect("a socket option");
    session.send(".\r\n").expect("the end");
    assert!(session.reply().expect("a reply").is_ok());
    assert_eq!(server.maildir("slow").wait_for_one().body().len(), 42 * 999);
}

#[test]
fn without_the_deadline_only_silence_counts() {
    let server = Setup::new().option("smtpd_timeout=2s").start();
    let mut session = server.session();
    assert!(!is_cut_off(&mut session, b"N", 42));
    session.set_reply_timeout(Duration::from_secs(30)).expect("a socket option");
    assert_eq!(session.command("").expect("a reply").code, 500);
}
