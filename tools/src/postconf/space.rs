//! What postconf knows of a configuration: main.cf, master.cf, the parameter table, and which names are
//! somebody's.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cf::{Scope, Template};
use config::master::{self, Command, Entry, EntryError, Field, NoEntry};
use config::{Machine, Row, Settings, Sources};

use super::options::Options;
use super::{Ended, databases, warning};
use crate::interfaces;

/// A configuration directory as postconf reads it.
pub(crate) struct Space {
    pub(crate) directory: PathBuf,
    settings: Settings,
    pub(crate) services: Vec<ServiceSpace>,
    /// Names that someone gave a value and a value mentions.
    user: BTreeSet<String>,
    /// Names that a value mentions and nobody knows: where.
    undefined: Vec<(&'static str, String)>,
    /// Defaults alone count.
    defaults_only: bool,
    /// Somebody asked for the networks that nobody can tell.
    networks_missed: Cell<bool>,
}

/// One entry of master.cf.
pub(crate) struct ServiceSpace {
    pub(crate) entry: Entry,
    /// Its `-o` parameters, the last of each name.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Of those, the ones that a value mentions.
    user: BTreeSet<String>,
}

impl ServiceSpace {
    fn new(entry: Entry) -> Self {
        let parameters = entry
            .overrides()
            .filter_map(|text| cf::split_definition(text).ok())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { entry, parameters, user: BTreeSet::new() }
    }

    /// Names that nobody can set.
    fn read_only(&self, name: &str) -> Option<&str> {
        match name {
            "service_name" => Some(self.entry.field(Field::Service)),
            "process_name" => self.entry.field(Field::Command).rsplit('/').next(),
            _ => None,
        }
    }
}

/// What kind of name it is: `-C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Builtin,
    Service,
    User,
}

impl Space {
    /// Reads the directory. With `defaults_only`, main.cf may be missing and does not count.
    pub(crate) fn read(
        options: &Options,
        defaults_only: bool,
        master_wanted: bool,
    ) -> Result<Self, Ended> {
        let directory = super::directory(options);
        let mut sources = Sources::new();
        if !defaults_only {
            let path = directory.join("main.cf");
            let text = std::fs::read(&path).map_err(|error| cannot_open(&path, &error))?;
            sources = sources.main_cf(&path.display().to_string(), &text);
            for text in &options.overrides {
                if let Err(why) = cf::split_definition(text) {
                    let why = super::split_error(&why, text);
                    return Err(Ended::Fatal(format!("invalid parameter override: {text}: {why}")));
                }
            }
            // Postfix sets this one itself, so -n lists it.
            let place = format!("config_directory={}", directory.display());
            let own = std::iter::once(place.as_str());
            sources = sources.overrides(own.chain(options.overrides.iter().map(String::as_str)));
        }
        let services = services(&directory, master_wanted)?;
        let names = services.iter().map(|one| one.entry.field(Field::Service));
        let sources = sources.services(names);
        let machine = Machine { name: super::host_name(), interfaces: interfaces::read() };
        let (settings, problems) = Settings::read(&sources, &machine);
        for problem in &problems {
            warning(problem);
        }
        let mut space = Self {
            directory,
            settings,
            services,
            user: BTreeSet::new(),
            undefined: Vec::new(),
            defaults_only,
            networks_missed: Cell::new(false),
        };
        if !defaults_only {
            space.warn_of_read_only();
            space.find_users()?;
        }
        Ok(space)
    }

    /// What nobody can set (postfix `src/postconf/postconf_builtin.c`).
    fn warn_of_read_only(&self) {
        let file = self.directory.join("main.cf");
        for name in ["process_name", "process_id"] {
            if let Some(value) = self.set(name) {
                let file = file.display();
                warning(format_args!("{file}: read-only parameter assignment: {name}={value}"));
            }
        }
    }

    /// Which names of no row are someone's, because a value mentions them (postfix
    /// `src/postconf/postconf_user.c`).
    fn find_users(&mut self) -> Result<(), Ended> {
        let mut mentions: Vec<(Option<usize>, String)> = Vec::new();
        let scopes = std::iter::once(None).chain(self.services.iter().enumerate().map(Some));
        for scope in scopes {
            let place = scope.map(|(place, _)| place);
            let service = scope.map(|(_, service)| service);
            let values: Vec<(&str, &str)> = match service {
                None => {
                    let all = self.settings.all_defined();
                    all.map(|one| (&*one.name, &*one.value)).collect()
                }
                Some(service) => {
                    let all = service.parameters.iter();
                    all.map(|(name, value)| (name.as_str(), value.as_str())).collect()
                }
            };
            for (name, value) in values {
                mentioned(value, |name| mentions.push((place, name)));
                if name == "smtpd_restriction_classes" {
                    let classes = self.expanded(name, value, service)?;
                    mentions.extend(cf::items(&classes).map(|name| (place, name.to_owned())));
                }
                if value.contains([':', '$']) && self.is_builtin(name) {
                    let value = self.expanded(name, value, service).unwrap_or_default();
                    for (kind, table) in databases::tables(&value) {
                        mentions.extend(self.of_table(kind, table).map(|name| (place, name)));
                    }
                }
            }
        }
        mentions.sort();
        mentions.dedup();
        for (place, name) in mentions {
            let mut known = self.is_builtin(&name) || name == "stress";
            // What a service says itself is not main.cf's.
            let is_own = place.is_some_and(|at| self.services[at].parameters.contains_key(&name));
            if !is_own && self.settings.defined(&name).is_some() {
                known = true;
                self.user.insert(name.clone());
            }
            for (number, service) in self.services.iter_mut().enumerate() {
                let in_scope = place.is_none() || place == Some(number);
                if in_scope && service.parameters.contains_key(&name) {
                    known = true;
                    service.user.insert(name.clone());
                }
                known |= place == Some(number) && service.read_only(&name).is_some();
            }
            if !known {
                let file = if place.is_some() { "master.cf" } else { "main.cf" };
                self.undefined.push((file, name));
            }
        }
        self.undefined.dedup();
        Ok(())
    }

    /// The parameters of main.cf that say where a table is, under names that start with the table's.
    /// A table with a file of its own has none here, and the file is looked through instead.
    fn of_table<'a>(
        &'a self,
        kind: &'static str,
        table: &'a str,
    ) -> impl Iterator<Item = String> + 'a {
        let is_file = table.starts_with(['/', '.']);
        if is_file {
            for line in databases::unknown_in_file(kind, table) {
                warning(line);
            }
        }
        let suffixes = if is_file { &[] } else { databases::suffixes(kind) };
        let names = suffixes.iter().map(move |suffix| format!("{table}_{suffix}"));
        names.filter(|name| self.set(name).is_some())
    }

    fn is_builtin(&self, name: &str) -> bool {
        self.settings.row(name).is_some() || self.service_row(name).is_some()
    }

    /// The row of a parameter of a service of the right kind.
    fn service_row(&self, name: &str) -> Option<&'static Row> {
        config::service_rows().find(|row| {
            name.strip_suffix(row.name).is_some_and(|service| self.has_parameter(service, row.name))
        })
    }

    fn has_parameter(&self, service: &str, suffix: &str) -> bool {
        self.services
            .iter()
            .any(|one| one.entry.field(Field::Service) == service && belongs(&one.entry, suffix))
    }

    /// All names with their classes, in the order of the alphabet.
    pub(crate) fn names(&self) -> BTreeMap<String, Class> {
        let mut all = BTreeMap::new();
        for name in &self.user {
            all.insert(name.clone(), Class::User);
        }
        for row in config::rows() {
            all.insert(row.name.to_owned(), Class::Builtin);
        }
        for service in &self.services {
            for row in config::service_rows() {
                let name = service.entry.field(Field::Service);
                if self.has_parameter(name, row.name) {
                    all.insert(format!("{name}{}", row.name), Class::Service);
                }
            }
        }
        all
    }

    /// Whether postconf knows a name.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.user.contains(name) || self.is_builtin(name)
    }

    /// What is written for a name: by the service, in main.cf, or else the default.
    pub(crate) fn value(&self, name: &str, service: Option<&ServiceSpace>) -> Option<Cow<'_, str>> {
        match name {
            "process_name" if service.is_none() => return Some(Cow::Borrowed("postconf")),
            "process_id" => return Some(Cow::Owned(std::process::id().to_string())),
            _ => {}
        }
        if self.defaults_only {
            return self.default(name);
        }
        if let Some(service) = service {
            let own = service
                .read_only(name)
                .or_else(|| service.parameters.get(name).map(String::as_str));
            if let Some(value) = own {
                return Some(Cow::Owned(value.to_owned()));
            }
        }
        match self.settings.defined(name) {
            Some(definition) => Some(Cow::Borrowed(&*definition.value)),
            None => self.default(name),
        }
    }

    /// What main.cf or `-o` says.
    pub(crate) fn set(&self, name: &str) -> Option<&str> {
        self.settings.defined(name).map(|definition| &*definition.value)
    }

    fn default(&self, name: &str) -> Option<Cow<'_, str>> {
        let row = self.settings.row(name).or_else(|| self.service_row(name))?;
        if row.name == "mynetworks" && self.settings.networks_unknown().is_some() {
            self.networks_missed.set(true);
        }
        Some(if self.defaults_only || self.settings.defined(name).is_some() {
            self.settings.default_of(row)
        } else {
            self.settings.raw(row)
        })
    }

    /// An error where what was asked for so far cannot be told, as Postfix has it.
    pub(crate) fn all_told(&self) -> Result<(), Ended> {
        match self.settings.networks_unknown() {
            Some(why) if self.networks_missed.get() => Err(Ended::Fatal(why.to_owned())),
            _ => Ok(()),
        }
    }

    /// `-x`: a value with its names replaced.
    pub(crate) fn expanded(
        &self,
        name: &str,
        value: &str,
        service: Option<&ServiceSpace>,
    ) -> Result<String, Ended> {
        let is_raw = self.settings.row(name).is_some_and(|row| row.raw);
        if is_raw || !value.contains('$') {
            return Ok(value.to_owned());
        }
        let failed = |why: &dyn std::fmt::Display| Ended::Fatal(format!("{name}: {why}"));
        let template = Template::parse(value).map_err(|why| failed(&why))?;
        let value = template.expand(name, &Names { space: self, service });
        self.all_told()?;
        value.map_err(|why| failed(&why))
    }

    /// The expanded value of a parameter; empty where there is none of this name.
    pub(crate) fn text(&self, name: &str) -> Result<String, Ended> {
        let value = self.value(name, None).unwrap_or_default();
        self.expanded(name, &value, None)
    }

    /// Definitions of main.cf that nobody uses.
    pub(crate) fn unused_in_main(&self) -> BTreeMap<&str, &str> {
        let all = self.settings.all_defined();
        all.filter(|one| !self.is_known(&one.name) && &*one.name != "stress")
            .map(|one| (&*one.name, &*one.value))
            .collect()
    }

    /// Parameters of a service that nobody uses.
    pub(crate) fn unused_in<'a>(&self, service: &'a ServiceSpace) -> BTreeMap<&'a str, &'a str> {
        let all = service.parameters.iter();
        all.filter(|(name, _)| !service.user.contains(*name) && !self.is_known(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// What main.cf defines, by name.
    pub(crate) fn defined(&self) -> BTreeSet<&str> {
        self.settings.all_defined().map(|definition| &*definition.name).collect()
    }

    /// Names that a value mentions and nobody knows, and the file that mentions them.
    pub(crate) fn undefined(&self) -> &[(&'static str, String)] {
        &self.undefined
    }
}

struct Names<'a> {
    space: &'a Space,
    service: Option<&'a ServiceSpace>,
}

impl Scope for Names<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.space.value(name, self.service)
    }

    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>> {
        config::call(function, argument)
    }
}

/// Entries of master.cf; without the file those that hold then.
fn services(directory: &Path, wanted: bool) -> Result<Vec<ServiceSpace>, Ended> {
    let path = directory.join("master.cf");
    let file = path.display().to_string();
    let (file, text) = match std::fs::read(&path) {
        Ok(text) => (file, text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            ("built-in master.cf".to_owned(), master::STOCK_TEXT.as_bytes().to_vec())
        }
        Err(error) if wanted => return Err(cannot_open(&path, &error)),
        Err(error) => {
            warning(format_args!("open {file}: {}", super::plain(&error)));
            return Ok(Vec::new());
        }
    };
    let mut services = Vec::new();
    for written in master::entries(&file, &text) {
        match written {
            Ok(written) => {
                for note in &written.notes {
                    warning(format_args!("master.cf: {note}"));
                }
                services.push(ServiceSpace::new(written.entry));
            }
            Err(none) if none.problem.severity.is_error() => {
                return Err(Ended::Fatal(no_entry(none)));
            }
            Err(none) => warning(none.problem),
        }
    }
    Ok(services)
}

/// Postfix's words for a line that is no entry (`src/postconf/postconf_master.c`).
fn no_entry(none: NoEntry) -> String {
    match none.why {
        Some((EntryError::Field { field, found }, text)) => {
            format!("invalid {field} field \"{found}\" in \"{text}\"")
        }
        Some((EntryError::TooFew(_), _)) => {
            let position = none.problem.position;
            format!("file {}: line {}: bad field count", position.file, position.line)
        }
        None => none.problem.to_string(),
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Ended {
    Ended::Fatal(format!("open {}: {}", path.display(), super::plain(error)))
}

/// Which services have which parameters (postfix `src/postconf/postconf_service.c`).
fn belongs(entry: &Entry, suffix: &str) -> bool {
    let command = Command::of(entry.field(Field::Command), entry.field(Field::Service));
    match suffix {
        "_time_limit" => matches!(command, Command::Pipe | Command::Spawn),
        _ => command.is_transport(),
    }
}

fn mentioned(value: &str, mut take: impl FnMut(String)) {
    if let Ok(template) = Template::parse(value) {
        template.names(&mut |name| take(name.to_owned()));
    }
}
