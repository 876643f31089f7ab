//! Services as processes, and how they find and wait for each other.

use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::Nonblank;
use crate::typed::List;

known! {
    /// Processes of services: how long they live and what they wait for.
    PROCESSES;

    /// Services of master.cf that do not run: a type, or a name and a type with a slash between them; a
    /// ! before one keeps what it fits.
    master_service_disable: List = "";
    /// How long master waits before it starts a service again that failed.
    service_throttle_time: Duration = "60s", 1..=INT_MAX
        => accepted "a service is no process that could fail by itself";
    /// How long a process may be busy with one request.
    daemon_timeout: Duration = "18000s", 1..=INT_MAX
        => accepted "a service is no process; each of its waits has a limit of its own";
    /// Ends a process that cannot open a table.
    daemon_table_open_error_is_fatal: bool = "no"
        => accepted "what needs a table that is away is put off, and the rest goes on";
    /// How long a process waits for work before it ends.
    max_idle: Duration = "100s", 1..=INT_MAX
        => accepted "a service is no process";
    /// How many requests a process takes before it ends.
    max_use: u32 = "100", 1..=INT_MAX
        => accepted "a service is no process";
    /// How long an unused connection between processes stays open.
    ipc_idle: Duration = "5s", 1..=INT_MAX
        => accepted "services share their memory";
    /// How long one process waits for another.
    ipc_timeout: Duration = "3600s", 1..=INT_MAX
        => accepted "services share their memory";
    /// How long a connection between processes stays open.
    ipc_ttl: Duration = "1000s", 1..=INT_MAX
        => accepted "services share their memory";
    /// How long a trigger waits until it is taken.
    trigger_timeout: Duration = "10s", 1..=INT_MAX
        => accepted "services share their memory";
    /// How long postkick waits until what it sent is taken.
    application_event_drain_time: Duration = "100s", 1..=INT_MAX
        => accepted "services share their memory";
    /// Bytes of a socket's buffer, for routers that break larger windows; 0 leaves it to the kernel.
    tcp_windowsize: u32 = "0", 0..=INT_MAX
        => accepted "the kernel knows better, and such routers are gone";
    /// Names of ports, name=name=port, that the list of the system is not asked for.
    known_tcp_ports: Box<str> = "lmtp=24, smtp=25, smtps=submissions=465, submission=587"
        => unsupported "ports are numbers until there is a master.cf";
    /// A pause before mail is taken while it comes in faster than it goes out.
    in_flow_delay: Duration = "1s", 0..=10
        => accepted "what comes in waits for the same disks as what goes out";
}

known! {
    /// Names of services in master.cf, for those who have more than one of a kind.
    SERVICES;

    /// The service that notes failures and sends bounces.
    bounce_service_name: Nonblank = "bounce"
        => accepted "services call each other without names";
    /// The service that notes what is deferred.
    defer_service_name: Nonblank = "defer"
        => accepted "services call each other without names";
    /// The service that notes what becomes of mail whose sender wants to know.
    trace_service_name: Nonblank = "trace"
        => accepted "services call each other without names";
    /// The service that fails all mail it is given.
    error_service_name: Nonblank = "error"
        => accepted "services call each other without names";
    /// The service that keeps lists of mail by destination.
    flush_service_name: Nonblank = "flush"
        => accepted "services call each other without names";
    /// The service that takes mail from commands.
    pickup_service_name: Nonblank = "pickup";
    /// The queue manager.
    queue_service_name: Nonblank = "qmgr"
        => accepted "services call each other without names";
    /// The service that lists the queue.
    showq_service_name: Nonblank = "showq"
        => accepted "services call each other without names";
    /// The service that tries out addresses.
    address_verify_service_name: Nonblank = "verify"
        => accepted "services call each other without names";
    /// The service that reads tables for others.
    proxymap_service_name: Nonblank = "proxymap"
        => accepted "services call each other without names";
    /// The service that writes tables for others.
    proxywrite_service_name: Nonblank = "proxywrite"
        => accepted "services call each other without names";
    /// The service that writes the log file.
    postlog_service_name: Nonblank = "postlog"
        => accepted "services call each other without names";
    /// The service that asks lists of bad clients.
    dnsblog_service_name: Nonblank = "dnsblog"
        => accepted "services call each other without names";
    /// The service that makes tables anew where Berkeley DB is gone.
    non_bdb_migration_service_name: Box<str> = "nbdb_reindex"
        => accepted "services call each other without names";
}

known! {
    /// Counts of what clients do: anvil.
    ANVIL;

    /// How often the highest counts are logged.
    anvil_status_update_time: Duration = "600s", 1..=INT_MAX
        => accepted "the highest counts are not logged";
}
