//! What all remote tables share, tried with a server of a few lines that says when it answers.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use remote::{QUESTIONS_WAITING_MAX, Remote};
use table::{Answer, Memory, Response, Table, Tables, block_on};

/// A Redis server that answers `GET key` with `value of key`, when it is told to, to one after the other.
struct Fake {
    port: u16,
    asked: Receiver<String>,
    ended: Receiver<()>,
    permits: Arc<(Mutex<usize>, Condvar)>,
}

impl Fake {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asking, asked) = channel();
        let (ending, ended) = channel();
        let permits = Arc::new((Mutex::new(0), Condvar::new()));
        let shared = Arc::clone(&permits);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (asking, ending, permits) =
                    (asking.clone(), ending.clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    serve(client, &asking, &permits);
                    // After the test nobody wants to know.
                    let _ = ending.send(());
                });
            }
        });
        Self { port, asked, ended, permits }
    }

    /// Lets it give so many answers.
    fn answer(&self, count: usize) {
        *self.permits.0.lock().unwrap() += count;
        self.permits.1.notify_all();
    }

    fn next_key(&self) -> String {
        self.asked.recv().unwrap()
    }

    fn table(&self, more: &str) -> Table {
        let cf = format!("hosts = 127.0.0.1:{}\n{more}\n", self.port);
        let files = Memory::default().with("/t.cf", cf);
        let table = Tables::new(&files).with_types(Remote::new().types()).open("redis:/t.cf");
        assert_eq!((table.trouble(), table.notes()), (None, Vec::new()));
        table
    }
}

/// Ends with its client.
fn serve(
    client: TcpStream,
    asking: &Sender<String>,
    (permits, given): &(Mutex<usize>, Condvar),
) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines();
    let mut client = client;
    loop {
        // *2, $3, GET, length, key
        let words: Option<VecDeque<String>> = (0..5).map(|_| lines.next()?.ok()).collect();
        let key = words?.pop_back()?;
        asking.send(key.clone()).ok()?;
        let mut free = given.wait_while(permits.lock().ok()?, |free| *free == 0).ok()?;
        *free -= 1;
        let value = format!("value of {key}");
        client.write_all(format!("${}\r\n{value}\r\n", value.len()).as_bytes()).ok()?;
    }
}

fn found(key: &str) -> Answer {
    Answer::Found(format!("value of {key}").into())
}

fn is_later(response: &Response) -> bool {
    matches!(response, Response::Later(_))
}

#[test]
fn many_who_ask_the_same_are_answered_by_one_question() {
    let server = Fake::start();
    let table = server.table("");
    let waiting: Vec<Response> = (0..100).map(|_| table.lookup("a")).collect();
    assert_eq!(server.next_key(), "a");
    server.answer(1);
    for response in waiting {
        assert_eq!(block_on(response.answer()), found("a"));
    }
    assert!(server.asked.try_recv().is_err(), "asked again");
}

#[test]
fn who_hangs_up_takes_the_answer_from_nobody() {
    let server = Fake::start();
    let table = server.table("");
    let first = table.lookup("a");
    let second = table.lookup("A");
    assert_eq!(server.next_key(), "a");
    drop(first);
    server.answer(1);
    assert_eq!(block_on(second.answer()), found("a"));
    // With nobody left to hear it, an answer is remembered all the same.
    drop(table.lookup("b"));
    assert_eq!(server.next_key(), "b");
    server.answer(1);
    let mut b = table.lookup("b");
    if let Response::Later(later) = &mut b {
        let polled = later.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Answer::Found(_))));
    }
    assert_eq!(block_on(table.lookup("b").answer()), found("b"));
    assert!(server.asked.try_recv().is_err(), "asked again");
}

#[test]
fn what_was_said_is_remembered_and_answered_at_once() {
    let server = Fake::start();
    server.answer(10);
    let table = server.table("");
    let first = table.lookup("a");
    assert!(is_later(&first));
    assert_eq!(block_on(first.answer()), found("a"));
    assert!(!is_later(&table.lookup("a")), "it is known");
    assert!(!is_later(&table.lookup("A")), "in any case");

    let forgetful = server.table("cache_positive_ttl = 0");
    for _ in 0..2 {
        assert_eq!(block_on(forgetful.lookup("a").answer()), found("a"));
    }
    assert_eq!(server.asked.try_iter().count(), 3);
}

#[test]
fn no_more_connections_than_its_limit_ask_at_the_same_time() {
    let server = Fake::start();
    let table = server.table("connection_limit = 2");
    let waiting: Vec<Response> = (0..5).map(|n| table.lookup(&n.to_string())).collect();
    let (first, second) = (server.next_key(), server.next_key());
    assert_ne!(first, second);
    assert!(server.asked.try_recv().is_err(), "a third connection");
    server.answer(5);
    for (n, response) in waiting.into_iter().enumerate() {
        assert_eq!(block_on(response.answer()), found(&n.to_string()));
    }
}

#[test]
fn more_questions_than_may_wait_are_answered_at_once_that_they_cannot_be_asked() {
    let server = Fake::start();
    let table = server.table("connection_limit = 1\ntimeout = 60");
    let waiting: Vec<Response> =
        (0..QUESTIONS_WAITING_MAX).map(|n| table.lookup(&n.to_string())).collect();
    let Response::Ready(Answer::Unavailable(trouble)) = table.lookup("one more") else {
        panic!("it waits");
    };
    assert_eq!(trouble.to_string(), "table redis:/t.cf: 4096 questions are waiting already");
    server.answer(QUESTIONS_WAITING_MAX + 1);
    for response in waiting {
        assert!(matches!(block_on(response.answer()), Answer::Found(_)));
    }
    assert_eq!(block_on(table.lookup("one more").answer()), found("one more"));
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time_and_named() {
    let server = Fake::start();
    let table = server.table("timeout = 1");
    let Answer::Unavailable(trouble) = block_on(table.lookup("a").answer()) else {
        panic!("it answered");
    };
    let wanted = format!("127.0.0.1:{}: no answer within 1 s", server.port);
    assert_eq!((&*trouble.table, &*trouble.cause), ("redis:/t.cf", wanted.as_str()));
    // What is not known is not remembered.
    server.answer(10);
    assert_eq!(block_on(table.lookup("a").answer()), found("a"));
}

#[test]
fn connections_that_nobody_needs_are_closed() {
    let server = Fake::start();
    server.answer(1);
    let table = server.table("idle_interval = 1");
    assert_eq!(block_on(table.lookup("a").answer()), found("a"));
    assert_eq!(server.next_key(), "a");
    assert_eq!(server.ended.recv(), Ok(()));
}

#[test]
fn what_is_asked_for_and_could_not_be_had_is_refused_and_what_changes_nothing_is_noted() {
    let open = |kind: &str, cf: &str| {
        let files = Memory::default().with("/t.cf", cf);
        Tables::new(&files).with_types(Remote::new().types()).open(&format!("{kind}:/t.cf"))
    };
    let mysql = "dbname = d\nquery = SELECT '%s'\n";
    let pgsql = "query = SELECT '%s'\n";
    for (kind, cf, cause) in [
        ("mysql", format!("{mysql}option_file = /x"), "3: option_file: not supported; put user,"),
        ("mysql", format!("{mysql}tls_CApath = x"), "3: tls_CApath: \"x\": expected an absolute"),
        ("mysql", format!("{mysql}tls_key_file = /x"), "3: tls_key_file: a key, and no cert"),
        ("mysql", format!("{mysql}tls_CAfile = /x"), "3: tls_CAfile: open /x: "),
        ("mysql", format!("{mysql}tls_verify_cert = yes"), ": tls: no CA is configured, and the"),
        ("pgsql", format!("{pgsql}dbname = sslmode=verify-ca"), "2: dbname: this sslmode needs"),
        (
            "pgsql",
            format!("{pgsql}hosts = postgresql://u:secret@h/d?sslmode=maybe"),
            "2: hosts: sslmode: expected disable,",
        ),
        ("ldap", "bind = sasl".to_owned(), ": sasl_mechs: not set; there is EXTERNAL"),
        ("ldap", "bind = sasl\nsasl_mechs = PLAIN".to_owned(), "2: sasl_mechs: none of these"),
        (
            "ldap",
            "bind = sasl\nsasl_mechs = EXTERNAL\nsasl_authz_id = x".to_owned(),
            "3: sasl_authz_id: not supported",
        ),
        (
            "ldap",
            "bind = sasl\nsasl_mechs = EXTERNAL\nsasl_minssf = 256".to_owned(),
            "3: sasl_minssf: TLS and local sockets count as 128",
        ),
        ("redis", "tls = yes".to_owned(), "1: tls: write rediss:// in front of each"),
        ("redis", "tls_CAfile = /x".to_owned(), "1: tls_CAfile: no server in hosts is rediss://"),
    ] {
        let table = open(kind, &cf);
        let trouble = table.trouble().unwrap_or_else(|| panic!("{kind}: {cf} was taken"));
        let cause = format!("/t.cf:{}", cause.trim_start_matches(':'));
        let found = trouble.cause.replacen("/t.cf: ", "/t.cf:", 1);
        assert!(found.starts_with(&cause.replacen("/t.cf: ", "/t.cf:", 1)), "{}", trouble.cause);
        assert!(!trouble.cause.contains("secret"), "{}", trouble.cause);
    }
    for (kind, cf, note) in [
        ("mysql", format!("{mysql}tls_ciphers = HIGH"), "3: tls_ciphers has no effect: there are"),
        ("mysql", format!("{mysql}option_group = client"), "3: option_group has no effect: no op"),
        (
            "ldap",
            "query_filter = (a=%s)\ntls_require_cert = yes".to_owned(),
            "2: tls_require_cert has no effect: there is neither start_tls nor ldaps://",
        ),
        (
            "ldap",
            "query_filter = (a=%s)\nstart_tls = yes\ntls_ca_cert_file = /x".to_owned(),
            "3: no certificate is checked without tls_require_cert = yes",
        ),
    ] {
        let table = open(kind, &cf);
        assert_eq!(table.trouble(), None, "{kind}: {cf}");
        let notes: Vec<String> = table.notes().iter().map(ToString::to_string).collect();
        assert!(notes[0].starts_with(&format!("/t.cf:{note}")) && notes.len() == 1, "{notes:?}");
    }
}

#[test]
fn parameters_that_nobody_knows_are_noted_and_those_that_are_wrong_refused() {
    let open = |cf: &str| {
        let files = Memory::default().with("/t.cf", cf);
        Tables::new(&files).with_types(Remote::new().types()).open("mysql:/t.cf")
    };
    let base = "dbname = d\nquery = SELECT '%s'\n";
    let notes: Vec<String> =
        open(&format!("{base}domian = x\n")).notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        ["/t.cf:3: there is no parameter \"domian\" for this type of table; ignored"]
    );
    for (cf, cause) in [
        ("query = SELECT '%s'\n", "/t.cf: dbname is not set"),
        ("dbname = d\nquery = SELECT %s\n", "/t.cf:2: query: \"%s\" is not inside of quotes"),
        ("dbname = d\nquery = SELECT '%q'\n", "/t.cf:2: query: \"%q\" stands for nothing"),
        ("dbname = d\nquery = SELECT '%s'\ntimeout = 0\n", "/t.cf:3: timeout: \"0\": expected"),
        ("dbname = d\nquery = SELECT '%s'\nhosts = a:b\n", "/t.cf:3: hosts: \"a:b\": the port"),
        (
            "dbname = d\nquery = SELECT '%s'\ntls_CAfile = x\n",
            "/t.cf:3: tls_CAfile: \"x\": expected an absolute",
        ),
        ("dbname = d\nquery = SELECT '%s'\ncharset = gbk\n", "/t.cf:3: charset: \"gbk\" is not"),
        ("dbname = d\n", "/t.cf: table is not set, and neither is query"),
    ] {
        let table = open(cf);
        let trouble = table.trouble().unwrap_or_else(|| panic!("{cf} was taken"));
        assert!(trouble.cause.starts_with(cause), "{}", trouble.cause);
    }
}
