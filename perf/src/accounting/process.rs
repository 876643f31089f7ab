//! Processes as /proc shows them (proc(5)).

use std::collections::HashMap;
use std::fs;

use super::Cpu;

/// The fields of /proc/PID/stat that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
    /// Of children that have exited and were waited for.
    children_user_ticks: u64,
    children_system_ticks: u64,
}

/// Reads a /proc/PID/stat line. The command name may hold spaces and parentheses, so the fields
/// are counted from the last closing one.
fn stat(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // fields[0] is the state, the third field of proc(5).
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(4)?).ok()?,
        user_ticks: number(14)?,
        system_ticks: number(15)?,
        children_user_ticks: number(16)?,
        children_system_ticks: number(17)?,
    })
}

fn stat_of(pid: u32) -> Option<Stat> {
    stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// A process and all its living descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut root_lives = false;
    for entry in entries {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        root_lives |= pid == root;
        if let Some(stat) = stat_of(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = if root_lives { vec![root] } else { Vec::new() };
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        if let Some(young) = children.remove(pid) {
            found.extend(young);
        }
        at += 1;
    }
    found
}

/// CPU of a process, all its threads, and the children it has waited for.
pub(crate) fn cpu_with_waited_children(pid: u32) -> Option<Cpu> {
    let stat = stat_of(pid)?;
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
    Some(Cpu {
        user: seconds(stat.user_ticks + stat.children_user_ticks),
        system: seconds(stat.system_ticks + stat.children_system_ticks),
    })
}

pub(crate) fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// RSS and PSS of a process in KiB.
pub(crate) fn memory_kib(pid: u32) -> Option<(u64, u64)> {
    rollup(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn rollup(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))?
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .ok()
    };
    Some((field("Rss:")?, field("Pss:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let line = "77 (a) b (c)) S 12 77 77 0 -1 4194560 1 2 3 4 101 102 103 104 20 0 1 0 5 6 7";
        assert_eq!(
            stat(line),
            Some(Stat {
                parent: 12,
                user_ticks: 101,
                system_ticks: 102,
                children_user_ticks: 103,
                children_system_ticks: 104,
            })
        );
        assert_eq!(stat("77 (cut"), None);
        assert_eq!(stat("77 (cut) S 1 2"), None);
    }

    #[test]
    fn a_child_and_its_child_belong_to_the_tree() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let me = std::process::id();
        // The shell forks when it gets to it; the tree is complete once `cat` shows.
        let tree_of_child = loop {
            let tree = tree(child.id());
            if tree.len() == 2 {
                break tree;
            }
            std::thread::yield_now();
        };
        let mine = tree(me);
        assert!(tree_of_child.iter().all(|pid| mine.contains(pid)));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(tree(child.id()).is_empty());
    }

    #[test]
    fn waited_children_are_counted_with_their_parent() {
        let before = cpu_with_waited_children(std::process::id()).unwrap();
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", spin]).status().unwrap();
        let after = cpu_with_waited_children(std::process::id()).unwrap();
        assert!((after - before).total() > 0.0);
    }

    #[test]
    fn a_rollup_has_rss_and_pss() {
        let text = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:    1234 kB\nPss:     567 kB\n\
                    Pss_Dirty: 3 kB\n";
        assert_eq!(rollup(text), Some((1234, 567)));
        assert_eq!(rollup("Rss: 12 kB\n"), None);
        let (rss, pss) = memory_kib(std::process::id()).unwrap();
        assert!(rss >= pss && pss > 0);
    }
}
