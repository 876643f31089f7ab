//! memcached.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::faults::{self, HURRIED, PATIENT};
use crate::server::{Server, place};
use crate::trial::{KEY, NO_KEY, Trial, VALUE};

/// A server that is not running yet, and forgets everything at its end.
pub(crate) fn server() -> Server {
    let place = place();
    let socket = place.path().join("sock").to_string_lossy().into_owned();
    let command = ["memcached", "-s", &socket, "-m", "8", "-t", "1"];
    Server::new(place, "sock", &command)
}

fn fill(server: &Server) {
    let mut stream = UnixStream::connect(server.socket()).expect("memcached listens");
    for key in [KEY.to_owned(), format!("prefix:{KEY}")] {
        let said = format!("set {key} 0 0 {}\r\n{VALUE}\r\n", VALUE.len());
        stream.write_all(said.as_bytes()).expect("memcached reads");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("memcached answers");
        assert_eq!(&answer, b"STORED\r\n");
    }
}

fn table(port: u16) -> Trial {
    Trial::new("memcache", &format!("memcache = inet:127.0.0.1:{port}\n{PATIENT}"))
}

#[test]
fn answers_as_postfix_does() {
    let mut server = server();
    server.start();
    fill(&server);
    let host = format!("memcache = unix:{}\n{PATIENT}", server.socket().display());
    let open = |more: &str| Trial::new("memcache", &format!("{host}{more}\n"));
    open("").assert_works();
    assert_eq!(open("").found("USER@EXAMPLE.COM"), VALUE);
    for key in ["a b", "x\r\nset y 0 0 1\r\nz", &format!("{}@example.com", "x".repeat(250))] {
        open("").assert_not_found(key);
    }
    assert_eq!(open("key_format = prefix:%s").found(KEY), VALUE);
    assert_eq!(open("key_format = prefix:%u@%2.%1").found(KEY), VALUE);
    open("domain = example.org").assert_not_found(KEY);
    open("data_size_limit = 5").assert_unavailable("a value over the limit");
    let backup = open(&format!("backup = inline:{{{NO_KEY}=backed}}"));
    assert_eq!(backup.found(KEY), VALUE);
    assert_eq!(backup.found(NO_KEY), "backed");
    drop(server);
    assert_eq!(backup.found(NO_KEY), "backed", "a cache that is away has a backup");
    backup.assert_not_found(KEY);
    open("").assert_unavailable("and without one it is away");
}

#[test]
fn faults_of_the_server_and_on_the_way_to_it() {
    let mut server = server();
    faults::all(&mut server, table, fill);
    faults::hanging(&server, |port| {
        Trial::new("memcache", &format!("memcache = inet:127.0.0.1:{port}\n{PATIENT}{HURRIED}"))
    });
    faults::few_connections(&server, table);
}
