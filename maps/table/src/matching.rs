//! Match lists: `mydestination`, `virtual_mailbox_domains`, `mynetworks`.
//!
//! A list of names, networks, `type:table` and `/file` (whose lines stand in its place, and are read
//! again when it changes); `!` in front turns a pattern round, and the first pattern that matches decides.
//! Neighbouring names are kept in one set, so a list of ten thousand domains costs one look.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::fold::folded;
use crate::list_file::ListFile;
use crate::maps::ATTEMPTS_MAX;
use crate::{Answer, Network, Note, Table, Tables, Trouble};

/// How deep files of patterns may name further files.
pub const FILE_DEPTH_MAX: usize = 10;

/// How many files of patterns one list may name, with those that they name: with ten in each, and ten deep,
/// it would be ten thousand million.
pub const LIST_FILES_MAX: usize = 1000;

/// Whether something is on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Matched {
    /// It is.
    Yes,
    /// It is not, or a `!` says so.
    No,
    /// A part of the list that had to be asked could not answer.
    Unavailable(Arc<Trouble>),
}

impl Matched {
    /// Whether it is; what becomes of a list that cannot tell is the caller's to say.
    pub fn known(self) -> Result<bool, Arc<Trouble>> {
        match self {
            Self::Yes => Ok(true),
            Self::No => Ok(false),
            Self::Unavailable(trouble) => Err(trouble),
        }
    }
}

/// How a domain on the list stands for those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parents {
    /// Only `.example.com` matches `mx.example.com`.
    Dotted,
    /// `example.com` does: `parent_domain_matches_subdomains` has the list's parameter.
    Plain,
}

/// The patterns of one parameter.
#[derive(Clone, Debug, Default)]
pub struct MatchList {
    rules: Vec<Rule>,
    remarks: Vec<Box<str>>,
}

#[derive(Clone, Debug)]
struct Rule {
    matches: bool,
    pattern: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    Literals(Literals),
    Table(Table),
    File(Arc<ListFile>),
    Failed(Arc<Trouble>),
}

/// A run of patterns without a `!` or a table between them: their order does not matter.
#[derive(Clone, Debug, Default)]
struct Literals {
    names: HashSet<Box<str>, RandomState>,
    networks: Vec<Network>,
    /// Meant as networks, but none; only asking for an address comes upon them.
    bad_networks: Vec<Arc<Trouble>>,
}

impl MatchList {
    /// Reads a list; `parameter` is what errors name it by.
    pub fn open(parameter: &str, value: &str, tables: &Tables<'_>) -> Self {
        tables.begin_list();
        let mut list = Self::default();
        list.add(parameter, tables, value, &[], None);
        list
    }

    /// True where nothing is on the list.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What could not be opened or read.
    pub fn troubles(&self) -> Vec<Arc<Trouble>> {
        let mut troubles = self.own_troubles();
        for rule in &self.rules {
            match &rule.pattern {
                Pattern::Table(table) => troubles.extend(table.trouble()),
                Pattern::File(file) => troubles.extend(file.troubles()),
                Pattern::Literals(_) | Pattern::Failed(_) => {}
            }
        }
        troubles
    }

    /// What is wrong with the text of the list itself, not with what it names.
    pub(crate) fn own_troubles(&self) -> Vec<Arc<Trouble>> {
        let own = self.rules.iter().flat_map(|rule| match &rule.pattern {
            Pattern::Literals(literals) => literals.bad_networks.as_slice(),
            Pattern::Failed(trouble) => std::slice::from_ref(trouble),
            Pattern::Table(_) | Pattern::File(_) => &[],
        });
        own.cloned().collect()
    }

    /// What the admin should look at in the tables' sources.
    pub fn notes(&self) -> Vec<Note> {
        let notes = self.rules.iter().flat_map(|rule| match &rule.pattern {
            Pattern::Table(table) => table.notes(),
            Pattern::File(file) => file.notes(),
            Pattern::Literals(_) | Pattern::Failed(_) => Vec::new(),
        });
        notes.collect()
    }

    /// What the admin should look at in the text of the list and its files.
    pub fn remarks(&self) -> Vec<Box<str>> {
        let files = self.rules.iter().filter_map(|rule| match &rule.pattern {
            Pattern::File(file) => Some(file.list()),
            Pattern::Literals(_) | Pattern::Table(_) | Pattern::Failed(_) => None,
        });
        self.remarks.iter().cloned().chain(files.flat_map(|list| list.remarks())).collect()
    }

    /// Is this very text on the list? For domain lists that do not reach to subdomains.
    pub async fn has(&self, text: &str) -> Matched {
        self.decide(&Asked::Text(&folded(text))).await
    }

    /// Is this host name on the list, itself or by a parent domain?
    pub async fn has_host(&self, name: &str, parents: Parents) -> Matched {
        self.decide(&Asked::Host(&folded(name), parents)).await
    }

    /// Is this client on the list, by its name or its address?
    pub async fn has_client(&self, name: &str, address: IpAddr, parents: Parents) -> Matched {
        self.decide(&Asked::Client(&folded(name), address.to_canonical(), parents)).await
    }

    /// Is this address on the list?
    pub async fn has_address(&self, address: IpAddr) -> Matched {
        self.decide(&Asked::Address(address.to_canonical())).await
    }

    async fn decide(&self, asked: &Asked<'_>) -> Matched {
        // Names and nothing else: they cannot change on the way.
        if let [Rule { matches, pattern: Pattern::Literals(literals) }] = self.rules.as_slice() {
            return match literals.has(asked) {
                Ok(has) if has && *matches => Matched::Yes,
                Ok(_) => Matched::No,
                Err(trouble) => Matched::Unavailable(trouble),
            };
        }
        for _ in 0..ATTEMPTS_MAX {
            let turn = self.turn();
            match self.first_match(asked).await {
                Ok(Some(true)) => return Matched::Yes,
                // What matches nothing although its tables were replaced on the way may have been on
                // the list all the time, see MapList.
                Ok(Some(false) | None) if turn != self.turn() => {}
                Ok(Some(false) | None) => return Matched::No,
                Err(trouble) => return Matched::Unavailable(trouble),
            }
        }
        Matched::Unavailable(Trouble::restless("a list"))
    }

    /// What the first rule that matches says; one that cannot tell ends the search.
    async fn first_match(&self, asked: &Asked<'_>) -> Result<Option<bool>, Arc<Trouble>> {
        for rule in &self.rules {
            let said = match &rule.pattern {
                Pattern::Literals(literals) => literals.has(asked)?.then_some(true),
                Pattern::Table(table) => asked.look_up(table).await.found()?.map(|_| true),
                Pattern::File(file) => match file.literal_match(asked) {
                    Some(said) => said?,
                    // Boxed because files may name files.
                    None => Box::pin(file.list().first_match(asked)).await?,
                },
                Pattern::Failed(trouble) => return Err(trouble.clone()),
            };
            if let Some(said) = said {
                return Ok(Some(said == rule.matches));
            }
        }
        Ok(None)
    }

    /// The same without waiting, for as long as no table is asked; `None` where one is.
    pub(crate) fn literal_match(
        &self,
        asked: &Asked<'_>,
    ) -> Option<Result<Option<bool>, Arc<Trouble>>> {
        for rule in &self.rules {
            let said = match &rule.pattern {
                Pattern::Literals(literals) => literals.has(asked).map(|has| has.then_some(true)),
                Pattern::Table(_) => return None,
                Pattern::File(file) => file.literal_match(asked)?,
                Pattern::Failed(trouble) => Err(trouble.clone()),
            };
            match said {
                Ok(None) => {}
                Ok(Some(said)) => return Some(Ok(Some(said == rule.matches))),
                Err(trouble) => return Some(Err(trouble)),
            }
        }
        Some(Ok(None))
    }

    /// How often its tables and files have been replaced.
    pub(crate) fn turn(&self) -> u64 {
        let turns = self.rules.iter().map(|rule| match &rule.pattern {
            Pattern::Table(table) => table.turn(),
            Pattern::File(file) => file.turn(),
            Pattern::Literals(_) | Pattern::Failed(_) => 0,
        });
        turns.fold(0, u64::wrapping_add)
    }

    /// Reads more of a list; `parameter` is what errors name it by, `within` the files that are being read,
    /// `line` that of the last one.
    ///
    /// An item that begins with `#` ends what was given, which in a file is a line with those that continue it
    /// (postfix `src/util/mystrtok.c`, `match_list.c`).
    pub(crate) fn add(
        &mut self,
        parameter: &str,
        tables: &Tables<'_>,
        text: &str,
        within: &[Box<str>],
        line: Option<u32>,
    ) {
        for item in cf::items(text) {
            if item.starts_with('#') {
                let place = match (within.last(), line) {
                    (Some(file), Some(line)) => format!("{file}:{line}: "),
                    _ => String::new(),
                };
                let remark = format!(
                    "{place}no comment is allowed behind other text: \"{item}\" and what follows it is \
                     not on the list"
                );
                return self.remarks.push(remark.into());
            }
            let pattern = item.trim_start_matches('!');
            let matches = (item.len() - pattern.len()) % 2 == 0;
            if pattern.is_empty() {
                self.fail(matches, trouble(parameter, item, "no pattern after \"!\""));
            } else if pattern.starts_with('/') {
                self.add_file(parameter, tables, pattern, matches, within);
            } else if Table::is_spec(pattern) {
                let table = tables.open(pattern);
                self.rules.push(Rule { matches, pattern: Pattern::Table(table) });
            } else {
                self.add_literal(parameter, pattern, matches);
            }
        }
    }

    fn add_file(
        &mut self,
        parameter: &str,
        tables: &Tables<'_>,
        path: &str,
        matches: bool,
        within: &[Box<str>],
    ) {
        // Found at once, not at the greatest depth: a file that names itself five times in a line would
        // be read ten million times until then.
        if within.iter().any(|outer| **outer == *path) {
            return self.fail(matches, trouble(parameter, path, "the file is part of itself"));
        }
        if within.len() >= FILE_DEPTH_MAX {
            let cause = format!("files name each other more than {FILE_DEPTH_MAX} deep");
            return self.fail(matches, trouble(parameter, path, &cause));
        }
        if !tables.add_list_file() {
            let cause = format!("the list names more than {LIST_FILES_MAX} files");
            return self.fail(matches, trouble(parameter, path, &cause));
        }
        let file = ListFile::open(parameter, path, within, tables);
        self.rules.push(Rule { matches, pattern: Pattern::File(file) });
    }

    fn add_literal(&mut self, parameter: &str, pattern: &str, matches: bool) {
        let new_run = !self.rules.last().is_some_and(|rule| {
            rule.matches == matches && matches!(rule.pattern, Pattern::Literals(_))
        });
        if new_run {
            self.rules.push(Rule { matches, pattern: Pattern::Literals(Literals::default()) });
        }
        if let Some(Rule { pattern: Pattern::Literals(run), .. }) = self.rules.last_mut() {
            match pattern.parse() {
                Ok(network) => run.networks.push(network),
                Err(why) if is_meant_as_network(pattern) => {
                    run.bad_networks.push(trouble(parameter, pattern, &format!("{why}")));
                }
                Err(_) => {}
            }
            run.names.insert((*folded(pattern)).into());
        }
    }

    pub(crate) fn fail(&mut self, matches: bool, trouble: Arc<Trouble>) {
        self.rules.push(Rule { matches, pattern: Pattern::Failed(trouble) });
    }
}

/// What is wrong with one pattern of a parameter's list.
pub(crate) fn trouble(parameter: &str, pattern: &str, cause: &str) -> Arc<Trouble> {
    let cause = format!("\"{pattern}\": {cause}").into();
    Arc::new(Trouble { table: parameter.into(), cause })
}

/// What is looked for. Texts are folded.
pub(crate) enum Asked<'a> {
    Text(&'a str),
    Host(&'a str, Parents),
    Client(&'a str, IpAddr, Parents),
    Address(IpAddr),
}

impl Asked<'_> {
    async fn look_up(&self, table: &Table) -> Answer {
        match *self {
            Self::Text(text) => table.lookup(text).answer().await,
            Self::Host(name, parents) => look_up_host(table, name, parents).await,
            Self::Client(name, address, parents) => {
                match look_up_host(table, name, parents).await {
                    Answer::NotFound => table.lookup(&address.to_string()).answer().await,
                    answer => answer,
                }
            }
            Self::Address(address) => table.lookup(&address.to_string()).answer().await,
        }
    }
}

impl Literals {
    fn has(&self, asked: &Asked<'_>) -> Result<bool, Arc<Trouble>> {
        match *asked {
            Asked::Text(text) => Ok(self.names.contains(text)),
            Asked::Host(name, parents) => Ok(self.has_host(name, parents)),
            Asked::Client(name, _, parents) if self.has_host(name, parents) => Ok(true),
            Asked::Client(_, address, _) | Asked::Address(address) => self.has_address(address),
        }
    }

    fn has_host(&self, name: &str, parents: Parents) -> bool {
        if self.names.contains(name) {
            return true;
        }
        let mut rest = name;
        while let Some(dot) = rest.find('.') {
            let (dotted, plain) = (&rest[dot..], &rest[dot + 1..]);
            let parent = if parents == Parents::Dotted { dotted } else { plain };
            if !plain.is_empty() && self.names.contains(parent) {
                return true;
            }
            rest = plain;
        }
        false
    }

    fn has_address(&self, address: IpAddr) -> Result<bool, Arc<Trouble>> {
        if self.networks.iter().any(|network| network.contains(address)) {
            return Ok(true);
        }
        match self.bad_networks.first() {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(false),
        }
    }
}

/// By its characters: what Postfix would try to read as `net/mask` (src/util/match_ops.c).
fn is_meant_as_network(pattern: &str) -> bool {
    pattern.contains(['/', ':'])
        && pattern.bytes().all(|b| b.is_ascii_hexdigit() || b".:[]/".contains(&b))
}

/// The name and, in tables with literal keys, its parents.
async fn look_up_host(table: &Table, name: &str, parents: Parents) -> Answer {
    let mut key = name;
    loop {
        match table.lookup(key).answer().await {
            Answer::NotFound => {}
            answer => return answer,
        }
        let Some(dot) = key.get(1..).and_then(|rest| rest.find('.')) else {
            return Answer::NotFound;
        };
        if table.whole_keys_only() {
            return Answer::NotFound;
        }
        key = &key[dot + 1 + usize::from(parents == Parents::Plain)..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, block_on};

    fn list(value: &str) -> MatchList {
        let files = Memory::default()
            .with("/domains", "# ours\nexample.com, Example.ORG\n!bad.example.net\n/more\n")
            .with("/more", "example.net\n")
            .with("/loop", "/loop ".repeat(20));
        MatchList::open("mydestination", value, &Tables::new(&files))
    }

    fn has_address(value: &str, address: &str) -> Matched {
        block_on(list(value).has_address(address.parse().unwrap()))
    }

    #[test]
    fn a_list_names_no_more_files_than_it_may_however_they_name_each_other() {
        // Each of ten names all that are one deeper: ten thousand million readings.
        let names = |depth: usize| (0..10).map(|n| format!("/{depth}-{n} ")).collect::<String>();
        let mut files = Memory::default().with("/small", "example.com\n");
        for depth in 0..FILE_DEPTH_MAX {
            for n in 0..10 {
                files = files.with(format!("/{depth}-{n}"), names(depth + 1));
            }
        }
        let tables = Tables::new(&files);
        let ours = MatchList::open("mydestination", &names(0), &tables);
        let too_many = format!("the list names more than {LIST_FILES_MAX} files");
        assert!(ours.troubles().iter().any(|it| it.to_string().contains(&too_many)));
        // What is on it, nobody knows.
        assert!(matches!(block_on(ours.has("example.com")), Matched::Unavailable(_)));
        // It is no matter to the next one.
        let next = MatchList::open("relay_domains", "/small", &tables);
        assert_eq!(block_on(next.has("example.com")), Matched::Yes);
    }

    #[test]
    fn names_match_in_any_case_and_nothing_else_does() {
        let ours = list("localhost, Example.com");
        assert_eq!(block_on(ours.has("EXAMPLE.com")), Matched::Yes);
        assert_eq!(block_on(ours.has("mx.example.com")), Matched::No);
        assert_eq!(block_on(list("").has("localhost")), Matched::No);
    }

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let ours = list("!mx.example.com, .example.com, !!example.com");
        let has = |name| block_on(ours.has_host(name, Parents::Dotted));
        assert_eq!(has("mx.example.com"), Matched::No);
        assert_eq!(has("www.example.com"), Matched::Yes);
        assert_eq!(has("example.com"), Matched::Yes);
        assert_eq!(has("notexample.com"), Matched::No);
        assert_eq!(
            block_on(list("example.com").has_host("a.b.example.com", Parents::Plain)),
            Matched::Yes
        );
        assert_eq!(
            block_on(list("example.com").has_host("a.b.example.com", Parents::Dotted)),
            Matched::No
        );
    }

    #[test]
    fn files_are_read_in_place_and_negated_as_a_whole() {
        let ours = list("/domains");
        for (name, matched) in [
            ("example.org", Matched::Yes),
            ("example.net", Matched::Yes),
            ("bad.example.net", Matched::No),
        ] {
            assert_eq!(block_on(ours.has(name)), matched, "{name}");
        }
        let not_ours = list("!/domains static:all");
        assert_eq!(block_on(not_ours.has("example.com")), Matched::No);
        assert_eq!(block_on(not_ours.has("bad.example.net")), Matched::Yes);
        assert_eq!(block_on(not_ours.has("example.edu")), Matched::Yes);
    }

    #[test]
    fn a_file_or_table_that_is_away_is_unavailable_only_where_it_is_reached() {
        let ours = list("localhost, /none, example.com");
        assert_eq!(block_on(ours.has("localhost")), Matched::Yes);
        let Matched::Unavailable(trouble) = block_on(ours.has("example.com")) else {
            panic!("the missing file was passed over");
        };
        assert_eq!(
            trouble.to_string(),
            "table mydestination: \"/none\": open /none: entity not found"
        );
        assert!(matches!(block_on(list("texthash:/none").has("a")), Matched::Unavailable(_)));
        assert!(matches!(block_on(list("a !").has("b")), Matched::Unavailable(_)));
        assert_eq!(list("/none texthash:/none !").troubles().len(), 3);
    }

    #[test]
    fn a_file_that_is_part_of_itself_is_refused_where_it_says_so() {
        let ours = list("/loop");
        assert!(matches!(block_on(ours.has("a")), Matched::Unavailable(_)));
        assert_eq!(ours.troubles().len(), 20);
        assert!(ours.troubles().iter().all(|it| it.to_string().contains("part of itself")));
    }

    #[test]
    fn a_word_that_begins_with_a_number_sign_ends_the_list_or_the_line_of_a_file() {
        let files = Memory::default()
            .with("/domains", "c # d\n e\nf,#g h\n# i\nj#k\n!/more\n")
            .with("/more", "l #m\n");
        let tables = Tables::new(&files);
        let ours = MatchList::open("mydestination", "a /domains b # z /none !", &tables);
        for (name, matched) in [
            ("a", Matched::Yes),
            ("b", Matched::Yes),
            ("c", Matched::Yes),
            ("f", Matched::Yes),
            ("j#k", Matched::Yes),
            ("d", Matched::No),
            ("e", Matched::No),
            ("g", Matched::No),
            ("l", Matched::No),
            ("m", Matched::No),
            ("z", Matched::No),
            ("#", Matched::No),
        ] {
            assert_eq!(block_on(ours.has(name)), matched, "{name}");
        }
        assert_eq!(ours.troubles(), []);
        let not_on_it = "and what follows it is not on the list";
        let expected =
            [("", "#"), ("/domains:1: ", "#"), ("/domains:3: ", "#g"), ("/more:1: ", "#m")].map(
                |(place, item)| {
                    format!(
                        "{place}no comment is allowed behind other text: \"{item}\" {not_on_it}"
                    )
                },
            );
        assert_eq!(ours.remarks().iter().map(|it| &**it).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn networks_match_addresses_with_exceptions() {
        let networks = "127.0.0.0/8, !192.0.2.7, 192.0.2.0/24 [::1]/128 fe80::/64";
        for (address, matched) in [
            ("127.1.2.3", Matched::Yes),
            ("192.0.2.7", Matched::No),
            ("192.0.2.8", Matched::Yes),
            ("::ffff:192.0.2.8", Matched::Yes),
            ("::1", Matched::Yes),
            ("fe80::1", Matched::Yes),
            ("fe80:1::1", Matched::No),
            ("198.51.100.1", Matched::No),
        ] {
            assert_eq!(has_address(networks, address), matched, "{address}");
        }
    }

    #[test]
    fn a_network_that_is_none_is_unavailable_to_what_gets_there() {
        let value = "127.0.0.0/8 10.0.0.1/8";
        assert_eq!(has_address(value, "127.0.0.1"), Matched::Yes);
        let Matched::Unavailable(trouble) = has_address(value, "10.0.0.1") else {
            panic!("a bad network was passed over");
        };
        assert_eq!(
            trouble.to_string(),
            "table mydestination: \"10.0.0.1/8\": address bits are set behind the length; \
             perhaps it should be 10.0.0.0/8"
        );
        assert_eq!(block_on(list(value).has("localhost")), Matched::No);
    }

    #[test]
    fn tables_in_a_list_are_asked_by_name_parent_and_address() {
        let hosts = list("inline:{ example.com=x, .example.org=x, 192.0.2.1=x }");
        let address = "192.0.2.2".parse().unwrap();
        assert_eq!(
            block_on(hosts.has_client("mx.example.com", address, Parents::Plain)),
            Matched::Yes
        );
        assert_eq!(
            block_on(hosts.has_client("mx.example.org", address, Parents::Dotted)),
            Matched::Yes
        );
        assert_eq!(block_on(hosts.has_client("unknown", address, Parents::Plain)), Matched::No);
        let listed = "192.0.2.1".parse().unwrap();
        assert_eq!(block_on(hosts.has_client("unknown", listed, Parents::Plain)), Matched::Yes);
    }
}
