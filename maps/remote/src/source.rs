//! The configuration file of one table: `mysql:/etc/ringpost/users.cf`.
//!
//! main.cf syntax without `$`-expansion, as Postfix reads it. Each parameter is asked for by the type
//! that knows it; what nobody asked for is noted with its line, because a misspelt `domain` would go
//! unnoticed until the database does.

use std::cell::RefCell;
use std::time::Duration;

use cf::{Definition, Definitions, Position, Range, Unit};
use table::{MatchList, Note, Opening};

use crate::tls::{Check, Files, Named, Tls};

/// A configuration file, read.
pub(crate) struct Source<'a> {
    opening: &'a Opening<'a>,
    file: &'a str,
    definitions: Definitions,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Source<'a> {
    /// Reads the file that the table is named after.
    pub(crate) fn read(opening: &'a Opening<'a>, file: &'a str) -> Result<Self, String> {
        if !file.starts_with(['/', '.']) {
            return Err(format!(
                "\"{file}\" is no path; parameters {file}_* in main.cf are not supported, put them \
                 into a file of their own"
            ));
        }
        let definitions = cf::parse(file, &opening.read(file)?);
        if let Some(problem) = definitions.problems.first() {
            return Err(problem.to_string());
        }
        Ok(Self { opening, file, definitions, asked: RefCell::default() })
    }

    fn find(&self, name: &'static str) -> Option<&Definition> {
        self.asked.borrow_mut().push(name);
        self.definitions.last(name)
    }

    /// Where a parameter is set; the file alone where it is not.
    pub(crate) fn place(&self, name: &str) -> Position {
        match self.definitions.last(name) {
            Some(definition) => definition.position.clone(),
            None => Position::new(self.file, 0),
        }
    }

    /// An error about a parameter, with its place.
    pub(crate) fn wrong(&self, name: &str, why: impl std::fmt::Display) -> String {
        format!("{}: {name}: {why}", self.place(name))
    }

    /// A value; empty ones are none.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.find(name).map(|it| &*it.value).filter(|value| !value.is_empty())
    }

    /// A value or its default.
    pub(crate) fn text_or<'s>(&'s self, name: &'static str, default: &'s str) -> &'s str {
        self.text(name).unwrap_or(default)
    }

    /// A value that the table cannot do without.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, String> {
        self.text(name).ok_or_else(|| format!("{}: {name} is not set", self.file))
    }

    /// Items parted by white space and commas.
    pub(crate) fn items(&self, name: &'static str) -> Vec<&str> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let text = self.text(name).unwrap_or_default();
        text.split(is_separator).filter(|item| !item.is_empty()).collect()
    }

    /// A whole number.
    pub(crate) fn number(
        &self,
        name: &'static str,
        default: u64,
        min: u64,
        max: u64,
    ) -> Result<u64, String> {
        let Some(text) = self.text(name) else { return Ok(default) };
        cf::number(text, Range { min, max })
            .map_err(|allowed| self.wrong(name, format_args!("\"{text}\": expected {allowed}")))
    }

    /// A whole number that counts things in memory.
    pub(crate) fn count(
        &self,
        name: &'static str,
        default: usize,
        min: u64,
        max: u64,
    ) -> Result<usize, String> {
        // A default that were not a u64 would be no default of ours.
        let default = u64::try_from(default).unwrap_or(u64::MAX);
        self.number(name, default, min, max).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
    }

    /// A time; without a unit it is in seconds, as in Postfix.
    pub(crate) fn time(
        &self,
        name: &'static str,
        default: Duration,
        min: u64,
        max: u64,
    ) -> Result<Duration, String> {
        let Some(text) = self.text(name) else { return Ok(default) };
        cf::seconds(text, Unit::Second, Range { min, max })
            .map(Duration::from_secs)
            .map_err(|allowed| self.wrong(name, format_args!("\"{text}\": expected {allowed}")))
    }

    /// `yes` or `no`.
    pub(crate) fn boolean(&self, name: &'static str, default: bool) -> Result<bool, String> {
        let Some(text) = self.text(name) else { return Ok(default) };
        cf::boolean(text)
            .map_err(|allowed| self.wrong(name, format_args!("\"{text}\": expected {allowed}")))
    }

    /// A file that a parameter names, beside this one. The table is a new one when it changes.
    pub(crate) fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        if !path.starts_with('/') {
            return Err(format!("\"{path}\": expected an absolute path"));
        }
        self.opening.read(path)
    }

    /// TLS by the files that some parameters name.
    pub(crate) fn tls(&self, files: Files<'_>, check: Check) -> Result<Tls, String> {
        Tls::new(files, check, &|path| self.read_file(path))
            .map_err(|(name, why)| self.wrong(name, why))
    }

    /// A path, with the parameter whose value it is.
    pub(crate) fn path(&self, name: &'static str) -> Option<Named<'_>> {
        self.text(name).map(|path| (name, path))
    }

    /// `domain`: the domains that are asked about at all; empty for all.
    pub(crate) fn domains(&self) -> MatchList {
        self.opening.list("domain", self.text("domain").unwrap_or_default())
    }

    /// Something about a parameter for the admin to look at.
    pub(crate) fn note(&self, name: &str, text: impl Into<String>) {
        self.opening.note(Note { position: self.place(name), text: text.into() });
    }

    /// Refuses parameters whose effect would be missing without notice: encryption, above all.
    pub(crate) fn refuse(&self, names: &[&'static str]) -> Result<(), String> {
        for name in names {
            if let Some(text) = self.text(name)
                && !text.eq_ignore_ascii_case("no")
            {
                let why = "not supported; the connection would not be what this asks for";
                return Err(self.wrong(name, why));
            }
        }
        Ok(())
    }

    /// Knows parameters that have no effect here and need none.
    pub(crate) fn ignore(&self, names: &[&'static str]) {
        self.ignore_because(names, "");
    }

    /// As [`Self::ignore`], with a reason.
    pub(crate) fn ignore_because(&self, names: &[&'static str], why: &str) {
        for name in names {
            if self.text(name).is_some() {
                self.note(name, format!("{name} has no effect{why}"));
            }
        }
    }

    /// Notes what nobody has asked for. To be called last.
    pub(crate) fn finish(&self) {
        let asked = self.asked.borrow();
        for definition in &self.definitions.list {
            let name = &*definition.name;
            if !asked.contains(&name) {
                let text =
                    format!("there is no parameter \"{name}\" for this type of table; ignored");
                self.opening.note(Note { position: definition.position.clone(), text });
            }
        }
    }
}
