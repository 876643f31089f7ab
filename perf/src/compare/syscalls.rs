//! Sync calls per message, counted by strace in a short run of its own: tracing slows everything.
//!
//! What a server writes with O_DSYNC through io_uring is invisible to strace; the flushes that the
//! loop device counted in the timed runs include it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::measure::Bench;
use super::workload::Workload;
use crate::failure::{Doing, Result};

const TRACED: &str = "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync";

/// How long strace may take to attach to every process.
const ATTACH_MAX: Duration = Duration::from_secs(10);

/// Calls per message by name.
pub(crate) fn per_message(
    bench: &Bench<'_>,
    workload: Workload,
    messages: u64,
    directory: &Path,
) -> Result<BTreeMap<String, f64>> {
    let output = directory.join("strace.out");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", TRACED, "-o"]).arg(&output);
    let pids = bench.server.account().pids();
    for pid in &pids {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing(|| "starting strace")?;
    let started = Instant::now();
    while started.elapsed() < ATTACH_MAX && !pids.iter().all(|pid| is_traced(*pid)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = bench.warm_up(workload, messages);
    std::thread::sleep(Duration::from_millis(300));
    if let Some(pid) = Pid::from_raw(strace.id() as i32) {
        let _ = kill_process(pid, Signal::INT);
    }
    strace.wait().doing(|| "waiting for strace")?;
    sent?;
    let text = std::fs::read(&output).doing(|| format!("reading {}", output.display()))?;
    std::fs::remove_file(&output).doing(|| format!("removing {}", output.display()))?;
    let counts = count(&String::from_utf8_lossy(&text));
    Ok(counts.into_iter().map(|(name, n)| (name, n as f64 / messages as f64)).collect())
}

/// Whether the process has a tracer, or is gone.
fn is_traced(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.map_or(true, |text| !text.contains("TracerPid:\t0\n"))
}

/// Counts the calls in `PID name(...) = ...` lines; a resumed call was counted when it began.
fn count(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let Some((name, _)) = call.split_once('(') else { continue };
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_interrupted_and_resumed_counts_once() {
        let text = "12 fsync(7 <unfinished ...>\n13 fdatasync(3) = 0\n12 <... fsync resumed>) = 0\n\
                    14 +++ exited with 0 +++\n13 --- SIGTERM {si_signo=SIGTERM} ---\n";
        let counts = count(text);
        assert_eq!(counts.len(), 2);
        assert_eq!((counts["fsync"], counts["fdatasync"]), (1, 1));
    }
}
