//! The whole program with its mailboxes in a database: a database that is away is no reason to refuse
//! anybody, nor to accept everybody, and when it is back mail flows as before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tests::{Setup, wait};

use crate::authority::{Authority, Certificate};
use crate::faults::PATIENT;
use crate::server::{Server, free_port};
use crate::trial::{KEY, PASSWORD, Trial, VALUE};
use crate::{mariadb, postgres, redis, sqlite};

/// Which domains there are, in any SQL.
const DOMAINS: &str = "query = SELECT home FROM users WHERE address LIKE '%%@%s'";

/// Runs the dialogue of a database that is there, away and there again. `cf` is the configuration file
/// of its tables, with a query.
fn mail_waits_for(
    mut database: Server,
    kind: &str,
    cf: impl Fn(&str) -> String,
    ready: impl Fn(&Server),
) {
    database.start();
    ready(&database);
    let setup = Setup::new().file("users.cf", &cf(mariadb::QUERY)).file("domains.cf", &cf(DOMAINS));
    let program = setup
        .main_cf(&format!(
            "virtual_mailbox_domains = {kind}:PLACE/domains.cf
             virtual_mailbox_maps = proxy:{kind}:PLACE/users.cf
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             minimal_backoff_time = 1s
             maximal_backoff_time = 1s
             queue_run_delay = 1s
             smtpd_error_sleep_time = 0"
        ))
        .start();
    program.session().play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<nobody@example.com>
         S: 550 5.1.1 <nobody@example.com>: *
         C: RCPT TO:<user@else.example>
         S: 554 5.7.1 <user@else.example>: Relay access denied
         C: RCPT TO:<user@example.com>
         S: 250 *",
    );
    program.accept(&[KEY], "Subject: before\r\n\r\n");
    program.maildir_at("example.com", "user").wait_for(1);

    database.kill();
    let refused = |recipient: &str| {
        format!(
            "C: MAIL FROM:<sender@client.example>
             S: 250 *
             C: RCPT TO:<{recipient}>
             S: 451 4.3.0 <{recipient}>: Temporary lookup failure"
        )
    };
    program.session().play(&refused(KEY));
    program.session().play(&refused("nobody@example.com"));
    program.session().play(&refused("user@else.example"));
    program.wait_for_log(&["smtpd[", &format!("warning: table {kind}:"), "domains.cf: "]);

    database.start();
    ready(&database);
    wait::until_true("mail is accepted again", || {
        let mail =
            program.session().mail("sender@client.example", &[KEY], b"Subject: after\r\n\r\n");
        mail.is_ok_and(|reply| reply.is_ok())
    });
    program.maildir_at("example.com", "user").wait_for(2);
    program.session().play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<nobody@example.com>
         S: 550 5.1.1 <nobody@example.com>: *",
    );
}

#[test]
fn mail_waits_for_a_mariadb_on_a_local_socket() {
    let database = mariadb::server();
    let host = format!("unix:{}", database.socket().display());
    mail_waits_for(database, "mysql", |query| mariadb::cf(&host, PASSWORD, query), mariadb::filled);
}

#[test]
fn mail_waits_for_a_postgres_on_a_port() {
    let database = postgres::server();
    let relay = crate::relay::Relay::to(database.socket());
    let host = format!("localhost:{}", relay.port());
    mail_waits_for(
        database,
        "pgsql",
        |query| postgres::cf(&host, PASSWORD, query),
        postgres::ready,
    );
}

#[test]
fn two_hundred_sessions_share_four_connections() {
    let mut database = mariadb::server();
    database.start();
    mariadb::filled(&database);
    let host = format!("unix:{}", database.socket().display());
    // Long enough for all of them to be there at the same time.
    let slow = "query = SELECT home FROM (SELECT SLEEP(0.02)) AS pause, users WHERE address = '%s'";
    let program = Setup::new()
        .file("users.cf", &mariadb::cf(&host, PASSWORD, slow))
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = proxy:mysql:PLACE/users.cf
             virtual_alias_maps = mysql:PLACE/users.cf
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_client_connection_count_limit = 0
             smtpd_error_sleep_time = 0",
        )
        .start();
    // Those of the tests themselves are gone, or are counted.
    let status = "query = SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                  WHERE VARIABLE_NAME = '%s'";
    let status = Trial::new("mysql", &mariadb::cf(&host, PASSWORD, status));
    let count = |what: &str| -> u32 { status.found(what).parse().expect("a number") };
    let before = count("connections");
    thread::scope(|scope| {
        for n in 0..200 {
            let program = &program;
            scope.spawn(move || {
                let mut session = program.session();
                session.play("C: MAIL FROM:<sender@client.example>\nS: 250 *");
                let reply = session.command(&format!("RCPT TO:<user{n}@example.com>"));
                assert!(reply.expect("an answer").last().starts_with("550 5.1.1"), "{n}");
            });
        }
    });
    let made = count("connections") - before;
    assert!((1..=4).contains(&made), "{made} connections");
}

/// Files that only root may read are passed on by master, and a new one is as good as a new table.
#[test]
fn a_certificate_that_was_put_right_is_in_use_without_a_restart() {
    let mut database = mariadb::server();
    let authority = Authority::new(database.place());
    let port = free_port();
    database.arguments(&[
        "--skip-networking=0",
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        &format!("--ssl-ca={}", authority.ca()),
        &format!("--ssl-cert={}", authority.cert(Certificate::Good)),
        &format!("--ssl-key={}", authority.key(Certificate::Good)),
    ]);
    database.start();
    mariadb::filled(&database);

    let setup = Setup::new();
    let place = |name: &str| setup.place().join(name);
    let take = |from: &str, name: &str| {
        fs::copy(from, place(name)).expect("a copy");
        fs::set_permissions(place(name), fs::Permissions::from_mode(0o600)).expect("our file");
        if setup.is_user() {
            setup.give_to_user(&place(name));
        }
    };
    take(&authority.other_ca(), "ca.pem");
    take(&authority.cert(Certificate::Client), "client.pem");
    take(&authority.key(Certificate::Client), "client.key");
    let tls = format!(
        "{}\ntls_CAfile = {}\ntls_cert_file = {}\ntls_key_file = {}\ntls_verify_cert = yes",
        mariadb::QUERY,
        place("ca.pem").display(),
        place("client.pem").display(),
        place("client.key").display()
    );
    let cf = mariadb::cf(&format!("127.0.0.1:{port}"), PASSWORD, &tls);
    let cf = cf.replace("user = mail", "user = known");
    take(&authority.ca(), "new.pem");
    let (new, ca) = (place("new.pem"), place("ca.pem"));
    let program = setup
        .file("users.cf", &cf)
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = mysql:PLACE/users.cf
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0",
        )
        .start();
    let mut session = program.session();
    session.play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<user@example.com>
         S: 451 4.3.0 <user@example.com>: Temporary lookup failure",
    );
    program.wait_for_log(&["warning: table mysql:", "of no CA that is trusted here"]);

    fs::rename(new, ca).expect("a new file in its place");
    wait::until_true("the new file is in use", || {
        let reply = session.command("RCPT TO:<user@example.com>");
        reply.is_ok_and(|reply| reply.is_ok())
    });
    program.accept(&[KEY], "Subject: delivered\r\n\r\n");
    program.maildir_at("example.com", "user").wait_for(1);
}

#[test]
fn a_sqlite_file_is_read_by_every_process_and_may_be_replaced() {
    let setup = Setup::new();
    let path = setup.place().join("mail.db");
    drop(sqlite::database(&path));
    let cf = format!("dbpath = {}\n{PATIENT}{}\n", path.display(), sqlite::QUERY);
    let program = setup
        .file("users.cf", &cf)
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = sqlite:PLACE/users.cf
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0",
        )
        .start();
    program.accept(&[KEY], "Subject: before\r\n\r\n");
    program.maildir_at("example.com", "user").wait_for(1);

    let new = program.setup.place().join("new.db");
    let database = sqlite::database(&new);
    let added = database.execute("INSERT INTO users VALUES ('new@example.com', ?1)", [VALUE]);
    assert_eq!(added, Ok(1));
    drop(database);
    fs::rename(&new, &path).expect("a new file in its place");
    program.accept(&["new@example.com"], "Subject: after\r\n\r\n");
    program.maildir_at("example.com", "user").wait_for(2);
}

#[test]
fn a_configuration_file_that_was_put_right_is_in_use_without_a_restart() {
    let mut database = redis::server();
    database.start();
    redis::fill(&database);
    let host = format!("unix:{}", database.socket().display());
    let program = Setup::new()
        .file("users.cf", &redis::cf(&host, "wrong", ""))
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = redis:PLACE/users.cf
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0",
        )
        .start();
    let mut session = program.session();
    session.play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<user@example.com>
         S: 451 4.3.0 <user@example.com>: Temporary lookup failure",
    );
    program.wait_for_log(&["warning: table redis:", "users.cf: unix:", "WRONGPASS"]);

    let new = program.setup.place().join("users.new");
    fs::write(&new, redis::cf(&host, PASSWORD, "")).expect("a file");
    fs::rename(&new, program.setup.place().join("users.cf")).expect("a new file in its place");
    wait::until_true("the new file is in use", || {
        let reply = session.command("RCPT TO:<user@example.com>");
        reply.is_ok_and(|reply| reply.is_ok())
    });
}
