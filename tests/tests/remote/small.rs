//! socketmap and tcp servers.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::faults;
use crate::relay::{Mode, Relay};
use crate::server::{Server, place};
use crate::trial::{KEY, Trial, VALUE};

fn server(kind: &str) -> Server {
    let place = place();
    let socket = place.path().join("sock").to_string_lossy().into_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/table_server.py");
    // A copy, because whom servers run as may not reach the tests.
    let copy = place.path().join("server.py");
    std::fs::copy(script, &copy).expect("a copy of the server");
    let command = ["python3", &copy.to_string_lossy(), kind, &socket, KEY, VALUE];
    Server::new(place, "sock", &command)
}

/// Their deadline is no parameter, so this waits for it.
#[test]
fn servers_that_hang_are_given_up_in_half_a_minute() {
    let asking = ["socketmap", "tcp"].map(|kind| {
        thread::spawn(move || {
            let mut server = server(kind);
            server.start();
            let relay = Relay::to(server.socket());
            let place = format!("127.0.0.1:{}", relay.port());
            let trial = match kind {
                "tcp" => Trial::named(&format!("tcp:{place}")),
                _ => Trial::named(&format!("socketmap:inet:{place}:map")),
            };
            trial.assert_works();
            relay.set(Mode::Hang);
            let began = Instant::now();
            let cause = trial.cause(trial.ask(KEY), "it hangs");
            assert!(cause.contains("no answer within 30 s"), "{cause}");
            assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
            relay.set(Mode::Pass);
            trial.wait_until_it_works();
        })
    });
    for asked in asking {
        asked.join().expect("each is given up");
    }
}

#[test]
fn a_socketmap_server_answers_and_says_what_it_cannot() {
    let mut server = server("socketmap");
    server.start();
    let unix = format!("socketmap:unix:{}:", server.socket().display());
    let trial = Trial::named(&format!("{unix}map"));
    trial.assert_works();
    assert_eq!(trial.found("space@example.com"), "a b%c");
    trial.assert_not_found("User@example.com");
    trial.assert_not_found(&"x".repeat(20_000));
    let answer = trial.ask("temp@example.com");
    assert!(trial.cause(answer, "TEMP").contains("temporary error: try later"));
    let cause = Trial::named(&format!("{unix}other")).assert_unavailable("PERM");
    assert!(cause.contains("permanent error: no such map"), "{cause}");
    Trial::named(&format!("{unix}map")).assert_works();

    let table = |port| Trial::named(&format!("socketmap:inet:127.0.0.1:{port}:map"));
    faults::few_connections(&server, table);
    server.kill();
    faults::all(&mut server, table, |_| {});
}

#[test]
fn a_tcp_server_answers_and_says_what_it_cannot() {
    let mut server = server("tcp");
    server.start();
    let relay = Relay::to(server.socket());
    let table = |port| Trial::named(&format!("tcp:127.0.0.1:{port}"));
    let trial = table(relay.port());
    trial.assert_works();
    assert_eq!(trial.found("space@example.com"), "a b%c");
    trial.assert_not_found("a b\nget user@example.com");
    let answer = trial.ask("temp@example.com");
    assert!(trial.cause(answer, "400").contains("temporary error: try later"));
    trial.assert_works();
    faults::few_connections(&server, table);
    server.kill();
    faults::all(&mut server, table, |_| {});
}
