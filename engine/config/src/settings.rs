//! Names and their unexpanded values: what is defined, and the defaults behind it.

use std::borrow::Cow;

use cf::{Definition, ExpandError, Position, Scope, Template, TemplateError};
use hashbrown::HashMap;

use crate::row::{Default, Row};
use crate::source::{Machine, Origin, Sources};
use crate::{Problem, rows};

/// Everything that is known about every name.
#[derive(Clone, Debug)]
pub struct Settings {
    defined: HashMap<Box<str>, (Origin, Definition)>,
    rows: HashMap<&'static str, &'static Row>,
    machine: Machine,
    /// The machine under the name that main.cf gives it; what defaults in use are made from.
    named: Machine,
}

/// Why a value has no expansion.
#[derive(Clone, Debug)]
pub(crate) enum ValueError {
    Template(TemplateError),
    Expand(ExpandError),
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
            {
                warnings.push(Problem::warning(
                    definition.position.clone(),
                    &definition.name,
                    format!("overrides the earlier definition at {}", earlier.position),
                ));
            }
        }
        let rows = rows().map(|row| (row.name, row)).collect();
        let mut named = machine.clone();
        // mydomain follows from the name in use (postfix src/global/mail_params.c). A name that is
        // itself made of $mydomain cannot tell it; the machine's own name then does.
        if let Some((_, definition)) = defined.get("myhostname")
            && !definition.value.contains('$')
        {
            named.name = definition.value.to_string();
        }
        Self { defined, rows, machine: machine.clone(), named }
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
        self.expanded(row, false).map_err(|why| format!("{}: {name}: {why}", self.position(name)))
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

    /// The row of a name.
    pub fn row(&self, name: &str) -> Option<&'static Row> {
        self.rows.get(name).copied()
    }

    /// The default of a row where nothing at all is configured, unexpanded.
    pub fn default_of(&self, row: &Row) -> Cow<'static, str> {
        default(row, &self.machine)
    }

    /// Where a row's value is written.
    pub(crate) fn position(&self, name: &str) -> Position {
        self.defined(name)
            .map_or_else(|| Position::new("default", 0), |definition| definition.position.clone())
    }

    /// The unexpanded value of a row.
    pub fn raw(&self, row: &Row) -> Cow<'_, str> {
        match self.defined(row.name) {
            Some(definition) => Cow::Borrowed(&definition.value),
            None => default(row, &self.named),
        }
    }

    /// The expanded value of a row, with `$stress` set or not.
    pub(crate) fn expanded(&self, row: &Row, stress: bool) -> Result<String, ValueError> {
        let raw = self.raw(row);
        if !raw.contains('$') {
            return Ok(raw.into_owned());
        }
        let template = Template::parse(&raw).map_err(ValueError::Template)?;
        template.expand(row.name, &Under { settings: self, stress }).map_err(ValueError::Expand)
    }
}

fn default(row: &Row, machine: &Machine) -> Cow<'static, str> {
    match row.default {
        Default::Text(text) => Cow::Borrowed(text),
        Default::Machine(found_out) => Cow::Owned(found_out(machine)),
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
        self.settings.row(name).map(|row| default(row, &self.settings.named))
    }

    /// Postfix registers one function (src/global/mail_conf.c). ASCII names are all that it is given
    /// in practice; the others wait for IDNA, and say so.
    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>> {
        (function == "domain_to_ascii").then(|| {
            if argument.is_ascii() {
                Ok(argument.to_ascii_lowercase())
            } else {
                Err(format!("\"{argument}\" is not ASCII; write its xn-- form"))
            }
        })
    }
}
