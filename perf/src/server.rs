//! A server under measurement: started, known by its port and its processes, stopped.
//!
//! Every server that is a child of `perf` prints `listening on ADDRESS` when it is ready: the
//! floor, the runtime comparison's servers, and ringpost. Nothing is guessed from a sleep.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::accounting::cgroup::Cgroup;
use crate::accounting::{Account, Cpu};
use crate::failure::{Doing, Failure, Result};

/// A server that has not said that it is ready by now will not.
const START_MAX: Duration = Duration::from_secs(60);

/// A server that has not stopped by now after SIGTERM is killed, and the run says so.
const STOP_MAX: Duration = Duration::from_secs(20);

/// How much of its log is shown of a server that did not start.
const LOG_LINES_SHOWN: usize = 8;

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    account: Account,
    pub(crate) address: SocketAddr,
}

/// How a server's processes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting<'a> {
    Tree,
    /// In a control group of this name; needs root.
    Group(&'a str),
}

impl Server {
    /// Starts the command, on `core` alone if one is given, and waits until it listens. What it says
    /// on standard error goes to the file `log`, or to the terminal.
    pub(crate) fn start(
        command: &Command,
        counting: Counting<'_>,
        core: Option<usize>,
        log: Option<&Path>,
    ) -> Result<Self> {
        Self::start_quietly(command, counting, core, log).map_err(|failure| match log {
            Some(log) => Failure::new(format!("{failure}{}", last_lines(log))),
            None => failure,
        })
    }

    fn start_quietly(
        command: &Command,
        counting: Counting<'_>,
        core: Option<usize>,
        log: Option<&Path>,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let group = match counting {
            Counting::Tree => None,
            Counting::Group(name) => Some(Cgroup::make(name)?),
        };
        let errors = match log {
            None => Stdio::inherit(),
            Some(path) => {
                let file = File::create(path).doing(|| format!("making {}", path.display()))?;
                file.into()
            }
        };
        let mut child = launcher(command, group.as_ref(), core)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .doing(|| format!("starting {name}"))?;
        let account = match group {
            Some(group) => Account::Group(group),
            None => Account::Tree(child.id()),
        };
        let Some(stdout) = child.stdout.take() else {
            return Err(Failure::new(format!("{name} was started without a standard output")));
        };
        // From here on dropping it stops the child.
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, account, address: unknown };
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end, so that the server never blocks on a full pipe.
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if let Some(address) = listening_address(&line) {
                    let _ = tell.send(address);
                }
            }
        });
        match told.recv_timeout(START_MAX) {
            Ok(address) => server.address = address,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = server.child.wait().doing(|| format!("waiting for {name}"))?;
                return Err(Failure::new(format!("{name} ended before it listened: {status}")));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(Failure::new(format!(
                    "{name} did not print `listening on ADDRESS` within {} s",
                    START_MAX.as_secs()
                )));
            }
        }
        Ok(server)
    }

    /// Has it read its configuration again; only for a server that was started without a group.
    pub(crate) fn reload(&self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32);
        let Some(pid) = pid else { return Err(Failure::new("the server has no process")) };
        kill_process(pid, Signal::HUP).doing(|| "sending SIGHUP to the server")
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn cpu(&self) -> Cpu {
        self.account.cpu()
    }

    /// Asks the server to stop and waits for it. An unclean stop is a finding, so it is an error.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(Failure::new(format!("the server had already ended: {status}")));
        }
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < STOP_MAX {
            match self.child.try_wait() {
                Ok(Some(_)) => return self.see_children_off(asked),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(error).doing(|| "waiting for the server to stop"),
            }
        }
        let leftover = self.account.pids();
        let _ = self.child.kill();
        for pid in leftover.into_iter().filter_map(|pid| Pid::from_raw(pid as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
        Err(Failure::new(format!("the server was killed: no stop in {} s", STOP_MAX.as_secs())))
    }
}

impl Server {
    /// A server's children may finish what they are at; then nothing of it must be left.
    fn see_children_off(&self, asked: Instant) -> Result<()> {
        // The children of a tree without its root are no longer known.
        let Account::Group(group) = &self.account else { return Ok(()) };
        while asked.elapsed() < STOP_MAX {
            if group.pids().is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in group.pids().into_iter().filter_map(|pid| Pid::from_raw(pid as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        Err(Failure::new("children of the server were killed: they outlived it"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.end();
        }
    }
}

/// The end of what a server said, for the message that it did not start.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..]
        .iter()
        .map(|line| format!("\n  {line}"))
        .collect()
}

/// The command behind a shell line that joins the group first, so that no child is missed.
fn launcher(command: &Command, group: Option<&Cgroup>, core: Option<usize>) -> Command {
    let mut launcher;
    match group {
        None => {
            let mut words =
                std::iter::once(command.get_program()).chain(command.get_args()).peekable();
            if let Some(core) = core {
                launcher = Command::new("taskset");
                launcher.args(["-c", &core.to_string()]);
            } else {
                launcher = Command::new(words.next().unwrap_or_default());
            }
            launcher.args(words);
        }
        Some(group) => {
            launcher = Command::new("sh");
            let pin = core.map_or(String::new(), |core| format!("taskset -c {core} "));
            let line = format!("echo $$ >\"$0\" && exec {pin}\"$@\"");
            launcher.arg("-c").arg(line).arg(group.procs_file());
            launcher.arg(command.get_program()).args(command.get_args());
        }
    }
    if let Some(directory) = command.get_current_dir() {
        launcher.current_dir(directory);
    }
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            launcher.env(key, value);
        }
    }
    launcher
}

/// `... listening on 127.0.0.1:2525 ...`, wherever in the line.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split(|c: char| c.is_whitespace() || c == ',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_address_is_found_in_the_line_that_says_ready() {
        let address = "127.0.0.1:2525".parse().ok();
        assert_eq!(listening_address("listening on 127.0.0.1:2525"), address);
        assert_eq!(listening_address("smtp: listening on 127.0.0.1:2525, 2 shards"), address);
        assert_eq!(listening_address("listening on nothing"), None);
    }

    #[test]
    fn a_server_is_ready_when_it_says_so_and_stops_when_asked() {
        let command = shell("echo listening on 127.0.0.1:99; while :; do sleep 0.01; done");
        let server = Server::start(&command, Counting::Tree, None, None).unwrap();
        assert_eq!(server.address.port(), 99);
        assert!(server.account().memory().rss_kib > 0);
        server.stop().unwrap();
    }

    #[test]
    fn a_server_that_dies_at_start_is_reported_with_its_status() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let command = shell("echo no such map >&2; exit 3");
        let failure =
            Server::start(&command, Counting::Tree, None, Some(&log)).unwrap_err().to_string();
        assert!(failure.contains("exit status: 3"), "{failure}");
        assert!(failure.ends_with("\n  no such map"), "{failure}");
    }
}
