//! A new configuration on its way to the processes.
//!
//! ```text
//!   SIGHUP ──▶ read, built and checked as a whole          (a thread of master)
//!                │ settings, the files its tables are read from, sockets for new services
//!                ▼
//!              agentd: builds it, has it in use            (its loading thread)
//!                ▼
//!              engine: builds it, every shard has it in use: sessions that have begun keep theirs
//! ```
//!
//! agentd first, as with tables: an engine that accepts mail for a new user must not find an agentd that
//! has never heard of him. What goes wrong anywhere leaves the old configuration where it is.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use config::{Configuration, Snapshot};
use remote::Remote;
use table::Source;

use crate::listening::{Endpoint, Listening};
use crate::settings::Settings;
use crate::swap::{self, Opened};

/// A configuration that was found right, with all that the children need to take it over.
pub(crate) struct Renewal {
    /// What will be running.
    pub(crate) running: Running,
    /// Its settings, as they travel to the children.
    pub(crate) file: File,
    /// The files of its tables, as they are now.
    pub(crate) files: Vec<(Source, Opened)>,
    /// What it listens on that the one before did not.
    pub(crate) opened: Vec<Listening>,
    /// For the log.
    pub(crate) warnings: Vec<String>,
}

/// What the running configuration is, as far as a new one must agree with it.
#[derive(Clone)]
pub(crate) struct Running {
    /// As it was read.
    pub(crate) settings: Settings,
    /// And understood.
    pub(crate) all: Arc<Configuration>,
    /// What is listened on.
    pub(crate) endpoints: Vec<Endpoint>,
    /// How many shards there are.
    pub(crate) shards: usize,
}

/// Reads, builds and checks what the files say now. The error is for the log, line by line.
pub(crate) fn prepare(running: &Running) -> Result<Renewal, Vec<String>> {
    let one = |text: String| vec![text];
    let settings = running.settings.renewed().map_err(one)?.with_hosts();
    let (all, catalog) = settings
        .open(&Remote::new())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let worth_a_line = all.problems().iter().filter(|it| it.severity != config::Severity::Note);
    let mut warnings: Vec<String> = worth_a_line.map(ToString::to_string).collect();
    warnings.extend(fixed(&running.all.base, &all.base));

    let endpoints = Endpoint::all(&settings, &all).map_err(one)?;
    let mut opened = Vec::new();
    for endpoint in endpoints.iter().filter(|it| !running.endpoints.contains(it)) {
        let socket = Listening::bind(endpoint.clone(), running.shards)
            .map_err(|error| one(format!("cannot listen on {}: {error}", endpoint.address)))?;
        opened.push(socket);
    }
    let files = catalog.sources().into_iter().map(|source| {
        let opened = swap::open(&source.path);
        (source, opened)
    });
    let files = files.collect();
    let file = settings.to_file().map_err(|error| one(format!("settings: {error}")))?;
    let shards = running.shards;
    let running = Running { settings, all: Arc::new(all), endpoints, shards };
    Ok(Renewal { running, file, files, opened, warnings })
}

/// What takes a restart, where it has changed: the processes have it from their start.
fn fixed(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let path = |path: &PathBuf| path.display().to_string();
    let facility = |of: &Snapshot| of.settings().text("syslog_facility").unwrap_or_default();
    let values = [
        ("queue_directory", path(&old.site.queue_directory), path(&new.site.queue_directory)),
        ("mail_owner", old.site.mail_owner.to_string(), new.site.mail_owner.to_string()),
        ("maillog_file", path(&old.log.maillog_file), path(&new.log.maillog_file)),
        ("syslog_facility", facility(old), facility(new)),
        ("shards", old.site.shards.to_string(), new.site.shards.to_string()),
        (
            "queue_segment_size",
            old.queue.queue_segment_size.to_string(),
            new.queue.queue_segment_size.to_string(),
        ),
    ];
    values
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| {
            format!("{name}: \"{old}\" stays in use; \"{new}\" takes a restart")
        })
        .collect()
}
