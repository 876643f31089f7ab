//! `pgsql:`: PostgreSQL, as postfix `src/global/dict_pgsql.c` and pgsql_table(5).

mod conninfo;
mod cover;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use table::Opening;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
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
use crate::tls::Tls;

use conninfo::{Conninfo, Mode, is_conninfo, is_uri};
use cover::{Cover, Handshake};

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
    let mut ways = HashMap::new();
    let mut ordinary = None;
    for host in &hosts {
        match host {
            Host::Uri(uri) => {
                let way = Conninfo::parse(uri).and_then(|it| Way::new(it, &source));
                ways.insert(uri.clone(), way.map_err(|why| source.wrong("hosts", why))?);
            }
            Host::Unix(_) | Host::Inet { .. } if ordinary.is_some() => {}
            host if database.is_empty() => {
                let why = format_args!("not set, and host {host} needs it");
                return Err(source.wrong("dbname", why));
            }
            _ => {
                let way = by_parameters(&source, database).and_then(|it| Way::new(it, &source));
                ordinary = Some(way.map_err(|why| source.wrong("dbname", why))?);
            }
        }
    }
    let backend = Pgsql { ordinary, ways, encoding: encoding.to_owned(), query };
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
        let host = if is_uri(text) {
            Ok(Host::Uri(text.to_owned()))
        } else if text.starts_with('/') {
            Ok(Host::Unix(text.into()))
        } else {
            Host::parse(text, PORT)
        };
        hosts.push(host.map_err(|why| source.wrong("hosts", why))?);
    }
    if hosts.is_empty() {
        hosts.push(Host::inet("localhost", PORT));
    }
    Ok(hosts)
}

/// What `dbname`, `user` and `password` come to. `dbname` may be a connection string, the only place for
/// `sslmode` where hosts are no URIs: libpq's PQsetdbLogin() takes the other parameters before those in it.
fn by_parameters(source: &Source<'_>, database: &str) -> Result<Conninfo, String> {
    let mut way = match is_conninfo(database) {
        true => Conninfo::parse(database)?,
        false => Conninfo::default(),
    };
    if !is_conninfo(database) {
        way.config.dbname(database);
    }
    if let Some(user) = source.text("user") {
        way.config.user(user);
    }
    if let Some(password) = source.text("password") {
        way.config.password(password);
    }
    Ok(way)
}

struct Pgsql {
    /// To hosts that are named by an address or a socket.
    ordinary: Option<Way>,
    /// To each URI.
    ways: HashMap<String, Way>,
    encoding: String,
    query: Query,
}

impl fmt::Debug for Pgsql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pgsql").field("encoding", &self.encoding).finish_non_exhaustive()
    }
}

/// How to become a client of a server.
struct Way {
    config: Config,
    /// What to try, one after the other. The later ones are for a server that refuses the first.
    attempts: &'static [SslMode],
    tls: Option<Tls>,
}

impl Way {
    fn new(conninfo: Conninfo, source: &Source<'_>) -> Result<Self, String> {
        let tls = conninfo.tls(&|path| source.read_file(path))?;
        let mut config = conninfo.config;
        config.application_name("ringpost");
        let attempts: &[SslMode] = match conninfo.mode {
            Mode::Disable => &[SslMode::Disable],
            Mode::Allow => &[SslMode::Disable, SslMode::Require],
            Mode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => &[SslMode::Require],
        };
        Ok(Self { config, attempts, tls })
    }

    /// For one attempt. A cover is there for all modes but `Disable`.
    async fn cover(&self, name: &str) -> Result<Option<Cover>, Fault> {
        let Some(tls) = &self.tls else { return Ok(None) };
        Ok(Some(Cover { connector: tls.connector().await?, name: name.to_owned() }))
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
    /// Begins to drive it.
    fn new(
        client: Client,
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
        allowance: Option<Allowance>,
    ) -> Self {
        let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
        Self { client, driver, allowance }
    }

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
        let way = match host {
            Host::Uri(uri) => self.ways.get(uri),
            Host::Unix(_) | Host::Inet { .. } => self.ordinary.as_ref(),
        };
        let way = way.ok_or_else(|| Fault::refused("no such server is configured"))?;
        // Local sockets have no TLS, whatever is asked for (libpq's PQconnectPoll).
        let attempts = if let Host::Unix(_) = host { &[SslMode::Disable] } else { way.attempts };
        let mut causes = Vec::new();
        for (number, &mode) in attempts.iter().enumerate() {
            match attempt(way, mode, host).await {
                Ok(connection) => return self.prepared(connection).await,
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::Driver(error)) => {
                    let is_last = number + 1 == attempts.len();
                    let is_of_mode = is_of_mode(&error);
                    let fault = fault(error);
                    if is_last || !is_of_mode {
                        causes.push(fault.cause);
                        let cause = causes.join("; then: ");
                        return Err(Fault { cause, ..fault });
                    }
                    causes.push(fault.cause);
                }
            }
        }
        Err(Fault::refused("nothing was tried"))
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

/// Why an attempt failed.
enum Failure {
    Fault(Fault),
    Driver(tokio_postgres::Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

/// Connects with or without TLS, as `mode` says.
async fn attempt(way: &Way, mode: SslMode, host: &Host) -> Result<Connection, Failure> {
    let mut config = way.config.clone();
    config.ssl_mode(mode);
    let cover = way.cover(host.name()).await?;
    let stream: Box<dyn Duplex> = match host {
        Host::Unix(path) => Box::new(UnixStream::connect(socket(path)).await.map_err(Fault::lost)?),
        Host::Inet { name, port, .. } => {
            Box::new(net::tcp(name, *port).await.map_err(Fault::lost)?)
        }
        Host::Uri(_) => {
            return Ok(match cover {
                Some(cover) => {
                    let (client, connection) = config.connect(cover).await?;
                    Connection::new(client, connection, None)
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    Connection::new(client, connection, None)
                }
            });
        }
    };
    let (stream, allowance) = Metered::new(stream, ANSWER_BYTES_MAX);
    Ok(match cover {
        Some(cover) => {
            let (client, connection) = config.connect_raw(stream, cover).await?;
            Connection::new(client, connection, Some(allowance))
        }
        None => {
            let (client, connection) = config.connect_raw(stream, NoTls).await?;
            Connection::new(client, connection, Some(allowance))
        }
    })
}

/// True where the server may let us in with TLS when it did not without, or the other way round: TLS could
/// not be agreed upon, or pg_hba.conf has no line for this kind of connection. A wrong password is wrong
/// either way.
fn is_of_mode(error: &tokio_postgres::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<Handshake>() {
            return true;
        }
        source = inner.source();
    }
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
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
