//! `inline:{ key=value, { key = value with spaces } }`

use crate::hash::HashTable;
use crate::{Lookup, Opening};

const EXPECTED: &str = "expected inline:{ key=value, { key = text with spaces } }";

/// Reads what follows `inline:`.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Box<dyn Lookup>, String> {
    let inside = cf::unbraced(opening.name()).ok_or(EXPECTED)?;
    let mut table = HashTable::default();
    for item in cf::items(inside) {
        let entry = match item.starts_with('{') {
            true => {
                cf::unbraced(item).ok_or_else(|| format!("bad entry \"{item}\"; {EXPECTED}"))?
            }
            false => item,
        };
        let (key, value) =
            split(entry).ok_or_else(|| format!("no key or no \"=\" in \"{entry}\"; {EXPECTED}"))?;
        // Postfix lets the last one win here, unlike in a file (src/util/dict_inline.c, by way of
        // dict_ht); two entries for one key on one line are a mistake either way.
        if !table.insert(key, value) {
            return Err(format!("\"{key}\" is there twice"));
        }
    }
    if table.is_empty() {
        return Err(format!("no entries; {EXPECTED}"));
    }
    Ok(Box::new(table))
}

/// At the first `=` outside quotes.
fn split(entry: &str) -> Option<(&str, &str)> {
    let mut in_quotes = false;
    let mut escaped = false;
    let at = entry.find(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_quotes = !in_quotes,
            '=' => return !in_quotes,
            _ => {}
        }
        false
    })?;
    let (key, value) = (entry[..at].trim(), entry[at + 1..].trim());
    (!key.is_empty()).then_some((key, value))
}
