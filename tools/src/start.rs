//! What master tells its children, and what they answer.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// From master to a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// First of all; carries the settings as a descriptor, and behind it the log file where there is one.
    Start(Start),
    /// Listening sockets for one address, one descriptor for each shard.
    Listen(SocketAddr),
    /// The connections between engine and agentd, one descriptor for each shard. Comes again when the
    /// other side was replaced.
    Links,
    /// All has been said: begin.
    Begin,
    /// The log file was moved away; here is its successor.
    ReopenLog,
    /// Finish what is under way, close, end.
    Stop,
}

/// From a child to master.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It does its work from now on.
    Ready,
    /// It cannot; this is why. Starting it again would not help.
    Refused(String),
}

/// How a child is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Shards of the engine, and links of agentd.
    pub(crate) shards: usize,
    /// `uring` or `epoll`.
    pub(crate) backend: String,
    /// Where the queue is, absolute.
    pub(crate) queue: PathBuf,
    /// User and group to become before the first byte from the network is read; `None` where master
    /// itself is not root.
    pub(crate) become_user: Option<(u32, u32)>,
    /// JSON lines instead of Postfix's.
    pub(crate) log_json: bool,
    /// Say each delivery on standard output.
    pub(crate) show_deliveries: bool,
}
