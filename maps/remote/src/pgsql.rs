//! `pgsql:`: PostgreSQL, as postfix `src/global/dict_pgsql.c` and pgsql_table(5).

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use table::Opening;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::common;
use crate::desk::{Backend, Bounds, Desk, Fault, RESULT_BYTES_MAX, Values};
use crate::hosts::{Host, Hosts};
use crate::net::{self, Allowance, Duplex, Metered};
use crate::remote::Plan;
use crate::snapshot::Terms;
use crate::source::Source;
use crate::sql::{Dialect, Query};
use crate::template::Needs;

const PORT: u16 = 5432;
/// Bytes of an answer with what the protocol adds to it.
const ANSWER_BYTES_MAX: usize = 4 * RESULT_BYTES_MAX;
/// How the server names its socket in the directory that is configured.
const SOCKET_PREFIX: &str = ".s.PGSQL.";

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    let encoding = source.text_or("encoding", "UTF8");
    if !["UTF8", "UTF-8", "UNICODE", "LATIN1", "SQL_ASCII"]
        .iter()
        .any(|known| encoding.eq_ignore_ascii_case(known))
    {
        let why = format!("\"{encoding}\" is not supported; there are UTF8, LATIN1 and SQL_ASCII");
        return Err(source.wrong("encoding", why));
    }
    let mut needs = Needs::default();
    let (parameter, text) = common::sql(&source)?;
    let query = Query::parse(&text, Dialect::Postgres, &mut needs)
        .map_err(|why| source.wrong(parameter, why))?;
    let hosts = hosts(&source)?;
    let database = source.text_or("dbname", "");
    if database.is_empty()
        && let Some(host) = hosts.iter().find(|host| !matches!(host, Host::Uri(_)))
    {
        return Err(source.wrong("dbname", format_args!("not set, and host {host} needs it")));
    }
    let backend = Pgsql {
        user: source.text_or("user", "").to_owned(),
        password: source.text_or("password", "").to_owned(),
        database: database.to_owned(),
        encoding: encoding.to_owned(),
        query,
    };
    let shape = common::shape(&source, "result_format", &mut needs)?;
    let hosts = Hosts::new(hosts, common::retry_interval(&source)?);
    let bounds = common::bounds(&source, Bounds::default())?;
    let plan = Plan {
        desk: Arc::new(Desk::new(backend, hosts, bounds, shape, needs)),
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

fn hosts(source: &Source<'_>) -> Result<Vec<Host>, String> {
    let mut hosts = Vec::new();
    for text in source.items("hosts") {
        let host = if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            // The error may quote what it does not understand, which may be the password.
            text.parse::<Config>()
                .map(|_| Host::Uri(text.to_owned()))
                .map_err(|_| "a connection string that cannot be read".to_owned())
        } else if text.starts_with('/') {
            Ok(Host::Unix(text.into()))
        } else {
            Host::parse(text, PORT)
        };
        hosts.push(host.map_err(|why| source.wrong("hosts", why))?);
    }
    if hosts.is_empty() {
        hosts.push(Host::Inet { name: "localhost".to_owned(), port: PORT });
    }
    Ok(hosts)
}

struct Pgsql {
    user: String,
    password: String,
    database: String,
    encoding: String,
    query: Query,
}

impl fmt::Debug for Pgsql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pgsql").field("database", &self.database).finish_non_exhaustive()
    }
}

/// A connection and the task that drives it, which ends with it even where the server hangs.
struct Connection {
    client: Client,
    driver: AbortHandle,
    /// Where the stream is ours. The library opens those of connection strings.
    allowance: Option<Allowance>,
}

impl Connection {
    fn allow(&self, bytes: usize) {
        if let Some(allowance) = &self.allowance {
            allowance.set(bytes);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Pgsql {
    fn config(&self, host: &Host) -> Result<Config, Fault> {
        let mut config = match host {
            Host::Uri(uri) => {
                uri.parse::<Config>().map_err(|_| Fault::refused("a bad connection string"))?
            }
            _ => Config::new(),
        };
        if !matches!(host, Host::Uri(_)) {
            config.dbname(&self.database);
            if !self.user.is_empty() {
                config.user(&self.user);
            }
            if !self.password.is_empty() {
                config.password(&self.password);
            }
        }
        config.application_name("ringpost");
        Ok(config)
    }
}

impl Pgsql {
    async fn prepared(&self, connection: Connection) -> Result<Connection, Fault> {
        // Escaping relies upon the first, see `Dialect::Postgres`.
        let settings = format!(
            "SET standard_conforming_strings = on; SET client_encoding = '{}'",
            self.encoding
        );
        connection.client.batch_execute(&settings).await.map_err(fault)?;
        Ok(connection)
    }
}

impl Backend for Pgsql {
    type Connection = Connection;

    async fn connect(&self, host: &Host) -> Result<Connection, Fault> {
        let config = self.config(host)?;
        let stream: Box<dyn Duplex> = match host {
            Host::Unix(path) => {
                Box::new(UnixStream::connect(socket(path)).await.map_err(Fault::lost)?)
            }
            Host::Inet { name, port } => {
                Box::new(net::tcp(name, *port).await.map_err(Fault::lost)?)
            }
            Host::Uri(_) => {
                let (client, connection) = config.connect(NoTls).await.map_err(fault)?;
                let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
                return self.prepared(Connection { client, driver, allowance: None }).await;
            }
        };
        let (stream, allowance) = Metered::new(stream, ANSWER_BYTES_MAX);
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(fault)?;
        let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
        self.prepared(Connection { client, driver, allowance: Some(allowance) }).await
    }

    async fn list(
        &self,
        connection: &mut Connection,
        query: &str,
        each: &mut (dyn FnMut(Values) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        connection.allow(usize::MAX);
        let messages = connection.client.simple_query_raw(query).await.map_err(fault)?;
        let mut messages = pin!(messages);
        while let Some(message) = messages.next().await {
            if let SimpleQueryMessage::Row(row) = message.map_err(fault)? {
                each(fields(&row)?)?;
            }
        }
        Ok(())
    }

    async fn ask(&self, connection: &mut Connection, key: &str) -> Result<Values, Fault> {
        connection.allow(ANSWER_BYTES_MAX);
        let messages =
            connection.client.simple_query(&self.query.fill(key)).await.map_err(fault)?;
        let (mut values, mut bytes, mut sets) = (Values::new(), 0, 0);
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(_) => sets += 1,
                SimpleQueryMessage::Row(row) => {
                    for value in fields(&row)? {
                        bytes += value.as_ref().map_or(0, Vec::len) + 1;
                        values.push(value);
                    }
                }
                _ => {}
            }
        }
        if sets > 1 {
            return Err(Fault::refused("the query gave more than one result set"));
        }
        if bytes > RESULT_BYTES_MAX { Err(Fault::too_large()) } else { Ok(values) }
    }

    fn is_fresh(&self, connection: &Connection) -> bool {
        !connection.client.is_closed()
    }
}

/// The socket in the directory that is configured, as libpq finds it; or the socket itself.
fn socket(path: &Path) -> std::path::PathBuf {
    let is_socket =
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SOCKET_PREFIX));
    if is_socket { path.to_owned() } else { path.join(format!("{SOCKET_PREFIX}{PORT}")) }
}

fn fields(row: &SimpleQueryRow) -> Result<Values, Fault> {
    let field = |column| row.try_get(column).map_err(fault);
    let text = |value: &str| value.as_bytes().to_vec();
    (0..row.len()).map(|column| Ok(field(column)?.map(text))).collect()
}

fn fault(error: tokio_postgres::Error) -> Fault {
    if let Some(said) = error.as_db_error() {
        let cause = format!("{} ({})", said.message(), said.code().code());
        // Class 57: the server is shutting down, or somebody ended the connection.
        return match said.code().code().starts_with("57P") {
            true => Fault::lost(cause),
            false => Fault::refused(cause),
        };
    }
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !cause.contains(&inner_text) {
            cause = format!("{cause}: {inner_text}");
        }
        source = inner.source();
    }
    Fault::lost(cause)
}
