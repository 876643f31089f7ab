//! Processes as /proc shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// One process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// Sends a signal; a process that is gone already is not an error.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.0).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// kill -9.
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// False once it has ended, even where its parent has not yet asked how.
    pub fn runs(self) -> bool {
        self.stat().is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
    }

    /// Its arguments, joined by spaces.
    pub fn command_line(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// Resident memory in KiB; 0 for a process that is gone.
    pub fn rss_kib(self) -> u64 {
        self.status_field("VmRSS:").unwrap_or(0)
    }

    /// Its effective user id.
    pub fn euid(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// How many descriptors it has open.
    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, |entries| entries.count())
    }

    /// All running processes whose parent is this one.
    pub fn children(self) -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers
            .map(Self)
            .filter(|process| {
                process
                    .stat()
                    .is_some_and(|(state, parent)| parent == self.0 && !matches!(state, 'Z' | 'X'))
            })
            .collect()
    }

    fn status_field(self, name: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// State and parent. The command's name, in parentheses, may contain anything.
    fn stat(self) -> Option<(char, u32)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
        Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
    }
}
