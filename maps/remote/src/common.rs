//! Parameters that every configuration file has.

use std::time::Duration;

use crate::cache::Lifetimes;
use crate::desk::{Bounds, Shape};
use crate::source::Source;
use crate::template::{Needs, Template, Use};

/// `connection_limit`: connections of one table, for the whole process and not for each core.
const CONNECTIONS_MAX: usize = 4;
/// `connect_timeout`
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `timeout`: from the question to the answer. That of Postfix's ldap tables.
const TIMEOUT: Duration = Duration::from_secs(10);
/// `idle_interval`, as in Postfix's mysql tables.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);
/// `retry_interval`, as in Postfix's mysql tables.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// `cache_positive_ttl`: one message asks the same things within seconds.
const CACHE_POSITIVE: Duration = Duration::from_secs(10);
/// `cache_negative_ttl`: a mailbox just made should not have to wait.
const CACHE_NEGATIVE: Duration = Duration::from_secs(3);
/// `cache_entries`
const CACHE_ENTRIES: usize = 20_000;
const DAY_SECONDS: u64 = 86_400;
const HOUR_SECONDS: u64 = 3600;

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            idle_interval: IDLE_INTERVAL,
        }
    }
}

/// How many connections, and how long everything may take.
pub(crate) fn bounds(source: &Source<'_>, default: Bounds) -> Result<Bounds, String> {
    let timeout = source.time("timeout", default.timeout, 1, HOUR_SECONDS)?;
    Ok(Bounds {
        connections_max: source.count("connection_limit", default.connections_max, 1, 1000)?,
        connect_timeout: source.time(
            "connect_timeout",
            default.connect_timeout,
            1,
            HOUR_SECONDS,
        )?,
        timeout,
        idle_interval: source.time("idle_interval", default.idle_interval, 1, DAY_SECONDS)?,
    })
}

/// How long a server that failed is left alone.
pub(crate) fn retry_interval(source: &Source<'_>) -> Result<Duration, String> {
    source.time("retry_interval", RETRY_INTERVAL, 1, DAY_SECONDS)
}

/// What is remembered, for databases.
pub(crate) fn lifetimes(source: &Source<'_>) -> Result<Lifetimes, String> {
    let default = Lifetimes {
        positive: CACHE_POSITIVE,
        negative: CACHE_NEGATIVE,
        entries_max: CACHE_ENTRIES,
    };
    read_lifetimes(source, default)
}

/// What is remembered, for servers that are a cache or a program: nothing, unless it is asked for.
pub(crate) fn no_lifetimes(source: &Source<'_>) -> Result<Lifetimes, String> {
    read_lifetimes(source, Lifetimes { entries_max: CACHE_ENTRIES, ..Lifetimes::NONE })
}

fn read_lifetimes(source: &Source<'_>, default: Lifetimes) -> Result<Lifetimes, String> {
    Ok(Lifetimes {
        positive: source.time("cache_positive_ttl", default.positive, 0, DAY_SECONDS)?,
        negative: source.time("cache_negative_ttl", default.negative, 0, DAY_SECONDS)?,
        entries_max: source.count("cache_entries", default.entries_max, 0, 10_000_000)?,
    })
}

/// `result_format`, or by another name, and `expansion_limit`.
pub(crate) fn shape(
    source: &Source<'_>,
    name: &'static str,
    needs: &mut Needs,
) -> Result<Shape, String> {
    let format = Template::parse(source.text_or(name, "%s"), Use::Result, needs)
        .map_err(|why| source.wrong(name, why))?;
    let expansion_limit = source.count("expansion_limit", 0, 0, 1_000_000)?;
    Ok(Shape::Formatted { format, expansion_limit })
}

/// `query`, or what the parameters from before there was one make up; with the parameter to blame.
pub(crate) fn sql(source: &Source<'_>) -> Result<(&'static str, String), String> {
    if let Some(query) = source.text("query") {
        // Known, though without effect, so that they are not noted as misspelt.
        let _ = (source.text("table"), source.text("select_field"), source.text("where_field"));
        let _ = (source.text("additional_conditions"), source.text("select_function"));
        return Ok(("query", query.trim_end().trim_end_matches(';').to_owned()));
    }
    if let Some(function) = source.text("select_function") {
        return Ok(("select_function", format!("SELECT {function}('%s')")));
    }
    let table = source.required("table").map_err(|why| format!("{why}, and neither is query"))?;
    let query = format!(
        "SELECT {} FROM {table} WHERE {}='%s' {}",
        source.required("select_field")?,
        source.required("where_field")?,
        source.text_or("additional_conditions", ""),
    );
    Ok(("table", query))
}
