//! The programs that a service can be.

use std::fmt;

/// Declares the commands, each with its name in master.cf and what it is in a word.
macro_rules! commands {
    ($( $(#[$doc:meta])+ $variant:ident = $name:literal, )+) => {
        /// What a service does: the room of this house that has the name of Postfix's program.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Command {
            $( $(#[$doc])+ $variant, )+
            /// Defers everything with a text: `error` where the service is called `retry`
            /// (postfix `src/error/error.c`).
            Retry,
            /// A name that no program here has. The service does not run.
            Unknown(Box<str>),
        }

        impl Command {
            /// The names of all that there are.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The command that a service of some name runs; a directory before it does not count.
            pub fn of(path: &str, service: &str) -> Self {
                let name = path.rsplit('/').next().unwrap_or(path);
                match name {
                    "error" if service == "retry" => Self::Retry,
                    $( $name => Self::$variant, )+
                    // Names that Postfix gave up (postfix `conf/post-install`).
                    "nqmgr" => Self::Qmgr,
                    _ => Self::Unknown(path.into()),
                }
            }

            /// Its name, which is the last part of what the log calls a service.
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$variant => $name, )+
                    Self::Retry => "error",
                    Self::Unknown(path) => path.rsplit('/').next().unwrap_or(path),
                }
            }
        }
    };
}

commands! {
    /// The SMTP server.
    Smtpd = "smtpd",
    /// Takes what the sendmail command left.
    Pickup = "pickup",
    /// Completes and checks messages on their way into the queue.
    Cleanup = "cleanup",
    /// The scheduler.
    Qmgr = "qmgr",
    /// Postfix's scheduler from before version 2.5; the same one here.
    Oqmgr = "oqmgr",
    /// The SMTP client.
    Smtp = "smtp",
    /// The LMTP client.
    Lmtp = "lmtp",
    /// Delivery to accounts of this machine.
    Local = "local",
    /// Delivery to mailboxes without accounts.
    Virtual = "virtual",
    /// Delivery to programs.
    Pipe = "pipe",
    /// Bounces everything with a text.
    Error = "error",
    /// Throws away.
    Discard = "discard",
    /// Programs of others behind a socket.
    Spawn = "spawn",
    /// Notices to senders: bounce, defer and trace.
    Bounce = "bounce",
    /// Rewrites and resolves addresses.
    TrivialRewrite = "trivial-rewrite",
    /// Lists of queued mail by destination.
    Flush = "flush",
    /// Shared tables.
    Proxymap = "proxymap",
    /// The queue listing.
    Showq = "showq",
    /// Counts of connections and their rates.
    Anvil = "anvil",
    /// Kept connections of the clients.
    Scache = "scache",
    /// TLS sessions and random numbers.
    Tlsmgr = "tlsmgr",
    /// TLS in front of another service.
    Tlsproxy = "tlsproxy",
    /// Asks lists in the DNS.
    Dnsblog = "dnsblog",
    /// Keeps machines that are no mail servers out.
    Postscreen = "postscreen",
    /// Tries addresses out.
    Verify = "verify",
    /// Writes the log.
    Postlogd = "postlogd",
    /// The QMQP server.
    Qmqpd = "qmqpd",
}

impl Command {
    /// Whether words may follow the options: attributes of the program to run.
    pub const fn takes_arguments(&self) -> bool {
        matches!(self, Self::Pipe | Self::Spawn | Self::Unknown(_))
    }

    /// Whether it can be behind a port of the network, and not only behind a socket of this host.
    pub const fn serves_network(&self) -> bool {
        matches!(
            self,
            Self::Smtpd | Self::Postscreen | Self::Qmqpd | Self::Spawn | Self::Unknown(_)
        )
    }

    /// Whether it is asked to deliver, so that its service is a transport.
    pub const fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Smtp
                | Self::Lmtp
                | Self::Local
                | Self::Virtual
                | Self::Pipe
                | Self::Error
                | Self::Retry
                | Self::Discard
        )
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
