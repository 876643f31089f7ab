//! Who is compared, and how each is started: always below one directory, on a free loopback port,
//! with its Maildirs in `mail/test.example/`.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{Doing, Failure, Result};
use crate::loop_device::{is_root, run};
use crate::runtimes::own_program;
use crate::server::{Counting, Server};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Contender {
    Ringpost,
    Floor,
    Postfix,
    Exim,
    Opensmtpd,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) ringpost: PathBuf,
    pub(crate) ringpost_options: Vec<String>,
    pub(crate) shards: Option<usize>,
    /// The directory of `install.sh`, `postfix.sh` and the others.
    pub(crate) scripts: PathBuf,
    /// Where they unpack the packages.
    pub(crate) peers_root: PathBuf,
    /// Numbered recipients that smtp-source may use.
    pub(crate) aliases: u64,
    /// The floor stops at the durable queue; ringpost does when its options say so.
    pub(crate) queue_only: bool,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringpost => "ringpost",
            Self::Floor => "floor",
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::Opensmtpd => "opensmtpd",
        }
    }

    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Self::Ringpost | Self::Floor)
    }

    /// Starts it with an empty queue and empty mailboxes below `directory`, which must be new.
    pub(crate) fn start(
        self,
        directory: &Path,
        programs: &Programs,
        core: Option<usize>,
    ) -> Result<Server> {
        let command = self.command(directory, free_address()?, programs)?;
        let group = format!("perf-{}-{}", self.name(), std::process::id());
        let counting = if is_root() { Counting::Group(&group) } else { Counting::Tree };
        Server::start(&command, counting, core, Some(&directory.join("stderr.log")))
    }

    fn command(self, directory: &Path, listen: SocketAddr, programs: &Programs) -> Result<Command> {
        let mut command;
        match self {
            Self::Ringpost => {
                command = Command::new(&programs.ringpost);
                command.args(["serve", "--listen", &listen.to_string(), "--data"]).arg(directory);
                command.args(["--domain", "test.example"]);
                if let Some(shards) = programs.shards {
                    command.args(["--shards", &shards.to_string()]);
                }
                let map = write_map(directory, programs.aliases)?;
                for option in &programs.ringpost_options {
                    let option = option
                        .replace("{data}", &directory.display().to_string())
                        .replace("{map}", &map.display().to_string());
                    command.args(["-o", &option]);
                }
            }
            Self::Floor => {
                command = own_program()?;
                command.args(["floor", "--listen", &listen.to_string(), "--data"]).arg(directory);
                if programs.queue_only {
                    command.arg("--queue-only");
                }
                if let Some(shards) = programs.shards {
                    command.args(["--shards", &shards.to_string()]);
                }
            }
            Self::Postfix | Self::Exim | Self::Opensmtpd => {
                command = Command::new(programs.scripts.join(format!("{}.sh", self.name())));
                command.arg("start").arg(directory);
                command.args([listen.port().to_string(), programs.aliases.to_string()]);
                command.env("PEERS_ROOT", &programs.peers_root);
            }
        }
        Ok(command)
    }

    /// What runs, for the heading of the results.
    pub(crate) fn version(self, programs: &Programs) -> String {
        let told = match self {
            Self::Ringpost => run(Command::new(&programs.ringpost).arg("--version")),
            Self::Floor => Ok("perf floor".to_owned()),
            _ => run(Command::new(programs.scripts.join(format!("{}.sh", self.name())))
                .arg("version")
                .env("PEERS_ROOT", &programs.peers_root)),
        };
        told.map_or_else(|_| format!("{} (version unknown)", self.name()), |t| t.trim().to_owned())
    }
}

/// The ringpost to measure: the one named, or the one beside this program.
pub(crate) fn ringpost(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => {
            Ok(std::env::current_exe().doing(|| "finding this program")?.with_file_name("ringpost"))
        }
    }
}

/// Makes sure that the peers' packages are unpacked.
pub(crate) fn install(peers: &[Contender], programs: &Programs) -> Result<()> {
    // smtp-source comes with Postfix, so that is wanted in any case.
    let mut names = vec!["postfix"];
    names.extend(peers.iter().filter(|peer| peer.is_peer()).map(|peer| peer.name()));
    names.dedup();
    if !is_root() {
        return Err(Failure::new(
            "peers run in namespaces with their own accounts, which needs root; without it only \
             ringpost and the floor can be measured: --peers '' --clients perf-fresh,perf-kept",
        ));
    }
    run(Command::new(programs.scripts.join("install.sh"))
        .args(names)
        .env("PEERS_ROOT", &programs.peers_root))
    .map(drop)
}

/// A port nobody listens on now. Another program could take it before the server does; then the
/// server says so and the run fails.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").doing(|| "looking for a free port")?;
    listener.local_addr().doing(|| "looking for a free port")
}

/// The same recipients the peers know (`lib.sh`, user_list), for `texthash:`.
fn write_map(directory: &Path, aliases: u64) -> Result<PathBuf> {
    use std::fmt::Write as _;

    let path = directory.join("mailboxes");
    let mut text = String::new();
    let mut line = |name: String, number: u64| {
        let mailbox = number % MAILBOXES;
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}@test.example test.example/u{mailbox}/");
    };
    for number in 0..aliases.max(MAILBOXES) {
        line(format!("u{number}"), number);
    }
    for number in 1..=aliases {
        line(format!("{number}u"), number);
    }
    std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
    Ok(path)
}

pub(crate) const MAILBOXES: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_knows_both_spellings_of_numbered_recipients() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_map(directory.path(), 1500).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let has = |line: &str| text.lines().any(|found| found == line);
        assert!(has("u999@test.example test.example/u999/"));
        assert!(has("u1499@test.example test.example/u499/"));
        assert!(has("1u@test.example test.example/u1/"));
        assert!(has("1500u@test.example test.example/u500/"));
        assert_eq!(text.lines().count(), 3000);
    }

    #[test]
    fn ringpost_is_started_through_its_command_line_only() {
        let directory = tempfile::tempdir().unwrap();
        let programs = Programs {
            ringpost: "ringpost".into(),
            ringpost_options: vec!["virtual_mailbox_maps=texthash:{map}".to_owned()],
            shards: Some(2),
            scripts: "peers".into(),
            peers_root: "root".into(),
            aliases: 0,
            queue_only: false,
        };
        let listen = "127.0.0.1:99".parse().unwrap();
        let command = Contender::Ringpost.command(directory.path(), listen, &programs).unwrap();
        let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        let data = directory.path().to_str().unwrap();
        assert_eq!(words[..3], ["serve", "--listen", "127.0.0.1:99"]);
        assert_eq!(words[3..9], ["--data", data, "--domain", "test.example", "--shards", "2"]);
        assert_eq!(words[10], format!("virtual_mailbox_maps=texthash:{data}/mailboxes"));
    }
}
