//! A key stays a value: asked of SQLite itself, for random keys and every kind of quotes.

use std::path::Path;

use proptest::prelude::*;
use remote::Remote;
use table::{Answer, Disk, Table, Tables, block_on};

fn table(place: &Path, name: &str, query: &str) -> Table {
    let database = place.join("mail.db");
    rusqlite::Connection::open(&database).unwrap().execute_batch("VACUUM").unwrap();
    let cf = place.join(name);
    let text = format!("dbpath = {}\nquery = {query}\ncache_entries = 0\n", database.display());
    std::fs::write(&cf, text).unwrap();
    let table = Tables::new(&Disk).with_types(Remote::new().types());
    table.open(&format!("sqlite:{}", cf.display()))
}

#[test]
fn whatever_is_in_a_key_comes_back_as_it_went() {
    let place = tempfile::tempdir().unwrap();
    let echo = table(place.path(), "echo.cf", "SELECT '%s'");
    let twice = table(place.path(), "twice.cf", "SELECT 'it''s %s' || '|%s' -- it's\n ;");
    let keys = prop_oneof![
        "[a-z'\"\\\\`;%_#@*(){}$ -]{1,20}",
        "\\PC{1,20}".prop_map(|key| key.to_lowercase()),
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&keys, |key| {
            prop_assert_eq!(
                block_on(echo.lookup(&key).answer()),
                Answer::Found(key.as_str().into())
            );
            prop_assert_eq!(
                block_on(twice.lookup(&key).answer()),
                Answer::Found(format!("it's {key}|{key}").into())
            );
            Ok(())
        })
        .unwrap();
}
