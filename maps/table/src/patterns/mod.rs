//! `regexp:` and `pcre:`: the first pattern of a list that a text matches.
//!
//! The languages are Postfix's, see [`grammar`], [`posix`] and [`perl`]; how the first of many patterns
//! is found is in [`engine`]. A rule that cannot be used is noted with its line and left out, as in
//! Postfix. Text is bytes here: a header or a line of a body need not be UTF-8.

mod backtracking;
mod engine;
mod filter;
mod grammar;
mod literals;
mod matcher;
mod perl;
mod places;
mod posix;
mod replacement;
mod sequence;
mod tree;

use std::sync::Arc;

use cf::Position;

use crate::rule_lines::{IF_DEPTH_MAX, RuleLines};
use crate::{Answer, Lookup, Opened, Opening, Response, Trouble, Value};
use engine::{Builder, Engine, Failure, Found};
use grammar::{Dialect, Statement};

/// Opens a `regexp:` table.
pub(crate) fn open_posix(opening: &Opening<'_>) -> Opened {
    Ok(Box::new(Patterns::open("regexp", Dialect::Posix, opening)?))
}

/// Opens a `pcre:` table.
pub(crate) fn open_perl(opening: &Opening<'_>) -> Opened {
    Ok(Box::new(Patterns::open("pcre", Dialect::Perl, opening)?))
}

/// A compiled table of patterns.
#[derive(Debug)]
struct Patterns {
    table: Box<str>,
    file: Arc<str>,
    engine: Engine,
}

impl Patterns {
    fn open(kind: &str, dialect: Dialect, opening: &Opening<'_>) -> Result<Self, String> {
        let lines = RuleLines::read(kind, opening)?;
        let mut builder = Builder::default();
        for rule in &lines.rules {
            let note = |text: String| lines.note(opening, rule.line, text);
            let added = grammar::parse(&rule.text, dialect, &mut |text| note(text))
                .and_then(|statement| add(&mut builder, &statement, rule.line));
            if let Err(why) = added {
                note(format!("{why}; this rule is ignored"));
            }
            if builder.depth() > IF_DEPTH_MAX {
                let file = &lines.file;
                let line = rule.line;
                return Err(format!(
                    "{file}:{line}: \"if\" blocks nest more than {IF_DEPTH_MAX} deep"
                ));
            }
        }
        for line in builder.open_lines() {
            lines.note(opening, line, "this \"if\" has no \"endif\"".to_owned());
        }
        let table = format!("{kind}:{}", opening.name()).into();
        Ok(Self { table, file: lines.file, engine: builder.build() })
    }

    /// A search that reached a limit. The rule might have been the one that refuses, so nobody can say
    /// what the answer is; Postfix goes on with the next rule.
    fn failed(&self, failure: Failure) -> Answer {
        let position = Position::new(self.file.clone(), failure.line);
        Trouble::answer(self.table.clone(), format!("{position}: {}", failure.why))
    }
}

fn add(builder: &mut Builder, statement: &Statement, line: u32) -> Result<(), String> {
    match statement {
        Statement::If(condition) => builder.begin_block(condition, line),
        Statement::EndIf => match builder.end_block() {
            true => Ok(()),
            false => Err("\"endif\" without \"if\"".to_owned()),
        },
        Statement::Rule { first, second, replacement } => {
            builder.add_rule(first, second.as_ref(), replacement.clone(), line)
        }
    }
}

impl Patterns {
    /// `compose` makes text of a rule's text with what groups matched in it.
    fn find(&self, line: &[u8], compose: impl FnOnce(Vec<u8>) -> Answer) -> Response {
        match self.engine.find(line) {
            Ok(None) => Answer::NotFound,
            Ok(Some(Found::Text(text))) => Answer::Found(text.clone()),
            Ok(Some(Found::Composed(text))) => compose(text),
            Err(failure) => self.failed(failure),
        }
        .into()
    }
}

impl Lookup for Patterns {
    fn lookup(&self, key: &str) -> Response {
        self.find(key.as_bytes(), |text| match Value::from_utf8(text.into()) {
            Some(text) => Answer::Found(text),
            // A group can cut a character in two.
            None => Trouble::answer(self.table.clone(), "the answer is not UTF-8"),
        })
    }

    /// What is no text in the line is none in the answer.
    fn lookup_line(&self, line: &[u8]) -> Response {
        self.find(line, |text| Answer::Found(String::from_utf8_lossy(&text).into_owned().into()))
    }

    fn whole_keys_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
