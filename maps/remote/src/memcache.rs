//! `memcache:`, as postfix `src/global/dict_memcache.c` and memcache_table(5).
//!
//! Looked up only: nothing here writes to tables. A `backup` table is asked for what the cache does not
//! have or cannot say, and its answers are not put into the cache, which is left to who maintains it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use table::{Answer, Opening, Table};

use crate::common;
use crate::desk::{Backend, Bounds, Desk, Fault, Shape, Values};
use crate::hosts::{Host, Hosts};
use crate::net::{Parsed, Wire};
use crate::protocol::memcache;
use crate::remote::Plan;
use crate::source::Source;
use crate::template::{Needs, Parts, Template, Use};

const PORT: u16 = 11211;
/// `memcache`
const SERVER: &str = "inet:localhost:11211";
/// `timeout`, as in Postfix.
const TIMEOUT: Duration = Duration::from_secs(2);
/// `line_size_limit`, as in Postfix.
const LINE_BYTES_MAX: usize = 1024;
/// `data_size_limit`, as in Postfix.
const DATA_BYTES_MAX: usize = 10_240;

pub(crate) fn open(opening: &Opening<'_>, name: &str) -> Result<Plan, String> {
    let source = Source::read(opening, name)?;
    source.refuse(&["key_digest"])?;
    source.ignore(&["ttl", "flags", "max_try", "retry_pause"]);
    let mut needs = Needs::default();
    let key_format = Template::parse(source.text_or("key_format", "%s"), Use::Query, &mut needs)
        .map_err(|why| source.wrong("key_format", why))?;
    let host = Host::parse(source.text_or("memcache", SERVER), PORT)
        .map_err(|why| source.wrong("memcache", why))?;
    let default = Bounds { timeout: TIMEOUT, connect_timeout: TIMEOUT, ..Bounds::default() };
    let backend = Memcache {
        key_format,
        line_bytes_max: source.count("line_size_limit", LINE_BYTES_MAX, 64, 1 << 20)?,
        data_bytes_max: source.count("data_size_limit", DATA_BYTES_MAX, 1, 1 << 20)?,
        backup: source.text("backup").map(|spec| opening.table(spec)),
    };
    let hosts = Hosts::new(vec![host], Duration::ZERO);
    let bounds = common::bounds(&source, default)?;
    let plan = Plan {
        desk: Arc::new(Desk::new(backend, hosts, bounds, Shape::Plain, needs)),
        domains: source.domains(),
        lifetimes: common::no_lifetimes(&source)?,
        folds: true,
        whole_keys_only: false,
        terms: None,
        writable: None,
    };
    source.finish();
    Ok(plan)
}

struct Memcache {
    key_format: Template,
    line_bytes_max: usize,
    data_bytes_max: usize,
    backup: Option<Table>,
}

impl fmt::Debug for Memcache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memcache").field("backup", &self.backup).finish_non_exhaustive()
    }
}

impl Backend for Memcache {
    type Connection = Wire;

    async fn connect(&self, host: &Host) -> Result<Wire, Fault> {
        Wire::connect(host).await
    }

    async fn ask(&self, wire: &mut Wire, key: &str) -> Result<Values, Fault> {
        let name = self.key_format.query(Parts::of(key), str::to_owned);
        // What cannot be a key is in no cache (and, as in Postfix, not in its backup either).
        let Some(question) = memcache::question(&name) else { return Ok(Values::new()) };
        let (line, data) = (self.line_bytes_max, self.data_bytes_max);
        let parse = |bytes: &[u8]| memcache::parse(bytes, &name, line, data).map(Parsed::from);
        match wire.exchange(&question, line + data + 16, parse).await? {
            Some(value) => Ok(vec![Some(value)]),
            None => Ok(Values::new()),
        }
    }

    async fn instead(&self, key: &str) -> Option<Answer> {
        match &self.backup {
            Some(backup) => Some(backup.lookup(key).answer().await),
            None => None,
        }
    }
}
