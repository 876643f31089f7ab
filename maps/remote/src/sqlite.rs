//! `sqlite:`: a database in a file, as postfix `src/global/dict_sqlite.c` and sqlite_table(5).
//!
//! Asked on threads that may block; a question that is not waited for any more is interrupted.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection as Database, InterruptHandle, OpenFlags, Row};
use table::Opening;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::common;
use crate::desk::{Backend, Bounds, Desk, Fault, RESULT_BYTES_MAX, Values};
use crate::hosts::{Host, Hosts};
use crate::remote::Plan;
use crate::snapshot::Terms;
use crate::source::Source;
use crate::sql::{Dialect, Query};
use crate::template::Needs;

/// Rows of a listing that have been read and not been taken.
const LISTED_ROWS_WAITING: usize = 64;
/// How long to wait for a writer, before the deadline of the question.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    let path = PathBuf::from(source.required("dbpath")?);
    if !path.is_absolute() {
        return Err(source.wrong("dbpath", "expected an absolute path"));
    }
    let mut needs = Needs::default();
    let (parameter, text) = common::sql(&source)?;
    let query = Query::parse(&text, Dialect::Sqlite, &mut needs)
        .map_err(|why| source.wrong(parameter, why))?;
    let shape = common::shape(&source, "result_format", &mut needs)?;
    let bounds = common::bounds(&source, Bounds::default())?;
    let hosts = Hosts::new(vec![Host::Unix(path)], Duration::ZERO);
    let plan = Plan {
        desk: Arc::new(Desk::new(Sqlite { query: Arc::new(query) }, hosts, bounds, shape, needs)),
        domains: source.domains(),
        lifetimes: common::lifetimes(&source)?,
        folds: true,
        whole_keys_only: false,
        terms: Terms::read(&source)?,
        writable: None,
    };
    source.finish();
    Ok(plan)
}

#[derive(Debug)]
struct Sqlite {
    query: Arc<Query>,
}

struct Connection {
    /// Away while a question is under way.
    database: Option<Database>,
    interrupt: InterruptHandle,
    path: PathBuf,
    file: (u64, u64),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.database.is_none() {
            self.interrupt.interrupt();
        }
    }
}

impl Backend for Sqlite {
    type Connection = Connection;

    async fn connect(&self, host: &Host) -> Result<Connection, Fault> {
        let Host::Unix(path) = host.clone() else { return Err(Fault::refused("no file")) };
        blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let database = Database::open_with_flags(&path, flags).map_err(fault)?;
            database.busy_timeout(BUSY_TIMEOUT).map_err(fault)?;
            let file = identity(&path).ok_or_else(|| Fault::lost("the file is not there"))?;
            let interrupt = database.get_interrupt_handle();
            Ok(Connection { database: Some(database), interrupt, path, file })
        })
        .await
    }

    async fn ask(&self, connection: &mut Connection, key: &str) -> Result<Values, Fault> {
        let Some(database) = connection.database.take() else {
            return Err(Fault::lost("the database is closed"));
        };
        let query = self.query.fill(key);
        let (database, values) = blocking(move || {
            let values = run(&database, &query);
            Ok((database, values))
        })
        .await?;
        connection.database = Some(database);
        values
    }

    async fn list(
        &self,
        connection: &mut Connection,
        query: &str,
        each: &mut (dyn FnMut(Values) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        let Some(database) = connection.database.take() else {
            return Err(Fault::lost("the database is closed"));
        };
        let query = query.to_owned();
        let (rows, mut arriving) = mpsc::channel(LISTED_ROWS_WAITING);
        let listing = blocking(move || {
            let mut statement = database.prepare(&query).map_err(fault)?;
            let columns = statement.column_count();
            let mut found = statement.query([]).map_err(fault)?;
            while let Some(row) = found.next().map_err(fault)? {
                let fields = (0..columns).map(|column| field(row, column));
                // Where nobody listens any more, nobody wants the rest.
                if rows.blocking_send(fields.collect::<Result<Values, Fault>>()?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let receiving = async {
            while let Some(row) = arriving.recv().await {
                each(row)?;
            }
            Ok(())
        };
        tokio::try_join!(listing, receiving).map(drop)
    }

    /// A file that was replaced is another database.
    fn is_fresh(&self, connection: &Connection) -> bool {
        identity(&connection.path) == Some(connection.file)
    }
}

fn identity(path: &PathBuf) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::lost("the question was not answered")),
    }
}

/// The first column of each row, as Postfix has it.
fn run(database: &Database, query: &str) -> Result<Values, Fault> {
    let mut statement = database.prepare(query).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    let (mut values, mut bytes) = (Values::new(), 0);
    while let Some(row) = rows.next().map_err(fault)? {
        let value = field(row, 0)?;
        bytes += value.as_ref().map_or(0, Vec::len) + 1;
        if bytes > RESULT_BYTES_MAX {
            return Err(Fault::too_large());
        }
        values.push(value);
    }
    Ok(values)
}

fn field(row: &Row<'_>, column: usize) -> Result<Option<Vec<u8>>, Fault> {
    Ok(match row.get_ref(column).map_err(fault)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(text.to_vec()),
    })
}

fn fault(error: rusqlite::Error) -> Fault {
    match error {
        // With the name of the code: "database disk image is malformed".
        rusqlite::Error::SqliteFailure(code, Some(text)) => {
            Fault::refused(format_args!("{text} ({code})"))
        }
        error => Fault::refused(error),
    }
}
