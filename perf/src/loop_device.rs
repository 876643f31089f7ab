//! A journaled file system of known age: a fresh ext4 in a loop device.
//!
//! Servers have a journal, and an aged file system has a history (an ext4 without a journal scans
//! recently deleted inodes on create). Both are taken out of the comparison by making the file
//! system anew, mounted noatime and with direct I/O so that the host's page cache is not a second
//! one. It needs root; everything is undone when the value is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::accounting::machine::{DeviceCounts, device_counts};
use crate::failure::{Doing, Failure, Result};

#[derive(Debug)]
pub(crate) struct LoopDevice {
    image: PathBuf,
    mount_point: PathBuf,
    /// `/dev/loop3`; empty until attached.
    device: String,
    is_mounted: bool,
}

/// A journal of this size fits in the smallest file system that makes sense here.
const BYTES_MIN: u64 = 64 << 20;

impl LoopDevice {
    /// Makes a file system of `bytes` below `directory` and mounts it there.
    pub(crate) fn make(directory: &Path, bytes: u64) -> Result<Self> {
        if !is_root() {
            return Err(Failure::new(
                "making a loop device needs root; give a directory on a journaled file system \
                 instead",
            ));
        }
        if bytes < BYTES_MIN {
            return Err(Failure::new("a file system with a journal needs 64 MiB or more"));
        }
        std::fs::create_dir_all(directory).doing(|| format!("making {}", directory.display()))?;
        let directory =
            directory.canonicalize().doing(|| format!("finding {}", directory.display()))?;
        let name = format!("perf-ext4-{}", std::process::id());
        let mut made = Self {
            image: directory.join(format!("{name}.img")),
            mount_point: directory.join(name),
            device: String::new(),
            is_mounted: false,
        };
        let image = std::fs::File::create(&made.image)
            .doing(|| format!("making {}", made.image.display()))?;
        image.set_len(bytes).doing(|| format!("sizing {}", made.image.display()))?;
        drop(image);
        std::fs::create_dir(&made.mount_point)
            .doing(|| format!("making {}", made.mount_point.display()))?;

        let attach = |direct: bool| {
            let mut command = Command::new("losetup");
            if direct {
                command.arg("--direct-io=on");
            }
            command.args(["--find", "--show"]).arg(&made.image);
            run(&mut command)
        };
        made.device = attach(true).or_else(|_| attach(false))?.trim().to_owned();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-O", "has_journal"]).arg(&made.device))?;
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "noatime"])
            .arg(&made.device)
            .arg(&made.mount_point))?;
        made.is_mounted = true;
        Ok(made)
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// What the device has been asked to do since it was made.
    pub(crate) fn counts(&self) -> DeviceCounts {
        device_counts(self.device.trim_start_matches("/dev/")).unwrap_or_default()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let mut left = Vec::new();
        if self.is_mounted && run(Command::new("umount").arg(&self.mount_point)).is_err() {
            // Somebody still has a file open; it goes away with the last of them.
            if let Err(failure) = run(Command::new("umount").arg("-l").arg(&self.mount_point)) {
                left.push(failure.to_string());
            }
        }
        if !self.device.is_empty()
            && let Err(failure) = run(Command::new("losetup").arg("-d").arg(&self.device))
        {
            left.push(failure.to_string());
        }
        let _ = std::fs::remove_dir(&self.mount_point);
        if let Err(error) = std::fs::remove_file(&self.image) {
            left.push(format!("removing {}: {error}", self.image.display()));
        }
        for failure in left {
            eprintln!("perf: cleaning up: {failure}");
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command to its end; what it printed, or why it failed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().doing(|| format!("running {name}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words: Vec<_> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    Err(Failure::new(format!(
        "{name} {}: {}: {}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_reported_with_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out of loops >&2; exit 4"]);
        let failure = run(&mut command).unwrap_err().to_string();
        assert!(failure.contains("exit status: 4") && failure.contains("out of loops"));
    }
}
