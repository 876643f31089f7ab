//! A directory of the user that runs the program, for commands as that user would give them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::peer::Ran;
use crate::server::{NOBODY, RunAs};

/// A directory of the user that runs the program.
#[derive(Debug)]
pub struct Home(TempDir, RunAs);

impl Home {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "nothing about a directory is a default")]
    pub fn new() -> Self {
        let permissions = fs::Permissions::from_mode(0o755);
        let place = tempfile::Builder::new().permissions(permissions).tempdir().expect("a place");
        let run_as = RunAs::wanted();
        if geteuid().is_root() && run_as == RunAs::User {
            chown(place.path(), Some(NOBODY), Some(NOBODY)).expect("root may give it away");
        }
        Self(place, run_as)
    }

    /// Whom the program runs as.
    pub fn run_as(&self) -> RunAs {
        self.1
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command that has yet to be run: the program, with its first argument.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
        self.command_by(program, arguments)
    }

    /// The same, by another of its names.
    pub fn command_by(&self, program: String, arguments: &[&str]) -> Command {
        let mut words = vec![program];
        if geteuid().is_root() && self.1 == RunAs::User {
            let id = NOBODY.to_string();
            let lower = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
            words.splice(0..0, lower.map(str::to_owned));
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).current_dir(self.0.path());
        command.env_remove("MAIL_CONFIG");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().expect("the program").into()
    }

    /// `ringpost init`, on a port that the kernel chooses, so that tests do not meet.
    pub fn init(&self, directory: &str) -> Ran {
        let mut words = vec!["init", "--listen", "127.0.0.1:0"];
        if self.1 == RunAs::Root {
            // Not where a host has its mail.
            words.extend(["--user", "nobody", "--data", "data"]);
        }
        words.push(directory);
        self.run(&words)
    }
}
