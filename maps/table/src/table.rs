//! One table, named `type:name`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use crate::at_hand;
use crate::constant::Broken;
use crate::list_file::ListFile;
use crate::matching::LIST_FILES_MAX;
use crate::types::TYPES;
use crate::{Answer, Files, Nature, Note, Opening, Response, Trouble, Type, Value};

/// How deep tables may be made of tables.
pub const NESTING_DEPTH_MAX: usize = 16;

/// What every kind of table can do. Keys come as they are; a table that ignores case folds them.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// Looks up one key. Waits for nobody: what takes a while is in the [`Response`].
    fn lookup(&self, key: &str) -> Response;

    /// Looks up a line of a message, which need not be text. Tables of patterns take it as it is; it is
    /// no key of others.
    fn lookup_line(&self, line: &[u8]) -> Response {
        match std::str::from_utf8(line) {
            Ok(key) => self.lookup(key),
            Err(_) => Answer::NotFound.into(),
        }
    }

    /// True for tables of patterns, which are never asked for parts of an address: `/example/` would
    /// match the whole and each part of it.
    fn whole_keys_only(&self) -> bool {
        false
    }

    /// Every entry, by key, where the table holds them in memory: `postmap -s`.
    fn entries(&self) -> Option<Vec<(Box<str>, Value)>> {
        None
    }

    /// How often the tables that this one is made of have been replaced: the sum of their
    /// [`Table::turn`]s. A search of many keys that ends with nothing is made again where it has changed.
    fn turn(&self) -> u64 {
        0
    }
}

/// A table as a parameter names it. Cheap to clone; the clones are the same table, also when it is opened
/// anew because its file has changed, see [`crate::Catalog`].
#[derive(Clone)]
pub struct Table(pub(crate) Arc<Place>);

/// Where the generations of one table follow each other. Whoever looks something up takes the one that
/// is there at this moment, without a lock, and keeps it for as long as the lookup takes.
pub(crate) struct Place {
    pub(crate) name: Box<str>,
    current: ArcSwap<Generation>,
    /// Of the current generation. It is noted after that was put in its place: whoever reads the number
    /// first finds this generation or a later one.
    serial: AtomicU64,
    /// Where threads that have promised to keep it there, see [`crate::AtHand`].
    at_hand: usize,
}

/// What opening a table came to.
pub(crate) struct Generation {
    /// How many there were before.
    number: u64,
    /// No other generation, of whatever table, has it.
    serial: u64,
    lookup: Box<dyn Lookup>,
    nature: Option<Nature>,
    pub(crate) trouble: Option<Arc<Trouble>>,
    pub(crate) notes: Vec<Note>,
    paths: Vec<PathBuf>,
}

/// The names of all table types of this crate, in the order of `postconf -m`.
pub fn types() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|kind| kind.name)
}

/// Opens tables, each of them once: `virtual_mailbox_maps` and the domains that default to it share
/// theirs.
pub struct Tables<'a> {
    files: &'a dyn Files,
    further: Vec<Type>,
    opened: RefCell<HashMap<Box<str>, Table>>,
    lists: RefCell<Vec<Arc<ListFile>>>,
    depth: Cell<usize>,
    /// Files that the list being read has named so far, with those that they name.
    list_files: Cell<usize>,
}

impl<'a> Tables<'a> {
    /// Opens what is asked for from these files.
    pub fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            further: Vec::new(),
            opened: RefCell::default(),
            lists: RefCell::default(),
            depth: Cell::new(0),
            list_files: Cell::new(0),
        }
    }

    /// Has these open already.
    pub(crate) fn with_opened(self, tables: impl IntoIterator<Item = Table>) -> Self {
        let named = tables.into_iter().map(|table| (table.name().into(), table));
        self.opened.borrow_mut().extend(named);
        self
    }

    /// Knows these types, too.
    #[must_use]
    pub fn with_types(mut self, types: impl IntoIterator<Item = Type>) -> Self {
        self.further.extend(types);
        self
    }

    /// Every type there is.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        TYPES.iter().chain(&self.further)
    }

    /// The table of this name. One that cannot be opened is a table too: it answers
    /// [`crate::Answer::Unavailable`] to everything, and says why in [`Table::trouble`].
    pub fn open(&self, spec: &str) -> Table {
        if let Some(table) = self.opened.borrow().get(spec) {
            return table.clone();
        }
        self.depth.set(self.depth.get() + 1);
        let table = Table::new(spec, self.generation(spec));
        self.depth.set(self.depth.get() - 1);
        self.opened.borrow_mut().insert(spec.into(), table.clone());
        table
    }

    /// The files that tables are read from.
    pub fn files(&self) -> &'a dyn Files {
        self.files
    }

    /// Another list begins, or is read again.
    pub(crate) fn begin_list(&self) {
        self.list_files.set(0);
    }

    /// The list names another file; false where it has as many as it may have.
    pub(crate) fn add_list_file(&self) -> bool {
        self.list_files.set(self.list_files.get() + 1);
        self.list_files.get() <= LIST_FILES_MAX
    }

    /// Takes note of a file of patterns that was read.
    pub(crate) fn has_read(&self, list: &Arc<ListFile>) {
        self.lists.borrow_mut().push(Arc::clone(list));
    }

    /// The names of the tables that are open.
    pub(crate) fn opened(&self) -> HashSet<Box<str>> {
        self.opened.borrow().keys().cloned().collect()
    }

    /// The types from elsewhere, the tables that are open, and the files of patterns.
    pub(crate) fn into_parts(self) -> (Vec<Type>, Vec<Table>, Vec<Arc<ListFile>>) {
        let tables = self.opened.into_inner().into_values().collect();
        (self.further, tables, self.lists.into_inner())
    }

    /// Opens what `spec` names, whether or not it is open.
    pub(crate) fn generation(&self, spec: &str) -> Generation {
        let (nature, opened, (paths, notes)) = match self.split(spec) {
            Ok((kind, name)) => {
                let opening = Opening::new(kind.name, name, self);
                let opened = kind.open(&opening);
                (Some(kind.nature), opened, opening.into_account())
            }
            Err(cause) => (None, Err(cause), Default::default()),
        };
        let (lookup, trouble) = match opened {
            Ok(lookup) => (lookup, None),
            Err(cause) => {
                let trouble = Arc::new(Trouble { table: spec.into(), cause: cause.into() });
                (Box::new(Broken(trouble.clone())) as Box<dyn Lookup>, Some(trouble))
            }
        };
        let serial = SERIALS.fetch_add(1, Ordering::Relaxed);
        Generation { number: 0, serial, lookup, nature, trouble, notes, paths }
    }

    fn split<'s>(&self, spec: &'s str) -> Result<(&Type, &'s str), String> {
        if self.depth.get() > NESTING_DEPTH_MAX {
            return Err(format!("tables are made of tables more than {NESTING_DEPTH_MAX} deep"));
        }
        let (wanted, name) = spec.split_once(':').ok_or("expected type:name")?;
        match self.types().find(|kind| kind.name == wanted) {
            Some(kind) => Ok((kind, name.trim())),
            None => {
                let known: Vec<&str> = self.types().map(|kind| kind.name).collect();
                let known = known.join(", ");
                Err(format!("table type \"{wanted}\" is not supported; there are {known}"))
            }
        }
    }
}

/// Generations so far, of all tables.
static SERIALS: AtomicU64 = AtomicU64::new(0);

impl Generation {
    #[inline]
    pub(crate) fn is_numbered(&self, serial: u64) -> bool {
        self.serial == serial
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

impl Place {
    /// Asks the latest generation.
    #[inline]
    fn ask<T>(&self, ask: impl FnOnce(&Generation) -> T) -> T {
        let taken = at_hand::Taken::from(self.at_hand, self.serial.load(Ordering::Acquire));
        match taken.generation() {
            Some(generation) => ask(generation),
            None => self.ask_latest(taken, ask),
        }
    }

    #[cold]
    fn ask_latest<T>(&self, mut taken: at_hand::Taken, ask: impl FnOnce(&Generation) -> T) -> T {
        if at_hand::is_promised() {
            ask(taken.renew(self.current.load_full()))
        } else {
            ask(&self.current.load())
        }
    }
}

impl Table {
    fn new(spec: &str, generation: Generation) -> Self {
        let serial = generation.serial;
        let current = ArcSwap::from_pointee(generation);
        let (name, at_hand) = (spec.into(), serial as usize);
        Self(Arc::new(Place { name, current, serial: serial.into(), at_hand }))
    }

    /// Opens one table, see [`Tables::open`].
    pub fn open(spec: &str, files: &dyn Files) -> Self {
        Tables::new(files).open(spec)
    }

    /// `type:name`, as it was given.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Looks up one key. Where the table is no remote one, a hit and a miss allocate nothing for ASCII
    /// keys.
    pub fn lookup(&self, key: &str) -> Response {
        self.0.ask(|current| current.lookup.lookup(key))
    }

    /// Looks up one line of a message, for header and body checks: a whole header with its continuation
    /// lines, or a line of the body.
    pub fn lookup_line(&self, line: &[u8]) -> Response {
        self.0.ask(|current| current.lookup.lookup_line(line))
    }

    /// See [`Lookup::entries`].
    pub fn entries(&self) -> Option<Vec<(Box<str>, Value)>> {
        self.0.current.load().lookup.entries()
    }

    /// See [`Lookup::whole_keys_only`].
    pub fn whole_keys_only(&self) -> bool {
        self.0.ask(|current| current.lookup.whole_keys_only())
    }

    /// A number that is another one after the table, or one that it is made of, was replaced.
    pub fn turn(&self) -> u64 {
        self.0.ask(|current| turn(current.number, current.lookup.turn()))
    }

    /// Why the table could not be opened.
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.0.current.load().trouble.clone()
    }

    /// What the admin should look at in its source.
    pub fn notes(&self) -> Vec<Note> {
        self.0.current.load().notes.clone()
    }

    /// What kind of table it is; `None` where there is no such type.
    pub fn nature(&self) -> Option<Nature> {
        self.0.current.load().nature
    }

    /// The files it was read from, or should have been. A change of one of them makes it another table;
    /// those of the tables it is made of are theirs.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.current.load().paths.clone()
    }

    pub(crate) fn depends_on(&self, path: &std::path::Path) -> bool {
        self.0.current.load().paths.iter().any(|known| known == path)
    }

    /// All clones of this table answer from the new generation from now on. Returns the one before,
    /// which lookups that have begun may still be reading.
    pub(crate) fn replace(&self, mut generation: Generation) -> Arc<Generation> {
        generation.number = self.0.current.load().number + 1;
        let serial = generation.serial;
        let before = self.0.current.swap(Arc::new(generation));
        self.0.serial.store(serial, Ordering::Release);
        before
    }

    pub(crate) fn downgrade(&self) -> Weak<Place> {
        Arc::downgrade(&self.0)
    }

    /// True for text with the form `type:name`, so that lists can tell tables from names. An address
    /// such as `::1` or `[2001:db8::]/32` is none.
    pub(crate) fn is_spec(text: &str) -> bool {
        text.split_once(':').is_some_and(|(kind, _)| {
            !kind.is_empty()
                && kind.starts_with(|c: char| c.is_ascii_alphabetic())
                && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !(kind.bytes().all(|b| b.is_ascii_hexdigit()) && looks_like_address(text))
        })
    }
}

/// Numbers that only grow are added up to one that changes with each of them. What a new generation is
/// made of counts anew; the factor keeps that from making up for the generation.
pub(crate) fn turn(generation: u64, parts: u64) -> u64 {
    generation.wrapping_mul(1 << 40).wrapping_add(parts)
}

/// `fe80::1` and `db8:0::/32` begin like a table type.
fn looks_like_address(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'/'))
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name())
    }
}

/// Two tables are the same where they have the same name.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Memory, Open, block_on};

    fn answer(table: &Table, key: &str) -> Answer {
        block_on(table.lookup(key).answer())
    }

    fn found(table: &Table, key: &str) -> Option<String> {
        answer(table, key).found().unwrap().map(|value| value.to_string())
    }

    fn text_table(text: &[u8]) -> Table {
        Table::open("texthash:/t", &Memory::default().with("/t", text))
    }

    #[test]
    fn a_text_table_finds_its_keys_in_any_case() {
        let table = text_table(
            b"# users\nalice@Example.com  example.com/alice/\nbob@example.com\n\tb o b \n\n\"a b\"@example.com x\n",
        );
        assert_eq!(found(&table, "ALICE@example.COM").as_deref(), Some("example.com/alice/"));
        assert_eq!(found(&table, "bob@example.com").as_deref(), Some("b o b"));
        assert_eq!(found(&table, "\"a b\"@example.com").as_deref(), Some("x"));
        assert_eq!(answer(&table, "carol@example.com"), Answer::NotFound);
        assert_eq!(table.notes(), []);
    }

    #[test]
    fn keys_beyond_ascii_fold_too() {
        let table = text_table("JÖRG@Exämple.com joerg/\n".as_bytes());
        assert_eq!(found(&table, "jörg@exÄmple.com").as_deref(), Some("joerg/"));
    }

    #[test]
    fn lines_that_are_no_entries_are_noted_and_left_out() {
        let table = text_table(b"a 1\nb\n\"c 2\na 3\nd: 4\n");
        let notes: Vec<String> = table.notes().iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            [
                "/t:2: expected format: key whitespace value -- ignoring this line",
                "/t:3: unbalanced '\"' in '\"c 2' -- ignoring this line",
                "/t:4: duplicate entry: \"a\"",
                "/t:5: record is in \"key: value\" format; is this an alias file?",
            ]
        );
        assert_eq!(found(&table, "a").as_deref(), Some("1"));
        assert_eq!(answer(&table, "b"), Answer::NotFound);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_unavailable_and_never_empty() {
        let known: Vec<&str> = types().collect();
        let known = known.join(", ");
        for (table, cause) in [
            (
                text_table(b"a 1\nb \0 2\n"),
                "table texthash:/t: /t:2: this line holds a NUL byte; is this a text file?",
            ),
            (
                Table::open("texthash:/none", &Memory::default()),
                "table texthash:/none: open /none: entity not found",
            ),
            (
                Table::open("nosuch:/t", &Memory::default()),
                &*format!(
                    "table nosuch:/t: table type \"nosuch\" is not supported; there are {known}"
                ),
            ),
            (Table::open("users", &Memory::default()), "table users: expected type:name"),
        ] {
            let Answer::Unavailable(trouble) = answer(&table, "a") else {
                panic!("{table:?} answered");
            };
            assert_eq!(trouble.to_string(), cause);
            assert_eq!(table.trouble(), Some(trouble));
        }
    }

    #[test]
    fn an_inline_table_reads_pairs_and_braced_pairs() {
        let table =
            Table::open("inline:{ a=1, {B = two words} {\"x = y\" = 3} }", &Memory::default());
        assert_eq!(table.trouble(), None);
        assert_eq!(found(&table, "A").as_deref(), Some("1"));
        assert_eq!(found(&table, "b").as_deref(), Some("two words"));
        assert_eq!(found(&table, "\"x = y\"").as_deref(), Some("3"));
        for bad in ["inline:{}", "inline:a=b", "inline:{a}", "inline:{=1}", "inline:{a=1, A=2}"] {
            assert!(Table::open(bad, &Memory::default()).trouble().is_some(), "{bad}");
        }
    }

    #[test]
    fn a_static_table_has_one_value_for_everything() {
        assert_eq!(
            found(&Table::open("static:5000", &Memory::default()), "x").as_deref(),
            Some("5000")
        );
        let braced = Table::open("static:{ a b }", &Memory::default());
        assert_eq!(found(&braced, "").as_deref(), Some("a b"));
    }

    #[test]
    fn a_table_is_opened_once_however_often_it_is_named() {
        struct Counted(std::cell::Cell<usize>);
        impl Files for Counted {
            fn read(&self, _: &Path) -> std::io::Result<Vec<u8>> {
                self.0.set(self.0.get() + 1);
                Ok(b"example.com 1\n".to_vec())
            }
        }
        let files = Counted(std::cell::Cell::new(0));
        let tables = Tables::new(&files);
        for _ in 0..3 {
            assert_eq!(found(&tables.open("texthash:/t"), "example.com").as_deref(), Some("1"));
        }
        assert_eq!(files.0.get(), 1);
    }

    #[test]
    fn the_disk_gives_files_and_says_why_not() {
        let missing = Table::open("texthash:/nonexistent/ringpost", &crate::Disk);
        let cause = &missing.trouble().unwrap().cause;
        assert!(cause.starts_with("open /nonexistent/ringpost: No such file"), "{cause}");
        let directory = Table::open("texthash:/", &crate::Disk);
        assert!(directory.trouble().unwrap().cause.contains("is a directory"));
    }

    #[test]
    fn a_table_knows_what_it_was_read_from_even_where_that_is_missing() {
        let files = Memory::default().with("/t", "a 1\n");
        for path in ["/t", "/none"] {
            let table = Table::open(&format!("texthash:{path}"), &files);
            assert_eq!(table.paths(), [Path::new(path)]);
            assert_eq!(table.nature(), Some(Nature::Linear));
        }
    }

    /// Types that are registered from elsewhere: one that answers later, one made of another table.
    fn further() -> [Type; 2] {
        #[derive(Debug)]
        struct Slow;
        impl Lookup for Slow {
            fn lookup(&self, key: &str) -> Response {
                let value = format!("{key}, later");
                Response::Later(Box::pin(async { Answer::Found(value.into()) }))
            }
        }
        #[derive(Debug)]
        struct Nested(Table);
        impl Lookup for Nested {
            fn lookup(&self, key: &str) -> Response {
                self.0.lookup(key)
            }
        }
        let slow = Open::Shared(Arc::new(|_: &Opening<'_>| Ok(Box::new(Slow) as _)));
        let nested = Open::Function(|opening| Ok(Box::new(Nested(opening.table(opening.name())))));
        [
            Type { name: "slow", nature: Nature::Remote, format: None, open: slow },
            Type { name: "nested", nature: Nature::Combined, format: None, open: nested },
        ]
    }

    #[test]
    fn types_from_elsewhere_are_types_like_any_other() {
        let files = Memory::default();
        let tables = Tables::new(&files).with_types(further());
        assert_eq!(found(&tables.open("slow:x"), "a").as_deref(), Some("a, later"));
        assert_eq!(found(&tables.open("nested:slow:x"), "a").as_deref(), Some("a, later"));
        assert_eq!(tables.open("nested:slow:x").nature(), Some(Nature::Combined));
    }

    #[test]
    fn tables_made_of_tables_end_somewhere() {
        let files = Memory::default();
        let tables = Tables::new(&files).with_types(further());
        let spec = "nested:".repeat(100_000) + "static:x";
        assert!(matches!(answer(&tables.open(&spec), "a"), Answer::Unavailable(_)));
        let spec = "nested:".repeat(NESTING_DEPTH_MAX - 1) + "static:x";
        assert_eq!(found(&tables.open(&spec), "a").as_deref(), Some("x"));
    }
}
