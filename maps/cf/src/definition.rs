//! `name = value` definitions of main.cf and of `-o` options.

use std::fmt;
use std::sync::Arc;

use crate::line::is_space;
use crate::{LineError, Lines, Position};

/// One definition, its value still unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What is before the `=`.
    pub name: Box<str>,
    /// What is after it, without white space at either end.
    pub value: Box<str>,
    /// Where it is written.
    pub position: Position,
}

/// One line, which reads back as the same definition.
impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.value {
            // Without a blank at the end, as postconf prints it.
            "" => write!(f, "{} =", self.name),
            value => write!(f, "{} = {value}", self.name),
        }
    }
}

/// Why a logical line defines nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// The line itself cannot be read.
    Line(LineError),
    /// Nothing before the `=`.
    NoName,
    /// No `=` after the first word, which is given.
    NoEquals(Box<str>),
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(why) => why.fmt(f),
            Self::NoName => f.write_str("has no parameter name before \"=\""),
            Self::NoEquals(word) => {
                write!(f, "has no \"=\" after \"{word}\"; expected \"name = value\"")
            }
        }
    }
}

impl std::error::Error for SyntaxError {}

/// A line that defines nothing, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxProblem {
    /// Where.
    pub position: Position,
    /// Why.
    pub error: SyntaxError,
}

impl fmt::Display for SyntaxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: this line {}", self.position, self.error)
    }
}

/// All that a file says, in its order; later definitions of a name win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Those that could be read, overridden ones included.
    pub list: Vec<Definition>,
    /// The lines that could not.
    pub problems: Vec<SyntaxProblem>,
}

impl Definitions {
    /// The definition of `name` that counts: the last.
    pub fn last(&self, name: &str) -> Option<&Definition> {
        self.list.iter().rev().find(|definition| &*definition.name == name)
    }
}

/// Reads the text of main.cf; `file` is the name that positions carry.
pub fn parse(file: &str, text: &[u8]) -> Definitions {
    let file: Arc<str> = file.into();
    let mut all = Definitions::default();
    for line in Lines::new(text) {
        let (number, read) = match &line {
            Ok(line) => (line.line, definition(&line.text)),
            Err((number, why)) => (*number, Err(SyntaxError::Line(*why))),
        };
        let position = Position { file: file.clone(), line: number };
        match read {
            Ok((name, value)) => {
                all.list.push(Definition { name: name.into(), value: value.into(), position });
            }
            Err(error) => all.problems.push(SyntaxProblem { position, error }),
        }
    }
    all
}

/// Splits `name = value`, white space around either removed (postfix `src/util/split_nameval.c`).
pub fn split_definition(text: &str) -> Result<(&str, &str), SyntaxError> {
    definition(text)
}

fn definition(text: &str) -> Result<(&str, &str), SyntaxError> {
    let space = |c: char| c.is_ascii() && is_space(c as u8);
    let text = text.trim_matches(space);
    let end = text.find(|c: char| space(c) || c == '=').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(SyntaxError::NoName);
    }
    match rest.trim_start_matches(space).strip_prefix('=') {
        Some(value) => Ok((name, value.trim_start_matches(space))),
        None => Err(SyntaxError::NoEquals(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_definition_wins_and_knows_its_line() {
        let all = parse("main.cf", b"a = 1\nb=2\na =\n  3,\n  4\n");
        let last = all.last("a").unwrap();
        assert_eq!(&*last.value, "3,  4");
        assert_eq!(last.position.to_string(), "main.cf:3");
        assert_eq!(all.list.len(), 3);
        assert_eq!(all.last("c"), None);
    }

    #[test]
    fn white_space_around_the_value_is_dropped_and_an_empty_value_is_a_value() {
        assert_eq!(split_definition("a =  b c \t"), Ok(("a", "b c")));
        assert_eq!(split_definition("a="), Ok(("a", "")));
        assert_eq!(split_definition("smtp-x_limit=a=b"), Ok(("smtp-x_limit", "a=b")));
    }

    #[test]
    fn a_line_that_defines_nothing_is_reported_with_its_place() {
        let all = parse("/etc/main.cf", b"= 3\nmyhostname mx\nok = 1\n\0\n");
        let said: Vec<String> = all.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "/etc/main.cf:1: this line has no parameter name before \"=\"",
                "/etc/main.cf:2: this line has no \"=\" after \"myhostname\"; expected \"name = value\"",
                "/etc/main.cf:4: this line holds a NUL byte",
            ]
        );
        assert_eq!(all.list.len(), 1);
    }

    proptest! {
        #[test]
        fn what_was_parsed_prints_as_itself(
            text in "(a|b|smtp-x_1| = |=|#|\\{|\\}|\\$|,| |\t|\x0b|é|\r\n|\n|\n |\n# c\n|\n\t#\n ){0,32}",
        ) {
            let first = parse("main.cf", text.as_bytes());
            let printed: Vec<String> = first.list.iter().map(ToString::to_string).collect();
            let second = parse("main.cf", printed.join("\n").as_bytes());
            prop_assert_eq!(&second.problems, &[]);
            let plain = |all: &Definitions| -> Vec<(Box<str>, Box<str>)> {
                all.list.iter().map(|one| (one.name.clone(), one.value.clone())).collect()
            };
            prop_assert_eq!(plain(&second), plain(&first));
            // Each definition is on a line of its own now.
            prop_assert!(second.list.iter().zip(1..).all(|(one, line)| one.position.line == line));
        }
    }
}
