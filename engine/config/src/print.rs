//! The table as text: `name = value` lines for `postconf`, a manual table for `docs/`.

use std::borrow::Cow;
use std::fmt::Write;

use crate::row::{Bounds, Default, Status};
use crate::{Origin, Row, Settings, rows, service_rows};

/// One `name = value` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed<'a> {
    /// The parameter.
    pub name: &'a str,
    /// Its value, unexpanded.
    pub value: Cow<'a, str>,
}

impl std::fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // postconf prints `name =` without a trailing blank for an empty value.
        match &*self.value {
            "" => write!(f, "{} =", self.name),
            value => write!(f, "{} = {value}", self.name),
        }
    }
}

impl Settings {
    /// `postconf -n`: what is set, user parameters included, by name.
    pub fn print_set(&self) -> Vec<Printed<'_>> {
        let mut all: Vec<Printed<'_>> = self
            .all_defined()
            .filter(|definition| self.origin(&definition.name) != Some(Origin::Serve))
            .map(|definition| Printed {
                name: &definition.name,
                value: Cow::Borrowed(&*definition.value),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(b.name));
        all
    }

    /// `postconf -d`: every default, by name.
    pub fn print_defaults(&self) -> Vec<Printed<'static>> {
        by_name(|row| self.default_of(row))
    }

    /// `postconf`: every value, by name.
    pub fn print_all(&self) -> Vec<Printed<'_>> {
        by_name(|row| self.raw(row))
    }
}

fn by_name<'a>(value: impl Fn(&'static Row) -> Cow<'a, str>) -> Vec<Printed<'a>> {
    let mut all: Vec<Printed<'a>> =
        rows().map(|row| Printed { name: row.name, value: value(row) }).collect();
    all.sort_by(|a, b| a.name.cmp(b.name));
    all
}

/// The manual of all parameters as a Markdown table.
pub fn markdown() -> String {
    let mut all: Vec<(String, &Row)> = rows()
        .map(|row| (row.name.to_owned(), row))
        .chain(service_rows().map(|row| (format!("<service>{}", row.name), row)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::from("| parameter | type | default | |\n|---|---|---|---|\n");
    for (name, row) in all {
        let default = match row.default {
            Default::Text("") => String::new(),
            Default::Text(text) => format!("`{text}`"),
            Default::Machine(_) => "found out from the machine".to_owned(),
        };
        let kind = match row.bounds {
            Bounds::Any => row.kind.to_owned(),
            Bounds::Within(range) => format!("{}, {range}", row.kind),
            Bounds::Words(words) => {
                let shown = words.iter().map(|word| if word.is_empty() { "nothing" } else { word });
                format!("{} {}", row.kind, cf::join(shown))
            }
        };
        let mut manual = row.manual.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let _ = match row.status {
            Status::Acts => Ok(()),
            Status::Accepted(why) => write!(manual, " *Accepted, without effect: {why}.*"),
            Status::Unsupported(what) => write!(manual, " *Not supported: {what}.*"),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            name,
            kind,
            default.replace('|', "\\|"),
            manual.replace('|', "\\|")
        );
    }
    text
}
