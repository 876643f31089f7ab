//! Redis.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::answers;
use crate::faults::{self, HURRIED, PATIENT};
use crate::server::{Server, place};
use crate::trial::{KEY, PASSWORD, Trial, VALUE};

/// A server that is not running yet, and forgets everything at its end.
pub(crate) fn server() -> Server {
    let place = place();
    let socket = place.path().join("sock").to_string_lossy().into_owned();
    let here = place.path().to_string_lossy().into_owned();
    let command = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        &socket,
        "--requirepass",
        PASSWORD,
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        &here,
        "--daemonize",
        "no",
    ];
    Server::new(place, "sock", &command)
}

/// Puts in what the tests look for.
pub(crate) fn fill(server: &Server) {
    let mut stream = UnixStream::connect(server.socket()).expect("redis listens");
    let commands: [&[&str]; 6] = [
        &["AUTH", PASSWORD],
        &["SET", KEY, VALUE],
        &["SET", answers::AWKWARD, "quoted"],
        &["SET", "empty@example.com", ""],
        &["HSET", "homes", KEY, VALUE],
        &["SET", "mail:example.com:user", VALUE],
    ];
    for words in commands {
        let mut said = format!("*{}\r\n", words.len());
        for word in words {
            said += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(said.as_bytes()).expect("redis reads");
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).expect("redis answers");
        assert!(answer[..read].starts_with(b"+") || answer[..read].starts_with(b":"), "{answer:?}");
    }
}

pub(crate) fn cf(host: &str, password: &str, more: &str) -> String {
    format!("hosts = {host}\npassword = {password}\n{PATIENT}{more}\n")
}

fn table(port: u16) -> Trial {
    Trial::new("redis", &cf(&format!("127.0.0.1:{port}"), PASSWORD, ""))
}

#[test]
fn answers_by_key_and_by_field() {
    let mut server = server();
    server.start();
    fill(&server);
    let host = format!("unix:{}", server.socket().display());
    let open = |more: &str| Trial::new("redis", &cf(&host, PASSWORD, more));
    answers::common(open);
    assert_eq!(open("").found(answers::AWKWARD), "quoted");
    open("").assert_not_found("x\r\nget user@example.com");
    open("").assert_not_found("empty@example.com");
    assert_eq!(open("key = mail:%d:%u").found(KEY), VALUE);
    assert_eq!(open("key = mail:%2.%1:%U").found(KEY), VALUE);
    assert_eq!(open("command = hget\nkey = homes\nfield = %s").found(KEY), VALUE);
    open("command = hget\nkey = homes\nfield = %s").assert_not_found("none@example.com");
    let hash = open("key = %u");
    let cause = hash.cause(hash.ask("homes@example.com"), "a hash is no value");
    assert!(cause.contains("WRONGTYPE"), "{cause}");
    open("dbname = 3").assert_not_found(KEY);
    open("dbname = 9999").assert_unavailable("no such database");
}

#[test]
fn faults_of_the_server_and_on_the_way_to_it() {
    let mut server = server();
    faults::all(&mut server, table, fill);
    faults::hanging(&server, |port| {
        Trial::new("redis", &cf(&format!("127.0.0.1:{port}"), PASSWORD, HURRIED))
    });
    faults::wrong_password(&server, |port, password| {
        Trial::new("redis", &cf(&format!("127.0.0.1:{port}"), password, ""))
    });
    faults::few_connections(&server, table);
    faults::fails_over(&server, |hosts| Trial::new("redis", &cf(hosts, PASSWORD, "")));
}
