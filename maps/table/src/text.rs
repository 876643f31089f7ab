//! `texthash:`: postmap's source format, read whole.
//!
//! `key white-space value` on each logical line; quotes and backslashes protect white space in the key,
//! which stays in its quoted form. A line that is no entry is left out and noted, the first of two
//! equal keys counts; rules and words are those of postfix `src/util/dict_thash.c`, and so of postmap. A
//! file that is no text at all is refused whole.

use cf::{EntryError, LineError, Lines, Position};

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
                note(line, format!("this line {why} -- ignoring this line"));
                continue;
            }
        };
        match cf::split_entry(&line.text) {
            Err(why @ EntryError::Unbalanced) => {
                note(line.line, format!("{why} in '{}' -- ignoring this line", line.text));
            }
            Err(why) => note(line.line, format!("{why} -- ignoring this line")),
            Ok((key, value)) => {
                if key.ends_with(':') {
                    let why = "record is in \"key: value\" format; is this an alias file?";
                    note(line.line, why.to_owned());
                }
                if !table.insert(key, value) {
                    note(line.line, format!("duplicate entry: \"{key}\""));
                }
            }
        }
    }
    Ok(Box::new(table))
}
