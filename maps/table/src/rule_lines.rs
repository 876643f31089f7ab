//! The text of a table whose lines are rules: a file, or rules in braces where the name would be.
//!
//! `cidr:/etc/postfix/clients` and `cidr:{{192.0.2.0/24 REJECT}, {2001:db8::/32 OK}}` read the same
//! (postfix `src/util/dict_stream.c`). Line numbers of rules in braces count the rules.

use std::sync::Arc;

use cf::{LineError, Lines, LogicalLine, Position};

use crate::{Note, Opening};

/// How deep `if` blocks may nest.
pub(crate) const IF_DEPTH_MAX: usize = 100;

/// The rules of one table, with what they are called by in messages.
pub(crate) struct RuleLines {
    /// The file, or the table where there is none.
    pub(crate) file: Arc<str>,
    /// One rule each, without white space at the end; none of them is empty.
    pub(crate) rules: Vec<LogicalLine>,
}

impl RuleLines {
    /// Reads the rules of a table of this type. A file that is no text is refused whole; a line of it
    /// that cannot be read is noted and left out.
    pub(crate) fn read(kind: &str, opening: &Opening<'_>) -> Result<Self, String> {
        let name = opening.name();
        match name.starts_with('{') {
            true => Self::inline(kind, name),
            false => Self::file(name, &opening.read(name)?, opening),
        }
    }

    fn inline(kind: &str, name: &str) -> Result<Self, String> {
        let expected = || format!("expected {kind}:{{ {{ rule }}, {{ rule }} }}");
        let inside = cf::unbraced(name).ok_or_else(expected)?;
        let mut rules = Vec::new();
        for (item, line) in cf::items(inside).zip(1..) {
            let rule = cf::unbraced(item)
                .ok_or_else(|| format!("rule \"{item}\" is not in braces; {}", expected()))?;
            if !rule.is_empty() && !rule.starts_with('#') {
                rules.push(LogicalLine { text: rule.to_owned(), line });
            }
        }
        Ok(Self { file: format!("{kind}:{{...}}").into(), rules })
    }

    fn file(name: &str, text: &[u8], opening: &Opening<'_>) -> Result<Self, String> {
        let mut lines = Self { file: name.into(), rules: Vec::new() };
        for line in Lines::new(text) {
            match line {
                Ok(mut line) => {
                    line.text.truncate(line.text.trim_end_matches(is_space).len());
                    lines.rules.push(line);
                }
                Err((line, why @ (LineError::Nul | LineError::TooLong))) => {
                    return Err(format!("{name}:{line}: this line {why}; is this a text file?"));
                }
                Err((line, why)) => lines.note(opening, line, format!("this line {why}; ignored")),
            }
        }
        Ok(lines)
    }

    /// Tells the admin about a line.
    pub(crate) fn note(&self, opening: &Opening<'_>, line: u32, text: String) {
        opening.note(Note { position: Position::new(self.file.clone(), line), text });
    }
}

/// The rest of a line that begins with a word, in any case: `if` and `endif`. `iffy` does not.
pub(crate) fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = line.split_at_checked(word.len())?;
    (start.eq_ignore_ascii_case(word) && !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        .then_some(rest)
}

/// The rest of a line after `!` and white space, and whether an odd number of `!` was there.
pub(crate) fn after_negations(line: &str) -> (bool, &str) {
    let rest = line.trim_start_matches(|c| c == '!' || is_space(c));
    let negations = line[..line.len() - rest.len()].bytes().filter(|&b| b == b'!').count();
    (negations % 2 == 1, rest)
}

/// C's `isspace`.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}
