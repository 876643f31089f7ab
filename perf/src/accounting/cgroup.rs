//! A control group that counts one server's CPU time.
//!
//! Version 2 where it is mounted at /sys/fs/cgroup, else the `cpuacct` hierarchy of version 1.
//! The group is used for counting and for finding the processes, never for limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Cpu;
use crate::failure::{Doing, Failure, Result};

#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// How long an emptied group may take to become removable.
const REMOVAL_TRIES: u32 = 50;

impl Cgroup {
    /// Makes a group of this name; an old one that is empty is used again.
    pub(crate) fn make(name: &str) -> Result<Self> {
        let (root, version) = hierarchy()
            .ok_or_else(|| Failure::new("no cgroup v2, nor the cpuacct hierarchy of v1"))?;
        let directory = root.join(name);
        fs::create_dir_all(&directory).doing(|| format!("making {}", directory.display()))?;
        let group = Self { directory, version };
        if !group.pids().is_empty() {
            return Err(Failure::new(format!(
                "{} still holds processes of an earlier run",
                group.directory.display()
            )));
        }
        Ok(group)
    }

    /// The file into which a process writes its id to join.
    pub(crate) fn procs_file(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        fs::read_to_string(self.procs_file())
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// CPU time of everything that ever ran in the group.
    pub(crate) fn cpu(&self) -> Cpu {
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        match self.version {
            Version::Two => cpu_stat(&read("cpu.stat")),
            Version::One => {
                let seconds = |name: &str| read(name).trim().parse::<f64>().unwrap_or(0.0) / 1e9;
                exact(
                    seconds("cpuacct.usage"),
                    seconds("cpuacct.usage_user"),
                    seconds("cpuacct.usage_sys"),
                )
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Exiting processes leave the group a moment after they were waited for.
        for _ in 0..REMOVAL_TRIES {
            if fs::remove_dir(&self.directory).is_ok() || !self.directory.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn hierarchy() -> Option<(PathBuf, Version)> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Some((root.to_owned(), Version::Two));
    }
    let cpuacct = root.join("cpuacct");
    cpuacct.join("cgroup.procs").exists().then_some((cpuacct, Version::One))
}

/// Version 1 counts the total exactly, but samples user and system time at timer ticks: a server
/// that works in bursts between ticks would seem to use next to nothing. So the samples only divide
/// the total, as the kernel itself does for processes and for version 2.
fn exact(total: f64, user_sampled: f64, system_sampled: f64) -> Cpu {
    let sampled = user_sampled + system_sampled;
    let user = if sampled > 0.0 { total * user_sampled / sampled } else { 0.0 };
    Cpu { user, system: total - user }
}

fn cpu_stat(text: &str) -> Cpu {
    let seconds = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1e6
    };
    Cpu { user: seconds("user_usec"), system: seconds("system_usec") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_divide_the_exact_total_and_never_replace_it() {
        assert_eq!(exact(8.0, 1.0, 3.0), Cpu { user: 2.0, system: 6.0 });
        assert_eq!(exact(8.0, 0.0, 0.0), Cpu { user: 0.0, system: 8.0 });
    }

    #[test]
    fn version_two_counts_in_microseconds() {
        let text = "usage_usec 3500000\nuser_usec 1500000\nsystem_usec 2000000\nnr_periods 0\n";
        assert_eq!(cpu_stat(text), Cpu { user: 1.5, system: 2.0 });
    }
}
