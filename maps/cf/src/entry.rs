//! `key white-space value`: what a logical line of a table's source says.

use std::fmt;

use crate::line::is_space;

/// Why a logical line is no entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// No key or no value.
    NoPair,
    /// A quote in the key that is not closed.
    Unbalanced,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPair => "expected format: key whitespace value",
            Self::Unbalanced => "unbalanced '\"'",
        })
    }
}

impl std::error::Error for EntryError {}

/// Splits a logical line at the first white space that no quotes or backslash protect. The key stays
/// in its quoted form: whether its quotes are needed is known to who looks it up (postfix
/// `src/postmap/postmap.c`).
pub fn split_entry(line: &str) -> Result<(&str, &str), EntryError> {
    let mut in_quotes = false;
    let mut escaped = false;
    let mut end = line.len();
    for (at, b) in line.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if is_space(b) && !in_quotes => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    if in_quotes {
        return Err(EntryError::Unbalanced);
    }
    let (key, value) = line.split_at(end);
    let value = value.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    if key.is_empty() || value.is_empty() {
        return Err(EntryError::NoPair);
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_ends_at_white_space_outside_quotes() {
        for (line, key, value) in [
            ("a 1", "a", "1"),
            ("a \t b  c \r", "a", "b  c"),
            ("\"x y\"@z 1", "\"x y\"@z", "1"),
            ("\"x \\\" y\" 1", "\"x \\\" y\"", "1"),
            ("x\\ y 1", "x\\ y", "1"),
            ("f: g", "f:", "g"),
            ("é\u{b}ü", "é", "ü"),
        ] {
            assert_eq!(split_entry(line), Ok((key, value)), "{line}");
        }
    }

    #[test]
    fn a_line_without_both_is_no_entry() {
        for line in ["", "a", "a ", "a \t"] {
            assert_eq!(split_entry(line), Err(EntryError::NoPair), "{line}");
        }
        for line in ["\"a 1", "a\"b 1", "\"a\\\" 1"] {
            assert_eq!(split_entry(line), Err(EntryError::Unbalanced), "{line}");
        }
    }
}
