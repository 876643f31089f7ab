//! `texthash:`: postmap's source format, read whole.
//!
//! `key white-space value` on each logical line; quotes and backslashes protect white space in the key,
//! which stays in its quoted form. A line that is no entry is left out and noted, the first of two
//! equal keys counts; rules and words are those of postfix `src/util/dict_thash.c`, and so of postmap. A
//! file that is no text at all is refused whole.

use cf::{BadLine, EntryError, LineError, LineReader, Position};

use crate::hash::HashTable;
use crate::{Lookup, Note, Opening};

/// Reads the file that the table is named by.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Box<dyn Lookup>, String> {
    let file = opening.name();
    let text = opening.read(file)?;
    let mut table = HashTable::default();
    let note = |line: u32, text: String| {
        opening.note(Note { position: Position::new(file, line), text });
    };
    let mut lines = LineReader::new(&*text);
    while let Some(line) = lines.next().map_err(|error| format!("read {file}: {error}"))? {
        let line = match line {
            Ok(line) => line,
            Err(bad) => {
                note(bad.line, passed_over(&bad, file)?);
                continue;
            }
        };
        match cf::split_entry(line.text) {
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

/// What a line that cannot be read is passed over with; the error where the whole file is no text.
fn passed_over(bad: &BadLine<'_>, file: &str) -> Result<String, String> {
    let excerpt = || String::from_utf8_lossy(bad.bytes).replace('\u{fffd}', "?");
    match bad.why {
        LineError::NothingToContinue => {
            Ok(format!("logical line must not start with whitespace: \"{}\"", excerpt()))
        }
        LineError::Encoding => {
            Ok(format!("non-UTF-8 input \"{}\" -- ignoring this line", excerpt()))
        }
        why @ (LineError::Nul | LineError::TooLong) => {
            Err(format!("{file}:{}: this line {why}; is this a text file?", bad.line))
        }
    }
}
