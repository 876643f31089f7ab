//! `ringpost status`: does it run, and what is in the queue?

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;

use queue::{QueueDirectory, Selector};

use crate::cli::Place;
use crate::settings::Settings;
use crate::{listing, postfix, stdout};

/// Exit code 0 where it runs, 1 where it does not, as `postfix status`.
pub(crate) fn run(place: &Place) -> ExitCode {
    let running = match running(place) {
        Ok(Some(holder)) => {
            stdout::print(format_args!("ringpost is running: process {holder}\n"));
            true
        }
        Ok(None) => {
            stdout::print("ringpost is not running\n");
            false
        }
        Err(why) => {
            eprintln!("ringpost: fatal: {why}");
            return ExitCode::FAILURE;
        }
    };
    stdout::print(queue(place).unwrap_or_else(|why| format!("queue: {why}\n")));
    if running { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The process that holds the queue. A directory that does not exist is not made by asking.
fn running(place: &Place) -> Result<Option<String>, String> {
    let settings = Settings::of_host(&place.configuration)?;
    let snapshot = settings.snapshot().map_err(|problems| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })?;
    let directory = &snapshot.site.queue_directory;
    if !directory.exists() {
        return Ok(None);
    }
    if let Some(master) = postfix::master(directory)? {
        return Ok(Some(master.pid.to_string()));
    }
    // A master that was killed leaves an engine behind, which comes to its end.
    QueueDirectory::holder(directory).map_err(|error| error.to_string())
}

fn queue(place: &Place) -> Result<String, String> {
    let (reader, _) = listing::open(place)?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut bytes = 0;
    reader
        .list(&Selector::All, |message| {
            *counts.entry(message.queue.name()).or_default() += 1;
            bytes += message.bytes;
            ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())?;
    let total: u64 = counts.values().sum();
    let mut text = format!("queue: {total} messages, {} KiB\n", bytes / 1024);
    for (queue, count) in counts {
        text.push_str(&format!("  {queue}: {count}\n"));
    }
    Ok(text)
}
