//! Reads rows as typed values and collects what is wrong with them.

use table::Tables;

use crate::Problem;
use crate::row::Row;
use crate::settings::Settings;

/// Hands each [`crate::Typed`] its text, and takes its complaints.
pub struct Reader<'a> {
    settings: &'a Settings,
    tables: &'a Tables<'a>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(settings: &'a Settings, tables: &'a Tables<'a>) -> Self {
        Self { settings, tables, problems: Vec::new() }
    }

    pub(crate) fn tables(&self) -> &'a Tables<'a> {
        self.tables
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The expanded value of a row; `None` where it has none, which is reported.
    pub(crate) fn text(&mut self, row: &Row, stress: bool) -> Option<String> {
        match self.settings.expanded(row.name, row, stress) {
            Ok(text) => Some(text),
            // A default compares compatibility_level, whose own row says what is wrong with it.
            Err(why) if why.is_bad_level() && !self.is_set(row) => None,
            Err(why) => {
                let raw = self.settings.raw(row);
                self.problems.push(Problem::error(
                    self.settings.position(row.name),
                    row.name,
                    Some(&raw),
                    why.to_string(),
                ));
                None
            }
        }
    }

    /// Whether somebody set it. What is wrong with the tables that a default names is said once, of the
    /// parameters that it is made of: virtual_alias_domains has the tables of virtual_alias_maps.
    pub(crate) fn is_set(&self, row: &Row) -> bool {
        self.settings.defined(row.name).is_some()
    }

    /// Reads the expanded value by `parse`, whose error is what is allowed.
    pub(crate) fn parse<T>(
        &mut self,
        row: &Row,
        stress: bool,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(row, stress)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.refuse(row, &text, format!("expected {allowed}"));
                None
            }
        }
    }

    /// Reports a value that cannot be used.
    pub(crate) fn refuse(&mut self, row: &Row, found: &str, cause: String) {
        self.problems.push(Problem::error(
            self.settings.position(row.name),
            row.name,
            Some(found),
            cause,
        ));
    }

    /// Reports something that mail goes on without.
    pub(crate) fn warn(&mut self, row: &Row, cause: String) {
        self.problems.push(Problem::warning(self.settings.position(row.name), row.name, cause));
    }
}
