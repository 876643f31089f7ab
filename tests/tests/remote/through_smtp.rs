//! The whole program with its mailboxes in a database: a database that is away is no reason to refuse
//! anybody, nor to accept everybody, and when it is back mail flows as before.

use tests::{Setup, wait};

use crate::faults::PATIENT;
use crate::server::Server;
use crate::trial::{KEY, PASSWORD, VALUE};
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
    std::fs::rename(&new, &path).expect("a new file in its place");
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
    std::fs::write(&new, redis::cf(&host, PASSWORD, "")).expect("a file");
    std::fs::rename(&new, program.setup.place().join("users.cf")).expect("a new file in its place");
    wait::until_true("the new file is in use", || {
        let reply = session.command("RCPT TO:<user@example.com>");
        reply.is_ok_and(|reply| reply.is_ok())
    });
}
