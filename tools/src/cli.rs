//! The command line, one place for `--help` and the manual pages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A mail transfer agent: SMTP in, a group-committed queue, Maildirs out.
#[derive(Debug, Parser)]
#[command(
    name = "ringpost",
    version,
    arg_required_else_help = true,
    after_help = "It is also sendmail, postfix, postmap, postalias, newaliases and postconf, by the name it is called with or by \
                  its first argument: ringpost postmap --help"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the mail system in the foreground until Ctrl-C
    Serve(Serve),
    /// Run the mail system in the background, once it is ready
    Start(Serve),
    /// Stop the mail system: what is under way is finished
    Stop(Stop),
    /// Have the mail system take over what its configuration files say now
    Reload(Place),
    /// Say what is wrong with a configuration, and what this kernel allows
    Check(Check),
    /// Write a first main.cf and master.cf, small and commented
    Init(Init),
    /// Say whether the mail system runs, and what is in its queue
    Status(Place),
    /// List and show queued messages
    #[command(subcommand)]
    Queue(Queue),
    /// Show what becomes of a recipient: each rewrite and lookup, class, transport and next hop
    Explain(ExplainAddress),
    /// Look into lookup tables
    #[command(subcommand)]
    Map(Map),
    /// The process that talks to the network (started by serve)
    #[command(hide = true)]
    Engine,
    /// The process that writes mailboxes (started by serve)
    #[command(hide = true)]
    Agentd,
}

pub(crate) use crate::places::CONFIG_DIRECTORY;

/// Which configuration, and what is said on top of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Configuration {
    /// The directory with main.cf and master.cf. Without it serve takes built-in settings for trying things
    /// out, and so do the other commands, unless there is an /etc/ringpost
    #[arg(long, short = 'c', value_name = "DIR", env = "MAIL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set one main.cf parameter; may be given again
    #[arg(short = 'o', value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where queue, mail and log are kept (without --config); ringpost-data without it
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Also accept mail for DOMAIN (without --config); may be given again
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Vec<String>,
    /// Listen for SMTP here instead of 127.0.0.1:2525; may be given again
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
}

impl Configuration {
    /// What a directory says, or without one the built-in settings.
    pub(crate) fn of(directory: Option<PathBuf>) -> Self {
        Self {
            config: directory,
            set: Vec::new(),
            data: None,
            domain: Vec::new(),
            listen: Vec::new(),
        }
    }

    /// For a command that is about the mail system of this host: the configuration in `directory`, where
    /// there is one and nothing says that another is meant.
    pub(crate) fn or_of_host(mut self, directory: &Path) -> Self {
        let says_nothing = self.config.is_none() && self.data.is_none() && self.domain.is_empty();
        if says_nothing && directory.join("main.cf").exists() {
            self.config = Some(directory.to_owned());
        }
        self
    }
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// What moves the bytes; auto takes io_uring where the kernel allows it
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub(crate) backend: BackendChoice,
    /// Number of shards; 0 is one for each core
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<usize>,
    /// The form of the log
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    pub(crate) log: LogForm,
    /// Given by start to what stays
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Do not wait for what is under way; what was accepted is in the queue
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
}

/// What a first configuration is to say.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where queue, mail and log are to be kept; without it where root keeps them by default, for others
    /// DIR/data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Take mail for DOMAIN, too; may be given again
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Vec<String>,
    /// Listen for SMTP here; without it on port 25 for root, else on 127.0.0.1:2525. May be given again
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Whom the mail system runs as where root starts it, and whose the mailboxes are; "ringpost" without it
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The configuration directory. It is created; what is in it stays as it is
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Where a mail system is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// List the queue, as postqueue -p does
    List {
        #[command(flatten)]
        place: Place,
        /// One JSON object a line, as postqueue -j does
        #[arg(long)]
        json: bool,
    },
    /// Show one message, as postcat -q does
    Show {
        #[command(flatten)]
        place: Place,
        /// The queue id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Map {
    /// Show each key that a search for KEY tries, in order, and what the tables answer
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Search as in this kind of table: access, access-host, access-network, aliases, canonical, generic,
    /// relocated, transport or virtual. Without it only KEY itself is looked up
    #[arg(long = "as", value_name = "KIND")]
    pub(crate) order: Option<String>,
    /// An address, a domain, or whatever the tables have for keys
    pub(crate) key: String,
    /// The tables of a parameter, in their order
    #[arg(value_name = "[TYPE:]NAME", required = true)]
    pub(crate) tables: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainAddress {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// The sender of the message; the null sender without it
    #[arg(long, value_name = "SENDER")]
    pub(crate) from: Option<String>,
    /// The client that the message comes from
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client: Option<std::net::IpAddr>,
    /// The recipient
    pub(crate) recipient: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    Auto,
    Uring,
    Epoll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_host_is_for_who_names_no_other() {
        let place = tempfile::tempdir().expect("a directory");
        let host = place.path();
        let config = |arguments: &[&str]| {
            let arguments = ["ringpost", "check"].iter().chain(arguments);
            let Command::Check(options) = Cli::parse_from(arguments).command else {
                panic!("another command");
            };
            options.configuration.or_of_host(host).config
        };
        assert_eq!(config(&[]), None, "there is no main.cf");
        std::fs::write(host.join("main.cf"), "").expect("a file");
        assert_eq!(config(&[]).as_deref(), Some(host));
        assert_eq!(config(&["-o", "a=b"]).as_deref(), Some(host));
        for (named, other) in [("-c", Some("/x")), ("--config", Some("/x")), ("--data", None)] {
            assert_eq!(config(&[named, "/x"]).as_deref(), other.map(Path::new), "{named}");
        }
        assert_eq!(config(&["--domain", "x.example"]), None);
    }
}
