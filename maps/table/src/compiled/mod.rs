//! Compiled tables: files that postmap builds, and that are asked key by key.
//!
//! `hash:`, `btree:` and `dbm:` are one and the same here, ringpost's own format: a file that is written
//! once, whole, and put in its place by a rename; mapped, verified, and then only read. See `layout.rs`
//! for what is in it. A table of the same name that Berkeley DB wrote is recognised and refused: its
//! entries are in the text it was made from, and making it anew takes a command.

mod builder;
mod collection;
mod layout;
mod native;
mod replacement;
mod stored;
#[cfg(test)]
mod tests;

pub use builder::{Builder, Built, DUPLICATES_REPORTED_MAX, Duplicate, EntryError};
pub use collection::Duplicates;
pub use layout::Damage;
pub use replacement::FileError;
pub use stored::Stored;

use crate::fold::folded;
use crate::{Answer, Format, Lookup, Opened, Opening, Response, Trouble, Value};
use native::Native;

/// Opens `hash:NAME`: `NAME.db`.
pub(crate) fn open(opening: &Opening<'_>) -> Opened {
    let source = opening.name();
    let path = Format::Native.path(source);
    let rebuild = format!("postmap {}", opening.spec());
    let file = match opening.map(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            return Err(format!("open {path}: {error}; \"{rebuild}\" makes it from {source}"));
        }
        Err(error) => return Err(format!("open {}: {error}", path.display())),
    };
    refuse_foreign(&file)
        .and_then(|()| Native::open(file).map_err(|damage| damage.to_string()))
        .map(|table| Box::new(Compiled { table, name: opening.spec().into() }) as _)
        .map_err(|why| format!("{}: {why}; \"{rebuild}\" makes it anew", path.display()))
}

/// Berkeley DB's hash, btree and queue files have their magic number in the fourth word, in the byte
/// order of the machine that wrote them; those of version 1.85 in the first.
fn refuse_foreign(file: &[u8]) -> Result<(), String> {
    const MAGICS: [u32; 3] = [0x0006_1561, 0x0005_3162, 0x0004_2253];
    let word = |at: usize| file.get(at..)?.first_chunk::<4>().copied();
    for bytes in [word(12), word(0)].into_iter().flatten() {
        let found = [u32::from_le_bytes(bytes), u32::from_be_bytes(bytes)];
        if MAGICS.iter().any(|magic| found.contains(magic)) {
            return Err("this is a Berkeley DB file, which ringpost does not read".to_owned());
        }
    }
    Ok(())
}

/// `hash:` and its like.
#[derive(Debug)]
struct Compiled {
    table: Native,
    name: Box<str>,
}

impl Lookup for Compiled {
    fn lookup(&self, key: &str) -> Response {
        let found = match self.table.is_folded() {
            true => self.table.get(folded(key).as_bytes()),
            // Made by `postmap -f`. Postfix folds what is asked for all the same, and then never finds the
            // entries that are not in lower case.
            false => match self.table.get(key.as_bytes()) {
                Ok(None) => self.table.get(folded(key).as_bytes()),
                found => found,
            },
        };
        match found {
            Ok(None) => Answer::NotFound,
            Ok(Some(value)) => answer(&self.name, Value::within(self.table.file(), value)),
            Err(damage) => Trouble::answer(&*self.name, damage.to_string()),
        }
        .into()
    }
}

fn answer(table: &str, value: Option<Value>) -> Answer {
    match value {
        Some(value) => Answer::Found(value),
        None => Trouble::answer(table, "the value of this key is not valid UTF-8"),
    }
}
