//! PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tests::wait;

use crate::answers;
use crate::faults::{self, HURRIED, PATIENT};
use crate::relay::Relay;
use crate::server::{Server, as_user, place, prepare, program};
use crate::trial::{KEY, PASSWORD, Trial, VALUE};

const ELSEWHERE: &str = "/usr/lib/postgresql";

/// A server that is not running yet.
pub(crate) fn server() -> Server {
    on_port(5432)
}

/// One that is known by this port, on which it does not listen unless it is told to.
pub(crate) fn on_port(port: u16) -> Server {
    let place = place();
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    fs::write(path("password"), PASSWORD).expect("a file");
    let initdb = program("initdb", ELSEWHERE);
    let arguments = ["-U", "mail", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N"];
    let pwfile = format!("--pwfile={}", path("password"));
    let data = path("data");
    let mut words = vec![initdb.as_str(), "-D", &data, &pwfile];
    words.extend(arguments);
    prepare(&words, place.path());
    fill(&data);
    let postgres = program("postgres", ELSEWHERE);
    let here = place.path().to_string_lossy().into_owned();
    let command = [
        &postgres,
        "-D",
        &data,
        "-k",
        &here,
        "-h",
        "",
        "-p",
        &port.to_string(),
        "-F",
        "-c",
        "shared_buffers=1MB",
        "-c",
        "wal_level=minimal",
        "-c",
        "max_wal_senders=0",
    ];
    Server::new(place, &format!(".s.PGSQL.{port}"), &command)
}

/// Before it is a server, in single-user mode: one statement a line.
fn fill(data: &str) {
    let awkward = answers::AWKWARD.replace('\'', "''");
    let statements = [
        "CREATE TABLE users (address text PRIMARY KEY, home text, note text)".to_owned(),
        format!(
            "INSERT INTO users VALUES ('{KEY}', '{VALUE}', NULL), ('null@example.com', NULL, NULL), \
             ('empty@example.com', '', NULL), ('two@example.com', 'a', 'b'), ('{awkward}', 'quoted', NULL)"
        ),
        "CREATE TABLE lists (address text, member text)".to_owned(),
        "INSERT INTO lists VALUES ('list@example.com', 'a@x'), ('list@example.com', NULL), \
         ('list@example.com', 'b@y')"
            .to_owned(),
        "CREATE FUNCTION home(text) RETURNS text LANGUAGE sql AS \
         'SELECT home FROM users WHERE address = $1'"
            .to_owned(),
    ];
    let postgres = program("postgres", ELSEWHERE);
    let mut child = as_user(&[&postgres, "--single", "-D", data, "postgres"])
        .current_dir(Path::new(data))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("postgres");
    {
        use std::io::Write;
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all((statements.join("\n") + "\n").as_bytes()).expect("postgres reads");
    }
    assert!(child.wait().expect("postgres").success());
}

pub(crate) fn cf(host: &str, password: &str, more: &str) -> String {
    format!(
        "user = mail\npassword = {password}\ndbname = postgres\nhosts = {host}\n{PATIENT}{more}\n"
    )
}

pub(crate) const QUERY: &str = "query = SELECT home FROM users WHERE address = '%s'";

fn table(port: u16) -> Trial {
    Trial::new("pgsql", &cf(&format!("127.0.0.1:{port}"), PASSWORD, QUERY))
}

#[test]
fn answers_as_postfix_does() {
    let mut server = server();
    server.start();
    ready(&server);
    let host = format!("unix:{}", server.place().display());
    let open = |more: &str| Trial::new("pgsql", &cf(&host, PASSWORD, more));
    answers::common(|more| open(&format!("{QUERY}\n{more}")));
    answers::sql(&open);
    answers::awkward_keys(&open(QUERY), &open("query = SELECT '%s'"));
    answers::awkward_keys(&open(QUERY), &open("query = SELECT E'%s'"));
    assert_eq!(open("select_function = home").found(KEY), VALUE);
    let cause = open("query = SELECT 1; SELECT '%s'").assert_unavailable("two result sets");
    assert!(cause.contains("more than one result set"), "{cause}");
    let update = open("query = UPDATE lists SET member = '' WHERE address = '%s'");
    update.assert_not_found(KEY);

    let relay = Relay::to(server.socket());
    let uri = format!("postgresql://mail:{PASSWORD}@127.0.0.1:{}/postgres", relay.port());
    Trial::new("pgsql", &format!("hosts = {uri}\n{PATIENT}{QUERY}\n")).assert_works();
    let trial = Trial::new("pgsql", &format!("hosts = {uri}x\n{PATIENT}{QUERY}\n"));
    let cause = trial.assert_unavailable("no such database");
    assert!(cause.contains("postgresql://127.0.0.1"), "{cause}");
}

/// It listens before it has looked at what a crash has left behind.
pub(crate) fn ready(server: &Server) {
    let host = format!("unix:{}", server.socket().display());
    let trial = Trial::new("pgsql", &cf(&host, PASSWORD, QUERY));
    wait::until_true("it has started", || trial.ask(KEY) == table::Answer::Found(VALUE.into()));
}

#[test]
fn faults_of_the_server_and_on_the_way_to_it() {
    let mut server = server();
    faults::all(&mut server, table, ready);
    faults::hanging(&server, |port| {
        let more = format!("{QUERY}\n{HURRIED}");
        Trial::new("pgsql", &cf(&format!("127.0.0.1:{port}"), PASSWORD, &more))
    });
    faults::wrong_password(&server, |port, password| {
        Trial::new("pgsql", &cf(&format!("127.0.0.1:{port}"), password, QUERY))
    });
    faults::few_connections(&server, table);
    faults::fails_over(&server, |hosts| Trial::new("pgsql", &cf(hosts, PASSWORD, QUERY)));
}
