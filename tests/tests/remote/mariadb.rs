//! MariaDB.

use std::fs;
use std::path::Path;

use tests::wait;

use crate::answers;
use crate::faults::{self, HURRIED, PATIENT};
use crate::server::{Server, place, prepare};
use crate::trial::{KEY, PASSWORD, Trial, VALUE};

/// Run by the server at its start, one statement a line.
fn init_file(place: &Path) -> String {
    // In hexadecimal: how quotes are read is what some of these tests change.
    let awkward: String = answers::AWKWARD.bytes().map(|b| format!("{b:02x}")).collect();
    let statements = [
        "CREATE DATABASE IF NOT EXISTS mail".to_owned(),
        "CREATE TABLE IF NOT EXISTS mail.users (address VARCHAR(255) PRIMARY KEY, home VARCHAR(255), \
         note VARCHAR(255))"
            .to_owned(),
        format!(
            "REPLACE INTO mail.users VALUES ('{KEY}', '{VALUE}', NULL), ('null@example.com', NULL, NULL), \
             ('empty@example.com', '', NULL), ('two@example.com', 'a', 'b'), (X'{awkward}', 'quoted', NULL)"
        ),
        "CREATE TABLE IF NOT EXISTS mail.lists (address VARCHAR(255), member VARCHAR(255))".to_owned(),
        "DELETE FROM mail.lists".to_owned(),
        "INSERT INTO mail.lists VALUES ('list@example.com', 'a@x'), ('list@example.com', NULL), \
         ('list@example.com', 'b@y')"
            .to_owned(),
        "CREATE TABLE IF NOT EXISTS mail.asked (n INT)".to_owned(),
        "DELETE FROM mail.asked".to_owned(),
        "INSERT INTO mail.asked VALUES (0)".to_owned(),
        "CREATE OR REPLACE FUNCTION mail.counted(a VARCHAR(255)) RETURNS VARCHAR(255) MODIFIES SQL DATA SQL SECURITY INVOKER \
         BEGIN UPDATE mail.asked SET n = n + 1; \
         RETURN (SELECT CONCAT(home, '#', (SELECT n FROM mail.asked)) FROM mail.users WHERE address = a); \
         END"
        .to_owned(),
        "CREATE OR REPLACE FUNCTION mail.warned(a VARCHAR(255)) RETURNS VARCHAR(255) READS SQL DATA \
         SQL SECURITY INVOKER BEGIN \
         DECLARE found VARCHAR(255) DEFAULT NULL; DECLARE CONTINUE HANDLER FOR NOT FOUND SET found = NULL; \
         SELECT home INTO found FROM mail.users WHERE address = a; RETURN found; END"
            .to_owned(),
        "CREATE OR REPLACE PROCEDURE mail.one(a VARCHAR(255)) SQL SECURITY INVOKER \
         SELECT home FROM mail.users WHERE address = a"
            .to_owned(),
        "CREATE OR REPLACE PROCEDURE mail.two_sets(a VARCHAR(255)) SQL SECURITY INVOKER BEGIN SELECT 1; SELECT 2; END".to_owned(),
        format!("CREATE OR REPLACE USER mail@localhost IDENTIFIED BY '{PASSWORD}'"),
        "GRANT ALL ON mail.* TO mail@localhost".to_owned(),
        format!("CREATE OR REPLACE USER mail@127.0.0.1 IDENTIFIED BY '{PASSWORD}' REQUIRE SSL"),
        "GRANT ALL ON mail.* TO mail@127.0.0.1".to_owned(),
        format!("CREATE OR REPLACE USER known@127.0.0.1 IDENTIFIED BY '{PASSWORD}' REQUIRE X509"),
        "GRANT ALL ON mail.* TO known@127.0.0.1".to_owned(),
    ];
    let path = place.join("init.sql");
    fs::write(&path, statements.join(";\n") + ";\n").expect("an init file");
    path.to_string_lossy().into_owned()
}

/// A server that is not running yet.
pub(crate) fn server() -> Server {
    let place = place();
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let data = format!("--datadir={}", path("data"));
    let small = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M"];
    let install = [
        "mariadb-install-db",
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        small[0],
    ];
    prepare(&install, place.path());
    let socket = format!("--socket={}", path("sock"));
    let init = format!("--init-file={}", init_file(place.path()));
    let pid = format!("--pid-file={}", path("pid"));
    let command = [
        "mariadbd",
        "--no-defaults",
        &data,
        &socket,
        &init,
        &pid,
        small[0],
        small[1],
        "--skip-networking",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0",
        "--performance-schema=off",
    ];
    Server::new(place, "sock", &command)
}

pub(crate) fn cf(host: &str, password: &str, more: &str) -> String {
    format!("user = mail\npassword = {password}\ndbname = mail\nhosts = {host}\n{PATIENT}{more}\n")
}

pub(crate) const QUERY: &str = "query = SELECT home FROM users WHERE address = '%s';";

fn table(port: u16) -> Trial {
    Trial::new("mysql", &cf(&format!("127.0.0.1:{port}"), PASSWORD, QUERY))
}

#[test]
fn answers_as_postfix_does() {
    let mut server = server();
    server.start();
    filled(&server);
    let host = format!("unix:{}", server.socket().display());
    let open = |more: &str| Trial::new("mysql", &cf(&host, PASSWORD, more));
    answers::common(|more| open(&format!("{QUERY}\n{more}")));
    answers::sql(&open);

    let old = "table = users\nselect_field = home\nwhere_field = address\n\
               additional_conditions = and note is null";
    assert_eq!(open(old).found(KEY), VALUE);

    let function = open("query = SELECT counted('%s')");
    assert_eq!(function.found(KEY), format!("{VALUE}#1"));
    assert_eq!(function.found(KEY), format!("{VALUE}#2"), "asked once for each question");
    let warned = open("query = SELECT warned('%s')");
    assert_eq!(warned.found(KEY), VALUE);
    warned.assert_not_found("nobody@example.com");

    assert_eq!(open("query = CALL one('%s')").found(KEY), VALUE);
    let cause = open("query = CALL two_sets('%s')").assert_unavailable("two result sets");
    assert!(cause.contains("more than one result set"), "{cause}");
    let update = "query = UPDATE asked SET n = 0 WHERE '%s' = ''";
    let cause = open(update).assert_unavailable("no result set");
    assert!(cause.contains("require_result_set"), "{cause}");
    open(&format!("{update}\nrequire_result_set = no")).assert_not_found(KEY);
}

#[test]
fn a_key_is_a_value_whatever_the_server_takes_for_quotes() {
    let mut server = server();
    for mode in ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"] {
        server.arguments(&[&format!("--sql-mode={mode}")]);
        server.start();
        filled(&server);
        let host = format!("unix:{}", server.socket().display());
        let open = |query: &str| Trial::new("mysql", &cf(&host, PASSWORD, query));
        answers::awkward_keys(&open(QUERY), &open("query = SELECT '%s'"));
        if !mode.contains("ANSI") {
            let echo = open("query = SELECT \"%s\"");
            assert_eq!(echo.found(answers::AWKWARD), answers::AWKWARD, "{mode}");
        }
        server.kill();
    }
}

#[test]
fn faults_of_the_server_and_on_the_way_to_it() {
    let mut server = server();
    faults::all(&mut server, table, filled);
    faults::hanging(&server, |port| {
        let more = format!("{QUERY}\n{HURRIED}");
        Trial::new("mysql", &cf(&format!("127.0.0.1:{port}"), PASSWORD, &more))
    });
    faults::wrong_password(&server, |port, password| {
        Trial::new("mysql", &cf(&format!("127.0.0.1:{port}"), password, QUERY))
    });
    faults::few_connections(&server, table);
    faults::fails_over(&server, |hosts| Trial::new("mysql", &cf(hosts, PASSWORD, QUERY)));
}

/// The socket is there before the init file has been run.
pub(crate) fn filled(server: &Server) {
    let host = format!("unix:{}", server.socket().display());
    let trial = Trial::new("mysql", &cf(&host, PASSWORD, QUERY));
    wait::until_true("the init file has been run", || {
        trial.ask(KEY) == table::Answer::Found(VALUE.into())
    });
}
