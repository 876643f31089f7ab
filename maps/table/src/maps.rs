//! The ordered tables of one parameter, such as `virtual_mailbox_maps`.

use std::sync::Arc;

use crate::order::{Form, Keys};
use crate::{Answer, Note, Table, Tables, Trouble};

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
        self.settled(async || self.ask(key, true).await).await
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
        self.settled(async || {
            let mut keys = keys.clone();
            let mut whole = true;
            while let Some(key) = keys.next() {
                match self.ask(key, whole).await {
                    Answer::NotFound => {}
                    answer => return answer,
                }
                whole = false;
            }
            Answer::NotFound
        })
        .await
    }

    /// Makes a search, again where it found nothing and tables were replaced on the way: the old ones may
    /// have had the second key and the new ones the first, and then nobody was ever unknown.
    async fn settled(&self, search: impl AsyncFn() -> Answer) -> Answer {
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

    async fn ask(&self, key: &str, whole: bool) -> Answer {
        for table in &self.tables {
            if !whole && table.whole_keys_only() {
                continue;
            }
            match table.lookup(key).answer().await {
                Answer::NotFound => {}
                answer => return answer,
            }
        }
        Answer::NotFound
    }
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
    fn a_table_that_is_away_ends_the_search_unless_an_earlier_one_has_the_key() {
        let maps = "inline:{user@example.com=user}, texthash:/none, static:all";
        assert_eq!(find(maps, "user@example.com"), Answer::Found("user".into()));
        let Answer::Unavailable(trouble) = find(maps, "other@example.com") else {
            panic!("the missing table was passed over");
        };
        assert_eq!(&*trouble.table, "texthash:/none");
    }
}
