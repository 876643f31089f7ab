//! `redis:`: Redis, Valkey and their kin.
//!
//! Postfix has no such table, so the configuration file follows the others in spirit: `hosts` with
//! failover, `key` as the template of what is asked for, `command`, `field`, `user`, `password` and
//! `dbname` (the number of a database). A value is one result, of which `result_format` makes the
//! answer; a key that is not there is not found.

use std::fmt;
use std::sync::Arc;

use table::Opening;

use crate::common;
use crate::desk::{Backend, Bounds, Desk, Fault, RESULT_BYTES_MAX, Values};
use crate::hosts::{Host, Hosts};
use crate::net::{Parsed, Wire};
use crate::protocol::redis::{self, LINE_BYTES_MAX, Reply};
use crate::remote::Plan;
use crate::source::Source;
use crate::template::{Needs, Parts, Template, Use};
use crate::tls::{Check, Files, Tls};

const PORT: u16 = 6379;

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    if source.boolean("tls", false)? {
        return Err(source.wrong("tls", "write rediss:// in front of each server in hosts"));
    }
    let mut needs = Needs::default();
    let mut template = |name: &'static str, default: &str| {
        Template::parse(source.text_or(name, default), Use::Query, &mut needs)
            .map_err(|why| source.wrong(name, why))
    };
    let key = template("key", "%s")?;
    let command = match source.text_or("command", "get").to_ascii_lowercase().as_str() {
        "get" => {
            if source.text("field").is_some() {
                return Err(source.wrong("field", "is for command = hget"));
            }
            Command::Get
        }
        "hget" => Command::Hget { field: template("field", "%s")? },
        other => {
            let why = format!("\"{other}\" is not supported; there are get and hget");
            return Err(source.wrong("command", why));
        }
    };
    if !key.is_dynamic() && matches!(command, Command::Get) {
        source.note("key", "the same key for every question");
    }
    let hosts = hosts(&source)?;
    let backend = Redis {
        tls: tls(&source, &hosts)?,
        user: source.text("user").map(str::to_owned),
        password: source.text("password").map(str::to_owned),
        database: source.number("dbname", 0, 0, 1_000_000)?,
        key,
        command,
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
        terms: None,
        writable: None,
    };
    source.finish();
    Ok(plan)
}

fn hosts(source: &Source<'_>) -> Result<Vec<Host>, String> {
    let mut hosts = Vec::new();
    for text in source.items("hosts") {
        let host = match (text.strip_prefix("rediss://"), text.strip_prefix("redis://")) {
            (Some(place), _) => Host::parse(place, PORT).map(Host::covered),
            (None, place) => Host::parse(place.unwrap_or(text), PORT),
        };
        hosts.push(host.map_err(|why| source.wrong("hosts", why))?);
    }
    if hosts.is_empty() {
        hosts.push(Host::inet("localhost", PORT));
    }
    Ok(hosts)
}

/// For the servers that are `rediss://`. They are checked unless the file says that they are not to be.
fn tls(source: &Source<'_>, hosts: &[Host]) -> Result<Option<Tls>, String> {
    let files = Files {
        ca_file: source.path("tls_CAfile"),
        ca_dir: source.path("tls_CApath"),
        cert: source.path("tls_cert_file"),
        key: source.path("tls_key_file"),
    };
    let is_checked = source.boolean("tls_verify_cert", true)?;
    if !hosts.iter().any(Host::is_covered) {
        let named = [files.ca_file, files.ca_dir, files.cert, files.key];
        return match named.into_iter().flatten().next() {
            Some((name, _)) => Err(source.wrong(name, "no server in hosts is rediss://")),
            None => Ok(None),
        };
    }
    let check = if is_checked { Check::ChainAndName } else { Check::Nothing };
    source.tls(files, check).map(Some)
}

struct Redis {
    /// Where one of the servers speaks it.
    tls: Option<Tls>,
    user: Option<String>,
    password: Option<String>,
    database: u64,
    key: Template,
    command: Command,
}

enum Command {
    /// The value of a key.
    Get,
    /// One field of the hash that a key holds.
    Hget { field: Template },
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Backend for Redis {
    type Connection = Wire;

    async fn connect(&self, host: &Host) -> Result<Wire, Fault> {
        let mut wire = Wire::connect(host).await?;
        if host.is_covered() {
            let tls = self.tls.as_ref().ok_or_else(|| Fault::refused("TLS is not set up"))?;
            wire = wire.covered(tls, host.name()).await?;
        }
        if let Some(password) = &self.password {
            let words: Vec<&[u8]> = match &self.user {
                Some(user) => vec![b"AUTH", user.as_bytes(), password.as_bytes()],
                None => vec![b"AUTH", password.as_bytes()],
            };
            expect_ok(&mut wire, &words).await?;
        }
        if self.database != 0 {
            expect_ok(&mut wire, &[b"SELECT", self.database.to_string().as_bytes()]).await?;
        }
        Ok(wire)
    }

    async fn ask(&self, wire: &mut Wire, key: &str) -> Result<Values, Fault> {
        let parts = Parts::of(key);
        let name = self.key.query(parts, str::to_owned);
        let field = match &self.command {
            Command::Get => None,
            Command::Hget { field } => Some(field.query(parts, str::to_owned)),
        };
        let words: Vec<&[u8]> = match &field {
            None => vec![b"GET", name.as_bytes()],
            Some(field) => vec![b"HGET", name.as_bytes(), field.as_bytes()],
        };
        match say(wire, &words).await? {
            Reply::Bulk(Some(value)) => Ok(vec![Some(value)]),
            Reply::Bulk(None) => Ok(Values::new()),
            reply => Err(refused(reply)),
        }
    }
}

async fn expect_ok(wire: &mut Wire, words: &[&[u8]]) -> Result<(), Fault> {
    match say(wire, words).await? {
        Reply::Status(_) => Ok(()),
        reply => Err(refused(reply)),
    }
}

async fn say(wire: &mut Wire, words: &[&[u8]]) -> Result<Reply, Fault> {
    let parse = |bytes: &[u8]| redis::parse(bytes, RESULT_BYTES_MAX).map(Parsed::from);
    wire.exchange(&redis::command(words), RESULT_BYTES_MAX + LINE_BYTES_MAX, parse).await
}

fn refused(reply: Reply) -> Fault {
    match reply {
        Reply::Error(why) => Fault::refused(why),
        _ => Fault::refused("malformed answer: of another kind than was asked for"),
    }
}
