//! What is sent, and by whom: perf's own generator, or Debian's smtp-source as a neutral one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{Doing, Failure, Result};
use crate::interrupt::Interrupt;
use crate::load::record::Latency;
use crate::load::{self, Plan};

/// A client, and what it does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Client {
    /// perf's generator, a connection for each message.
    PerfFresh,
    /// perf's generator, connections kept.
    PerfKept,
    /// smtp-source, a connection for each message (its default).
    SourceFresh,
    /// smtp-source -d, connections kept.
    SourceKept,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PerfFresh => "perf, fresh connections",
            Self::PerfKept => "perf, kept",
            Self::SourceFresh => "smtp-source",
            Self::SourceKept => "smtp-source -d",
        }
    }

    pub(crate) fn is_smtp_source(self) -> bool {
        matches!(self, Self::SourceFresh | Self::SourceKept)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Workload {
    pub(crate) client: Client,
    pub(crate) sessions: usize,
}

/// What the client saw.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) accepted: u64,
    pub(crate) seconds: f64,
    pub(crate) end_of_data_to_reply: Option<Latency>,
    /// What went wrong, if anything did.
    pub(crate) fault: Option<String>,
}

/// smtp-source without an answer for this long is ended, and its run does not count.
const SMTP_SOURCE_MAX: Duration = Duration::from_secs(180);

impl Workload {
    /// Sends `messages` of 4 KiB to 1,000 mailboxes.
    pub(crate) fn send(
        self,
        target: SocketAddr,
        messages: u64,
        smtp_source: &SmtpSource,
        interrupt: &Interrupt,
    ) -> Result<Sent> {
        let plan = Plan::standard(target, self.sessions, messages).until(interrupt);
        match self.client {
            Client::PerfFresh => own(&plan),
            Client::PerfKept => own(&plan.kept()),
            Client::SourceFresh => smtp_source.send(&plan, messages, interrupt),
            Client::SourceKept => smtp_source.send(&plan.kept(), messages, interrupt),
        }
    }
}

fn own(plan: &Plan) -> Result<Sent> {
    let report = load::run(plan, "sending")?;
    let fault = (report.lost() > 0).then(|| {
        let kinds: Vec<_> = report.refusals.iter().map(|(text, _)| text.as_str()).collect();
        format!("{} messages not accepted: {}", report.lost(), kinds.join("; "))
    });
    Ok(Sent {
        accepted: report.accepted,
        seconds: report.seconds,
        end_of_data_to_reply: Some(report.end_of_data_to_reply),
        fault,
    })
}

/// Debian's smtp-source, found among the unpacked peers or in the PATH.
#[derive(Debug, Clone)]
pub(crate) struct SmtpSource {
    program: PathBuf,
    libraries: Option<PathBuf>,
}

impl SmtpSource {
    pub(crate) fn find(peers_root: &Path) -> Self {
        let unpacked = peers_root.join("postfix/usr/sbin/smtp-source");
        if unpacked.exists() {
            let libraries = Some(peers_root.join("postfix/usr/lib/postfix"));
            return Self { program: unpacked, libraries };
        }
        Self { program: "smtp-source".into(), libraries: None }
    }

    fn send(&self, plan: &Plan, messages: u64, interrupt: &Interrupt) -> Result<Sent> {
        let mut command = Command::new(&self.program);
        command.args(["-4", "-C", "100", "-N", "-l", "4096", "-f", "sender@client.example"]);
        command.args(["-t", "u@test.example", "-M", "client.example"]);
        command.args(["-m", &messages.to_string(), "-s", &plan.sessions.to_string()]);
        if plan.messages_per_connection > 1 {
            command.arg("-d");
        }
        command.arg(plan.target.to_string());
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing(|| format!("starting {}", self.program.display()))?;
        let status = loop {
            match child.try_wait().doing(|| "waiting for smtp-source")? {
                Some(status) => break status,
                None if started.elapsed() > SMTP_SOURCE_MAX || interrupt.check().is_err() => {
                    let _ = child.kill();
                    let _ = child.wait();
                    interrupt.check()?;
                    let limit = SMTP_SOURCE_MAX.as_secs();
                    return Err(Failure::new(format!("smtp-source was ended after {limit} s")));
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        let fault = (!status.success()).then(|| {
            let mut said = String::new();
            if let Some(mut errors) = child.stderr.take() {
                let _ = std::io::Read::read_to_string(&mut errors, &mut said);
            }
            format!("smtp-source ended with {status}: {}", said.trim())
        });
        // It stops at the first answer it does not like, so success means all of them.
        let accepted = if fault.is_none() { messages } else { 0 };
        Ok(Sent { accepted, seconds, end_of_data_to_reply: None, fault })
    }
}
