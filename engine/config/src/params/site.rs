//! What the host is called, which domains are its own, where its files are.

use std::path::PathBuf;

use table::MatchList;

use crate::row::params;
use crate::source::Machine;
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
    /// The network addresses that are the host's own.
    inet_interfaces: List = "all";
    /// The IP versions in use.
    inet_protocols: List = "all";
    /// Clients that are trusted.
    mynetworks: MatchList = [networks];
    /// How much of the neighbourhood mynetworks has where it is not set.
    mynetworks_style: NetworksStyle = "${{$compatibility_level} <level {2} ? {subnet} : {host}}" => accepted "mynetworks has the loopback networks where it is not set";
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
fn host_name(machine: &Machine) -> String {
    match machine.name.as_str() {
        "" => "localhost.localdomain".to_owned(),
        name if name.contains('.') => name.to_owned(),
        name => format!("{name}.localdomain"),
    }
}

/// `example.com` of `mx.example.com`.
fn domain(machine: &Machine) -> String {
    let name = host_name(machine);
    name.split_once('.').map_or("localdomain", |(_, domain)| domain).to_owned()
}

fn networks(machine: &Machine) -> String {
    let mut networks = String::from("127.0.0.0/8 [::1]/128");
    for network in &machine.networks {
        networks.push(' ');
        networks.push_str(network);
    }
    networks
}

fn version(_: &Machine) -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
