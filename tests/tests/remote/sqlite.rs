//! SQLite.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tests::wait;

use crate::answers;
use crate::faults::{HURRIED, PATIENT};
use crate::trial::{KEY, Trial, VALUE};

pub(crate) const QUERY: &str = "query = SELECT home FROM users WHERE address = '%s'";

/// Makes a database.
pub(crate) fn database(path: &Path) -> Connection {
    let database = Connection::open(path).expect("a database");
    let made = database.execute_batch(
        "CREATE TABLE users (address TEXT PRIMARY KEY, home TEXT);
         CREATE TABLE lists (address TEXT, member TEXT);
         INSERT INTO lists VALUES ('list@example.com', 'a@x'), ('list@example.com', NULL),
            ('list@example.com', 'b@y');
         INSERT INTO users VALUES ('null@example.com', NULL), ('empty@example.com', '');",
    );
    made.expect("tables");
    for (key, value) in [(KEY, VALUE), (answers::AWKWARD, "quoted")] {
        database.execute("INSERT INTO users VALUES (?1, ?2)", [key, value]).expect("a row");
    }
    database
}

fn open(path: &Path, more: &str) -> Trial {
    Trial::new("sqlite", &format!("dbpath = {}\n{PATIENT}{more}\n", path.display()))
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("mail.db");
    (place, path)
}

#[test]
fn answers_as_postfix_does() {
    let (_place, path) = place();
    drop(database(&path));
    answers::common(|more| open(&path, &format!("{QUERY}\n{more}")));
    answers::sql(&|more: &str| open(&path, more));
    answers::awkward_keys(&open(&path, QUERY), &open(&path, "query = SELECT '%s'"));
    let first = open(&path, "query = SELECT home, address FROM users WHERE address = '%s'");
    assert_eq!(first.found(KEY), VALUE, "the first column counts");
    open(&path, "query = SELECT 1; SELECT '%s'").assert_unavailable("two result sets");
    let number = open(&path, "query = SELECT 42 WHERE '%s' <> ''");
    assert_eq!(number.found(KEY), "42");
}

#[test]
fn nothing_is_written() {
    let (_place, path) = place();
    drop(database(&path));
    let cause = open(&path, "query = DELETE FROM users WHERE address = '%s'")
        .assert_unavailable("a delete");
    assert!(cause.contains("readonly"), "{cause}");
    open(&path, QUERY).assert_works();
}

#[test]
fn a_file_that_is_missing_broken_locked_or_replaced_is_never_an_empty_table() {
    let (place, path) = place();
    let trial = open(&path, QUERY);
    trial.assert_unavailable("no file yet");
    let writer = database(&path);
    trial.assert_works();

    writer.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    trial.assert_unavailable("locked for longer than the deadline");
    writer.execute_batch("ROLLBACK").expect("no lock");
    drop(writer);
    wait::until_true("it works again", || trial.ask(KEY) == table::Answer::Found(VALUE.into()));

    fs::remove_file(&path).expect("a file to remove");
    trial.assert_unavailable("the file is gone");
    fs::write(&path, b"this is no database, but long enough to be looked at".repeat(50))
        .expect("a file");
    trial.assert_unavailable("no database");
    fs::write(&path, b"").expect("a file");
    trial.assert_unavailable("an empty file has no tables");
    let new = place.path().join("new.db");
    drop(database(&new));
    fs::rename(&new, &path).expect("a new file in its place");
    trial.assert_works();
}

#[test]
fn a_query_that_does_not_end_is_ended() {
    let (_place, path) = place();
    drop(database(&path));
    let forever = "query = WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                   SELECT count(*) FROM n WHERE x <> '%s'\nconnection_limit = 1\n";
    let trial = open(&path, &format!("{forever}{HURRIED}"));
    for _ in 0..2 {
        let cause = trial.assert_unavailable_within(std::time::Duration::from_secs(3), "forever");
        assert!(cause.contains("no answer within"), "{cause}");
    }
}
