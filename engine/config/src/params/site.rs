//! What the host is called, which domains are its own, where its files are.

use std::path::PathBuf;

use table::MatchList;

use crate::master::Protocols;
use crate::row::params;
use crate::settings::Facts;
use crate::typed::{Level, List, NetworksStyle};

params! {
    /// The host and its files.
    Site;

    /// The host's name on the Internet; default of many other values.
    myhostname: Box<str> = [host_name];
    /// The host's domain: its name without the first label.
    mydomain: Box<str> = [domain];
    /// The domain that is added to addresses without one.
    myorigin: Box<str> = "$myhostname";
    /// Domains whose mail is delivered to accounts of this machine.
    mydestination: MatchList = "$myhostname, localhost.$mydomain, localhost";
    /// The network addresses that are the host's own, and listened on: all, loopback-only, or addresses and names of
    /// hosts, which must be those of interfaces.
    inet_interfaces: List = "all";
    /// The IP versions in use.
    inet_protocols: Protocols = "all";
    /// Clients that are trusted. Where it is not set, mynetworks_style says how much of the neighbourhood of the
    /// addresses in inet_interfaces and inet_protocols is.
    mynetworks: MatchList = [networks];
    /// How much of the neighbourhood mynetworks has where it is not set: this host, the subnets of its
    /// interfaces, or whole class A, B and C networks.
    mynetworks_style: NetworksStyle = "${{$compatibility_level} <level {2} ? {subnet} : {host}}";
    /// Which release's defaults are wanted, where they have changed.
    compatibility_level: Level = "0";
    /// The name of the mail system in the greeting and in headers.
    mail_name: Box<str> = "ringpost";
    /// The version of the mail system.
    mail_version: Box<str> = [version];
    /// The queue.
    queue_directory: PathBuf = "/var/spool/ringpost";
    /// Files that are written but are no mail.
    data_directory: PathBuf = "/var/lib/ringpost";
    /// The account that owns the queue and runs the engine.
    mail_owner: Box<str> = "ringpost";
    /// How many shards run, each a thread on a core of its own; 0 is one for each core.
    shards: usize = "0", 0..=256;
    /// How many sessions the SMTP server holds at a time, over all shards.
    default_process_limit: usize = "100", 1..=1_000_000 => accepted "sessions are no processes here; memory is bounded by other limits";
    /// How often starting a process is tried.
    fork_attempts: u32 = "5", 1..=1_000_000 => accepted "the engine does not fork";
    /// The pause between two attempts to start a process.
    fork_delay: std::time::Duration = "1s", 1..=1_000_000 => accepted "the engine does not fork";
    /// The null address, as the log and the queue listing print it.
    empty_address_recipient: Box<str> = "MAILER-DAEMON";
    /// Turns every permanent refusal into a temporary one, so that mistakes cost no mail.
    soft_bounce: bool = "no";
}

/// Postfix completes a name without a dot (src/global/mail_params.c).
fn host_name(facts: &Facts) -> String {
    match facts.name.as_str() {
        "" => "localhost.localdomain".to_owned(),
        name if name.contains('.') => name.to_owned(),
        name => format!("{name}.localdomain"),
    }
}

/// `example.com` of `mx.example.com`.
fn domain(facts: &Facts) -> String {
    let name = host_name(facts);
    name.split_once('.').map_or("localdomain", |(_, domain)| domain).to_owned()
}

fn networks(facts: &Facts) -> String {
    facts.networks.clone().unwrap_or_default()
}

fn version(_: &Facts) -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
