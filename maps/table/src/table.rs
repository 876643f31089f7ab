//! One table, named `type:name`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{Answer, Files, Note, Trouble, Value, inline, text};

/// What every kind of table can do. Keys come as they are; a table that ignores case folds them.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// Looks up one key.
    fn lookup(&self, key: &str) -> Answer;

    /// True for tables of patterns, which are never asked for parts of an address: `/example/` would
    /// match the whole and each part of it.
    fn whole_keys_only(&self) -> bool {
        false
    }
}

/// A table as a parameter names it. Cheap to clone; the clones are the same table.
#[derive(Clone)]
pub struct Table {
    name: Arc<str>,
    lookup: Arc<dyn Lookup>,
    trouble: Option<Arc<Trouble>>,
    notes: Arc<[Note]>,
}

/// What opening a table comes to.
type Opened = Result<(Box<dyn Lookup>, Vec<Note>), String>;

/// Opens what follows the colon.
type Open = fn(&str, &dyn Files) -> Opened;

/// Every type there is. A new one is a new line here.
const TYPES: &[(&str, Open)] = &[
    ("inline", |name, _| Ok((inline::parse(name)?, Vec::new()))),
    ("static", |name, _| Ok((Box::new(Constant::new(name)), Vec::new()))),
    ("texthash", |name, files| {
        let content = files.read(Path::new(name)).map_err(|why| format!("open {name}: {why}"))?;
        text::parse(name, &content)
    }),
];

/// The names of all table types, in the order of `postconf -m`.
pub fn types() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

/// Opens tables, each of them once: `virtual_mailbox_maps` and the domains that default to it share
/// theirs.
pub struct Tables<'a> {
    files: &'a dyn Files,
    opened: RefCell<HashMap<Box<str>, Table>>,
}

impl<'a> Tables<'a> {
    /// Opens what is asked for from these files.
    pub fn new(files: &'a dyn Files) -> Self {
        Self { files, opened: RefCell::default() }
    }

    /// The table of this name, see [`Table::open`].
    pub fn open(&self, spec: &str) -> Table {
        let mut opened = self.opened.borrow_mut();
        match opened.get(spec) {
            Some(table) => table.clone(),
            None => {
                let table = Table::open(spec, self.files);
                opened.insert(spec.into(), table.clone());
                table
            }
        }
    }

    /// The files that tables are read from.
    pub fn files(&self) -> &'a dyn Files {
        self.files
    }
}

impl Table {
    /// Opens `type:name`. A table that cannot be opened is a table too: one that answers
    /// [`Answer::Unavailable`] to everything, and says why in [`Table::trouble`].
    pub fn open(spec: &str, files: &dyn Files) -> Self {
        match open(spec, files) {
            Ok((lookup, notes)) => Self {
                name: spec.into(),
                lookup: lookup.into(),
                trouble: None,
                notes: notes.into(),
            },
            Err(cause) => Self::broken(spec, cause),
        }
    }

    fn broken(spec: &str, cause: String) -> Self {
        let trouble = Arc::new(Trouble { table: spec.into(), cause: cause.into() });
        Self {
            name: spec.into(),
            lookup: Arc::new(Broken(trouble.clone())),
            trouble: Some(trouble),
            notes: Arc::default(),
        }
    }

    /// `type:name`, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks up one key. A hit and a miss allocate nothing for ASCII keys.
    pub fn lookup(&self, key: &str) -> Answer {
        self.lookup.lookup(key)
    }

    /// See [`Lookup::whole_keys_only`].
    pub fn whole_keys_only(&self) -> bool {
        self.lookup.whole_keys_only()
    }

    /// Why the table could not be opened.
    pub fn trouble(&self) -> Option<&Arc<Trouble>> {
        self.trouble.as_ref()
    }

    /// What the admin should look at in its source.
    pub fn notes(&self) -> &[Note] {
        &self.notes
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

/// `fe80::1` and `db8:0::/32` begin like a table type.
fn looks_like_address(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'/'))
}

fn open(spec: &str, files: &dyn Files) -> Opened {
    let Some((kind, name)) = spec.split_once(':') else {
        return Err("expected type:name".to_owned());
    };
    match TYPES.iter().find(|(known, _)| *known == kind) {
        Some((_, open)) => open(name.trim(), files),
        None => {
            let known: Vec<&str> = types().collect();
            Err(format!("table type \"{kind}\" is not supported; there are {}", known.join(", ")))
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

/// Two tables are the same where they have the same name.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// `static:text` and `static:{text}`: the same value for every key.
#[derive(Debug)]
struct Constant(Value);

impl Constant {
    fn new(text: &str) -> Self {
        Self(cf::unbraced(text).unwrap_or(text).into())
    }
}

impl Lookup for Constant {
    fn lookup(&self, _: &str) -> Answer {
        Answer::Found(self.0.clone())
    }
}

/// A table that could not be opened. It never says [`Answer::NotFound`].
#[derive(Debug)]
struct Broken(Arc<Trouble>);

impl Lookup for Broken {
    fn lookup(&self, _: &str) -> Answer {
        Answer::Unavailable(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn found(table: &Table, key: &str) -> Option<String> {
        table.lookup(key).found().map(|value| value.to_string())
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
        assert_eq!(table.lookup("carol@example.com"), Answer::NotFound);
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
                "/t:2: expected \"key value\"; this line is ignored",
                "/t:3: a quote without its pair; this line is ignored",
                "/t:4: \"a\" was defined above; this second entry is ignored",
                "/t:5: \"d:\" ends in a colon; is this an alias file?",
            ]
        );
        assert_eq!(found(&table, "a").as_deref(), Some("1"));
        assert_eq!(table.lookup("b"), Answer::NotFound);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_unavailable_and_never_empty() {
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
                Table::open("hash:/t", &Memory::default()),
                "table hash:/t: table type \"hash\" is not supported; there are inline, static, texthash",
            ),
            (Table::open("users", &Memory::default()), "table users: expected type:name"),
        ] {
            let Answer::Unavailable(trouble) = table.lookup("a") else {
                panic!("{table:?} answered");
            };
            assert_eq!(trouble.to_string(), cause);
            assert_eq!(table.trouble(), Some(&trouble));
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
}
