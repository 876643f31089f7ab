//! Messages whose tables take a while, or are away: each waits or is put off, and no other with it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::{Server, Setup};

/// A tcp_table(5) server that has nothing, and takes its time for keys that say `slow`.
struct Table {
    port: u16,
    /// For these keys it cannot answer: it says so, or hangs up.
    away: Arc<AtomicBool>,
    /// Says that somebody has begun to wait.
    waiting: Receiver<()>,
    /// While this is there, they wait.
    hold: Sender<()>,
}

/// What the threads of a table share.
#[derive(Clone)]
struct Desk {
    /// The keys that it is away for say this.
    key: &'static str,
    hangs_up: bool,
    away: Arc<AtomicBool>,
    asked: Sender<()>,
    held: Arc<Mutex<Receiver<()>>>,
}

impl Table {
    fn start(key: &'static str, hangs_up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a port").port();
        let (asked, waiting) = channel();
        let (hold, held) = channel();
        let away = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            key,
            hangs_up,
            away: Arc::clone(&away),
            asked,
            held: Arc::new(Mutex::new(held)),
        };
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let desk = desk.clone();
                thread::spawn(move || desk.serve(&connection));
            }
        });
        Self { port, away, waiting, hold }
    }
}

impl Desk {
    /// Ends with the connection.
    fn serve(&self, mut connection: &TcpStream) -> Option<()> {
        for line in BufReader::new(connection).lines() {
            let line = line.ok()?;
            if line.contains("slow") {
                self.asked.send(()).ok()?;
                // Until the other end is gone.
                let _ = self.held.lock().ok()?.recv();
            }
            let away = line.contains(self.key) && self.away.load(Ordering::SeqCst);
            if away && self.hangs_up {
                return None;
            }
            let reply = if away { "400 not%20now" } else { "500 nothing" };
            connection.write_all(format!("{reply}\n").as_bytes()).ok()?;
        }
        Some(())
    }
}

fn start(parameter: &str, table: &Table) -> Server {
    Setup::new()
        .option("shards=1")
        .option(&format!("{parameter}=tcp:127.0.0.1:{}", table.port))
        .start()
}

#[test]
fn a_message_whose_tables_are_slow_waits_and_others_go_on() {
    for parameter in ["header_checks", "canonical_maps", "virtual_alias_maps", "transport_maps"] {
        let table = Table::start("nothing", false);
        let server = start(parameter, &table);
        let mut slow = server.session();
        let content = "Subject: slow\r\n\r\nx\r\n";
        slow.send(format!(
            "MAIL FROM:<sender@client.example>\r\nRCPT TO:<slow@localhost>\r\nBDAT {} LAST\r\n{content}",
            content.len()
        ))
        .expect("a group of commands");
        table.waiting.recv().expect("a lookup");

        server.accept(&["quick@localhost"], "Subject: x\n\nx\n");
        assert_eq!(server.maildir("quick").wait_for(1).len(), 1, "{parameter}");
        assert_eq!(server.maildir("slow").count(), 0, "{parameter}");

        drop(table.hold);
        for code in ["250 2.1.0", "250 2.1.5", "250 2.0.0"] {
            let reply = slow.reply().expect("a reply");
            assert!(reply.last().starts_with(code), "{parameter}: {code}: {:?}", reply.lines);
        }
        assert_eq!(server.maildir("slow").wait_for(1).len(), 1, "{parameter}");
    }
}

#[test]
fn nothing_is_accepted_unchecked_while_a_table_is_away() {
    for parameter in ["header_checks", "body_checks", "canonical_maps", "virtual_alias_maps"] {
        for hangs_up in [false, true] {
            let table = Table::start("gone", hangs_up);
            let server = start(parameter, &table);
            server.accept(&["gone@localhost"], "Subject: gone\n\ngone\n");
            assert_eq!(server.maildir("gone").wait_for(1).len(), 1, "{parameter}");

            table.away.store(true, Ordering::SeqCst);
            // Not what is remembered from before.
            let content = b"Subject: gone again\r\n\r\ngone again\r\n";
            let reply =
                server.session().mail("sender@client.example", &["gone2@localhost"], content);
            let reply = reply.expect("a reply");
            assert_eq!(reply.code, 451, "{parameter}, {hangs_up}: {:?}", reply.lines);
            server.wait_until_drained();
            assert_eq!(server.maildir("gone2").count(), 0, "{parameter}");

            if !hangs_up {
                table.away.store(false, Ordering::SeqCst);
                server.accept(&["gone2@localhost"], content);
                assert_eq!(server.maildir("gone2").wait_for(1).len(), 1, "{parameter}");
            }
        }
    }
}

#[test]
fn mail_whose_transport_is_not_known_now_is_deferred_and_delivered_when_it_is() {
    let table = Table::start("hidden", false);
    table.away.store(true, Ordering::SeqCst);
    let server = Setup::new()
        .option("minimal_backoff_time=1s")
        .option("queue_run_delay=1s")
        // Nobody asks at RCPT where the alias leads.
        .option("virtual_alias_maps=inline:{ list@localhost=hidden@localhost }")
        .option(&format!("transport_maps=tcp:127.0.0.1:{}", table.port))
        .start();
    server.accept(&["list@localhost"], "Subject: x\n\nx\n");
    server.wait_for_log(&["to=<hidden@localhost>", "dsn=4.3.0, status=deferred"]);
    assert_eq!(server.maildir("hidden").count(), 0);
    table.away.store(false, Ordering::SeqCst);
    assert_eq!(server.maildir("hidden").wait_for(1).len(), 1);
}
