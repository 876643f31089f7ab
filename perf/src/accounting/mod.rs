//! What a server costs: CPU time and memory of all its processes, and how busy the machine was.
//!
//! A control group counts exactly, with the children that have exited; it needs root. Without one,
//! the process tree is summed: every live process with the time of the children it has waited for.

pub(crate) mod cgroup;
pub(crate) mod machine;
pub(crate) mod process;

use serde::Serialize;

use self::cgroup::Cgroup;

/// CPU time in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl std::ops::Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }
}

/// Memory of all processes, in KiB. RSS counts shared pages once for each process, PSS shares them
/// out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) rss_kib: u64,
    pub(crate) pss_kib: u64,
    pub(crate) processes: usize,
}

/// The processes of one server.
#[derive(Debug)]
pub(crate) enum Account {
    Group(Cgroup),
    /// The process with this id and its descendants.
    Tree(u32),
}

impl Account {
    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Group(group) => group.pids(),
            Self::Tree(root) => process::tree(*root),
        }
    }

    pub(crate) fn cpu(&self) -> Cpu {
        match self {
            Self::Group(group) => group.cpu(),
            Self::Tree(root) => process::tree(*root)
                .into_iter()
                .filter_map(process::cpu_with_waited_children)
                .fold(Cpu::default(), |sum, cpu| sum + cpu),
        }
    }

    pub(crate) fn memory(&self) -> Memory {
        let mut sum = Memory::default();
        for pid in self.pids() {
            if let Some((rss, pss)) = process::memory_kib(pid) {
                sum.rss_kib += rss;
                sum.pss_kib += pss;
                sum.processes += 1;
            }
        }
        sum
    }

    /// How the CPU time was counted, for the reader of a table.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Group(_) => "cgroup",
            Self::Tree(_) => "/proc tree",
        }
    }
}
