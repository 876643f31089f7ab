//! Tables whose files change while they are in use.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use table::{
    Answer, AtHand, Catalog, Disk, Files, Lookup, Manner, MapList, MatchList, Matched, Memory,
    Nature, Open, Parents, Response, Source, Table, Tables, Taken, Type, block_on, order,
};

/// What changing `path` into `content` comes to.
fn change(catalog: &mut Catalog, files: &dyn Files, path: &str) -> Vec<Taken> {
    let reopened = catalog.reopen(Path::new(path), files);
    let (taken, replaced) = catalog.take(reopened);
    assert!(replaced.is_unused());
    taken
}

fn text(path: &str, content: &str) -> Memory {
    Memory::default().with(path, content)
}

fn value(table: &Table, key: &str) -> Option<String> {
    let answer = block_on(table.lookup(key).answer());
    answer.found().unwrap().map(|value| value.to_string())
}

fn troubles(taken: &[Taken]) -> Vec<String> {
    taken.iter().filter_map(|it| it.trouble.as_ref().map(ToString::to_string)).collect()
}

#[test]
fn all_clones_of_a_table_answer_from_the_new_file() {
    let files = text("/t", "a 1\n");
    let tables = Tables::new(&files);
    let table = tables.open("texthash:/t");
    let maps = MapList::open("texthash:/t", &tables);
    let mut catalog = Catalog::new(tables);

    let taken = change(&mut catalog, &text("/t", "a 2\nb\n"), "/t");

    assert_eq!(taken.len(), 1);
    assert_eq!((&*taken[0].name, taken[0].serves), ("texthash:/t", true));
    assert_eq!(taken[0].notes.len(), 1, "the line without a value");
    assert_eq!(value(&table, "a").as_deref(), Some("2"));
    assert_eq!(block_on(maps.lookup("a")), Answer::Found("2".into()));
    assert_eq!(table.notes(), taken[0].notes);
}

#[test]
fn a_bad_file_leaves_the_one_before_in_use_until_it_is_right() {
    let files = text("/t", "a 1\n");
    let tables = Tables::new(&files);
    let table = tables.open("texthash:/t");
    let mut catalog = Catalog::new(tables);

    for (bad, cause) in [
        (
            text("/t", "a \0\n"),
            "table texthash:/t: /t:1: this line holds a NUL byte; is this a text file?",
        ),
        (Memory::default(), "table texthash:/t: open /t: entity not found"),
    ] {
        let taken = change(&mut catalog, &bad, "/t");
        assert_eq!(troubles(&taken), [cause]);
        assert!(taken[0].serves);
        assert_eq!(value(&table, "a").as_deref(), Some("1"));
        assert_eq!(table.trouble(), None);
    }
    assert_eq!(troubles(&change(&mut catalog, &text("/t", "a 3\n"), "/t")), [""; 0]);
    assert_eq!(value(&table, "a").as_deref(), Some("3"));
}

#[test]
fn a_table_that_was_broken_from_the_start_heals() {
    let files = Memory::default();
    let tables = Tables::new(&files);
    let table = tables.open("texthash:/t");
    let list = MatchList::open("mynetworks", "/n", &tables);
    let mut catalog = Catalog::new(tables);
    assert_eq!(
        catalog.sources(),
        ["/n", "/t"].map(|path| Source { path: path.into(), manner: Manner::Text })
    );
    assert_eq!(catalog.troubles().len(), 2);

    let still = change(&mut catalog, &text("/t", "\0"), "/t");
    assert!(!still[0].serves);
    assert!(table.trouble().unwrap().cause.contains("NUL"), "the latest cause is the one to know");

    let files = text("/t", "a 1\n").with("/n", "192.0.2.0/24\n");
    assert!(change(&mut catalog, &files, "/t")[0].serves);
    assert!(change(&mut catalog, &files, "/n")[0].serves);
    assert_eq!(value(&table, "a").as_deref(), Some("1"));
    assert_eq!(block_on(list.has_address("192.0.2.1".parse().unwrap())), Matched::Yes);
    assert_eq!(catalog.troubles(), []);
}

#[test]
fn files_of_patterns_change_within_their_list() {
    let files = text("/ours", "example.com\n/more\n").with("/more", "!example.net\n");
    let tables = Tables::new(&files);
    let list = MatchList::open("mydestination", "!/ours, static:x", &tables);
    let has = |name| block_on(list.has_host(name, Parents::Plain));
    let mut catalog = Catalog::new(tables);
    assert_eq!((has("example.com"), has("example.net")), (Matched::No, Matched::Yes));

    let taken = change(&mut catalog, &text("/more", "example.net\n"), "/more");
    assert_eq!(taken[0].name, "mydestination /more");
    assert_eq!(has("example.net"), Matched::No);

    // A file that newly names a table and a file, and drops one.
    let files = text("/ours", "texthash:/t\n/third\n").with("/t", "mx.example.org x\n");
    let files = files.with("/third", "example.edu\n");
    assert_eq!(troubles(&change(&mut catalog, &files, "/ours")), [""; 0]);
    assert_eq!((has("mx.example.org"), has("example.edu")), (Matched::No, Matched::No));
    assert_eq!((has("example.com"), has("example.net")), (Matched::Yes, Matched::Yes));
    let paths: Vec<_> = catalog.sources().into_iter().map(|source| source.path).collect();
    assert_eq!(paths, ["/ours", "/t", "/third"].map(std::path::PathBuf::from));

    // Those are replaced like any other.
    change(&mut catalog, &text("/t", "mx.example.com x\n"), "/t");
    assert_eq!((has("mx.example.org"), has("mx.example.com")), (Matched::Yes, Matched::No));

    for bad in ["10.0.0.1/8\n", "a\0\n", "!\n"] {
        let taken = change(&mut catalog, &text("/ours", bad), "/ours");
        assert_eq!(troubles(&taken).len(), 1, "{bad:?}");
        assert_eq!(has("mx.example.com"), Matched::No, "{bad:?}");
    }
}

/// A table that calls something at each lookup and never has the key.
#[derive(Debug)]
struct Hook(fn());

impl Lookup for Hook {
    fn lookup(&self, _: &str) -> Response {
        (self.0)();
        Answer::NotFound.into()
    }
}

#[test]
fn a_search_that_a_change_cuts_in_two_finds_what_is_in_both() {
    static CATALOG: Mutex<Option<Catalog>> = Mutex::new(None);
    fn swap_once() {
        if let Some(mut catalog) = CATALOG.lock().unwrap().take() {
            change(&mut catalog, &text("/t", "user@example.com new\n"), "/t");
        }
    }
    let open = Open::Function(|_| Ok(Box::new(Hook(swap_once))));
    let hook = Type { name: "hook", nature: Nature::Builtin, format: None, open };
    let files = text("/t", "@example.com old\n");
    let tables = Tables::new(&files).with_types([hook]);
    let maps = MapList::open("texthash:/t, hook:", &tables);
    *CATALOG.lock().unwrap() = Some(Catalog::new(tables));

    // The first key is asked of the old table, and the second of the new one.
    let answer = block_on(maps.find(order::VIRTUAL, "user@example.com", ""));
    assert_eq!(answer, Answer::Found("new".into()));
}

#[test]
fn lookups_on_other_threads_are_answered_by_the_one_or_the_other() {
    const SWAPS: u64 = 2000;
    let files = text("/t", "user@example.com 0\n");
    let tables = Tables::new(&files);
    let maps = Arc::new(MapList::open("texthash:/t", &tables));
    let mut catalog = Catalog::new(tables);
    let done = Arc::new(AtomicBool::new(false));
    let newest = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (maps, done, newest) = (maps.clone(), done.clone(), newest.clone());
            thread::spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let at_least = newest.load(Ordering::Acquire);
                    let search = maps.find(order::VIRTUAL, "user+x@example.com", "+");
                    let value = block_on(search).found().unwrap().expect("it was always there");
                    last = value.parse().unwrap();
                    assert!(last >= at_least, "{last} after {at_least} was in use");
                }
                last
            })
        })
        .collect();
    for number in 1..=SWAPS {
        // By the whole address or by its plain form, in turn.
        let key = ["user+x@example.com", "user@example.com"][number as usize % 2];
        let files = text("/t", &format!("{key} {number}\n"));
        let reopened = catalog.reopen(Path::new("/t"), &files);
        catalog.take(reopened);
        newest.store(number, Ordering::Release);
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.join().unwrap() <= SWAPS);
    }
}

/// Resident KiB, descriptors and mappings of this process.
fn used() -> (u64, usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let rss = rss.split_whitespace().next().unwrap().parse().unwrap();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    (rss, descriptors, mappings)
}

#[test]
fn ten_thousand_changes_leave_nothing_behind() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ten-thousand-changes");
    std::fs::create_dir_all(&directory).unwrap();
    let [users, list] = ["users", "list"].map(|name| directory.join(name).display().to_string());
    // Some 5 KiB of text: what leaked would be 100 MiB in the end.
    let entries: String =
        (0..100).map(|user| format!("user{user}@example.com some-value-{user}\n")).collect();
    std::fs::write(&users, &entries).unwrap();
    std::fs::write(&list, format!("example.com\ntexthash:{users}\n")).unwrap();
    let tables = Tables::new(&Disk);
    let table = tables.open(&format!("texthash:{users}"));
    let matches = MatchList::open("mydestination", &list, &tables);
    let mut catalog = Catalog::new(tables);
    let mut after_warming_up = None;
    for round in 0..10_000 {
        if round == 500 {
            after_warming_up = Some(used());
        }
        if round % 10 == 0 {
            // A list that names another table each time, and forgets the one before.
            std::fs::write(&list, format!("example.com\ninline:{{k{round}=v}}\n")).unwrap();
            assert_eq!(troubles(&change(&mut catalog, &Disk, &list)), [""; 0]);
        }
        assert_eq!(troubles(&change(&mut catalog, &Disk, &users)), [""; 0]);
    }
    let (before, after) = (after_warming_up.unwrap(), used());
    assert_eq!(value(&table, "user7@example.com").as_deref(), Some("some-value-7"));
    assert_eq!(block_on(matches.has("k9990")), Matched::Yes);
    assert_eq!(catalog.sources().len(), 2);
    // Other tests run in the same process; one change takes 10 KiB at least.
    assert!(after.0 < before.0 + 24 * 1024, "KiB: {} then {}", before.0, after.0);
    assert!(after.1 < before.1 + 20, "descriptors: {} then {}", before.1, after.1);
    assert!(after.2 < before.2 + 60, "mappings: {} then {}", before.2, after.2);
}

#[test]
fn a_thread_that_has_a_table_at_hand_answers_from_the_new_one_and_lets_go_of_the_old_one() {
    let files = text("/t", "a 1\n");
    let tables = Tables::new(&files);
    let table = tables.open("texthash:/t");
    let piped = tables.open("pipemap:{texthash:/t,inline:{1=one,2=two}}");
    let mut catalog = Catalog::new(tables);
    let at_hand = AtHand::new();
    assert_eq!(value(&table, "a").as_deref(), Some("1"));
    assert_eq!(value(&piped, "a").as_deref(), Some("one"));

    let reopened = catalog.reopen(Path::new("/t"), &text("/t", "a 2\n"));
    let (_, replaced) = catalog.take(reopened);
    assert!(!replaced.is_unused(), "this thread has it");
    at_hand.let_go();
    assert!(replaced.is_unused());

    assert_eq!(value(&table, "a").as_deref(), Some("2"));
    let reopened = catalog.reopen(Path::new("/t"), &text("/t", "a 1\n"));
    let (_, replaced) = catalog.take(reopened);
    // The next lookup needs no hint.
    assert_eq!(value(&piped, "a").as_deref(), Some("one"));
    assert!(replaced.is_unused());

    let turn = piped.turn();
    let reopened = catalog.reopen(Path::new("/t"), &text("/t", "a 2\n"));
    let (_, replaced) = catalog.take(reopened);
    assert_ne!(piped.turn(), turn);
    drop(at_hand);
    assert!(replaced.is_unused());
}

#[test]
fn more_tables_than_are_kept_at_hand_answer_each_for_itself() {
    let tables: Vec<Table> =
        (0..300).map(|n| Table::open(&format!("static:{n}"), &Memory::default())).collect();
    let _at_hand = AtHand::new();
    for _ in 0..2 {
        for (n, table) in tables.iter().enumerate() {
            assert_eq!(value(table, "a"), Some(n.to_string()));
        }
    }
}
