//! Names and their unexpanded values: what is defined, and the defaults behind it.

use std::borrow::Cow;
use std::sync::LazyLock;

use cf::{Definition, ExpandError, Position, Scope, Template, TemplateError};
use hashbrown::{HashMap, HashSet};

use crate::row::{Default, Row};
use crate::source::{Machine, Origin, Sources};
use crate::typed::FromText;
use crate::{Problem, rows, service_rows};

/// All rows by name. The table never changes, so all settings share this.
static BY_NAME: LazyLock<HashMap<&'static str, &'static Row>> =
    LazyLock::new(|| rows().map(|row| (row.name, row)).collect());

/// Everything that is known about every name.
#[derive(Clone, Debug)]
pub struct Settings {
    defined: HashMap<Box<str>, (Origin, Definition)>,
    /// The services of master.cf, where they are known.
    services: Option<HashSet<Box<str>>>,
    machine: Machine,
    /// What defaults in use are made from.
    facts: Facts,
}

/// What defaults are made from that no text of main.cf's language says.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The machine's name, or the one that main.cf gives it.
    pub(crate) name: String,
    /// The networks of `mynetworks_style`; or why nobody can tell.
    pub(crate) networks: Result<String, String>,
}

/// Why a value has no expansion.
#[derive(Clone, Debug)]
pub(crate) enum ValueError {
    Template(TemplateError),
    Expand(ExpandError),
}

impl ValueError {
    /// What was compared as a release is none.
    pub(crate) fn is_bad_level(&self) -> bool {
        matches!(self, Self::Expand(ExpandError::BadLevel(_)))
    }
}

impl std::fmt::Display for ValueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Expand(error) => error.fmt(f),
        }
    }
}

impl Settings {
    /// The last definition of each name counts; a name defined twice in one source is a warning.
    pub(crate) fn new(sources: &Sources, machine: &Machine, warnings: &mut Vec<Problem>) -> Self {
        let mut defined: HashMap<Box<str>, (Origin, Definition)> = HashMap::new();
        for (origin, definition) in &sources.definitions {
            let last = (*origin, definition.clone());
            if let Some((earlier_origin, earlier)) = defined.insert(definition.name.clone(), last)
                && earlier_origin == *origin
                // As Postfix does it: to say the same twice does no harm (src/util/dict.c).
                && earlier.value != definition.value
            {
                warnings.push(Problem::warning(
                    definition.position.clone(),
                    &definition.name,
                    format!("overrides the earlier definition at {}", earlier.position),
                ));
            }
        }
        let mut name = machine.name.clone();
        // mydomain follows from the name in use (postfix src/global/mail_params.c). A name that is
        // itself made of $mydomain cannot tell it; the machine's own name then does.
        if let Some((_, definition)) = defined.get("myhostname")
            && !definition.value.contains('$')
        {
            name = definition.value.to_string();
        } else if !defined.contains_key("myhostname")
            && !machine.name.contains('.')
            && let Some((_, domain)) = defined.get("mydomain")
            && !domain.value.contains('$')
        {
            // And the other way round, where the machine's name is no whole one.
            let short = if name.is_empty() { "localhost" } else { &name };
            name = format!("{short}.{}", domain.value);
        }
        // What they are made of may not be made of them.
        let facts = Facts { name, networks: Ok(String::new()) };
        let (services, machine) = (sources.services.clone(), machine.clone());
        let mut settings = Self { defined, services, machine, facts };
        settings.facts.networks = settings.networks();
        settings
    }

    /// The values alone, for commands that need a few of them and no table opened; and what is wrong with
    /// the lines they are read from.
    pub fn read(sources: &Sources, machine: &Machine) -> (Self, Vec<Problem>) {
        let mut problems = sources.problems.clone();
        let settings = Self::new(sources, machine, &mut problems);
        (settings, problems)
    }

    /// The expanded value of a parameter; the error says what is wrong with it.
    pub fn text(&self, name: &str) -> Result<String, String> {
        let row = self.row(name).ok_or_else(|| format!("{name}: no such parameter"))?;
        self.expanded(name, row, false).map_err(|why| self.complaint(name, &why.to_string()))
    }

    /// The value of a parameter of one service in master.cf, such as `_destination_concurrency_limit`
    /// of `relay`: its own, or else the one for all services.
    pub fn of_service<T: FromText>(&self, service: &str, suffix: &str) -> Result<T, String> {
        let name = format!("{service}{suffix}");
        // A few services have a row of their own for some of these, with another default.
        let row = BY_NAME.get(name.as_str()).copied();
        let row = row
            .or_else(|| service_rows().find(|row| row.name == suffix))
            .ok_or_else(|| format!("{name}: no such parameter"))?;
        self.typed(&name, row)
    }

    /// The value of a parameter that is read before there is a snapshot.
    pub(crate) fn value<T: FromText>(&self, name: &str) -> Result<T, String> {
        let row = self.row(name).ok_or_else(|| format!("{name}: no such parameter"))?;
        self.typed(name, row)
    }

    fn typed<T: FromText>(&self, name: &str, row: &Row) -> Result<T, String> {
        let text = self
            .expanded(name, row, false)
            .map_err(|why| self.complaint(name, &why.to_string()))?;
        T::from_text(&text, row).map_err(|allowed| {
            self.complaint(name, &format!("found \"{text}\", expected {allowed}"))
        })
    }

    fn complaint(&self, name: &str, why: &str) -> String {
        format!("{}: {name}: {why}", self.position(name))
    }

    /// The definition of a name that counts.
    pub fn defined(&self, name: &str) -> Option<&Definition> {
        self.defined.get(name).map(|(_, definition)| definition)
    }

    /// Where the definition that counts is from.
    pub fn origin(&self, name: &str) -> Option<Origin> {
        self.defined.get(name).map(|(origin, _)| *origin)
    }

    /// All definitions that count, in no order.
    pub fn all_defined(&self) -> impl Iterator<Item = &Definition> {
        self.defined.values().map(|(_, definition)| definition)
    }

    /// The row of a name. Parameters of services have the row of their suffix.
    pub fn row(&self, name: &str) -> Option<&'static Row> {
        BY_NAME.get(name).copied().or_else(|| {
            service_rows().find(|row| {
                name.strip_suffix(row.name).is_some_and(|service| self.has_service(service))
            })
        })
    }

    /// The service that a name would belong to if it were in master.cf; `None` where no service has
    /// such a parameter.
    pub(crate) fn missing_service<'a>(&self, name: &'a str) -> Option<&'a str> {
        let service = |row: &Row| name.strip_suffix(row.name).filter(|service| !service.is_empty());
        // Of suffixes that end alike, the longest leaves the name that was meant.
        service_rows().filter_map(service).min_by_key(|service| service.len())
    }

    fn has_service(&self, service: &str) -> bool {
        match &self.services {
            Some(services) => services.contains(service),
            None => !service.is_empty(),
        }
    }

    /// The default of a row where nothing at all is configured, unexpanded.
    pub fn default_of(&self, row: &Row) -> Cow<'static, str> {
        match row.default {
            Default::Text(text) => Cow::Borrowed(text),
            Default::Machine(_) => {
                let undefined = Self::new(&Sources::new(), &self.machine, &mut Vec::new());
                default(row, &undefined.facts)
            }
        }
    }

    /// What the machine says about itself.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The networks that `mynetworks` has where it is not set; or why nobody can tell.
    pub fn default_networks(&self) -> Result<&str, &str> {
        self.facts.networks.as_deref().map_err(String::as_str)
    }

    /// Where a row's value is written.
    pub(crate) fn position(&self, name: &str) -> Position {
        self.defined(name)
            .map_or_else(|| Position::new("default", 0), |definition| definition.position.clone())
    }

    /// The unexpanded value of a row.
    pub fn raw(&self, row: &Row) -> Cow<'_, str> {
        self.raw_of(row.name, row)
    }

    /// The unexpanded value of a name, which is that of its row or ends in it.
    pub(crate) fn raw_of(&self, name: &str, row: &Row) -> Cow<'_, str> {
        match self.defined(name) {
            Some(definition) => Cow::Borrowed(&definition.value),
            None => default(row, &self.facts),
        }
    }

    /// The expanded value of a name, with `$stress` set or not.
    pub(crate) fn expanded(
        &self,
        name: &str,
        row: &Row,
        stress: bool,
    ) -> Result<String, ValueError> {
        let raw = self.raw_of(name, row);
        if row.raw { Ok(raw.into_owned()) } else { self.expand(name, raw, stress) }
    }

    /// What the value of a name would be if nothing defined it, and everything else were as it is.
    pub(crate) fn expanded_default(&self, name: &str, row: &Row) -> Result<String, ValueError> {
        let default = default(row, &self.facts);
        if row.raw { Ok(default.into_owned()) } else { self.expand(name, default, false) }
    }

    fn expand(&self, name: &str, raw: Cow<'_, str>, stress: bool) -> Result<String, ValueError> {
        if !raw.contains('$') {
            return Ok(raw.into_owned());
        }
        let template = Template::parse(&raw).map_err(ValueError::Template)?;
        template.expand(name, &Under { settings: self, stress }).map_err(ValueError::Expand)
    }
}

fn default(row: &Row, facts: &Facts) -> Cow<'static, str> {
    match row.default {
        Default::Text(text) => Cow::Borrowed(text),
        Default::Machine(found_out) => Cow::Owned(found_out(facts)),
    }
}

/// The scope of `$name` while a value is expanded.
struct Under<'a> {
    settings: &'a Settings,
    stress: bool,
}

impl Scope for Under<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        if name == "stress" && self.stress {
            return Some(Cow::Borrowed("yes"));
        }
        if let Some(definition) = self.settings.defined(name) {
            return Some(Cow::Borrowed(&definition.value));
        }
        self.settings.row(name).map(|row| default(row, &self.settings.facts))
    }

    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>> {
        call(function, argument)
    }
}

/// Applies `${function{argument}}`; `None` where there is no such function. Those that Postfix registers
/// (src/util/mac_midna.c); what needs no conversion stays as it is, whatever it is.
pub fn call(function: &str, argument: &str) -> Option<Result<String, String>> {
    let bad = |form| format!("\"{argument}\" is no domain name that has {form} form");
    match function {
        "domain_to_ascii" => Some(
            mail::domain::to_ascii(argument).map(Cow::into_owned).ok_or_else(|| bad("an ASCII")),
        ),
        "domain_to_utf8" if argument.is_ascii() && !mail::domain::is_host_name(argument) => {
            Some(Err(bad("a Unicode")))
        }
        "domain_to_utf8" => Some(Ok(mail::domain::to_unicode(argument).into_owned())),
        _ => None,
    }
}
