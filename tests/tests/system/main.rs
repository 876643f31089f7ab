//! The program as a whole, from outside: real clients, real files, faults and attacks.
//!
//! `tests/run` builds what these need, and runs them on both back-ends, as root (three processes) and as
//! an ordinary user (one). What only root can try is in modules called `as_root`.

mod background;
mod checks;
mod clients;
mod commands;
mod containers;
mod content;
mod delivery;
mod faults;
mod hostile;
mod init;
mod logs;
mod main_cf;
mod maps;
mod networks;
mod overrides;
mod parameters;
mod patterns;
mod policy;
mod postconf;
mod postconf_messages;
mod postfix;
mod postmap;
mod reload;
mod relocated;
mod routes;
mod sendmail;
mod services;
mod sessions;
mod slow;
mod smuggling;
mod swap;
mod waiting_lookups;
mod waiting_messages;
