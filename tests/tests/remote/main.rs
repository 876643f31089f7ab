//! Remote tables against real servers, and against everything that can happen on the way to them.
//!
//! Each server listens on a local socket in a directory of its own, as an ordinary user, and is killed
//! by its number. Between it and the table stands a relay that can hang, cut, garble and slow down what
//! is said. Whatever goes wrong, the table must say that it does not know, name itself and a cause, and
//! keep its deadline; it must never say that there is no such key.
//!
//! | | mysql | pgsql | sqlite | ldap | memcache | redis | socketmap, tcp |
//! |---|---|---|---|---|---|---|---|
//! | answers, no match | x | x | x | x | x | x | x |
//! | down at start, and again later | x | x | no file | x | x | x | x |
//! | killed in the middle of an answer | x | x | | x | x | x | x |
//! | half an answer, no answer, noise, an answer without end | x | x | no database | x | x | x | x |
//! | slow, byte by byte | x | x | locked | x | x | x | x |
//! | hangs: the deadline holds | x | x | endless query | x | x | x | x |
//! | wrong password | x | x | | x | | x | |
//! | works again, without a restart | x | x | replaced | x | x | x | x |
//! | several servers, one or all of them away | x | x | | x | backup | x | |
//! | TLS: CA, name, dates, client certificate, server without | x | x | | x | | x | |
//! | few connections for 200 questions | x | x | | x | x | x | x |
//! | `%s %u %d %1 %S %U %D` in the query | x | x | x | x | x | x | |
//! | `result_format`, `domain` | x | x | x | x | `domain` | x | |
//! | `expansion_limit` | x | x | x | x | | | |
//! | several rows, NULL, empty values | x | x | x | x | | x | |
//! | the parameters from before `query` | x | x | x | `result_filter` | | | |
//! | several result sets | x | x | x | | | | |
//! | none: `require_result_set` of mysql, else not found | x | x | | | | | |
//! | stored functions; procedures and warnings | x | functions | | | | | |
//! | keys that end quotes, filters, lines | x | x | x | x | x | x | x |
//! | snapshot: away, restart, age, refresh, damage | x | x | x | | | | |
//!
//! `through_smtp` has all of the program around some of it.

mod answers;
mod authority;
mod faults;
mod ldap;
mod mariadb;
mod memcached;
mod postgres;
mod redis;
mod relay;
mod server;
mod small;
mod snapshots;
mod sqlite;
mod through_smtp;
mod tls;
mod trial;
