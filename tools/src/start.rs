//! What master tells its children, and what they answer.

use std::path::PathBuf;

use mail::log::Style;
use serde::{Deserialize, Serialize};

use crate::listening::Endpoint;
use crate::swap::{Missing, Stamp};

/// Bytes of a cause that is told to master.
const CAUSE_BYTES_MAX: usize = 2000;

/// From master to a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// First of all; carries the settings as a descriptor, and behind it the log file where there is one.
    Start(Start),
    /// Listening sockets for one endpoint, one descriptor for each shard.
    Listen(Endpoint),
    /// The connections between engine and agentd, one descriptor for each shard. Comes again when the
    /// other side was replaced.
    Links,
    /// All has been said: begin.
    Begin,
    /// The log file was moved away; carries its successor.
    ReopenLog {
        /// Standard error is the log, too.
        stderr: bool,
    },
    /// A file for the change that follows; carries its descriptor where there is one.
    TableFile(PathBuf, Result<Stamp, Missing>),
    /// This file has changed, and the files since the last time are what its tables are read from.
    Tables(PathBuf, Purpose),
    /// Files that a new configuration is read from, before [`Order::Reload`]; carries the descriptors of
    /// those that there are, in their order.
    Files(Vec<(PathBuf, Result<Stamp, Missing>)>),
    /// A new configuration, which listens on these endpoints; carries the settings as a descriptor.
    Reload(Vec<Endpoint>),
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
    /// What became of a new configuration: in use, or why the one before stays.
    Reloaded(Result<(), String>),
    /// To read what is made of `path` takes this file as well: a compiled table, or a text.
    WantsFile {
        /// What has changed.
        path: PathBuf,
        /// What is missing.
        wanted: PathBuf,
        /// See [`table::Manner`].
        whole: bool,
    },
    /// What became of the change of a file.
    Tables {
        /// What has changed.
        path: PathBuf,
        /// See there.
        loaded: Loaded,
    },
}

/// What a changed file is passed on for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// To be used from now on.
    Use,
    /// To find and say what is wrong with it; if that is nothing, it is left alone all the same.
    Judge,
}

/// What a child has made of a changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Loaded {
    /// It is in use.
    InUse,
    /// Nothing is made of it any more.
    Unused,
    /// It was written to while it was read.
    Unsettled,
    /// Nothing is wrong with it, and it was not to be used.
    Withheld,
    /// It takes further files, which have been asked for.
    Wanting,
    /// It is no good, and this is why. What was there before stays.
    Failed(String),
}

impl Loaded {
    /// It is no good. A cause that quotes the file may be long; for the log it was said whole.
    pub(crate) fn failed(why: &str) -> Self {
        let mut end = why.len().min(CAUSE_BYTES_MAX);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        Self::Failed(why[..end].to_owned())
    }
}

/// What lines of the log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lines {
    /// As in Postfix's file.
    Postfix,
    /// JSON.
    Json,
    /// For the syslog daemon.
    Syslog,
}

impl Lines {
    /// The form that lines have under this configuration.
    pub(crate) const fn style(self, log: &config::Log) -> Style {
        match self {
            Self::Postfix => Style::Postfix,
            Self::Json => Style::Json,
            Self::Syslog => Style::Syslog { facility: log.syslog_facility.code },
        }
    }
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
    /// What lines of the log look like.
    pub(crate) lines: Lines,
    /// Say each delivery on standard output.
    pub(crate) show_deliveries: bool,
}
