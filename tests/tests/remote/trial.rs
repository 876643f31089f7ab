//! One table under trial.

use std::fs;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use remote::Remote;
use table::{Answer, Disk, Table, Tables, Trouble, block_on};
use tempfile::TempDir;
use tests::wait::{self, SOON};

/// A key that every server of these tests has.
pub(crate) const KEY: &str = "user@example.com";
/// And its value.
pub(crate) const VALUE: &str = "example.com/user/";
/// A key that none has.
pub(crate) const NO_KEY: &str = "nobody@example.com";
/// The password that servers ask for, and that nobody may see.
pub(crate) const PASSWORD: &str = "s3cr3t-p4ssw0rd";

/// A table with a configuration file of its own.
pub(crate) struct Trial {
    table: Table,
    /// Holds the configuration file.
    place: Option<TempDir>,
}

impl Trial {
    /// Opens `kind:` with this configuration file.
    pub(crate) fn new(kind: &str, cf: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let path: PathBuf = place.path().join("table.cf");
        fs::write(&path, cf).expect("a configuration file");
        let mut trial = Self::named(&format!("{kind}:{}", path.display()));
        trial.place = Some(place);
        trial
    }

    /// Opens a table that has no configuration file.
    pub(crate) fn named(spec: &str) -> Self {
        let table = Tables::new(&Disk).with_types(Remote::new().types()).open(spec);
        assert_eq!(table.trouble(), None);
        assert_eq!(table.notes(), []);
        Self { table, place: None }
    }

    /// Asks and waits.
    pub(crate) fn ask(&self, key: &str) -> Answer {
        block_on(self.table.lookup(key).answer())
    }

    /// Asks on another thread.
    pub(crate) fn asking(&self, key: &str) -> JoinHandle<Answer> {
        let (table, key) = (self.table.clone(), key.to_owned());
        thread::spawn(move || block_on(table.lookup(&key).answer()))
    }

    /// The value that must be there.
    pub(crate) fn found(&self, key: &str) -> String {
        match self.ask(key) {
            Answer::Found(value) => value.to_string(),
            answer => panic!("{}: {key}: {answer:?}", self.table.name()),
        }
    }

    /// The key must not be there.
    pub(crate) fn assert_not_found(&self, key: &str) {
        assert_eq!(self.ask(key), Answer::NotFound, "{}: {key}", self.table.name());
    }

    /// It must work.
    pub(crate) fn assert_works(&self) {
        assert_eq!(self.found(KEY), VALUE);
        self.assert_not_found(NO_KEY);
    }

    /// On a busy machine a hurried table may have to be asked again.
    pub(crate) fn wait_until_it_works(&self) {
        wait::until_true("the table works", || self.ask(KEY) == Answer::Found(VALUE.into()));
    }

    /// It must not know, say why, and have said it in time.
    pub(crate) fn assert_unavailable(&self, because: &str) -> String {
        let began = Instant::now();
        let cause = self.cause(self.ask(KEY), because);
        assert!(began.elapsed() < SOON, "{because}: took {:?}", began.elapsed());
        cause
    }

    /// The cause of an answer that must be one.
    pub(crate) fn cause(&self, answer: Answer, because: &str) -> String {
        let Answer::Unavailable(trouble) = answer else {
            panic!("{}: {because}: {answer:?}", self.table.name());
        };
        let Trouble { table, cause } = &*trouble;
        assert_eq!(&**table, self.table.name());
        assert!(!cause.is_empty(), "{because}");
        assert!(
            !cause.contains(PASSWORD) && !cause.contains(char::is_control),
            "{because}: {cause}"
        );
        cause.to_string()
    }

    /// As [`Self::assert_unavailable`], within the deadline that the configuration sets.
    pub(crate) fn assert_unavailable_within(&self, deadline: Duration, because: &str) -> String {
        let began = Instant::now();
        let cause = self.assert_unavailable(because);
        // And a little: the machine may be busy with other things.
        let limit = deadline + Duration::from_secs(5);
        assert!(began.elapsed() < limit, "{because}: took {:?}", began.elapsed());
        cause
    }
}
