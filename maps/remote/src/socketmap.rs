//! `socketmap:inet:host:port:name` and `socketmap:unix:path:name`, as postfix `src/util/dict_sockmap.c`.

use std::sync::Arc;
use std::time::Duration;

use table::{MatchList, Opening};

use crate::cache::Lifetimes;
use crate::desk::{Backend, Bounds, Desk, Fault, Shape, Values};
use crate::hosts::{Host, Hosts};
use crate::net::{Parsed, Wire};
use crate::protocol::{socketmap, tcp};
use crate::remote::Plan;
use crate::template::Needs;

/// How long an answer of a program may take, which may ask others itself. In Postfix it is 100 s; a
/// client that waits for RCPT has often given up by then.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be idle and still be used again, as in Postfix.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);

fn bounds() -> Bounds {
    Bounds { timeout: TIMEOUT, idle_interval: IDLE_INTERVAL, ..Bounds::default() }
}

/// Neither type has a configuration file, so all of it is as it is here. Nothing is remembered: behind
/// these there is often a program that counts or decides.
fn plan<B: Backend>(backend: B, host: Host) -> Plan {
    let hosts = Hosts::new(vec![host], Duration::ZERO);
    Plan {
        desk: Arc::new(Desk::new(backend, hosts, bounds(), Shape::Plain, Needs::default())),
        domains: MatchList::default(),
        lifetimes: Lifetimes::NONE,
        folds: false,
        whole_keys_only: true,
        terms: None,
        writable: None,
    }
}

pub(crate) fn open(_: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let expected = "expected socketmap:inet:host:port:name or socketmap:unix:path:name";
    let (server, name) = name.rsplit_once(':').ok_or(expected)?;
    let host = match server.split_once(':') {
        Some(("inet", address)) if address.contains(':') => Host::parse(address, 0),
        Some(("unix", _)) => Host::parse(server, 0),
        _ => Err(expected.to_owned()),
    }?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(expected.to_owned());
    }
    Ok(plan(Socketmap { name: name.to_owned() }, host))
}

/// `tcp:host:port`, as postfix `src/util/dict_tcp.c`.
pub(crate) fn open_tcp(_: &Opening<'_>, name: &str) -> Result<Plan, String> {
    if !name.contains(':') {
        return Err("expected tcp:host:port".to_owned());
    }
    Ok(plan(Tcp, Host::parse(name, 0)?))
}

#[derive(Debug)]
struct Socketmap {
    name: String,
}

impl Backend for Socketmap {
    type Connection = Wire;

    async fn connect(&self, host: &Host) -> Result<Wire, Fault> {
        Wire::connect(host).await
    }

    async fn ask(&self, wire: &mut Wire, key: &str) -> Result<Values, Fault> {
        let question = socketmap::question(&self.name, key);
        if question.len() > socketmap::QUERY_BYTES_MAX {
            return Ok(Values::new());
        }
        let parse = |bytes: &[u8]| socketmap::parse(bytes).map(Parsed::from);
        match wire.exchange(&question, socketmap::REPLY_BYTES_MAX, parse).await? {
            socketmap::Reply::Found(value) => Ok(vec![Some(value)]),
            socketmap::Reply::NotFound => Ok(Values::new()),
            socketmap::Reply::Failed(why) => Err(Fault::refused(why)),
        }
    }
}

#[derive(Debug)]
struct Tcp;

impl Backend for Tcp {
    type Connection = Wire;

    async fn connect(&self, host: &Host) -> Result<Wire, Fault> {
        Wire::connect(host).await
    }

    async fn ask(&self, wire: &mut Wire, key: &str) -> Result<Values, Fault> {
        let parse = |bytes: &[u8]| tcp::parse(bytes).map(Parsed::from);
        match wire.exchange(&tcp::question(key), tcp::REPLY_BYTES_MAX, parse).await? {
            tcp::Reply::Found(value) => Ok(vec![Some(value)]),
            tcp::Reply::NotFound => Ok(Values::new()),
            tcp::Reply::Failed(why) => Err(Fault::refused(why)),
        }
    }
}
