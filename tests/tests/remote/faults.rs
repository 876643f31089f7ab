//! Everything that can happen to a server and on the way to it, for every kind of server.

use std::time::Duration;

use table::Answer;
use tests::wait;

use crate::relay::{Mode, Relay};
use crate::server::Server;
use crate::trial::{KEY, PASSWORD, Trial, VALUE};

/// For a table that is asked each time, on a machine that may be busy with other things.
pub(crate) const PATIENT: &str =
    "timeout = 20\nconnect_timeout = 15\ncache_positive_ttl = 0\ncache_negative_ttl = 0\n";
/// For a table whose server will hang. Behind the lines above, and so in their place.
pub(crate) const HURRIED: &str = "timeout = 3\nconnect_timeout = 2\n";
/// `timeout` of the latter.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tries all of it. `table` opens the table whose server is on this port of 127.0.0.1, and `fill` gives
/// a server that was started what it has forgotten.
pub(crate) fn all(server: &mut Server, table: impl Fn(u16) -> Trial, fill: impl Fn(&Server)) {
    let relay = Relay::to(server.socket());
    let trial = table(relay.port());

    let cause = trial.assert_unavailable("the server is down at start");
    assert!(cause.contains("127.0.0.1"), "the cause names the server: {cause}");
    server.start();
    fill(server);
    trial.assert_works();

    relay.set(Mode::Bytes);
    assert_eq!(trial.found(KEY), VALUE, "an answer that comes byte by byte");
    relay.set(Mode::Close);
    trial.assert_unavailable("connections are closed");
    relay.set(Mode::Bytes);
    assert_eq!(trial.found(KEY), VALUE, "a greeting that comes byte by byte");

    for mode in [Mode::Cut, Mode::Garbage, Mode::Close] {
        trial.assert_works();
        relay.set(mode);
        trial.assert_unavailable(&format!("{mode:?} on an open connection"));
        trial.assert_unavailable(&format!("{mode:?} on a new connection"));
        relay.set(Mode::Pass);
    }

    trial.assert_works();
    relay.set(Mode::Flood);
    let cause = trial.assert_unavailable("an answer that does not end");
    assert!(!cause.contains("no answer within"), "it was read to its end: {cause}");
    relay.set(Mode::Pass);

    trial.assert_works();
    relay.set(Mode::Hang);
    let asking = trial.asking(KEY);
    relay.wait_for_held();
    server.kill();
    trial.cause(
        asking.join().expect("a lookup does not panic"),
        "killed in the middle of an answer",
    );
    relay.set(Mode::Pass);
    trial.assert_unavailable("the server is gone");
    server.start();
    fill(server);
    trial.assert_works();
}

/// A server that hangs, for tables that are `HURRIED`.
pub(crate) fn hanging(server: &Server, table: impl Fn(u16) -> Trial) {
    let relay = Relay::to(server.socket());
    let trial = table(relay.port());
    trial.wait_until_it_works();
    relay.set(Mode::Hang);
    trial.assert_unavailable_within(TIMEOUT, "hangs on an open connection");
    trial.assert_unavailable_within(TIMEOUT, "hangs on a new connection");
    // What was given up is closed, however much the server hangs.
    wait::until_true("hanging connections are closed", || relay.open() == 0);
    relay.set(Mode::Pass);
    trial.wait_until_it_works();
}

/// A server that wants another password.
pub(crate) fn wrong_password(server: &Server, table: impl Fn(u16, &str) -> Trial) {
    let relay = Relay::to(server.socket());
    let wrong = format!("not-the-{PASSWORD}");
    table(relay.port(), &wrong).assert_unavailable("wrong password");
    table(relay.port(), PASSWORD).assert_works();
}

/// Two servers of which one is down. `table` is given what goes into the list of them.
pub(crate) fn fails_over(server: &Server, table: impl Fn(&str) -> Trial) {
    let relay = Relay::to(server.socket());
    let hosts = format!("127.0.0.1:1 127.0.0.1:{}", relay.port());
    let trial = table(&hosts);
    for _ in 0..10 {
        assert_eq!(trial.found(KEY), VALUE, "one of two servers is down");
    }
    relay.set(Mode::Close);
    let cause = trial.assert_unavailable("both are down");
    // The one that was tried first in vain may be left alone by now.
    assert!(cause.contains("127.0.0.1:"), "{cause}");
    relay.set(Mode::Pass);
    assert!(matches!(trial.ask(KEY), Answer::Found(_) | Answer::Unavailable(_)));
}

/// Few connections, whoever asks.
pub(crate) fn few_connections(server: &Server, table: impl Fn(u16) -> Trial) {
    let relay = Relay::to(server.socket());
    let trial = table(relay.port());
    let asking: Vec<_> = (0..200).map(|n| trial.asking(&format!("user{n}@example.com"))).collect();
    for asked in asking {
        let answer = asked.join().expect("a lookup does not panic");
        assert_eq!(answer, Answer::NotFound);
    }
    assert!((1..=4).contains(&relay.all()), "{} connections", relay.all());
}
