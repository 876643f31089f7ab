//! A lookup that takes a while: the session waits, its shard does not.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::Setup;

/// A tcp_table(5) server that has every user, and lets those who ask for `slow` wait.
struct Users {
    port: u16,
    /// Says that somebody has begun to wait.
    waiting: Receiver<()>,
    /// Lets one of them go on.
    go_on: Sender<()>,
}

impl Users {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a port").port();
        let (asked, waiting) = channel();
        let (go_on, may_go_on) = channel();
        let may_go_on = Arc::new(Mutex::new(may_go_on));
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (asked, may_go_on) = (asked.clone(), Arc::clone(&may_go_on));
                thread::spawn(move || serve(&connection, &asked, &may_go_on));
            }
        });
        Self { port, waiting, go_on }
    }
}

/// Ends with the connection, or with the test.
fn serve(
    connection: &TcpStream,
    asked: &Sender<()>,
    may_go_on: &Mutex<Receiver<()>>,
) -> Option<()> {
    for line in BufReader::new(connection).lines() {
        if line.ok()?.starts_with("get slow@") {
            asked.send(()).ok()?;
            may_go_on.lock().ok()?.recv().ok()?;
        }
        let mut connection = connection;
        connection.write_all(b"200 user/\n").ok()?;
    }
    Some(())
}

#[test]
fn a_session_whose_lookup_waits_holds_up_no_other_and_keeps_its_order() {
    let users = Users::start();
    let server = Setup::new()
        .option("shards=1")
        .option("virtual_mailbox_domains=localhost")
        .option(&format!("virtual_mailbox_maps=tcp:127.0.0.1:{}", users.port))
        .start();
    let mut slow = server.session();
    // All in one packet: what comes behind the lookup waits for it.
    slow.send(
        "MAIL FROM:<sender@client.example>\r\nRCPT TO:<slow@localhost>\r\n\
         RCPT TO:<user@elsewhere.example>\r\nRSET\r\n",
    )
    .expect("a group of commands");
    users.waiting.recv().expect("a lookup");

    for _ in 0..3 {
        server.session().play(
            "C: MAIL FROM:<sender@client.example>
             S: 250 *
             C: RCPT TO:<quick@localhost>
             S: 250 *
             C: QUIT
             S: 221 *",
        );
    }

    users.go_on.send(()).expect("somebody who waits");
    for code in ["250 2.1.0", "250 2.1.5", "554 5.7.1", "250 2.0.0"] {
        let reply = slow.reply().expect("a reply");
        assert!(reply.last().starts_with(code), "{code}: {:?}", reply.lines);
    }
}
