//! Compiled tables: what a build takes, how large the file is, what a lookup takes.
//!
//! Through the command, both programs are measured in the same way: `postmap -q -` with many keys less the
//! same with one, which leaves reading and printing a line in the figure. ringpost's own lookup, which is
//! what the server does, is measured in this process as well.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};
use table::{Answer, AtHand, Disk, Response, Table};

use super::Options;
use super::mailboxes::{address, drawn, unknown, write};
use super::postmap::{Postmap, write_keys};
use crate::contender;
use crate::failure::{Doing, Failure, Result};
use crate::interrupt::Interrupt;
use crate::progress;
use crate::scratch::Scratch;
use crate::units::grouped;

/// Lookups of one measurement in this process.
const LOOKUPS: usize = 2_000_000;
/// Keys that a command is asked for.
const ASKED: usize = 300_000;
/// Repetitions; the least disturbed one counts.
const ROUNDS: usize = 3;

/// One table.
struct Row {
    what: String,
    keys: u64,
    build_seconds: f64,
    peak_bytes: u64,
    file_bytes: u64,
    text_bytes: u64,
    /// Nanoseconds of a key through the command, there and not there.
    asked_ns: [f64; 2],
    /// Nanoseconds of a lookup in this process.
    lookup_ns: Option<[f64; 2]>,
}

/// Measures them all and prints them as a table.
pub(super) fn section(options: &Options, interrupt: &Interrupt) -> Result<String> {
    let scratch = Scratch::make(options.directory.clone())?;
    let ringpost =
        Postmap::ringpost(&contender::ringpost(options.ringpost.as_deref())?, scratch.path())?;
    let peers: Vec<&String> = options.peers.iter().filter(|peer| !peer.is_empty()).collect();
    let postfix = Postmap::postfix(&options.postmap, scratch.path())?;
    let mut rows = Vec::new();
    let bar = progress::steps("maps", (options.keys.len() * (3 + peers.len())) as u64);
    for &keys in &options.keys {
        let source = scratch.path().join(format!("{keys}-keys"));
        let text_bytes = write(&source, keys)?;
        for kind in ["hash", "cdb", "lmdb"] {
            // Ten million keys are what the native format is for.
            if kind == "hash" || keys <= options.peer_keys_max {
                let mut row = measure("ringpost", &ringpost, kind, &source, keys, text_bytes)?;
                row.lookup_ns = Some(lookups(&format!("{kind}:{}", source.display()), keys)?);
                rows.push(row);
                remove(kind, &source)?;
            }
            bar.inc(1);
            interrupt.check()?;
        }
        for kind in &peers {
            if keys <= options.peer_keys_max {
                rows.push(measure("Postfix", &postfix, kind, &source, keys, text_bytes)?);
                remove(kind, &source)?;
            }
            bar.inc(1);
            interrupt.check()?;
        }
        let _ = fs::remove_file(&source);
    }
    bar.finish_and_clear();
    Ok(markdown(&rows))
}

fn measure(
    who: &str,
    postmap: &Postmap,
    kind: &str,
    source: &Path,
    keys: u64,
    text_bytes: u64,
) -> Result<Row> {
    let table = format!("{kind}:{}", source.display());
    let build = postmap.build(&table)?;
    let file = file(kind, source);
    let length = fs::metadata(&file).map(|metadata| metadata.len());
    let file_bytes = length.doing(|| format!("looking at {}", file.display()))?;
    let few = source.with_extension("few");
    write_keys(&few, std::iter::once(address(0)))?;
    let mut asked_ns = [0.0; 2];
    for (ns, make, expected) in
        [(0, address as fn(u64) -> String, ASKED), (1, unknown as fn(u64) -> String, 0)]
    {
        let many = source.with_extension("many");
        write_keys(&many, drawn(keys, ASKED).map(make))?;
        let best = (0..ROUNDS).try_fold(f64::MAX, |best, _| {
            let (idle, _) = postmap.ask(&table, &few)?;
            let (seconds, found) = postmap.ask(&table, &many)?;
            match found == expected {
                true => Ok(best.min(seconds - idle)),
                false => Err(Failure::new(format!("{who} found {found} of {expected} in {table}"))),
            }
        })?;
        asked_ns[ns] = best / ASKED as f64 * 1e9;
    }
    let what = format!("{who} {kind}:");
    let (build_seconds, peak_bytes) = (build.seconds, build.peak_bytes);
    let lookup_ns = None;
    Ok(Row { what, keys, build_seconds, peak_bytes, file_bytes, text_bytes, asked_ns, lookup_ns })
}

/// The file of a table.
fn file(kind: &str, source: &Path) -> PathBuf {
    source.with_extension(if matches!(kind, "hash" | "btree") { "db" } else { kind })
}

/// The next program is to find the same room, and nobody's table.
fn remove(kind: &str, source: &Path) -> Result<()> {
    let file = file(kind, source);
    fs::remove_file(&file).doing(|| format!("removing {}", file.display()))
}

/// Nanoseconds of a lookup in this process, of keys that are there and of others.
fn lookups(table: &str, keys: u64) -> Result<[f64; 2]> {
    // As a shard does.
    let _at_hand = AtHand::new();
    let opened = Table::open(table, &Disk);
    if let Some(trouble) = opened.trouble() {
        return Err(Failure::new(trouble.to_string()));
    }
    let of = |keys: Vec<String>, wanted: usize| -> Result<f64> {
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let begun = thread_seconds();
            let mut found = 0;
            for key in &keys {
                if let Response::Ready(Answer::Found(value)) = opened.lookup(key) {
                    found += usize::from(!black_box(value).is_empty());
                }
            }
            best = best.min(thread_seconds() - begun);
            if found != wanted {
                return Err(Failure::new(format!("{found} of {wanted} keys in {table}")));
            }
        }
        Ok(best / keys.len() as f64 * 1e9)
    };
    let there = drawn(keys, LOOKUPS).map(address).collect();
    let elsewhere = drawn(keys, LOOKUPS).map(unknown).collect();
    Ok([of(there, LOOKUPS)?, of(elsewhere, 0)?])
}

/// Time of this thread on a processor: what else runs on the machine is not in it, though what that does
/// to the caches is.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn markdown(rows: &[Row]) -> String {
    let mut text = "| table | keys | build s | peak MiB | of the file | file MiB | of the text | \
                    `-q -` ns, there | not there | lookup ns, there | not there |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for row in rows {
        let [lookup_there, lookup_not] = match row.lookup_ns {
            Some(lookup) => lookup.map(|ns| format!("{ns:.0}")),
            None => [const { String::new() }; 2],
        };
        text.push_str(&format!(
            "| {} | {} | {:.2} | {:.0} | {:.2} | {:.0} | {:.2} | {:.0} | {:.0} | {} | {} |\n",
            row.what,
            grouped(row.keys as f64),
            row.build_seconds,
            mib(row.peak_bytes),
            row.peak_bytes as f64 / row.file_bytes as f64,
            mib(row.file_bytes),
            row.file_bytes as f64 / row.text_bytes as f64,
            row.asked_ns[0],
            row.asked_ns[1],
            lookup_there,
            lookup_not,
        ));
    }
    text.push_str(
        "\nBuilds are of the command, the sync of the file included. `-q -` is the time for a key of \
         300,000 through the command; `lookup` is CPU time of the call that the server makes.\n",
    );
    text
}
