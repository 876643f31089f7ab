//! A copy of a database, for when it is away.

use std::fs;
use std::time::{Duration, SystemTime};

use tests::wait;

use crate::faults::PATIENT;
use crate::relay::{Mode, Relay};
use crate::server::Server;
use crate::trial::{KEY, PASSWORD, Trial, VALUE};
use crate::{mariadb, postgres, sqlite};

const LISTING: &str = "snapshot_query = SELECT address, home FROM users\nsnapshot_refresh = 1";

/// The database answers while it is there, and the copy when it is not.
fn stands_in_for(mut database: Server, kind: &str, cf: impl Fn(u16) -> String, ready: fn(&Server)) {
    database.start();
    ready(&database);
    let relay = Relay::to(database.socket());
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("users");
    let cf = format!("{}{LISTING}\nsnapshot_file = {}\n", cf(relay.port()), file.display());
    let trial = Trial::new(&format!("snapshot:{kind}"), &cf);
    trial.assert_works();
    let copy = file.with_extension("db");
    wait::until_true("a copy is made", || copy.exists());

    relay.set(Mode::Close);
    wait::until_true("the copy answers", || trial.ask(KEY) == table::Answer::Found(VALUE.into()));
    trial.assert_works();
    trial.assert_not_found("null@example.com");
    trial.assert_not_found("empty@example.com");
    assert_eq!(trial.found("USER@example.com"), VALUE);

    // As after a restart while the database is away.
    let again = Trial::new(&format!("snapshot:{kind}"), &cf);
    again.assert_works();

    let old = SystemTime::now() - Duration::from_secs(100_000);
    let handle = fs::File::options().write(true).open(&copy).expect("the copy");
    handle.set_modified(old).expect("its age can be set");
    let late = Trial::new(&format!("snapshot:{kind}"), &cf);
    let cause = late.assert_unavailable("the copy is too old");
    assert!(cause.contains("snapshot_max_age"), "{cause}");

    relay.set(Mode::Pass);
    wait::until_true("the database answers", || {
        late.ask(KEY) == table::Answer::Found(VALUE.into())
    });
}

#[test]
fn a_snapshot_stands_in_for_mariadb() {
    let cf = |port| mariadb::cf(&format!("127.0.0.1:{port}"), PASSWORD, mariadb::QUERY);
    stands_in_for(mariadb::server(), "mysql", cf, mariadb::filled);
}

#[test]
fn a_snapshot_stands_in_for_postgres() {
    let cf = |port| postgres::cf(&format!("127.0.0.1:{port}"), PASSWORD, postgres::QUERY);
    stands_in_for(postgres::server(), "pgsql", cf, postgres::ready);
}

#[test]
fn a_snapshot_stands_in_for_sqlite_and_an_empty_listing_never_replaces_one() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("mail.db");
    let file = place.path().join("users");
    let database = sqlite::database(&path);
    let cf = format!(
        "dbpath = {}\n{PATIENT}{}\n{LISTING}\nsnapshot_file = {}\n",
        path.display(),
        sqlite::QUERY,
        file.display()
    );
    let trial = Trial::new("snapshot:sqlite", &cf);
    trial.assert_works();
    let copy = file.with_extension("db");
    wait::until_true("a copy is made", || copy.exists());
    let made = fs::metadata(&copy).and_then(|it| it.modified()).expect("the copy");
    database.execute_batch("INSERT INTO users VALUES ('new@example.com', 'new/')").expect("a row");
    wait::until_true("the copy is made anew", || {
        fs::metadata(&copy).and_then(|it| it.modified()).is_ok_and(|it| it > made)
    });
    database.execute_batch("DELETE FROM users").expect("no rows");
    drop(database);
    trial.assert_not_found(KEY);
    fs::remove_file(&path).expect("the database");
    wait::until_true("the copy answers", || {
        trial.ask("new@example.com") == table::Answer::Found("new/".into())
    });
}

#[test]
fn a_damaged_copy_is_refused_and_made_anew() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("mail.db");
    let away = place.path().join("away.db");
    let copy = place.path().join("users.db");
    drop(sqlite::database(&path));
    let cf = format!(
        "dbpath = {}\n{PATIENT}{}\n{LISTING}\nsnapshot_file = {}\n",
        path.display(),
        sqlite::QUERY,
        place.path().join("users").display()
    );
    let open = || Trial::new("snapshot:sqlite", &cf);
    {
        open().assert_works();
        wait::until_true("a copy is made", || copy.exists());
    }
    fs::rename(&path, &away).expect("the database goes away");
    open().assert_works();

    let whole = fs::read(&copy).expect("a copy");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damages: [(&str, &[u8]); 4] = [
        ("a bit", &flipped),
        ("cut", &whole[..whole.len() - 8]),
        ("empty", b""),
        ("something else", b"user@example.com example.com/user/\n"),
    ];
    for (what, bytes) in damages {
        // Never in place: whoever has mapped it would see it change.
        let new = place.path().join("new");
        fs::write(&new, bytes).expect("a file");
        fs::rename(&new, &copy).expect("a damaged copy");
        let trial = open();
        let cause = trial.assert_unavailable(what);
        assert!(cause.contains("there is no snapshot") && cause.contains("users.db"), "{cause}");
        trial.cause(trial.ask(crate::trial::NO_KEY), what);
    }

    let trial = open();
    trial.assert_unavailable("still damaged");
    fs::rename(&away, &path).expect("the database comes back");
    trial.wait_until_it_works();
    wait::until_true("a new copy is made", || {
        fs::read(&copy).is_ok_and(|bytes| bytes.len() == whole.len())
    });
    fs::remove_file(&path).expect("the database goes away again");
    open().wait_until_it_works();
}

#[test]
fn a_snapshot_without_a_source_is_refused_when_it_is_opened() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("table.cf");
    fs::write(&path, "dbpath = /nonexistent\nquery = SELECT '%s'\n").expect("a file");
    let tables = table::Tables::new(&table::Disk).with_types(remote::Remote::new().types());
    let open = |spec: &str| {
        let table = tables.open(spec);
        table.trouble().expect("a trouble").cause.to_string()
    };
    assert!(open(&format!("snapshot:sqlite:{}", path.display())).contains("snapshot_query"));
    assert!(open("snapshot:/etc/table.cf").contains("expected snapshot:type:/file"));
    assert!(open("snapshot:tcp:localhost:1").contains("snapshot_query"));
}
