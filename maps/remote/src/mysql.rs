//! `mysql:`: MariaDB and MySQL, as postfix `src/global/dict_mysql.c` and mysql_table(5).

use std::fmt;
use std::sync::Arc;
use std::thread;

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, Row, SslOpts, Value};
use table::Opening;

use crate::common;
use crate::desk::{Backend, Bounds, Desk, Fault, RESULT_BYTES_MAX, Values};
use crate::hosts::{Host, Hosts};
use crate::remote::Plan;
use crate::snapshot::Terms;
use crate::source::Source;
use crate::sql::{Dialect, Query};
use crate::template::Needs;
use crate::tls::{self, Check, Files, TLS_CIPHERS, Tls};

const PORT: u16 = 3306;
/// Where `localhost` is, the MySQL way: Debian's place.
const SOCKET: &str = "/run/mysqld/mysqld.sock";
/// Character sets whose characters have no `\` or `'` as their second byte: escaping is safe in them.
const CHARSETS: [&str; 7] = ["utf8mb4", "utf8mb3", "utf8", "latin1", "latin2", "ascii", "binary"];

/// The library lets a wrong name pass where the error holds this word (0.37, `io/tls/rustls_io.rs`), and
/// rustls writes it differently by now, but always with the name that was expected. No server of SQL
/// looks at the name that it is called by.
const ANY_NAME: &str = "NotValidForName";

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    if source.text("option_file").is_some() {
        let why = "not supported; put user, password, dbname, hosts and tls_* into this file";
        return Err(source.wrong("option_file", why));
    }
    source.ignore_because(&["option_group"], ": no option file is read");
    source.ignore_because(&["tls_ciphers"], TLS_CIPHERS);
    let charset = source.text_or("charset", "utf8mb4");
    if !CHARSETS.contains(&charset) {
        let why = format!("\"{charset}\" is not supported; there are {}", CHARSETS.join(", "));
        return Err(source.wrong("charset", why));
    }
    let mut needs = Needs::default();
    let (parameter, text) = common::sql(&source)?;
    // Read with the usual quotes here, so that mistakes are found now. The server may have others.
    let usual = Dialect::Mysql { backslash: true, ansi_quotes: false };
    let query =
        Query::parse(&text, usual, &mut needs).map_err(|why| source.wrong(parameter, why))?;
    let backend = Mysql {
        user: source.text_or("user", "").to_owned(),
        password: source.text_or("password", "").to_owned(),
        database: source.required("dbname")?.to_owned(),
        charset: charset.to_owned(),
        text,
        usual: Arc::new(query),
        require_result_set: source.boolean("require_result_set", true)?,
        tls: tls(&source)?,
    };
    let shape = common::shape(&source, "result_format", &mut needs)?;
    let hosts = Hosts::new(hosts(&source)?, common::retry_interval(&source)?);
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
        let host = Host::parse(text, PORT).map_err(|why| source.wrong("hosts", why))?;
        hosts.push(match host {
            Host::Inet { name, .. } if name.eq_ignore_ascii_case("localhost") => local(),
            host => host,
        });
    }
    if hosts.is_empty() {
        hosts.push(local());
    }
    Ok(hosts)
}

/// TLS where one of its parameters asks for it, and then never without, whatever the server says.
///
/// As libmysql (and MariaDB's) has it: with a CA the certificate has to be of that CA, and
/// `tls_verify_cert` looks at the name as well.
fn tls(source: &Source<'_>) -> Result<Option<Tls>, String> {
    let files = Files {
        ca_file: source.path("tls_CAfile"),
        ca_dir: source.path("tls_CApath"),
        cert: source.path("tls_cert_file"),
        key: source.path("tls_key_file"),
    };
    let has_ca = files.ca_file.or(files.ca_dir).is_some();
    let is_asked_for =
        has_ca || files.cert.or(files.key).is_some() || source.text("tls_ciphers").is_some();
    let check = match source.boolean("tls_verify_cert", false)? {
        true => Check::ChainAndName,
        false if has_ca => Check::Chain,
        false if is_asked_for => Check::Nothing,
        false => return Ok(None),
    };
    source.tls(files, check).map(Some)
}

fn local() -> Host {
    Host::Unix(SOCKET.into())
}

struct Mysql {
    user: String,
    password: String,
    database: String,
    charset: String,
    text: String,
    usual: Arc<Query>,
    require_result_set: bool,
    tls: Option<Tls>,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("database", &self.database).finish_non_exhaustive()
    }
}

/// A connection, and the query as this server reads it.
struct Connection {
    driver: Option<Conn>,
    query: Arc<Query>,
    is_busy: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // On a runtime the driver would go on waiting for the rest of the answer, for ever where the
        // server hangs. On a thread without one it closes the socket.
        if let Some(driver) = self.driver.take().filter(|_| self.is_busy) {
            let closing = thread::Builder::new().name("mysql-close".to_owned());
            // Without a thread it is dropped here.
            drop(closing.spawn(move || drop(driver)));
        }
    }
}

impl Mysql {
    /// What the library has to know of TLS, which it does itself in the middle of its dialogue.
    async fn ssl(&self) -> Result<Option<SslOpts>, Fault> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let authorities = tls.authorities().await?;
        let roots = authorities.iter().map(|it| it.to_vec().into()).collect();
        let identity = tls.identity().map(|identity| {
            let (cert, key) = (identity.cert_pem.clone(), identity.key_pem.clone());
            ClientIdentity::new(cert.into(), key.into())
        });
        let ssl = SslOpts::default().with_client_identity(identity);
        Ok(Some(match tls.check() {
            // The roots that it has built in are needed by nobody here, but it fails without any.
            Check::Nothing => ssl.with_danger_accept_invalid_certs(true),
            Check::Chain => ssl
                .with_root_certs(roots)
                .with_disable_built_in_roots(true)
                .with_danger_skip_domain_validation(true)
                .with_danger_tls_hostname_override(Some(ANY_NAME)),
            Check::ChainAndName => ssl.with_root_certs(roots).with_disable_built_in_roots(true),
        }))
    }

    fn options(&self, host: &Host, ssl: Option<SslOpts>) -> Opts {
        let builder = OptsBuilder::default()
            .user(Some(&self.user))
            .pass(Some(&self.password))
            .db_name(Some(&self.database))
            .init(vec![format!("SET NAMES {}", self.charset)])
            .max_allowed_packet(Some(RESULT_BYTES_MAX))
            .wait_timeout(Some(28_800))
            .stmt_cache_size(Some(0))
            .prefer_socket(Some(false))
            .client_found_rows(false);
        match host {
            Host::Unix(path) => builder.socket(Some(path.to_string_lossy())),
            Host::Inet { name, port, .. } => {
                builder.ip_or_hostname(name).tcp_port(*port).ssl_opts(ssl)
            }
            // No such host is made for this type.
            Host::Uri(_) => builder,
        }
        .into()
    }

    /// The query with the quotes that `sql_mode` gives them.
    fn query(&self, sql_mode: &str) -> Result<Arc<Query>, Fault> {
        let has = |mode: &str| sql_mode.split(',').any(|it| it.eq_ignore_ascii_case(mode));
        let dialect = Dialect::Mysql {
            backslash: !has("NO_BACKSLASH_ESCAPES"),
            ansi_quotes: has("ANSI_QUOTES"),
        };
        if dialect == (Dialect::Mysql { backslash: true, ansi_quotes: false }) {
            return Ok(Arc::clone(&self.usual));
        }
        let read = Query::parse(&self.text, dialect, &mut Needs::default());
        read.map(Arc::new).map_err(|why| {
            Fault::refused(format_args!(
                "with this server's sql_mode, the query cannot be used: {why}"
            ))
        })
    }
}

impl Backend for Mysql {
    type Connection = Connection;

    async fn connect(&self, host: &Host) -> Result<Connection, Fault> {
        let ssl = self.ssl().await?;
        let driver = Conn::new(self.options(host, ssl)).await.map_err(fault)?;
        let mut connection =
            Connection { driver: Some(driver), query: Arc::clone(&self.usual), is_busy: true };
        let Some(driver) = &mut connection.driver else { return Err(gone()) };
        let sql_mode: Option<String> =
            driver.query_first("SELECT @@SESSION.sql_mode").await.map_err(fault)?;
        connection.query = self.query(&sql_mode.unwrap_or_default())?;
        connection.is_busy = false;
        Ok(connection)
    }

    async fn list(
        &self,
        connection: &mut Connection,
        query: &str,
        each: &mut (dyn FnMut(Values) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        connection.is_busy = true;
        let Some(driver) = &mut connection.driver else { return Err(gone()) };
        let mut result = driver.query_iter(query).await.map_err(fault)?;
        while let Some(row) = result.next().await.map_err(fault)? {
            each(fields(row)?)?;
        }
        result.drop_result().await.map_err(fault)?;
        connection.is_busy = false;
        Ok(())
    }

    async fn ask(&self, connection: &mut Connection, key: &str) -> Result<Values, Fault> {
        let query = connection.query.fill(key);
        connection.is_busy = true;
        let Some(driver) = &mut connection.driver else { return Err(gone()) };
        let values = self.run(driver, query).await?;
        connection.is_busy = false;
        Ok(values)
    }
}

impl Mysql {
    async fn run(&self, driver: &mut Conn, query: String) -> Result<Values, Fault> {
        let mut result = driver.query_iter(query).await.map_err(fault)?;
        let (mut values, mut bytes, mut sets) = (Values::new(), 0, 0);
        // All result sets are read, so that the next question does not get an answer of this one. What a
        // procedure with one SELECT says ends with a second result, which has no columns.
        while let Some(columns) = result.columns() {
            sets += usize::from(!columns.is_empty());
            while let Some(row) = result.next().await.map_err(fault)? {
                if sets == 1 {
                    for value in fields(row)? {
                        bytes += value.as_ref().map_or(0, Vec::len) + 1;
                        values.push(value);
                    }
                }
                if bytes > RESULT_BYTES_MAX {
                    return Err(Fault::too_large());
                }
            }
        }
        match sets {
            0 if self.require_result_set => {
                Err(Fault::refused("the query gave no result set (require_result_set = yes)"))
            }
            0 | 1 => Ok(values),
            _ => Err(Fault::refused("the query gave more than one result set")),
        }
    }
}

/// In the text protocol every value is text already.
fn fields(row: Row) -> Result<Values, Fault> {
    row.unwrap_raw()
        .into_iter()
        .map(|value| match value {
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Value::NULL) | None => Ok(None),
            Some(_) => Err(Fault::refused("a value that is no text")),
        })
        .collect()
}

fn gone() -> Fault {
    Fault::lost("the connection is closed")
}

fn fault(error: mysql_async::Error) -> Fault {
    match error {
        // The server is shutting down, or somebody has killed the connection.
        mysql_async::Error::Server(error) if matches!(error.code, 1053 | 1077 | 1927) => {
            Fault::lost(format_args!("{} ({})", error.message, error.code))
        }
        mysql_async::Error::Server(error) => {
            Fault::refused(format_args!("{} ({})", error.message, error.code))
        }
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) => Fault::lost(tls::cause(&error)),
        mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer) => {
            Fault::refused("the server has no TLS, which the table's tls_* parameters ask for")
        }
        error => Fault::lost(error),
    }
}
