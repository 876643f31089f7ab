//! `ldap:`, as postfix `src/global/dict_ldap.c` and ldap_table(5).

mod entry;
mod search;
mod start_tls;
mod url;

pub(crate) use url::decode;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{
    DerefAliases, LdapConnAsync, LdapConnSettings, Scope, StdStream, dn_escape, ldap_escape,
};
use table::Opening;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

use crate::common;
use crate::desk::{Backend, Bounds, Desk, Fault, Values};
use crate::hosts::{Host, Hosts};
use crate::net::{self, Wire};
use crate::remote::Plan;
use crate::source::Source;
use crate::template::{Needs, Parts, Template, Use};
use crate::tls::{Check, Files, TLS_CIPHERS, Tls};

use entry::Attributes;
use search::Search;

const PORT: u64 = 389;
/// Where slapd listens for `ldapi://` without a path.
const SOCKET: &str = "/var/run/slapd/ldapi";
/// What is about SASL.
const SASL: [&str; 4] = ["sasl_mechs", "sasl_realm", "sasl_authz_id", "sasl_minssf"];
/// Bits of the weakest cipher that TLS is spoken with here.
const TLS_SSF: u64 = 128;
/// `query_filter`
const FILTER: &str = "(mailacceptinggeneralid=%s)";
/// `recursion_limit`
const RECURSION_LIMIT: usize = 1000;

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    source.refuse(&["chase_referrals"])?;
    source.ignore(&["cache", "cache_expiry", "cache_size", "debuglevel", "tls_random_file"]);
    source.ignore_because(&["tls_cipher_suite"], TLS_CIPHERS);
    // Version 2 is Postfix's default and has been history since 2003 (RFC 3494); 3 is spoken always.
    source.number("version", 3, 2, 3)?;

    let mut needs = Needs::default();
    let mut template = |name: &'static str, default: &str| {
        Template::parse(source.text_or(name, default), Use::Query, &mut needs)
            .map_err(|why| source.wrong(name, why))
    };
    let base = template("search_base", "")?;
    let filter = template("query_filter", FILTER)?;
    if !filter.is_dynamic() {
        source.note("query_filter", "the same for every key");
    }
    let shape = match source.text("result_format") {
        Some(_) => common::shape(&source, "result_format", &mut needs)?,
        // Its name before Postfix 2.2.
        None => common::shape(&source, "result_filter", &mut needs)?,
    };
    let expansion_limit = source.count("expansion_limit", 0, 0, 1_000_000)?;
    let search = Search {
        attributes: Attributes {
            terminal: strings(&source.items("terminal_result_attribute")),
            leaf: strings(&source.items("leaf_result_attribute")),
            ordinary: match source.text("result_attribute") {
                Some(_) => strings(&source.items("result_attribute")),
                None => vec!["maildrop".to_owned()],
            },
            special: strings(&source.items("special_result_attribute")),
        },
        size_limit: source.count("size_limit", expansion_limit, 0, 1_000_000)?,
        recursion_limit: source.count("recursion_limit", RECURSION_LIMIT, 1, 100_000)?,
        dereference: match source.number("dereference", 0, 0, 3)? {
            1 => DerefAliases::Searching,
            2 => DerefAliases::Finding,
            3 => DerefAliases::Always,
            _ => DerefAliases::Never,
        },
    };
    let hosts = hosts(&source)?;
    let start_tls = source.boolean("start_tls", false)?;
    let tls = tls(&source, start_tls || hosts.iter().any(Host::is_covered))?;
    let bind = bind(&source)?;
    let backend = Ldap { base, filter, scope: scope(&source)?, bind, search, start_tls, tls };
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

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn scope(source: &Source<'_>) -> Result<Scope, String> {
    match source.text_or("scope", "sub").to_ascii_lowercase().as_str() {
        "sub" => Ok(Scope::Subtree),
        "one" => Ok(Scope::OneLevel),
        "base" => Ok(Scope::Base),
        other => Err(source.wrong("scope", format_args!("\"{other}\": expected sub, one or base"))),
    }
}

/// For servers that are `ldaps://`, and with `start_tls`.
fn tls(source: &Source<'_>, is_spoken: bool) -> Result<Option<Tls>, String> {
    let files = Files {
        ca_file: source.path("tls_ca_cert_file"),
        ca_dir: source.path("tls_ca_cert_dir"),
        cert: source.path("tls_cert"),
        key: source.path("tls_key"),
    };
    let is_checked = source.boolean("tls_require_cert", false)?;
    if !is_spoken {
        // They say how to encrypt, not whether to.
        let all =
            ["tls_ca_cert_file", "tls_ca_cert_dir", "tls_cert", "tls_key", "tls_require_cert"];
        source.ignore_because(&all, ": there is neither start_tls nor ldaps://");
        return Ok(None);
    }
    let check = if is_checked { Check::ChainAndName } else { Check::Nothing };
    if !is_checked && let Some((name, _)) = files.ca_file.or(files.ca_dir) {
        source.note(name, "no certificate is checked without tls_require_cert = yes");
    }
    source.tls(files, check).map(Some)
}

fn bind(source: &Source<'_>) -> Result<Bind, String> {
    let dn = source.text_or("bind_dn", "").to_owned();
    let password = source.text_or("bind_pw", "").to_owned();
    match source.text_or("bind", "yes").to_ascii_lowercase().as_str() {
        "no" | "none" => Ok(Bind::No),
        "yes" | "simple" => {
            if !dn.is_empty() && password.is_empty() {
                // RFC 4513 section 5.1.2
                source.note("bind_dn", "without bind_pw the server takes it for an anonymous bind");
            }
            source.ignore_because(&SASL, ": bind is not sasl");
            Ok(Bind::Simple { dn, password })
        }
        "sasl" => sasl(source),
        other => Err(source.wrong("bind", format_args!("\"{other}\": expected yes, no or sasl"))),
    }
}

/// Of the mechanisms of SASL there is the one that needs nothing but the connection.
fn sasl(source: &Source<'_>) -> Result<Bind, String> {
    let mechanisms = source.items("sasl_mechs");
    if !mechanisms.iter().any(|it| it.eq_ignore_ascii_case("EXTERNAL")) {
        let found = if mechanisms.is_empty() { "not set" } else { "none of these is supported" };
        let why = format!(
            "{found}; there is EXTERNAL (the client certificate, or the user at a local socket); for \
             a password there is bind = yes with bind_dn and bind_pw, and start_tls = yes"
        );
        return Err(source.wrong("sasl_mechs", why));
    }
    source.refuse(&["sasl_authz_id"])?;
    source.ignore(&["sasl_realm"]);
    if source.number("sasl_minssf", 0, 0, 4096)? > TLS_SSF {
        let why =
            format!("TLS and local sockets count as {TLS_SSF}; a larger one is never reached");
        return Err(source.wrong("sasl_minssf", why));
    }
    Ok(Bind::External)
}

fn hosts(source: &Source<'_>) -> Result<Vec<Host>, String> {
    // The range is that of ports, so the default is one, too.
    let port = u16::try_from(source.number("server_port", PORT, 1, 65_535)?).unwrap_or(389);
    let mut hosts = Vec::new();
    for text in source.items("server_host") {
        let host = match text.split_once("://") {
            None => Host::parse(text, port),
            Some((scheme, rest)) => {
                let place = rest.split(['/', '?']).next().unwrap_or_default();
                match scheme.to_ascii_lowercase().as_str() {
                    "ldap" if place.is_empty() => Host::parse("localhost", 389),
                    "ldap" => Host::parse(place, 389),
                    "ldapi" if place.is_empty() => Ok(Host::Unix(SOCKET.into())),
                    "ldapi" => match url::decode(place) {
                        Some(path) => Ok(Host::Unix(path.into())),
                        None => Err(format!("\"{text}\": expected ldapi://%2Fpath")),
                    },
                    "ldaps" if place.is_empty() => Ok(Host::inet("localhost", 636).covered()),
                    "ldaps" => Host::parse(place, 636).map(Host::covered),
                    _ => Err(format!("\"{text}\": expected ldap://, ldaps:// or ldapi://")),
                }
            }
        };
        hosts.push(host.map_err(|why| source.wrong("server_host", why))?);
    }
    if hosts.is_empty() {
        hosts.push(Host::inet("localhost", port));
    }
    Ok(hosts)
}

struct Ldap {
    base: Template,
    filter: Template,
    scope: Scope,
    bind: Bind,
    search: Search,
    start_tls: bool,
    /// Where it is spoken.
    tls: Option<Tls>,
}

/// How to say who we are.
enum Bind {
    No,
    Simple {
        dn: String,
        password: String,
    },
    /// SASL EXTERNAL: who we are is known already.
    External,
}

impl fmt::Debug for Ldap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ldap").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A connection and the tasks that drive it, which end with it even where the server hangs.
struct Connection {
    ldap: ldap3::Ldap,
    _drivers: Drivers,
}

struct Drivers(Vec<AbortHandle>);

impl Drop for Drivers {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Ldap {
    /// A stream under TLS where the table has that, or else a plain one.
    async fn stream(&self, host: &Host, drivers: &mut Drivers) -> Result<StdStream, Fault> {
        if !self.start_tls && !host.is_covered() {
            return Ok(match host {
                Host::Inet { name, port, .. } => {
                    let stream = net::tcp(name, *port).await.map_err(Fault::lost)?;
                    StdStream::Tcp(stream.into_std().map_err(Fault::lost)?)
                }
                Host::Unix(path) => {
                    let stream = UnixStream::connect(path).await.map_err(Fault::lost)?;
                    StdStream::Unix(stream.into_std().map_err(Fault::lost)?)
                }
                Host::Uri(_) => return Err(Fault::refused("no address")),
            });
        }
        let tls = self.tls.as_ref().ok_or_else(|| Fault::refused("TLS is not set up"))?;
        let mut wire = Wire::connect(host).await?;
        if !host.is_covered() {
            start_tls::start_tls(&mut wire).await?;
        }
        let wire = wire.covered(tls, host.name()).await?;
        let (socket, passing) = start_tls::socket(wire.into_stream())?;
        drivers.0.push(passing);
        Ok(StdStream::Unix(socket))
    }
}

impl Backend for Ldap {
    type Connection = Connection;

    async fn connect(&self, host: &Host) -> Result<Connection, Fault> {
        let mut drivers = Drivers(Vec::new());
        let stream = self.stream(host, &mut drivers).await?;
        // Of the address the library takes only what kind of stream it is.
        let url = match stream {
            StdStream::Unix(_) => "ldapi:///",
            _ => "ldap://localhost",
        };
        let settings = LdapConnSettings::new().set_std_stream(stream);
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(settings, url).await.map_err(search::fault)?;
        drivers.0.push(tokio::spawn(async { drop(connection.drive().await) }).abort_handle());
        let bound = match &self.bind {
            Bind::No => return Ok(Connection { ldap, _drivers: drivers }),
            Bind::Simple { dn, password } => ldap.simple_bind(dn, password).await,
            Bind::External => ldap.sasl_external_bind().await,
        };
        let result = bound.map_err(search::fault)?;
        if result.rc != 0 {
            return Err(Fault::refused(format_args!("bind: {}", search::words(&result))));
        }
        Ok(Connection { ldap, _drivers: drivers })
    }

    async fn ask(&self, connection: &mut Connection, key: &str) -> Result<Values, Fault> {
        let parts = Parts::of(key);
        let base = self.base.query(parts, |text| dn_escape(text).into_owned());
        let filter = self.filter.query(parts, |text| ldap_escape(text).into_owned());
        // A base made of the key that is not there is a key that is not there.
        let base_may_be_missing = self.base.is_dynamic();
        self.search.run(&mut connection.ldap, &base, self.scope, &filter, base_may_be_missing).await
    }
}

/// Deadlines are kept by the desk; this tells the server when to give up, too.
pub(crate) const SERVER_TIME_LIMIT: Duration = Duration::from_secs(60);
