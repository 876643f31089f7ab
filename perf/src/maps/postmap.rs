//! A postmap, ringpost's or Postfix's, as it is run by hand.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Doing, Failure, Result};

/// How often the memory of a build is looked at.
const WATCH: Duration = Duration::from_millis(2);

/// One of the two programs, and where its main.cf is.
#[derive(Debug)]
pub(super) struct Postmap {
    program: PathBuf,
    directory: PathBuf,
}

/// What a build took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    pub(super) seconds: f64,
    /// Its resident memory at its greatest, files that it has mapped included.
    pub(super) peak_bytes: u64,
}

impl Postmap {
    /// Postfix's, with a main.cf of our own in `directory`.
    pub(super) fn postfix(program: &Path, directory: &Path) -> Result<Self> {
        let main_cf = "compatibility_level = 3.6\nlmdb_map_size = 4294967296\n";
        fs::write(directory.join("main.cf"), main_cf).doing(|| "writing a main.cf")?;
        Ok(Self { program: program.to_owned(), directory: directory.to_owned() })
    }

    /// Ringpost's: the program is told what it is by the name that it is called by.
    pub(super) fn ringpost(program: &Path, directory: &Path) -> Result<Self> {
        let program = fs::canonicalize(program)
            .doing(|| format!("finding {} (cargo build --release)", program.display()))?;
        let link = directory.join("postmap");
        symlink(program, &link).doing(|| "linking ringpost as postmap")?;
        Ok(Self { program: link, directory: directory.to_owned() })
    }

    /// Builds `type:file`.
    pub(super) fn build(&self, table: &str) -> Result<Build> {
        let begun = Instant::now();
        let mut child = self
            .command(&[table])
            .stdin(Stdio::null())
            .spawn()
            .doing(|| format!("running {}", self.program.display()))?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak_bytes = 0;
        let ended = loop {
            if let Some(ended) = child.try_wait().doing(|| "waiting for postmap")? {
                break ended;
            }
            let line = fs::read_to_string(&status).unwrap_or_default();
            let peak = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = peak.and_then(|it| it.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak_bytes = peak_bytes.max(kib.unwrap_or(0) * 1024);
            std::thread::sleep(WATCH);
        };
        if !ended.success() {
            return Err(Failure::new(format!("{} {table}: {ended}", self.program.display())));
        }
        Ok(Build { seconds: begun.elapsed().as_secs_f64(), peak_bytes })
    }

    /// Asks for all keys of a file at once; seconds, and how many were there.
    pub(super) fn ask(&self, table: &str, keys: &Path) -> Result<(f64, usize)> {
        let begun = Instant::now();
        let input = File::open(keys).doing(|| format!("opening {}", keys.display()))?;
        let output = self
            .command(&["-q", "-", table])
            .stdin(input)
            .output()
            .doing(|| format!("running {}", self.program.display()))?;
        let seconds = begun.elapsed().as_secs_f64();
        if !output.stderr.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("postmap -q - {table}: {said}")));
        }
        Ok((seconds, output.stdout.split(|&b| b == b'\n').count() - 1))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.directory).args(arguments);
        command
    }
}

/// Writes one key a line.
pub(super) fn write_keys(path: &Path, keys: impl Iterator<Item = String>) -> Result<()> {
    let mut text = String::new();
    for key in keys {
        text.push_str(&key);
        text.push('\n');
    }
    let written = File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.doing(|| format!("writing {}", path.display()))
}
