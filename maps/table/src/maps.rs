//! The ordered tables of one parameter, such as `virtual_mailbox_maps`.

use std::sync::Arc;

use crate::order::{Form, Keys};
use crate::{Answer, Note, Response, Table, Tables, Trouble};

/// How often a search is made again because its tables were replaced on the way.
pub(crate) const ATTEMPTS_MAX: usize = 5;

/// Tables that are asked one after the other. The first that finds something, or that cannot answer,
/// ends the search: a table behind one that is away must not answer in its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapList {
    tables: Box<[Table]>,
}

impl MapList {
    /// Opens a list of `type:name`.
    pub fn open(value: &str, tables: &Tables<'_>) -> Self {
        Self { tables: cf::items(value).map(|spec| tables.open(spec)).collect() }
    }

    /// True where no table is configured, which is not the same as tables that find nothing.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The tables in their order.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Why each table that could not be opened could not.
    pub fn troubles(&self) -> impl Iterator<Item = Arc<Trouble>> {
        self.tables.iter().filter_map(Table::trouble)
    }

    /// What the admin should look at in the tables' sources.
    pub fn notes(&self) -> impl Iterator<Item = Note> {
        self.tables.iter().flat_map(Table::notes)
    }

    /// Looks up one whole key.
    pub async fn lookup(&self, key: &str) -> Answer {
        self.settled(async || self.ask(key, true, &mut |_| {}).await).await
    }

    /// Looks an address up by the keys of an order, see [`crate::order`].
    pub async fn find(&self, forms: &[Form], address: &str, delimiters: &str) -> Answer {
        if self.is_empty() {
            return Answer::NotFound;
        }
        self.find_keys(Keys::new(forms, address, delimiters)).await
    }

    /// Looks up keys until one is found.
    pub async fn find_keys(&self, keys: Keys<'_>) -> Answer {
        self.settled(async || self.search(keys.clone(), |_| {}).await).await
    }

    /// The same search, once, and `see` is told of each step.
    pub async fn explain(&self, keys: Keys<'_>, see: impl FnMut(Step<'_>)) -> Answer {
        self.search(keys, see).await
    }

    async fn search(&self, mut keys: Keys<'_>, mut see: impl FnMut(Step<'_>)) -> Answer {
        let mut whole = true;
        while let Some(key) = keys.next() {
            match self.ask(key, whole, &mut see).await {
                Answer::NotFound => {}
                answer => return answer,
            }
            whole = false;
        }
        Answer::NotFound
    }

    /// Makes a search, again where it found nothing and tables were replaced on the way: the old ones may
    /// have had the second key and the new ones the first, and then nobody was ever unknown.
    pub async fn settled(&self, mut search: impl AsyncFnMut() -> Answer) -> Answer {
        for _ in 0..ATTEMPTS_MAX {
            let turn = self.turn();
            match search().await {
                Answer::NotFound if turn != self.turn() => {}
                answer => return answer,
            }
        }
        Answer::Unavailable(Trouble::restless("a list of tables"))
    }

    fn turn(&self) -> u64 {
        self.tables.iter().map(Table::turn).fold(0, u64::wrapping_add)
    }

    /// Asks all tables for one key, once. For searches that make their keys themselves, within
    /// [`Self::settled`]; `whole` says that the key is all of what is looked up and no part of it.
    pub async fn ask(&self, key: &str, whole: bool, see: &mut impl FnMut(Step<'_>)) -> Answer {
        for table in &self.tables {
            if !whole && table.whole_keys_only() {
                see(Step { key, table, answer: None });
                continue;
            }
            // Most tables answer at once, and then nothing is carried through another future.
            let answer = match table.lookup(key) {
                Response::Ready(answer) => answer,
                Response::Later(later) => later.await,
            };
            see(Step { key, table, answer: Some(&answer) });
            match answer {
                Answer::NotFound => {}
                answer => return answer,
            }
        }
        Answer::NotFound
    }
}

/// One question of a search.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What was asked for.
    pub key: &'a str,
    /// Which table was asked.
    pub table: &'a Table,
    /// What it said; `None` where it was not asked, since it is never asked for parts of an address.
    pub answer: Option<&'a Answer>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::VIRTUAL;
    use crate::{Memory, block_on};

    fn find(maps: &str, address: &str) -> Answer {
        let maps = MapList::open(maps, &Tables::new(&Memory::default()));
        block_on(maps.find(VIRTUAL, address, "+"))
    }

    #[test]
    fn each_key_is_tried_in_all_tables_before_the_next_key() {
        let maps = "inline:{@example.com=domain} inline:{user@example.com=user}";
        assert_eq!(find(maps, "user+x@example.com"), Answer::Found("user".into()));
        assert_eq!(find(maps, "other@example.com"), Answer::Found("domain".into()));
        assert_eq!(find(maps, "user@example.org"), Answer::NotFound);
        assert_eq!(find("", "user@example.org"), Answer::NotFound);
    }

    #[test]
    fn a_search_can_be_watched() {
        let maps = "inline:{@example.com=domain} static:all cidr:{{192.0.2.1 x}}";
        let maps = MapList::open(maps, &Tables::new(&Memory::default()));
        let mut steps = Vec::new();
        let answer = block_on(maps.explain(Keys::new(VIRTUAL, "u+x@example.com", "+"), |step| {
            steps.push(format!("{} {} {:?}", step.key, step.table.name(), step.answer));
        }));
        assert_eq!(answer, Answer::Found("all".into()));
        assert_eq!(
            steps,
            [
                "u+x@example.com inline:{@example.com=domain} Some(NotFound)",
                "u+x@example.com static:all Some(Found(\"all\"))",
            ]
        );
    }

    #[test]
    fn a_table_that_is_away_ends_the_search_unless_an_earlier_one_has_the_key() {
        let maps = "inline:{user@example.com=user}, texthash:/none, static:all";
        assert_eq!(find(maps, "user@example.com"), Answer::Found("user".into()));
        let Answer::Unavailable(trouble) = find(maps, "other@example.com") else {
            panic!("the missing table was passed over");
        };
        assert_eq!(&*trouble.table, "texthash:/none");
    }
}
