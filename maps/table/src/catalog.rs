//! What was opened from files: how a file that has changed finds what it changes.
//!
//! A change is made in two steps. [`Catalog::reopen`] opens everything anew that the file is a part of,
//! which can take a while and disturbs nobody; whoever called it can still find that what was read is no
//! good. [`Catalog::take`] then puts the new generations in the places of the old ones. What could not be
//! opened never takes the place of what could.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::list_file::{Content, ListFile};
use crate::table::{Generation, Place};
use crate::{Files, Nature, Note, Table, Tables, Trouble, Type};

/// Everything that a configuration opened. It keeps nothing alive: what no parameter has any more drops
/// out of it.
#[derive(Clone, Default)]
pub struct Catalog {
    types: Vec<Type>,
    tables: Vec<Entry>,
    lists: Vec<Weak<ListFile>>,
}

#[derive(Clone)]
struct Entry {
    table: Weak<Place>,
    /// What the latest attempt to open it wanted, where the table is still the one before.
    also: Vec<PathBuf>,
}

/// A file that something was read from, or should have been.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub manner: Manner,
}

/// How a file comes to be. The more careful manner is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// A program writes all of it and then puts it in its place; half of one is known for what it is.
    Whole,
    /// Anybody writes it with anything, perhaps line by line and in place; half of one looks like a
    /// smaller one.
    Text,
}

/// What a file that has changed would make new. See [`Catalog::take`].
pub struct Reopened {
    tables: Vec<(Table, Generation)>,
    lists: Vec<(Arc<ListFile>, Content)>,
    new_tables: Vec<Table>,
    new_lists: Vec<Arc<ListFile>>,
}

/// What became of one table or file of patterns.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// `texthash:/etc/ringpost/users`, or `mynetworks /etc/ringpost/networks`.
    pub name: String,
    /// Why the new one is not used. The one before goes on, if there was one.
    pub trouble: Option<Arc<Trouble>>,
    /// False for what answers nothing but Unavailable.
    pub serves: bool,
    /// What the admin should look at in the new one.
    pub notes: Vec<Note>,
}

/// What was replaced. Lookups that had begun may still be reading it: dropping this before
/// [`Replaced::is_unused`] leaves the work of dropping a large table to whichever thread is the last.
#[derive(Default)]
pub struct Replaced {
    tables: Vec<Arc<Generation>>,
    lists: Vec<Arc<Content>>,
}

impl Replaced {
    /// True once nobody else reads it.
    pub fn is_unused(&self) -> bool {
        self.tables.iter().all(|table| Arc::strong_count(table) == 1)
            && self.lists.iter().all(|list| Arc::strong_count(list) == 1)
    }
}

impl Catalog {
    /// What these tables have opened so far.
    pub fn new(tables: Tables<'_>) -> Self {
        let (types, tables, lists) = tables.into_parts();
        let mut catalog = Self { types, ..Self::default() };
        catalog.add(&tables, &lists);
        catalog
    }

    /// Tables for another configuration: what is open here is open there, and is the same table.
    pub fn tables<'a>(&self, files: &'a dyn Files) -> Tables<'a> {
        let opened = self.live_tables().map(|(_, table)| table);
        Tables::new(files).with_types(self.types.iter().cloned()).with_opened(opened)
    }

    /// All files, each of them once.
    pub fn sources(&self) -> Vec<Source> {
        let mut sources = Vec::new();
        for (entry, table) in self.live_tables() {
            let manner = match table.nature() {
                Some(Nature::Compiled) => Manner::Whole,
                _ => Manner::Text,
            };
            let paths = table.paths().into_iter().chain(entry.also.iter().cloned());
            sources.extend(paths.map(|path| Source { path, manner }));
        }
        let lists = self.live_lists();
        sources.extend(
            lists.map(|list| Source { path: list.path().to_owned(), manner: Manner::Text }),
        );
        // The more careful manner of two comes first.
        sources.sort_by(|a, b| a.path.cmp(&b.path).then(b.manner.cmp(&a.manner)));
        sources.dedup_by(|later, earlier| later.path == earlier.path);
        sources
    }

    /// Names and causes of what cannot answer.
    pub fn troubles(&self) -> Vec<(String, Arc<Trouble>)> {
        let tables = self.live_tables();
        let tables = tables.filter_map(|(_, it)| Some((it.name().to_owned(), it.trouble()?)));
        let lists = self.live_lists().filter_map(|list| Some((list.name(), list.trouble()?)));
        tables.chain(lists).collect()
    }

    /// Whether there still is a table or file of patterns of this name, see [`Taken::name`].
    pub fn has(&self, name: &str) -> bool {
        self.live_tables().any(|(_, table)| table.name() == name)
            || self.live_lists().any(|list| list.name() == name)
    }

    /// Opens anew what `path` is a part of, reading `files`.
    pub fn reopen(&self, path: &Path, files: &dyn Files) -> Reopened {
        let stale = |entry: &Entry, table: &Table| {
            table.depends_on(path) || entry.also.iter().any(|also| also == path)
        };
        let (stale, other): (Vec<_>, Vec<_>) =
            self.live_tables().partition(|(entry, table)| stale(entry, table));
        let known: Vec<Table> = stale.into_iter().map(|(_, table)| table).collect();
        let others = other.into_iter().map(|(_, table)| table);
        // Tables that are made of others find those here, and not a second copy.
        let tables = Tables::new(files)
            .with_types(self.types.iter().cloned())
            .with_opened(others.chain(known.iter().cloned()));
        let before = tables.opened();
        let renewed = known
            .into_iter()
            .map(|table| {
                let generation = tables.generation(table.name());
                (table, generation)
            })
            .collect();
        let lists = self
            .live_lists()
            .filter(|list| list.path() == path)
            .map(|list| {
                let content = list.content(&tables);
                (list, content)
            })
            .collect();
        let (_, opened, new_lists) = tables.into_parts();
        let new_tables = opened.into_iter().filter(|it| !before.contains(it.name())).collect();
        Reopened { tables: renewed, lists, new_tables, new_lists }
    }

    /// Puts everything that could be opened in its place: whoever looks something up from now on, on
    /// any thread and by any clone of the table, is answered by it.
    pub fn take(&mut self, reopened: Reopened) -> (Vec<Taken>, Replaced) {
        let Reopened { tables, lists, new_tables, new_lists } = reopened;
        self.tables.retain(|entry| entry.table.strong_count() != 0);
        self.lists.retain(|list| list.strong_count() != 0);
        self.add(&new_tables, &new_lists);
        // What is named for the first time is worth a word only if it cannot answer.
        let no_good = |name: String, trouble: Option<Arc<Trouble>>| {
            trouble.map(|it| Taken { name, trouble: Some(it), serves: false, notes: Vec::new() })
        };
        let named = new_tables.iter().filter_map(|it| no_good(it.name().to_owned(), it.trouble()));
        let mut taken: Vec<Taken> = named.collect();
        taken.extend(new_lists.iter().filter_map(|list| no_good(list.name(), list.trouble())));
        let mut replaced = Replaced::default();
        for (table, generation) in tables {
            let trouble = generation.trouble.clone();
            // Two that are broken: the later one knows better why.
            let keep = trouble.is_some() && table.trouble().is_none();
            let also = if keep { generation.paths().to_vec() } else { Vec::new() };
            if let Some(entry) = self.entry(&table) {
                entry.also = also;
            }
            let notes = generation.notes.clone();
            if !keep {
                replaced.tables.push(table.replace(generation));
            }
            let serves = table.trouble().is_none();
            taken.push(Taken { name: table.name().to_owned(), trouble, serves, notes });
        }
        for (list, content) in lists {
            let trouble = content.trouble().cloned();
            if trouble.is_none() || list.trouble().is_some() {
                replaced.lists.push(list.replace(content));
            }
            let serves = list.trouble().is_none();
            taken.push(Taken { name: list.name(), trouble, serves, notes: Vec::new() });
        }
        (taken, replaced)
    }

    fn add(&mut self, tables: &[Table], lists: &[Arc<ListFile>]) {
        let entry = |table: &Table| Entry { table: table.downgrade(), also: Vec::new() };
        self.tables.extend(tables.iter().map(entry));
        self.lists.extend(lists.iter().map(Arc::downgrade));
    }

    fn entry(&mut self, table: &Table) -> Option<&mut Entry> {
        let place = table.downgrade();
        self.tables.iter_mut().find(|entry| entry.table.ptr_eq(&place))
    }

    fn live_tables(&self) -> impl Iterator<Item = (&Entry, Table)> {
        self.tables.iter().filter_map(|entry| Some((entry, Table(entry.table.upgrade()?))))
    }

    fn live_lists(&self) -> impl Iterator<Item = Arc<ListFile>> {
        self.lists.iter().filter_map(Weak::upgrade)
    }
}

impl Reopened {
    /// True where something could not be opened.
    pub fn is_wrong(&self) -> bool {
        self.tables.iter().any(|(_, generation)| generation.trouble.is_some())
            || self.lists.iter().any(|(_, content)| content.trouble().is_some())
            || self.new_tables.iter().any(|table| table.trouble().is_some())
            || self.new_lists.iter().any(|list| list.trouble().is_some())
    }

    /// True where nothing is made of the file any more.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.lists.is_empty()
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources()).finish()
    }
}
