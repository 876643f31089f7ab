//! The machine as a whole: how busy it was, and what it is.
//!
//! A server's own CPU time misses what the kernel does for it in threads of its own (the journal,
//! loop devices, writeback) and in interrupts; the busy time of all processors holds that too, and
//! tells whether somebody else was computing during a measurement.

use std::fs;
use std::path::Path;

use super::process::ticks_per_second;

/// Seconds that all processors together have not been idle since the start.
pub(crate) fn busy_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&text) as f64 / ticks_per_second() as f64
}

fn busy_ticks(proc_stat: &str) -> u64 {
    let Some(line) = proc_stat.lines().next().and_then(|line| line.strip_prefix("cpu ")) else {
        return 0;
    };
    let ticks: Vec<u64> = line.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, (idle, iowait), irq, softirq, steal; guest time is part of user's.
    [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum()
}

/// Flushes and writes a block device has completed since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DeviceCounts {
    pub(crate) writes: u64,
    pub(crate) sectors_written: u64,
    pub(crate) flushes: u64,
}

impl std::ops::Sub for DeviceCounts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            writes: self.writes - earlier.writes,
            sectors_written: self.sectors_written - earlier.sectors_written,
            flushes: self.flushes - earlier.flushes,
        }
    }
}

/// Counts of a device such as `loop0` (Documentation/block/stat.rst in the kernel's source).
pub(crate) fn device_counts(device: &str) -> Option<DeviceCounts> {
    device_stat(&fs::read_to_string(Path::new("/sys/block").join(device).join("stat")).ok()?)
}

fn device_stat(text: &str) -> Option<DeviceCounts> {
    let fields: Vec<u64> = text.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
    Some(DeviceCounts {
        writes: *fields.get(4)?,
        sectors_written: *fields.get(6)?,
        flushes: *fields.get(15)?,
    })
}

/// The machine in a few lines of Markdown.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory_kib: u64 =
        field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let system = read("/etc/os-release");
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or("unknown", |name| name.trim_matches('"'));
    let guest = if field(&cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor") {
        ", a virtual machine"
    } else {
        ""
    };
    format!(
        "- {cores} processors, {} (family {}, model {}){guest}; {:.0} GiB\n- {}; Linux {}\n",
        field(&cpuinfo, "model name"),
        field(&cpuinfo, "cpu family"),
        field(&cpuinfo, "model\t"),
        memory_kib as f64 / f64::from(1 << 20),
        system,
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_iowait_and_steal_are_not_busy() {
        let text = "cpu  10 20 30 9999 8888 1 2 7777 5 0\ncpu0 1 1 1 1\n";
        assert_eq!(busy_ticks(text), 63);
        assert_eq!(busy_ticks("garbage"), 0);
    }

    #[test]
    fn a_device_counts_writes_sectors_and_flushes() {
        let text = "151 1 2872 6 85 153 17652 20 0 24 32 2 0 614402 0 45 4\n";
        let counts = device_stat(text).unwrap();
        assert_eq!(counts, DeviceCounts { writes: 85, sectors_written: 17652, flushes: 45 });
        assert_eq!(device_stat("1 2 3"), None);
    }

    #[test]
    fn the_description_names_the_kernel() {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(description().contains(kernel.trim()));
    }
}
