//! What postconf knows of a configuration: main.cf, master.cf, the parameter table, and which names are
//! somebody's.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cf::{Scope, Template};
use config::master::{self, Command, Entry, EntryError, Field};
use config::obsolete::{is_legacy, is_removed};
use config::{Machine, Row, Settings, Sources};

use super::options::Options;
use super::{Ended, definitions, warning};
use crate::{hosts, interfaces};

/// A configuration directory as postconf reads it.
pub(crate) struct Space {
    pub(crate) directory: PathBuf,
    pub(super) settings: Settings,
    pub(crate) services: Vec<ServiceSpace>,
    /// Names that someone gave a value and a value mentions.
    pub(super) user: BTreeSet<String>,
    /// Names that a value mentions and nobody knows, behind the file that mentions them.
    pub(super) undefined: BTreeSet<(&'static str, String)>,
    /// Defaults alone count.
    defaults_only: bool,
    /// The default of `mynetworks`, from when somebody first asks for it: names may have to be looked up.
    networks: OnceCell<Result<String, String>>,
    /// What the settings are read from.
    sources: Sources,
}

/// One entry of master.cf.
pub(crate) struct ServiceSpace {
    pub(crate) entry: Entry,
    /// Its `-o` parameters, the last of each name.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Of those, the ones that a value mentions.
    pub(super) user: BTreeSet<String>,
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

    /// What it is, where nobody can set that.
    fn read_only(&self, name: &str) -> Option<&str> {
        match name {
            "service_name" => Some(self.entry.field(Field::Service)),
            "process_name" => self.entry.field(Field::Command).rsplit('/').next(),
            _ => None,
        }
    }
}

/// Names that nobody can set (postfix `src/postconf/postconf_builtin.c`).
pub(super) fn is_read_only(name: &str) -> bool {
    matches!(name, "process_id" | "process_name" | "service_name")
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
            let file = path.display().to_string();
            definitions::read(&file, &text)?;
            sources = sources.main_cf(&file, &text);
            for text in &options.overrides {
                if let Err(why) = cf::split_definition(text) {
                    let why = super::no_definition(&why);
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
        let machine =
            Machine { interfaces: interfaces::read(), ..Machine::named(super::host_name()) };
        // What is wrong was said in Postfix's words.
        let (settings, _) = Settings::read(&sources, &machine);
        Ok(Self {
            directory,
            settings,
            services,
            user: BTreeSet::new(),
            undefined: BTreeSet::new(),
            defaults_only,
            networks: OnceCell::new(),
            sources,
        })
    }

    /// Whether a name is one of Postfix's, or of ringpost's own.
    pub(super) fn is_builtin(&self, name: &str) -> bool {
        self.row(name).is_some()
    }

    /// Whether the value of a name is kept as it is written.
    pub(super) fn is_raw(&self, name: &str) -> bool {
        self.row(name).is_some_and(|row| row.raw)
    }

    fn row(&self, name: &str) -> Option<&'static Row> {
        // Not that of a suffix: for that it is not enough that a service has the name.
        let known = self.settings.row(name).filter(|row| row.name == name && !is_removed(name));
        known.or_else(|| self.service_row(name))
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
        for row in config::rows().filter(|row| !is_legacy(row.name) && !is_removed(row.name)) {
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
        for name in &self.user {
            all.entry(name.clone()).or_insert(Class::User);
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
        self.set(name).map(Cow::Borrowed).or_else(|| self.default(name))
    }

    /// What main.cf or `-o` says.
    pub(crate) fn set(&self, name: &str) -> Option<&str> {
        let definition = self.settings.defined(name).filter(|_| !is_read_only(name));
        definition.map(|definition| &*definition.value)
    }

    fn default(&self, name: &str) -> Option<Cow<'_, str>> {
        let row = self.row(name)?;
        if row.name == "mynetworks" && !self.defaults_only {
            return Some(Cow::Borrowed(self.networks().as_deref().unwrap_or_default()));
        }
        Some(if self.defaults_only || self.settings.defined(name).is_some() {
            self.settings.default_of(row)
        } else {
            self.settings.raw(row)
        })
    }

    fn networks(&self) -> &Result<String, String> {
        self.networks.get_or_init(|| {
            let names: BTreeSet<String> = self.settings.host_names().into_iter().collect();
            if names.is_empty() {
                return owned(self.settings.default_networks());
            }
            let hosts = Some(hosts::look_up(names));
            let machine = Machine { hosts, ..self.settings.machine().clone() };
            owned(Settings::read(&self.sources, &machine).0.default_networks())
        })
    }

    /// An error where what was asked for so far cannot be told, as Postfix has it.
    pub(crate) fn all_told(&self) -> Result<(), Ended> {
        match self.networks.get() {
            Some(Err(why)) => Err(Ended::Fatal(why.clone())),
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
        if self.is_raw(name) || !value.contains('$') {
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
        all.filter(|one| !self.is_known(&one.name)).map(|one| (&*one.name, &*one.value)).collect()
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
    pub(crate) fn undefined(&self) -> &BTreeSet<(&'static str, String)> {
        &self.undefined
    }
}

fn owned(networks: Result<&str, &str>) -> Result<String, String> {
    networks.map(str::to_owned).map_err(str::to_owned)
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
                let line = none.problem.position.line;
                let place = |cause: &str| format!("file {file}: line {line}: {cause}");
                return Err(Ended::Fatal(match &none.why {
                    Some((why, text)) => no_entry(why, text, place),
                    None => none.problem.to_string(),
                }));
            }
            // The one thing that Postfix passes over.
            Err(none) => {
                warning(definitions::nothing_to_continue(&file, &text, none.problem.position.line));
            }
        }
    }
    Ok(services)
}

/// Postfix's words for what is no entry; `place` puts a place to one that is too short
/// (`src/postconf/postconf_master.c`).
pub(super) fn no_entry(why: &EntryError, text: &str, place: impl Fn(&str) -> String) -> String {
    match why {
        EntryError::Field { field, found } => {
            format!("invalid {field} field \"{found}\" in \"{text}\"").replace('\n', " ")
        }
        EntryError::TooFew(_) => place("bad field count"),
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
