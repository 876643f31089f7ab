//! The table types: one row each.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::constant::Constant;
use crate::{
    Format, Lookup, MatchList, Note, ReadAt, Table, Tables, cidr, combined, compiled, host, inline,
    patterns, text,
};

/// One table type: what stands before the colon, and what that means.
#[derive(Clone, Debug)]
pub struct Type {
    /// `texthash`
    pub name: &'static str,
    /// What kind of table it is.
    pub nature: Nature,
    /// The file that postmap makes for it from a text; `None` where there is nothing to build.
    pub format: Option<Format>,
    /// Opens a table of this type.
    pub open: Open,
}

/// What the answers of a table rest upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A file that postmap built, asked key by key.
    Compiled,
    /// A text that is read whole when the table is opened, and the order of whose lines may matter.
    Linear,
    /// Its name alone, or the host it runs on: `static:`, `environ:`.
    Builtin,
    /// Other tables.
    Combined,
    /// A server.
    Remote,
}

/// What opening a table comes to; the error is the cause of a [`crate::Trouble`], without the table's
/// name.
pub type Opened = Result<Box<dyn Lookup>, String>;

/// How a table is opened.
#[derive(Clone)]
pub enum Open {
    /// By a function, for types that need nothing but what is in the [`Opening`].
    Function(fn(&Opening<'_>) -> Opened),
    /// By something that the tables of the type share, such as a thread with connections.
    Shared(Arc<dyn Fn(&Opening<'_>) -> Opened + Send + Sync>),
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

impl Type {
    pub(crate) fn open(&self, opening: &Opening<'_>) -> Opened {
        match &self.open {
            Open::Function(open) => open(opening),
            Open::Shared(open) => open(opening),
        }
    }
}

const fn row(name: &'static str, nature: Nature, open: fn(&Opening<'_>) -> Opened) -> Type {
    Type { name, nature, format: None, open: Open::Function(open) }
}

const fn compiled(name: &'static str, format: Format, open: fn(&Opening<'_>) -> Opened) -> Type {
    Type { name, nature: Nature::Compiled, format: Some(format), open: Open::Function(open) }
}

/// Every type of this crate, in the order of `postconf -m`. A new one is a new line here; types from
/// elsewhere join them by [`Tables::with_types`].
pub static TYPES: &[Type] = &[
    compiled("btree", Format::Native, compiled::open),
    compiled("cdb", Format::Cdb, compiled::open_cdb),
    row("cidr", Nature::Linear, cidr::open),
    compiled("dbm", Format::Native, compiled::open),
    row("environ", Nature::Builtin, host::open_environ),
    row("fail", Nature::Builtin, host::open_fail),
    compiled("hash", Format::Native, compiled::open),
    row("inline", Nature::Builtin, inline::open),
    compiled("lmdb", Format::Lmdb, compiled::open_lmdb),
    row("pcre", Nature::Linear, patterns::open_perl),
    row("pipemap", Nature::Combined, combined::open_pipe),
    row("proxy", Nature::Combined, combined::open_proxy),
    row("randmap", Nature::Builtin, combined::open_random),
    row("regexp", Nature::Linear, patterns::open_posix),
    row("static", Nature::Builtin, |opening| Ok(Box::new(Constant::new(opening.name())))),
    row("texthash", Nature::Linear, text::open),
    row("unionmap", Nature::Combined, combined::open_union),
    row("unix", Nature::Builtin, host::open_unix),
];

/// What a type is given to open one table with. It keeps account of what the table depends on.
pub struct Opening<'a> {
    kind: &'a str,
    name: &'a str,
    tables: &'a Tables<'a>,
    paths: RefCell<Vec<PathBuf>>,
    notes: RefCell<Vec<Note>>,
}

impl<'a> Opening<'a> {
    pub(crate) fn new(kind: &'a str, name: &'a str, tables: &'a Tables<'a>) -> Self {
        Self { kind, name, tables, paths: RefCell::default(), notes: RefCell::default() }
    }

    /// The table's whole name, `type:name`.
    pub fn spec(&self) -> String {
        format!("{}:{}", self.kind, self.name)
    }

    /// What follows the colon.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The whole content of a file.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, String> {
        let path = path.as_ref();
        self.depends_on(path);
        self.tables.files().read(path).map_err(|why| format!("open {}: {why}", path.display()))
    }

    /// The content of a file that is asked here and there, and never written in place.
    pub fn map(&self, path: impl AsRef<Path>) -> Result<Bytes, std::io::Error> {
        let path = path.as_ref();
        self.depends_on(path);
        self.tables.files().map(path)
    }

    /// A file that is read in pieces, because it may be written in place.
    pub fn pieces(&self, path: impl AsRef<Path>) -> Result<Arc<dyn ReadAt>, std::io::Error> {
        let path = path.as_ref();
        self.depends_on(path);
        self.tables.files().open(path)
    }

    /// The table is a new one when this file is. Said of what is opened by other means; also where it is
    /// not there yet.
    pub fn depends_on(&self, path: &Path) {
        self.paths.borrow_mut().push(path.to_owned());
    }

    /// Another table that this one is made of. It has dependencies, notes and troubles of its own.
    pub fn table(&self, spec: &str) -> Table {
        self.tables.open(spec)
    }

    /// A list of names and tables in a table's own configuration, such as the `domain` of a database
    /// table. Errors name it by `parameter`.
    pub fn list(&self, parameter: &str, value: &str) -> MatchList {
        MatchList::open(parameter, value, self.tables)
    }

    /// Something for the admin to look at.
    pub fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    pub(crate) fn into_account(self) -> (Vec<PathBuf>, Vec<Note>) {
        (self.paths.into_inner(), self.notes.into_inner())
    }
}
