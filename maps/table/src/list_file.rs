//! A file of patterns, `/file` in a list.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::matching::{Asked, trouble};
use crate::{MatchList, Note, Tables, Trouble};

/// One such file as one list names it. What is read from it is replaced whole when the file changes, see
/// [`crate::Catalog`].
pub(crate) struct ListFile {
    parameter: Box<str>,
    path: Box<str>,
    /// The files that name it, from the list on, and itself.
    within: Box<[Box<str>]>,
    current: ArcSwap<Content>,
}

/// What reading it came to.
pub(crate) struct Content {
    number: u64,
    list: Arc<MatchList>,
    trouble: Option<Arc<Trouble>>,
}

impl ListFile {
    /// Reads it. One that cannot be read is a list that cannot tell what is on it.
    pub(crate) fn open(
        parameter: &str,
        path: &str,
        within: &[Box<str>],
        tables: &Tables<'_>,
    ) -> Arc<Self> {
        let within: Box<[Box<str>]> = within.iter().cloned().chain([path.into()]).collect();
        let current = ArcSwap::from_pointee(read(parameter, path, &within, tables));
        let (parameter, path) = (parameter.into(), path.into());
        let file = Arc::new(Self { parameter, path, within, current });
        tables.has_read(&file);
        file
    }

    /// What errors and the log call it.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.parameter, self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        Path::new(&*self.path)
    }

    /// Reads it again, from other files.
    pub(crate) fn content(&self, tables: &Tables<'_>) -> Content {
        read(&self.parameter, &self.path, &self.within, tables)
    }

    /// From now on, this is what the list says. Returns what it was before.
    pub(crate) fn replace(&self, mut content: Content) -> Arc<Content> {
        content.number = self.current.load().number + 1;
        self.current.swap(Arc::new(content))
    }

    pub(crate) fn list(&self) -> Arc<MatchList> {
        Arc::clone(&self.current.load().list)
    }

    /// See [`MatchList::literal_match`].
    pub(crate) fn literal_match(
        &self,
        asked: &Asked<'_>,
    ) -> Option<Result<Option<bool>, Arc<Trouble>>> {
        self.current.load().list.literal_match(asked)
    }

    pub(crate) fn turn(&self) -> u64 {
        let current = self.current.load();
        crate::table::turn(current.number, current.list.turn())
    }

    /// What is wrong with it, but not with what it names.
    pub(crate) fn trouble(&self) -> Option<Arc<Trouble>> {
        self.current.load().trouble.clone()
    }

    pub(crate) fn troubles(&self) -> Vec<Arc<Trouble>> {
        self.current.load().list.troubles()
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        self.current.load().list.notes()
    }
}

impl Content {
    /// Why it should not take the place of one that is right.
    pub(crate) fn trouble(&self) -> Option<&Arc<Trouble>> {
        self.trouble.as_ref()
    }
}

fn read(parameter: &str, path: &str, within: &[Box<str>], tables: &Tables<'_>) -> Content {
    let mut list = MatchList::default();
    match tables.files().read(Path::new(path)) {
        Ok(text) => {
            for line in cf::Lines::new(&text) {
                match line {
                    Ok(line) => list.add(parameter, tables, &line.text, within, Some(line.line)),
                    Err((line, why)) => {
                        let cause = format!("{path}:{line}: this line {why}");
                        list.fail(true, trouble(parameter, path, &cause));
                    }
                }
            }
        }
        Err(why) => list.fail(true, trouble(parameter, path, &format!("open {path}: {why}"))),
    }
    let trouble = list.own_troubles().into_iter().next();
    Content { number: 0, list: Arc::new(list), trouble }
}

impl fmt::Debug for ListFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListFile({})", self.path)
    }
}
