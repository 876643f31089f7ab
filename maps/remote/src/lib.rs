//! Tables that somebody else answers: SQL, LDAP, Redis, memcached, socketmap and tcp servers.
//!
//! A remote table is a [`table::Lookup`] like the others, only that its response comes later. What all
//! of them have in common is here once: the configuration files and templates of Postfix, a choice of
//! servers, few connections for the whole process, a deadline for everything, a short memory, and one
//! question where many ask the same. Each type adds how to connect and how to ask.
//!
//! Whatever goes wrong with a server is [`table::Answer::Unavailable`] with the table's name and a
//! cause; only a server that was asked and said so makes a key [`table::Answer::NotFound`].

mod cache;
mod common;
mod desk;
mod hosts;
mod ldap;
mod memcache;
mod mysql;
mod net;
mod pgsql;
pub mod protocol;
mod redis;
mod remote;
mod snapshot;
mod socketmap;
mod source;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod template;
mod thread;
mod tls;
mod types;

pub use remote::{QUESTIONS_WAITING_MAX, Remote};
pub use tls::public_key_algorithms;
