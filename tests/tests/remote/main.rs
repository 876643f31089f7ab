//! Remote tables against real servers, and against everything that can happen on the way to them.
//!
//! Each server listens on a local socket in a directory of its own, as an ordinary user, and is killed
//! by its number. Between it and the table stands a relay that can hang, cut, garble and slow down what
//! is said. Whatever goes wrong, the table must say that it does not know, name itself and a cause, and
//! keep its deadline; it must never say that there is no such key.

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
