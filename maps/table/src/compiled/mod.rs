//! Compiled tables: files that postmap builds, and that are asked key by key.
//!
//! `hash:`, `btree:` and `dbm:` are one and the same here, ringpost's own format: a file that is written
//! once, whole, and put in its place by a rename; mapped, verified, and then only read. See `layout.rs`
//! for what is in it. A table of the same name that Berkeley DB wrote is recognised and refused: its
//! entries are in the text it was made from, and making it anew takes a command.
//!
//! `cdb:` and `lmdb:` are there for files that other programs write or read, see `cdb.rs` and `lmdb.rs`.

mod builder;
mod cdb;
mod collection;
mod layout;
mod lmdb;
mod native;
mod pages;
mod replacement;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::path::Path;

pub use builder::{Builder, Built, DUPLICATES_REPORTED_MAX, Duplicate, EntryError};
pub use collection::Duplicates;
pub use layout::Damage;
pub use replacement::FileError;
pub use stored::{Entries, Stored};

use crate::answer::Short;
use crate::fold::{folded, is_folded};
use crate::{Answer, Format, Lookup, Opened, Opening, Response, Trouble, Value};
use cdb::Cdb;
use lmdb::Lmdb;
use native::Native;

/// Opens `hash:NAME`: `NAME.db`.
pub(crate) fn open(opening: &Opening<'_>) -> Opened {
    let file = opened(opening, Format::Native, |path| opening.map(path))?;
    refuse_foreign(&file)
        .and_then(|()| Native::open(file).map_err(|damage| damage.to_string()))
        .map(|table| Box::new(Compiled { table, name: opening.spec().into() }) as _)
        .map_err(|why| refused(opening, Format::Native, &why))
}

/// Opens `cdb:NAME`: `NAME.cdb`.
pub(crate) fn open_cdb(opening: &Opening<'_>) -> Opened {
    let file = opened(opening, Format::Cdb, |path| opening.map(path))?;
    Cdb::open(file)
        .map(|table| Box::new(Compiled { table, name: opening.spec().into() }) as _)
        .map_err(|damage| refused(opening, Format::Cdb, &damage))
}

/// Opens `lmdb:NAME`: `NAME.lmdb`.
pub(crate) fn open_lmdb(opening: &Opening<'_>) -> Opened {
    let file = opened(opening, Format::Lmdb, |path| opening.pieces(path))?;
    Lmdb::open(file)
        .map(|table| Box::new(Compiled { table, name: opening.spec().into() }) as _)
        .map_err(|why| refused(opening, Format::Lmdb, &why))
}

/// The file of a table; where it was never made, the error says what makes it.
fn opened<T>(
    opening: &Opening<'_>,
    format: Format,
    open: impl FnOnce(&Path) -> io::Result<T>,
) -> Result<T, String> {
    let source = opening.name();
    let path = format.path(source);
    open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let (path, command) = (path.display(), command(&opening.spec()));
            format!("open {path}: {error}; {command} makes it from {source}")
        }
        _ => format!("open {}: {error}", path.display()),
    })
}

fn refused(opening: &Opening<'_>, format: Format, why: &dyn Display) -> String {
    let path = format.path(opening.name());
    format!("{}: {why}; {} makes it anew", path.display(), command(&opening.spec()))
}

/// What makes a table. Who opens it does not know whether it is one of aliases, which have another syntax.
fn command(spec: &str) -> String {
    format!("\"postmap {spec}\" (\"postalias {spec}\" for aliases)")
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

/// A compiled table, and what it is called.
#[derive(Debug)]
struct Compiled<T> {
    table: T,
    name: Box<str>,
}

impl Lookup for Compiled<Native> {
    fn lookup(&self, key: &str) -> Response {
        // A key that is not in lower case is in no table whose keys are: whether it is needs to be known only
        // where it was not found. It is asked for in lower case as well where `postmap -f` made the table.
        // Postfix folds what is asked for all the same, and then never finds the entries that are not in
        // lower case.
        match self.table.get(key.as_bytes()) {
            Ok(Some(value)) => match Short::within(self.table.file(), value) {
                Some(short) => Response::Ready(Answer::Found(short.into())),
                None => self.answer_with(value),
            },
            Ok(None) if is_folded(key) => Response::Ready(Answer::NotFound),
            Ok(None) => self.lookup_folded(key),
            Err(damage) => self.answer(Err(damage)),
        }
    }
}

impl Compiled<Native> {
    /// A value that is long, or perhaps not ASCII.
    #[cold]
    fn answer_with(&self, value: &[u8]) -> Response {
        self.answer(Ok::<_, Damage>(Some(Value::within(self.table.file(), value))))
    }

    #[inline(never)]
    fn lookup_folded(&self, key: &str) -> Response {
        let found = self.table.get(folded(key).as_bytes());
        self.answer(found.map(|value| value.map(|it| Value::within(self.table.file(), it))))
    }
}

impl Lookup for Compiled<Cdb> {
    fn lookup(&self, key: &str) -> Response {
        let found = self.table.get(folded(key).as_bytes());
        self.answer(found.map(|value| value.map(|it| Value::within(self.table.file(), it))))
    }
}

impl Lookup for Compiled<Lmdb> {
    fn lookup(&self, key: &str) -> Response {
        let text = |value: &[u8]| std::str::from_utf8(value).ok().map(Value::from);
        self.answer(self.table.get_as(folded(key).as_bytes(), text))
    }
}

impl<T> Compiled<T> {
    /// What was found, or was found to be no text.
    #[inline(never)]
    fn answer(&self, found: Result<Option<Option<Value>>, impl Display>) -> Response {
        let unavailable = |why: &str| {
            let cause = format!("{why}; {} makes it anew", command(&self.name));
            Trouble::answer(&*self.name, cause)
        };
        Response::Ready(match found {
            Ok(None) => Answer::NotFound,
            Ok(Some(Some(value))) => Answer::Found(value),
            Ok(Some(None)) => unavailable("the value of this key is not valid UTF-8"),
            Err(why) => unavailable(&why.to_string()),
        })
    }
}
