//! The types of rows without a field: what their values must look like, and nothing kept of them.

use std::ops::Deref;

use crate::row::{Bounds, Row};
use crate::typed::{FromText, not_among};

/// Lookup tables: `hash:/etc/aliases, pcre:{ ... }`.
pub(crate) struct TableList;

impl FromText for TableList {
    const KIND: &'static str = "list of type:table";

    /// Postfix opens no table without a type (src/util/dict_open.c).
    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let has_type = |item: &str| {
            item.split_once(':').is_some_and(|(kind, _)| {
                !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })
        };
        if cf::items(text).all(has_type) {
            Ok(Self)
        } else {
            Err("type:table, any number of them".to_owned())
        }
    }
}

/// Names, networks, `type:table` and `/file`, with `!` before what is left out.
pub(crate) struct NameList;

impl FromText for NameList {
    const KIND: &'static str = "list of names, networks, type:table and /file";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        if cf::items(text).all(|item| !item.trim_start_matches('!').is_empty()) {
            Ok(Self)
        } else {
            Err("something to leave out after \"!\"".to_owned())
        }
    }
}

/// What clients may do, word by word. Words that Postfix does not know are names of the admin's own
/// classes, so any word will do.
pub(crate) struct Restrictions;

impl FromText for Restrictions {
    const KIND: &'static str = "list of restrictions";

    fn from_text(_: &str, _: &Row) -> Result<Self, String> {
        Ok(Self)
    }
}

/// A text that whoever uses it expands, with values of its own (postfix src/global/mail_conf_raw.c).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(Box<str>);

impl Deref for Raw {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromText for Raw {
    const KIND: &'static str = "text, unexpanded";
    const RAW: bool = true;

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        Ok(Self(text.into()))
    }
}

/// A text that must not be empty, or as long as the row's bounds say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonblank(Box<str>);

impl Deref for Nonblank {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromText for Nonblank {
    const KIND: &'static str = "text, not empty";

    fn from_text(text: &str, row: &Row) -> Result<Self, String> {
        match row.bounds {
            Bounds::Within(range) if !range.holds(text.chars().count() as u64) => {
                Err(format!("a text of {range} characters"))
            }
            _ if text.is_empty() => Err("a text".to_owned()),
            _ => Ok(Self(text.into())),
        }
    }
}

/// One of the words that the row lists.
pub(crate) struct Word;

impl FromText for Word {
    const KIND: &'static str = "one of";

    fn from_text(text: &str, row: &Row) -> Result<Self, String> {
        if is_word(text, row) { Ok(Self) } else { Err(allowed(row, " or ")) }
    }
}

/// Any of the words that the row lists.
pub(crate) struct Words;

impl FromText for Words {
    const KIND: &'static str = "list of";

    fn from_text(text: &str, row: &Row) -> Result<Self, String> {
        match cf::items(text).find(|item| !is_word(item, row)) {
            None => Ok(Self),
            Some(item) => {
                Err(not_among(&format!("{}, or some of them", allowed(row, ", ")), item, text))
            }
        }
    }
}

fn words(row: &Row) -> &'static [&'static str] {
    match row.bounds {
        Bounds::Words(words) => words,
        Bounds::Any | Bounds::Within(_) => &[],
    }
}

fn is_word(text: &str, row: &Row) -> bool {
    words(row).iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn allowed(row: &Row, between: &str) -> String {
    let shown = |word: &&'static str| if word.is_empty() { "nothing" } else { word };
    words(row).iter().map(shown).collect::<Vec<_>>().join(between)
}
