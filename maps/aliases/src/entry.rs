//! One logical line of an alias file.

use std::fmt;

use crate::token::{external, scan};

/// What postalias stores of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, in quotes where it needs them; its case is as written.
    ///
    /// Postfix before 3.12 stored it without quotes. Whoever looks a name up asks for the quoted form
    /// first (`src/local/alias.c`).
    pub name: String,
    /// The value, which reads back as the same destinations.
    pub value: String,
}

/// Why a line is no entry. The words are postalias's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// No name, no value, no colon, or more than one name.
    NoPair,
    /// The name has a domain.
    NotLocal,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPair => "need name:value pair",
            Self::NotLocal => "name must be local and have no domain",
        })
    }
}

impl std::error::Error for EntryError {}

impl Entry {
    /// Reads a logical line (postfix `src/postalias/postalias.c`). A name or value that is to be empty is
    /// written `""`.
    pub fn parse(line: &str) -> Result<Self, EntryError> {
        let tokens = scan(line);
        let colon = tokens.iter().position(|token| token.is(':')).ok_or(EntryError::NoPair)?;
        let (name, value) = (&tokens[..colon], &tokens[colon + 1..]);
        if name.is_empty() || value.is_empty() || name.iter().any(|token| token.is(',')) {
            return Err(EntryError::NoPair);
        }
        if name.iter().any(|token| token.is('@') || token.is('%')) {
            return Err(EntryError::NotLocal);
        }
        Ok(Self { name: external(name), value: external(value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(String, String), EntryError> {
        Entry::parse(line).map(|entry| (entry.name, entry.value))
    }

    #[test]
    fn the_first_colon_outside_quotes_ends_the_name() {
        for (line, name, value) in [
            ("postmaster: root", "postmaster", "root"),
            ("list: :include:/etc/list, bob  , carol", "list", ":include:/etc/list, bob, carol"),
            ("\"with@at: x\": y", "\"with@at: x\"", "y"),
            ("a b: c", "a b", "c"),
            ("(c) com: val", "(c) com", "val"),
            ("back\\:slash: v", "\"back:slash\"", "v"),
            ("bare: |prog", "bare", "|prog"),
            ("hash: a # b", "hash", "a # b"),
            ("empty: \"\"", "empty", "\"\""),
            ("\"\": e", "\"\"", "e"),
            ("Jörg: jörg@exämple.com", "Jörg", "jörg@exämple.com"),
        ] {
            assert_eq!(parsed(line), Ok((name.to_owned(), value.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_line_without_one_local_name_and_a_value_is_no_entry() {
        for line in ["", "nocolon", ": novalue", "novalue:", "x,y: z", "\"a: b\""] {
            assert_eq!(parsed(line), Err(EntryError::NoPair), "{line}");
        }
        for line in ["user@example.com: x", "user%host: x"] {
            assert_eq!(parsed(line), Err(EntryError::NotLocal), "{line}");
        }
    }
}
