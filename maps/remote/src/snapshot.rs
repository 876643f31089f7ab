//! `snapshot:TYPE:FILE`: a database, and a copy of it on disk for when it is away.
//!
//! The database is asked as ever. Beside that, `snapshot_query` fetches all keys and values from time to
//! time and a compiled table is made of them; while the database cannot be asked, the copy answers, until
//! it is older than `snapshot_max_age`. The copy is complete, so a key that is not in it is not found.
//! That takes a database that can say all it has: a table whose answers are computed, or a type without
//! such a question, cannot have a snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

use table::compiled::{Builder, Stored};
use table::{Format, Opening, Value};
use tokio::task::spawn_blocking;

use crate::desk::{Ask, Listing, lock};
use crate::remote::Plan;
use crate::source::Source;
use crate::types;

/// `snapshot_refresh`
const REFRESH: Duration = Duration::from_secs(300);
/// `snapshot_max_age`
const AGE_MAX: Duration = Duration::from_secs(86_400);
/// `snapshot_timeout`
const TIMEOUT: Duration = Duration::from_secs(300);
/// While a copy can answer, a database that failed is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// Keys and values are for nobody but the mail system.
const FILE_MODE: u32 = 0o600;

/// What a configuration file says about a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    query: Arc<str>,
    file: PathBuf,
    refresh: Duration,
    age_max: Duration,
    timeout: Duration,
}

impl Terms {
    /// `None` where there is no `snapshot_query`.
    pub(crate) fn read(source: &Source<'_>) -> Result<Option<Self>, String> {
        let file = source.text("snapshot_file").map(PathBuf::from);
        let refresh = source.time("snapshot_refresh", REFRESH, 1, 86_400)?;
        let age_max = source.time("snapshot_max_age", AGE_MAX, 1, 366 * 86_400)?;
        let timeout = source.time("snapshot_timeout", TIMEOUT, 1, 86_400)?;
        let Some(query) = source.text("snapshot_query") else { return Ok(None) };
        let file = file.filter(|file| file.is_absolute()).ok_or_else(|| {
            source.wrong("snapshot_file", "expected an absolute path, next to snapshot_query")
        })?;
        let query = query.trim_end().trim_end_matches(';').into();
        Ok(Some(Self { query, file, refresh, age_max, timeout }))
    }
}

/// Opens `snapshot:TYPE:FILE`.
pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let expected = "expected snapshot:type:/file, with a type such as mysql, pgsql or sqlite";
    let (kind, file) = name.split_once(':').ok_or(expected)?;
    let inner = types::TYPES.iter().find(|(known, _)| *known == kind && *known != "snapshot");
    let (_, open) = inner.ok_or(expected)?;
    let plan = open(opening, file)?;
    let Some(terms) = plan.terms else {
        return Err(format!("{file}: snapshot_query is not set, so the copy would have no source"));
    };
    let writable = terms.file.parent().map(Path::to_owned);
    let copy = Copy { terms, state: Mutex::default() };
    let desk = Arc::new(SnapshotDesk { inner: plan.desk, copy: Arc::new(copy) });
    Ok(Plan { desk, terms: None, writable, ..plan })
}

/// A desk whose servers have a stand-in.
#[derive(Debug)]
struct SnapshotDesk {
    inner: Arc<dyn Ask>,
    copy: Arc<Copy>,
}

impl Ask for SnapshotDesk {
    fn ask(
        self: Arc<Self>,
        key: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Value>, String>> + Send>> {
        Box::pin(async move {
            self.copy.keep(&self.inner);
            let is_away = lock(&self.copy.state).away_until.is_some_and(|it| Instant::now() < it);
            if is_away && let Ok(known) = self.copy.get(&key) {
                return Ok(known);
            }
            let cause = match Arc::clone(&self.inner).ask(Arc::clone(&key)).await {
                Ok(known) => {
                    lock(&self.copy.state).away_until = None;
                    return Ok(known);
                }
                Err(cause) => cause,
            };
            lock(&self.copy.state).away_until = Some(Instant::now() + PAUSE);
            if !lock(&self.copy.state).was_read {
                self.copy.read().await;
            }
            self.copy.get(&key).map_err(|why| format!("{cause}; {why}"))
        })
    }

    fn could_have(&self, key: &str) -> bool {
        self.inner.could_have(key)
    }

    fn list(self: Arc<Self>, query: Arc<str>) -> Listing {
        Arc::clone(&self.inner).list(query)
    }
}

/// The copy of one table.
#[derive(Debug)]
struct Copy {
    terms: Terms,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stored: Option<(Arc<Stored>, SystemTime)>,
    /// Whether the file from before has been looked for.
    was_read: bool,
    is_kept: bool,
    /// Why the last attempt to make a copy came to nothing.
    failure: Option<String>,
    /// Until when the database is left alone.
    away_until: Option<Instant>,
}

impl Copy {
    /// What the copy says of a key; the error is why it says nothing.
    fn get(&self, key: &str) -> Result<Option<Value>, String> {
        let (stored, made) = {
            let state = lock(&self.state);
            let failure = state.failure.as_deref().unwrap_or("none has been made yet");
            state.stored.clone().ok_or_else(|| format!("there is no snapshot: {failure}"))?
        };
        // A clock that was put back makes no copy older.
        let age = made.elapsed().unwrap_or_default();
        if age > self.terms.age_max {
            let (age, limit) = (age.as_secs(), self.terms.age_max.as_secs());
            return Err(format!("the snapshot is {age} s old (snapshot_max_age = {limit})"));
        }
        match stored.get(key.as_bytes()) {
            Ok(None) => Ok(None),
            Ok(Some(value)) => match Value::from_utf8(value) {
                Some(value) => Ok(Some(value)),
                None => Err("the snapshot is damaged".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    /// Begins to keep the copy fresh, for as long as the table is in use.
    fn keep(self: &Arc<Self>, database: &Arc<dyn Ask>) {
        if std::mem::replace(&mut lock(&self.state).is_kept, true) {
            return;
        }
        let copy = Arc::downgrade(self);
        tokio::spawn(keep_fresh(copy, Arc::clone(database)));
    }

    /// Takes the file as it is on disk.
    async fn read(&self) {
        let path = Format::Native.path(&self.terms.file);
        let read = spawn_blocking(move || {
            let made = fs::metadata(&path).and_then(|file| file.modified());
            let made = made.map_err(|error| format!("{}: {error}", path.display()))?;
            let stored = Stored::open(Format::Native, &path).map_err(|error| error.to_string())?;
            Ok((Arc::new(stored), made))
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string()));
        let mut state = lock(&self.state);
        state.was_read = true;
        match read {
            Ok(stored) => state.stored = Some(stored),
            // The one in memory is as good as it was.
            Err(why) => state.failure = Some(why),
        }
    }

    /// How old the copy is; `None` where there is none.
    fn age(&self) -> Option<Duration> {
        lock(&self.state).stored.as_ref().map(|(_, made)| made.elapsed().unwrap_or_default())
    }

    /// Makes a new one, if another process has not just done so.
    async fn refresh(&self, database: &Arc<dyn Ask>) {
        self.read().await;
        if self.age().is_some_and(|age| age < self.terms.refresh) {
            return;
        }
        let made = self.make(database).await;
        match made {
            Ok(()) => {
                lock(&self.state).failure = None;
                self.read().await;
            }
            Err(why) => lock(&self.state).failure = Some(why),
        }
    }

    async fn make(&self, database: &Arc<dyn Ask>) -> Result<(), String> {
        let listing = Arc::clone(database).list(Arc::clone(&self.terms.query));
        let entries = match tokio::time::timeout(self.terms.timeout, listing).await {
            Ok(entries) => entries?,
            Err(_) => {
                let limit = self.terms.timeout.as_secs();
                return Err(format!("snapshot_query took more than {limit} s"));
            }
        };
        // More likely a table being filled than one that nobody is in.
        if entries.is_empty() {
            return Err("snapshot_query gave no rows".to_owned());
        }
        let file = self.terms.file.clone();
        let built = spawn_blocking(move || {
            let mut builder = Builder::new(Format::Native, file).mode(FILE_MODE);
            for (key, value) in entries {
                builder.add(&key, &value, 0).map_err(|error| format!("{key}: {error}"))?;
            }
            builder.finish().map_err(|error| error.to_string())
        });
        built.await.unwrap_or_else(|error| Err(error.to_string())).map(drop)
    }
}

async fn keep_fresh(copy: Weak<Copy>, database: Arc<dyn Ask>) {
    loop {
        let refresh = {
            let Some(copy) = copy.upgrade() else { return };
            copy.refresh(&database).await;
            copy.terms.refresh
        };
        tokio::time::sleep(refresh).await;
    }
}
