//! `ldap:`, as postfix `src/global/dict_ldap.c` and ldap_table(5).

mod entry;
mod search;
mod url;

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
use crate::net;
use crate::remote::Plan;
use crate::source::Source;
use crate::template::{Needs, Parts, Template, Use};

use entry::Attributes;
use search::Search;

const PORT: u64 = 389;
/// Where slapd listens for `ldapi://` without a path.
const SOCKET: &str = "/var/run/slapd/ldapi";
/// `query_filter`
const FILTER: &str = "(mailacceptinggeneralid=%s)";
/// `recursion_limit`
const RECURSION_LIMIT: usize = 1000;

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    source.refuse(&["start_tls", "chase_referrals"])?;
    source.ignore(&["cache", "cache_expiry", "cache_size", "debuglevel"]);
    // They say how to encrypt, not whether to: without start_tls and ldaps: they mean nothing.
    source.ignore(&[
        "tls_ca_cert_dir",
        "tls_ca_cert_file",
        "tls_cert",
        "tls_key",
        "tls_require_cert",
        "tls_random_file",
        "tls_cipher_suite",
        "sasl_mechs",
        "sasl_realm",
        "sasl_authz_id",
        "sasl_minssf",
    ]);
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
    let backend = Ldap { base, filter, scope: scope(&source)?, bind: bind(&source)?, search };
    let hosts = Hosts::new(hosts(&source)?, common::retry_interval(&source)?);
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

fn bind(source: &Source<'_>) -> Result<Option<Bind>, String> {
    let bind = Bind {
        dn: source.text_or("bind_dn", "").to_owned(),
        password: source.text_or("bind_pw", "").to_owned(),
    };
    match source.text_or("bind", "yes").to_ascii_lowercase().as_str() {
        "no" | "none" => Ok(None),
        "yes" | "simple" => {
            if !bind.dn.is_empty() && bind.password.is_empty() {
                // RFC 4513 section 5.1.2
                source.note("bind_dn", "without bind_pw the server takes it for an anonymous bind");
            }
            Ok(Some(bind))
        }
        "sasl" => Err(source.wrong("bind", "sasl is not supported; there are yes and no")),
        other => Err(source.wrong("bind", format_args!("\"{other}\": expected yes or no"))),
    }
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
                    "ldaps" => Err("ldaps: is not supported".to_owned()),
                    _ => Err(format!("\"{text}\": expected ldap:// or ldapi://")),
                }
            }
        };
        hosts.push(host.map_err(|why| source.wrong("server_host", why))?);
    }
    if hosts.is_empty() {
        hosts.push(Host::Inet { name: "localhost".to_owned(), port });
    }
    Ok(hosts)
}

struct Ldap {
    base: Template,
    filter: Template,
    scope: Scope,
    bind: Option<Bind>,
    search: Search,
}

struct Bind {
    dn: String,
    password: String,
}

impl fmt::Debug for Ldap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ldap").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A connection and the task that drives it, which ends with it even where the server hangs.
struct Connection {
    ldap: ldap3::Ldap,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Backend for Ldap {
    type Connection = Connection;

    async fn connect(&self, host: &Host) -> Result<Connection, Fault> {
        let (stream, url) = match host {
            Host::Inet { name, port } => {
                let stream = net::tcp(name, *port).await.map_err(Fault::lost)?;
                (StdStream::Tcp(stream.into_std().map_err(Fault::lost)?), "ldap://localhost")
            }
            Host::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Fault::lost)?;
                (StdStream::Unix(stream.into_std().map_err(Fault::lost)?), "ldapi:///")
            }
            Host::Uri(_) => return Err(Fault::refused("no address")),
        };
        let settings = LdapConnSettings::new().set_std_stream(stream);
        let (connection, ldap) =
            LdapConnAsync::with_settings(settings, url).await.map_err(search::fault)?;
        let driver = tokio::spawn(async { drop(connection.drive().await) }).abort_handle();
        let mut connection = Connection { ldap, driver };
        if let Some(Bind { dn, password }) = &self.bind {
            let result = connection.ldap.simple_bind(dn, password).await.map_err(search::fault)?;
            if result.rc != 0 {
                return Err(Fault::refused(format_args!("bind: {}", search::words(&result))));
            }
        }
        Ok(connection)
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
