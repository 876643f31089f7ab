//! A configuration as large hosts have it: 500 lines of main.cf, 50 tables, 30 services.
//!
//! Half of the lines restate defaults, as main.cf files that were printed by postconf do.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use config::master::{self, Ports};
use config::{Configuration, Machine, Sources, Status};
use rustix::process::geteuid;
use table::compiled::Builder;
use table::{Disk, Format, Tables};

use crate::contender::MAILBOXES;
use crate::failure::{Doing, Failure, Result};
use crate::scratch::Scratch;

pub(super) const LINES: usize = 500;
pub(super) const TABLES: usize = 50;
pub(super) const SERVICES: usize = 30;
/// Entries of a compiled table.
const ENTRIES: u64 = 1_000;
/// Rules of a table of patterns.
const RULES: usize = 20;

/// Parameters with compiled tables, and how many.
const COMPILED: [(&str, usize); 10] = [
    ("canonical_maps", 2),
    ("sender_canonical_maps", 2),
    ("recipient_canonical_maps", 2),
    ("virtual_alias_maps", 4),
    ("virtual_mailbox_maps", 4),
    ("transport_maps", 3),
    ("relocated_maps", 2),
    ("relay_recipient_maps", 2),
    ("sender_bcc_maps", 2),
    ("recipient_bcc_maps", 2),
];
/// Parameters with tables of patterns, two each.
const PATTERNS: [&str; 5] = [
    "header_checks",
    "mime_header_checks",
    "nested_header_checks",
    "body_checks",
    "sender_dependent_default_transport_maps",
];
/// Parameters with inline tables: three each, beside what else they have.
const INLINE: [&str; 5] =
    ["canonical_maps", "virtual_alias_maps", "transport_maps", "relocated_maps", "sender_bcc_maps"];

/// The files.
pub(super) struct Place {
    scratch: Scratch,
    pub(super) listen: SocketAddr,
}

impl Place {
    pub(super) fn make(path: PathBuf) -> Result<Self> {
        let scratch = Scratch::make(path)?;
        let path = scratch.path();
        let etc = path.join("etc");
        fs::create_dir_all(&etc).doing(|| format!("making {}", etc.display()))?;
        let [listen, submission] = free_addresses()?;
        write(&etc.join("main.cf"), &main_cf(path)?)?;
        write(&etc.join("master.cf"), &master_cf(listen, submission))?;
        make_mail_base(path)?;
        Ok(Self { scratch, listen })
    }

    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// What it says on standard error.
    pub(super) fn stderr(&self) -> PathBuf {
        self.path().join("stderr.log")
    }

    /// The program with these files.
    pub(super) fn command(&self, ringpost: &Path) -> Command {
        let mut command = Command::new(ringpost);
        command.arg("serve").arg("--config").arg(self.path().join("etc"));
        command
    }

    /// The configuration, built in this process from the files, with its tables opened.
    pub(super) fn build(&self) -> Result<Configuration> {
        let etc = self.path().join("etc");
        let read = |name: &str| {
            let path = etc.join(name);
            fs::read(&path).doing(|| format!("reading {}", path.display()))
        };
        let master_cf = master::parse("master.cf", &read("master.cf")?, &Ports::with_services(""));
        let sources = Sources::new().directory(&etc).main_cf("main.cf", &read("main.cf")?);
        let machine = Machine::named("mx.test.example");
        let tables = Tables::new(&Disk);
        Configuration::build(&sources, &master_cf, &machine, &tables).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::new(lines.join("\n"))
        })
    }
}

fn main_cf(path: &Path) -> Result<String> {
    let data = path.display();
    let owner = if geteuid().is_root() { "nobody" } else { "" };
    let mut text = format!(
        "# A host with much of everything.\n\
         myhostname = mx.test.example\n\
         mydestination = localhost\n\
         queue_directory = {data}/queue\n\
         data_directory = {data}\n\
         maillog_file = {data}/mail.log\n\
         virtual_mailbox_base = {data}/mail\n\
         virtual_mailbox_domains = test.example\n\
         virtual_uid_maps = static:{uid}\n\
         virtual_gid_maps = static:{uid}\n\
         local_recipient_maps =\n\
         relay_domains = relay.example\n\
         smtpd_client_connection_count_limit = 0\n\
         smtpd_junk_command_limit = 1000000\n",
        uid = if owner.is_empty() { geteuid().as_raw() } else { NOBODY },
    );
    if !owner.is_empty() {
        let _ = writeln!(text, "mail_owner = {owner}");
    }
    let mut tables = 0;
    let mut parameters: Vec<(&str, Vec<String>)> = Vec::new();
    for (parameter, count) in COMPILED {
        let mut list = Vec::new();
        for number in 0..count {
            let name = path.join(format!("etc/{parameter}-{number}"));
            let entry = |n: u64| match (parameter, number) {
                ("virtual_mailbox_maps", 0) => {
                    (format!("u{n}@test.example"), format!("test.example/u{n}/"))
                }
                _ => (format!("key{n}-{number}@{parameter}.example"), "value@test.example".into()),
            };
            compile(&name, ENTRIES.max(MAILBOXES), entry)?;
            list.push(format!("hash:{}", name.display()));
            tables += 1;
        }
        parameters.push((parameter, list));
    }
    for parameter in PATTERNS {
        let mut list = Vec::new();
        for kind in ["pcre", "regexp"] {
            let name = path.join(format!("etc/{parameter}.{kind}"));
            write(&name, &rules(parameter))?;
            list.push(format!("{kind}:{}", name.display()));
            tables += 1;
        }
        parameters.push((parameter, list));
    }
    for parameter in INLINE {
        let Some((_, list)) = parameters.iter_mut().find(|(name, _)| *name == parameter) else {
            continue;
        };
        for number in 0..3 {
            list.push(format!(
                "inline:{{ {{ in{number}@{parameter}.example = value@test.example }} }}"
            ));
            tables += 1;
        }
    }
    if tables != TABLES {
        return Err(Failure::new(format!("{tables} tables were made, and not {TABLES}")));
    }
    for (parameter, list) in parameters {
        let _ = writeln!(text, "# What is looked up.\n{parameter} =\n    {}", list.join(",\n    "));
    }
    let (mut lines, mut said) = (text.lines().count(), 0);
    for row in config::rows().filter(|row| row.status == Status::Acts) {
        let config::Default::Text(value) = row.default else { continue };
        let mentioned =
            |line: &str| line.split_once(" =").is_some_and(|(name, _)| name == row.name);
        let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !value.is_empty();
        if lines + 2 > LINES || !plain || text.lines().any(mentioned) {
            continue;
        }
        let _ = writeln!(text, "{} = {value}", row.name);
        (lines, said) = (lines + 1, said + 1);
    }
    while lines < LINES {
        let _ = writeln!(text, "# {said} parameters are as they would be without a line for them.");
        lines += 1;
    }
    Ok(text)
}

/// The user that owns nothing.
const NOBODY: u32 = 65_534;

fn compile(path: &Path, entries: u64, entry: impl Fn(u64) -> (String, String)) -> Result<()> {
    let doing = || format!("making {}", path.display());
    let mut builder = Builder::new(Format::Native, path);
    for number in 0..entries {
        let (key, value) = entry(number);
        builder.add(&key, &value, number as u32).doing(doing)?;
    }
    builder.finish().doing(doing)?;
    Ok(())
}

fn rules(parameter: &str) -> String {
    let value = if parameter.ends_with("_checks") { "WARN" } else { "smtp:" };
    (0..RULES).map(|number| format!("/^X-{parameter}: (one|two) {number}/ {value}\n")).collect()
}

fn master_cf(listen: SocketAddr, submission: SocketAddr) -> String {
    let mut text = format!(
        "{listen} inet n - n - - smtpd\n\
         {submission} inet n - n - - smtpd\n  -o syslog_name=submission\n  -o smtpd_timeout=60s\n"
    );
    let services = [
        ("pickup", "pickup"),
        ("cleanup", "cleanup"),
        ("qmgr", "qmgr"),
        ("tlsmgr", "tlsmgr"),
        ("rewrite", "trivial-rewrite"),
        ("bounce", "bounce"),
        ("defer", "bounce"),
        ("trace", "bounce"),
        ("verify", "verify"),
        ("flush", "flush"),
        ("proxymap", "proxymap"),
        ("proxywrite", "proxymap"),
        ("smtp", "smtp"),
        ("relay", "smtp"),
        ("showq", "showq"),
        ("error", "error"),
        ("retry", "error"),
        ("discard", "discard"),
        ("local", "local"),
        ("virtual", "virtual"),
        ("lmtp", "lmtp"),
        ("anvil", "anvil"),
        ("scache", "scache"),
        ("slow", "smtp"),
        ("slower", "smtp"),
        ("mailboxes", "virtual"),
        ("store", "lmtp"),
        ("refuse", "error"),
    ];
    for (name, program) in services {
        let _ = writeln!(text, "{name} unix - - n - - {program}");
    }
    text
}

/// Where mailboxes are made belongs to their owner.
fn make_mail_base(path: &Path) -> Result<()> {
    let base = path.join("mail");
    fs::create_dir_all(&base).doing(|| format!("making {}", base.display()))?;
    if geteuid().is_root() {
        std::os::unix::fs::chown(&base, Some(NOBODY), Some(NOBODY))
            .doing(|| format!("giving {} away", base.display()))?;
    }
    Ok(())
}

/// Two ports that nobody listens on now.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    let bind = || TcpListener::bind("127.0.0.1:0").doing(|| "looking for a free port");
    // Both at once, so that they differ.
    let (one, other) = (bind()?, bind()?);
    let address = |it: &TcpListener| it.local_addr().doing(|| "looking for a free port");
    Ok([address(&one)?, address(&other)?])
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_the_size_it_is_said_to_have_and_nothing_is_wrong_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::make(directory.path().join("place")).unwrap();
        let main_cf = fs::read_to_string(place.path().join("etc/main.cf")).unwrap();
        assert_eq!(main_cf.lines().count(), LINES);
        let master_cf = fs::read_to_string(place.path().join("etc/master.cf")).unwrap();
        let entries = master_cf.lines().filter(|line| !line.starts_with(' '));
        assert_eq!(entries.count(), SERVICES);
        let all = place.build().unwrap();
        assert!(all.base.warnings().is_empty(), "{:?}", all.base.warnings());
    }
}
