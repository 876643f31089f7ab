//! The remote table types: one row each.

use table::Opening;

use crate::remote::Plan;
#[cfg(feature = "sqlite")]
use crate::sqlite;
use crate::{ldap, memcache, mysql, pgsql, redis, snapshot, socketmap};

/// Reads the configuration of a table with this name.
pub(crate) type OpenRemote = fn(&Opening<'_>, &str) -> Result<Plan, String>;

/// Every type of this crate, in the order of `postconf -m`.
pub(crate) const TYPES: &[(&str, OpenRemote)] = &[
    ("ldap", ldap::open),
    ("memcache", memcache::open),
    ("mysql", mysql::open),
    ("pgsql", pgsql::open),
    ("redis", redis::open),
    ("snapshot", snapshot::open),
    ("socketmap", socketmap::open),
    #[cfg(feature = "sqlite")]
    ("sqlite", sqlite::open),
    ("tcp", socketmap::open_tcp),
];
