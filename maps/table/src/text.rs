//! `texthash:`: postmap's source format, read whole.
//!
//! `key white-space value` on each logical line; quotes and backslashes protect white space in the key,
//! which stays in its quoted form. A line that is no entry is left out and noted, the first of two
//! equal keys counts, as in postfix `src/util/dict_thash.c` and postmap. A file that is no text at all
//! is refused whole.

use cf::{LineError, Lines, Position};

use crate::hash::HashTable;
use crate::{Lookup, Note, Opening};

/// Reads the file that the table is named by.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Box<dyn Lookup>, String> {
    let file = opening.name();
    let text = opening.read(file)?;
    let mut table = HashTable::default();
    for line in Lines::new(&text) {
        let note = |line: u32, text: String| {
            opening.note(Note { position: Position::new(file, line), text });
        };
        let line = match line {
            Ok(line) => line,
            Err((line, why @ (LineError::Nul | LineError::TooLong))) => {
                return Err(format!("{file}:{line}: this line {why}; is this a text file?"));
            }
            Err((line, why)) => {
                note(line, format!("this line {why}; ignored"));
                continue;
            }
        };
        match entry(&line.text) {
            Err(why) => note(line.line, format!("{why}; this line is ignored")),
            Ok((key, value)) => {
                if key.ends_with(':') {
                    note(line.line, format!("\"{key}\" ends in a colon; is this an alias file?"));
                }
                if !table.insert(key, value) {
                    note(
                        line.line,
                        format!("\"{key}\" was defined above; this second entry is ignored"),
                    );
                }
            }
        }
    }
    Ok(Box::new(table))
}

fn entry(line: &str) -> Result<(&str, &str), &'static str> {
    let mut in_quotes = false;
    let mut escaped = false;
    let end = line.find(|c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_quotes = !in_quotes,
            _ if c.is_ascii_whitespace() => return !in_quotes,
            _ => {}
        }
        false
    });
    if in_quotes && end.is_none() {
        return Err("a quote without its pair");
    }
    let (key, value) = line.split_at(end.unwrap_or(line.len()));
    let value = value.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    if key.is_empty() || value.is_empty() {
        return Err("expected \"key value\"");
    }
    Ok((key, value))
}
