//! `$name` in the text: parameters of main.cf, and two times that are counted in another unit.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Write};

use cf::Scope;

use crate::template::{Kind, Template, Templates};

/// What is asked for while a template is expanded.
pub trait Values {
    /// A parameter as it is written; `None` where there is none.
    fn parameter(&self, name: &str) -> Option<Cow<'_, str>>;

    /// `delay_warning_time`, in seconds.
    fn delay_warning_time(&self) -> u64;

    /// `maximal_queue_lifetime`, in seconds.
    fn maximal_queue_lifetime(&self) -> u64;

    /// `smtputf8_enable`: names of hosts are shown in UTF-8.
    fn is_utf8(&self) -> bool;
}

/// A text to send, and what the admin should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// Lines with their ends.
    pub text: String,
    /// Times in a unit that suits them badly.
    pub notes: Vec<String>,
}

/// Why a template has no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// `$` without a name, or brackets that do not pair.
    Syntax {
        /// Where the template is from, its kind, and the line.
        origin: Box<str>,
        /// See above.
        kind: Kind,
        /// See above.
        line: Box<str>,
    },
    /// A name that no parameter has.
    Undefined {
        /// Where the template is from, its kind, and the line.
        origin: Box<str>,
        /// See above.
        kind: Kind,
        /// See above.
        line: Box<str>,
    },
    /// A unit that there is not.
    Suffix {
        /// Where the template is from.
        origin: Box<str>,
        /// What stands where the unit should.
        suffix: Box<str>,
        /// The whole name.
        name: Box<str>,
    },
    /// The value of a parameter cannot be expanded.
    Value {
        /// Where the template is from.
        origin: Box<str>,
        /// Why.
        cause: String,
    },
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { origin, kind, line } => {
                write!(f, "{origin}: bad $name syntax in {} template: {line}", kind.name())
            }
            Self::Undefined { origin, kind, line } => {
                write!(f, "{origin}: undefined $name in {} template: {line}", kind.name())
            }
            Self::Suffix { origin, suffix, name } => write!(
                f,
                "{origin}: unrecognized suffix \"{suffix}\" in parameter \"{name}\"; expected \
                 seconds, minutes, hours, days or weeks"
            ),
            Self::Value { origin, cause } => write!(f, "{origin}: {cause}"),
        }
    }
}

impl std::error::Error for ExpandError {}

const UNITS: [(&str, u64); 5] =
    [("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400), ("weeks", 604_800)];

impl Template {
    /// The text with all its names replaced.
    pub fn expand(&self, values: &dyn Values) -> Result<Expanded, ExpandError> {
        let names = Names { template: self, values, said: RefCell::default() };
        let mut text = String::new();
        for line in &self.lines {
            let (origin, kind) = (self.origin.clone(), self.kind);
            let parsed = cf::Template::parse(line).map_err(|_| ExpandError::Syntax {
                origin: origin.clone(),
                kind,
                line: line.clone(),
            })?;
            let expanded = parsed.expand("", &names);
            let said = names.said.take();
            if let Some(error) = said.error {
                return Err(error);
            }
            if said.undefined {
                return Err(ExpandError::Undefined { origin, kind, line: line.clone() });
            }
            let line =
                expanded.map_err(|why| ExpandError::Value { origin, cause: why.to_string() })?;
            names.said.borrow_mut().notes = said.notes;
            // What a parameter holds must not become a header or a part of the report.
            text.extend(line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }));
            text.push('\n');
        }
        Ok(Expanded { text, notes: names.said.take().notes })
    }
}

impl Templates {
    /// `postconf -b`: the texts of all, with the notes on them.
    pub fn print_expanded(&self, values: &dyn Values) -> Result<Expanded, ExpandError> {
        let mut all = Expanded { text: String::new(), notes: Vec::new() };
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            let one = self.get(kind).expand(values)?;
            let between = if place > 0 { "\n" } else { "" };
            // A String takes everything.
            let _ = write!(
                all.text,
                "{between}expanded_{}_text = <<EOF\n{}EOF\n",
                kind.name(),
                one.text
            );
            all.notes.extend(one.notes);
        }
        Ok(all)
    }
}

struct Names<'a> {
    template: &'a Template,
    values: &'a dyn Values,
    said: RefCell<Said>,
}

#[derive(Default)]
struct Said {
    undefined: bool,
    error: Option<ExpandError>,
    notes: Vec<String>,
}

impl Names<'_> {
    /// A time in a unit; `None` where the name is no such time.
    fn time(&self, name: &str) -> Option<String> {
        let times = [
            ("delay_warning_time_", self.values.delay_warning_time()),
            ("maximal_queue_lifetime_", self.values.maximal_queue_lifetime()),
        ];
        let (suffix, seconds) =
            times.into_iter().find_map(|(time, value)| Some((name.strip_prefix(time)?, value)))?;
        let origin = &self.template.origin;
        let mut said = self.said.borrow_mut();
        let Some((unit, divisor)) = UNITS.into_iter().find(|(unit, _)| *unit == suffix) else {
            said.error = Some(ExpandError::Suffix {
                origin: origin.clone(),
                suffix: suffix.into(),
                name: name.into(),
            });
            return Some(String::new());
        };
        let result = seconds / divisor;
        let kind = self.template.kind.name();
        if result > 999 && divisor < 86_400 {
            said.notes.push(format!(
                "{origin}: excessive result \"{result}\" in {kind} template conversion of parameter \
                 \"{name}\"; please increase time unit \"{unit}\""
            ));
        } else if result == 0 && seconds > 0 && divisor > 1 {
            said.notes.push(format!(
                "{origin}: zero result in {kind} template conversion of parameter \"{name}\"; please \
                 reduce time unit \"{unit}\""
            ));
        }
        Some(result.to_string())
    }
}

impl Scope for Names<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(time) = self.time(name) {
            return Some(Cow::Owned(time));
        }
        let value = self.values.parameter(name);
        match value {
            None => {
                self.said.borrow_mut().undefined = true;
                None
            }
            Some(value) if self.values.is_utf8() && matches!(name, "myhostname" | "mydomain") => {
                Some(Cow::Owned(mail::domain::to_unicode(&value).into_owned()))
            }
            value => value,
        }
    }

    fn call(&self, _: &str, _: &str) -> Option<Result<String, String>> {
        None
    }
}
