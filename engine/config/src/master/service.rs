//! What an entry of master.cf means: a service, its limits, what runs it and what it overrides.

use std::num::NonZeroU32;
use std::time::Duration;

use cf::{Definition, Position};
use hashbrown::HashMap;

use crate::master::entry::Argument;
use crate::master::{Command, Endpoint, Entry, Field, MasterCf, Note, Ports};
use crate::{Problem, Severity};

/// A service, as one entry of master.cf makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// As it is written: what `$service_name` is, and what transports and other services are called by.
    pub name: Box<str>,
    /// How it is reached.
    pub kind: Kind,
    /// Below `private/` of the queue directory, not `public/`.
    pub private: bool,
    /// Without root's rights. Here each room has the rights it needs whatever this says.
    pub unprivileged: bool,
    /// Whether it is to see the queue directory only. Here each room sees what it needs.
    pub chroot: bool,
    /// How often it is woken up.
    pub wakeup: Wakeup,
    /// How many of it work at a time.
    pub process_limit: ProcessLimit,
    /// What it does.
    pub command: Command,
    /// How often `-v` was given.
    pub verbose: u32,
    /// `-D`
    pub debug: bool,
    /// What follows the options: the attributes of `pipe` and `spawn`.
    pub arguments: Vec<Box<str>>,
    /// The `-o` parameters, each with its line; later ones override earlier ones.
    pub overrides: Vec<Definition>,
    /// Where the entry starts.
    pub position: Position,
}

/// How a service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `inet`
    Inet(Endpoint),
    /// `unix`
    Unix,
    /// `unix-dgram`
    UnixDatagram,
    /// `fifo`; a socket here.
    Fifo,
    /// `pass`: connections are handed to it, by postscreen.
    Pass,
}

impl Kind {
    /// As it is written.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Inet(_) => "inet",
            Self::Unix => "unix",
            Self::UnixDatagram => "unix-dgram",
            Self::Fifo => "fifo",
            Self::Pass => "pass",
        }
    }
}

/// How often a service is woken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// `None`: it wakes up by being asked.
    pub every: Option<Duration>,
    /// Only once it was asked for the first time.
    pub after_first_use: bool,
}

/// How many of a service work at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessLimit {
    /// As many as `default_process_limit` says.
    #[default]
    Default,
    /// As many as there is work for.
    Unlimited,
    /// This many.
    Most(NonZeroU32),
}

impl ProcessLimit {
    /// The number, where `default` is `default_process_limit`; `None` is no limit.
    pub fn or_default(self, default: usize) -> Option<usize> {
        match self {
            Self::Default => Some(default).filter(|&default| default > 0),
            Self::Unlimited => None,
            Self::Most(limit) => Some(limit.get() as usize),
        }
    }
}

impl Service {
    /// `name/type`, by which `postconf` and messages know it.
    pub fn name_space(&self) -> String {
        format!("{}/{}", self.name, self.kind.name())
    }

    /// Where its socket is, below the queue directory; `None` for a port.
    pub fn socket(&self) -> Option<String> {
        let class = if self.private { "private" } else { "public" };
        match self.kind {
            Kind::Inet(_) => None,
            _ => Some(format!("{class}/{}", self.name)),
        }
    }

    /// Two entries with the same key are two for the same service (postfix `src/master/master_conf.c`).
    fn key(&self) -> String {
        match &self.kind {
            Kind::Inet(endpoint) => format!("inet {endpoint}"),
            other => format!("{} {}", other.name(), self.socket().unwrap_or_default()),
        }
    }
}

/// Entries on their way to services.
#[derive(Default)]
pub(super) struct Reading {
    all: Vec<Option<Service>>,
    by_key: HashMap<String, usize>,
    problems: Vec<Problem>,
    /// Who asked for a chroot, and where first.
    chroot: Vec<Box<str>>,
    chroot_at: Option<Position>,
}

impl Reading {
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn entry(&mut self, entry: &Entry, notes: &[Note], at: &Position, ports: &Ports) {
        let mut reader = EntryReader {
            entry,
            position: at,
            name: entry.name_space(),
            problems: &mut self.problems,
        };
        let Some(service) = reader.service(notes, ports) else { return };
        if service.chroot {
            self.chroot.push(service.name.clone());
            self.chroot_at.get_or_insert_with(|| at.clone());
        }
        let place = self.all.len();
        if let Some(earlier) = self.by_key.insert(service.key(), place)
            && let Some(earlier) = self.all[earlier].take()
        {
            self.problems.push(Problem::warning(
                service.position.clone(),
                &service.name_space(),
                format!("overrides the earlier entry for this service at {}", earlier.position),
            ));
        }
        self.all.push(Some(service));
    }

    pub(super) fn finish(mut self, file: &str) -> MasterCf {
        if let Some(position) = self.chroot_at.take() {
            let cause = format!(
                "y for {}: accepted, without effect: what serves the network sees only its own \
                 directories in any case",
                some_of(&self.chroot)
            );
            let problem = Problem::warning(position, "chroot", cause);
            self.problems.push(problem.with_severity(Severity::Note));
        }
        let services: Vec<Service> = self.all.into_iter().flatten().collect();
        if services.is_empty() && self.problems.is_empty() {
            let cause = "there is no service in this file, so there is nothing to do";
            self.problems.push(Problem::error(Position::new(file, 0), "", None, cause));
        }
        self.problems.sort_by_key(|problem| (problem.severity, problem.position.line));
        MasterCf { services, problems: self.problems }
    }
}

/// The first few of many names.
fn some_of(names: &[Box<str>]) -> String {
    const NAMES_MAX: usize = 5;
    let mut text = names.iter().take(NAMES_MAX).map(|name| &**name).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        text.push_str(&format!(" and {} others", names.len() - NAMES_MAX));
    }
    text
}

struct EntryReader<'a> {
    entry: &'a Entry,
    position: &'a Position,
    name: String,
    problems: &'a mut Vec<Problem>,
}

impl EntryReader<'_> {
    fn at(&self, line: u32) -> Position {
        Position { file: self.position.file.clone(), line }
    }

    fn error(&mut self, line: u32, found: Option<&str>, cause: impl Into<String>) {
        let problem = Problem::error(self.at(line), &self.name, found, cause);
        self.problems.push(problem);
    }

    fn wrong(&mut self, field: Field, cause: String) {
        let found = self.entry.field(field);
        self.error(self.entry.line(field), Some(found), format!("{field}: {cause}"));
    }

    fn say(&mut self, severity: Severity, cause: impl Into<String>) {
        let problem = Problem::warning(self.position.clone(), &self.name, cause);
        self.problems.push(problem.with_severity(severity));
    }

    /// Every mistake of an entry is reported, not only its first.
    fn service(&mut self, notes: &[Note], ports: &Ports) -> Option<Service> {
        let before = self.problems.iter().filter(|problem| problem.severity.is_error()).count();
        // An option without a definition is found again among the options.
        for note in notes.iter().filter(|note| !note.cause.is_of_definition()) {
            self.error(note.line, Some(&note.found), note.to_string());
        }
        let entry = self.entry;
        let name = entry.field(Field::Service);
        let is_yes = |field, default| match entry.field(field) {
            "y" => true,
            "n" => false,
            _ => default,
        };
        let private = is_yes(Field::Private, true);
        let kind = self.kind(name, private, ports);
        let command = Command::of(entry.field(Field::Command), name);
        let mut service = Service {
            name: name.into(),
            kind: kind.unwrap_or(Kind::Unix),
            private,
            unprivileged: is_yes(Field::Unprivileged, true),
            chroot: is_yes(Field::Chroot, false),
            wakeup: self.wakeup(),
            process_limit: self.process_limit(),
            command,
            verbose: 0,
            debug: false,
            arguments: Vec::new(),
            overrides: Vec::new(),
            position: self.position.clone(),
        };
        self.command_line(&mut service);
        self.what_is_different(&service);
        let after = self.problems.iter().filter(|problem| problem.severity.is_error()).count();
        (before == after).then_some(service)
    }

    fn kind(&mut self, name: &str, private: bool, ports: &Ports) -> Option<Kind> {
        let kind = match self.entry.field(Field::Type) {
            "inet" => {
                if private {
                    let cause = "a service of type inet cannot be private; expected n";
                    self.wrong(Field::Private, cause.to_owned());
                }
                return match Endpoint::parse(name, ports) {
                    Ok(endpoint) => Some(Kind::Inet(endpoint)),
                    Err(why) => {
                        self.wrong(Field::Service, why);
                        None
                    }
                };
            }
            "unix-dgram" => Kind::UnixDatagram,
            "fifo" => Kind::Fifo,
            "pass" => Kind::Pass,
            _ => Kind::Unix,
        };
        // The name becomes that of a socket below the queue directory.
        if name.contains('/') || name == "." || name == ".." || name.len() > 100 {
            self.wrong(Field::Service, "expected a name of a file, without \"/\"".to_owned());
            return None;
        }
        Some(kind)
    }

    fn wakeup(&mut self) -> Wakeup {
        let text = self.entry.field(Field::Wakeup);
        let (time, after_first_use) = match text.strip_suffix('?') {
            Some(time) => (time, true),
            None => (text, false),
        };
        // Postfix keeps times in a C int.
        let seconds = match time {
            "-" => 0,
            _ => match time.parse::<u64>().ok().filter(|&seconds| seconds <= i32::MAX as u64) {
                Some(seconds) => seconds,
                None => {
                    self.wrong(Field::Wakeup, format!("expected at most {}", i32::MAX));
                    0
                }
            },
        };
        let every = (seconds > 0).then(|| Duration::from_secs(seconds));
        Wakeup { every, after_first_use: after_first_use && every.is_some() }
    }

    fn process_limit(&mut self) -> ProcessLimit {
        let text = self.entry.field(Field::ProcessLimit);
        if text == "-" {
            return ProcessLimit::Default;
        }
        match text.parse::<u32>() {
            Ok(limit) => NonZeroU32::new(limit).map_or(ProcessLimit::Unlimited, ProcessLimit::Most),
            Err(_) => {
                self.wrong(Field::ProcessLimit, format!("expected at most {}", u32::MAX));
                ProcessLimit::Default
            }
        }
    }

    fn command_line(&mut self, service: &mut Service) {
        let entry = self.entry;
        for argument in entry.arguments() {
            match argument {
                Argument::Value(_, value) => match cf::split_definition(&value.text) {
                    Ok((name, text)) => service.overrides.push(Definition {
                        name: name.into(),
                        value: text.into(),
                        position: self.at(value.line),
                    }),
                    Err(_) => {
                        let cause = "expected name=value after -o";
                        self.error(value.line, Some(&value.text), cause);
                    }
                },
                Argument::Option(word) => self.option(service, &word.text, word.line),
                // It ends the options and is no argument itself (POSIX getopt).
                Argument::First(word) if &*word.text == "--" => {}
                Argument::First(word) | Argument::Plain(word) => {
                    if service.command.takes_arguments() {
                        service.arguments.push(word.text.clone());
                    } else {
                        let cause =
                            format!("{} takes options, but no arguments", service.command.name());
                        self.error(word.line, Some(&word.text), cause);
                    }
                }
            }
        }
    }

    fn option(&mut self, service: &mut Service, word: &str, line: u32) {
        for letter in word[1..].chars() {
            match letter {
                'v' => service.verbose += 1,
                'D' => service.debug = true,
                'o' => self.error(line, Some(word), "expected name=value after -o"),
                _ if matches!(service.command, Command::Unknown(_)) => {}
                _ => {
                    let cause = "expected -o name=value, -v or -D among the options";
                    return self.error(line, Some(word), cause);
                }
            }
        }
    }

    /// What is right and all the same not what happens.
    fn what_is_different(&mut self, service: &Service) {
        let command = &service.command;
        if let Command::Unknown(path) = command {
            let mut cause = format!(
                "not supported: there is no program \"{path}\" here, so this service does not run"
            );
            let known = crate::nearest::nearest(command.name(), Command::NAMES.iter().copied());
            if let Some(known) = known {
                cause.push_str(&format!("; did you mean {known}?"));
            }
            self.say(Severity::Differs, cause);
        } else if matches!(service.kind, Kind::Inet(_)) && !command.serves_network() {
            let cause = format!(
                "not supported: {command} serves this host only, so it does not listen on a port"
            );
            self.say(Severity::Differs, cause);
        }
        if service.kind == Kind::Fifo {
            self.say(Severity::Note, "accepted: the service has a socket, not a fifo");
        }
        if service.debug {
            self.say(Severity::Note, "-D: accepted, without effect: no debugger is started");
        }
    }
}
