//! Watching and loading together, on real files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use table::{
    Answer, Catalog, Disk, MapList, MatchList, Matched, Parents, Source, Tables, block_on,
};
use tempfile::TempDir;

use super::given::Given;
use super::loader::{Loading, Say};
use super::stamp::{self, Missing};
use super::watch::{By, Change, Command, Watch};
use crate::start::{Loaded, Purpose};

/// Only used up when a test fails.
const SOON: Duration = Duration::from_secs(30);

/// What master and one child do, on a directory of files.
struct House {
    directory: TempDir,
    runtime: tokio::runtime::Runtime,
    watch: Watch,
    loading: Loading,
    maps: MapList,
    list: MatchList,
}

impl House {
    /// `maps` and `list` are values of parameters, with `DIR` for the directory.
    fn new(by: By, files: &[(&str, &str)], maps: &str, list: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let named = |text: &str| text.replace("DIR", &directory.path().display().to_string());
        for (name, content) in files {
            fs::write(directory.path().join(name), named(content)).unwrap();
        }
        let tables = Tables::new(&Disk);
        let maps = MapList::open(&named(maps), &tables);
        let list = MatchList::open("mydestination", &named(list), &tables);
        let catalog = Catalog::new(tables);
        let watch = Watch::start(catalog.sources(), by).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { directory, runtime, watch, loading: Loading::new(catalog), maps, list }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let content = content.replace("DIR", &self.directory.path().display().to_string());
        fs::write(self.path(name), content).unwrap();
    }

    /// As postmap and careful editors do it.
    fn replace(&self, name: &str, content: &str) {
        self.write("new", content);
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn next(&mut self) -> Change {
        let next = async { tokio::time::timeout(SOON, self.watch.next()).await };
        self.runtime.block_on(next).expect("a change")
    }

    /// Waits for the next change of this file, and loads it; returns the log's lines.
    fn take(&mut self, name: &str) -> (Loaded, Vec<(Say, String)>) {
        let path = self.path(name);
        loop {
            let change = self.next();
            assert_eq!(change.path, path);
            let with = change.with.clone();
            let loaded = self.load(change);
            if loaded.0 != Loaded::Wanting {
                return (loaded.0, loaded.1);
            }
            let with: Vec<Source> = with.into_iter().chain(loaded.2).collect();
            self.watch.tell(Command::Gather { path: path.clone(), with });
        }
    }

    fn load(&mut self, change: Change) -> (Loaded, Vec<(Say, String)>, Vec<Source>) {
        let mut given = Given::default();
        for (path, file) in change.files {
            given.add(path, file);
        }
        let change = self.loading.change(&change.path, &given, Purpose::Use);
        let directory = self.directory.path().display().to_string();
        let line = |(say, line): (Say, String)| (say, line.replace(&directory, "DIR"));
        (change.loaded, change.lines.into_iter().map(line).collect(), change.wanted)
    }

    fn value(&self, key: &str) -> Option<String> {
        block_on(self.maps.lookup(key)).found().unwrap().map(|value| value.to_string())
    }

    fn has(&self, name: &str) -> Matched {
        block_on(self.list.has_host(name, Parents::Plain))
    }
}

fn info(text: &str) -> (Say, String) {
    (Say::Info, text.to_owned())
}

fn warning(text: &str) -> (Say, String) {
    (Say::Warning, text.to_owned())
}

const CHANGED: &str = "table texthash:DIR/users has changed -- the new one is in use";

#[test]
fn a_file_is_in_use_whichever_way_it_was_changed() {
    for by in [By::Kernel, By::Poll] {
        let mut house = House::new(by, &[("users", "a 1\n")], "texthash:DIR/users", "");
        house.replace("users", "a 2\n");
        assert_eq!(house.take("users"), (Loaded::InUse, vec![info(CHANGED)]), "{by:?}");
        assert_eq!(house.value("a").as_deref(), Some("2"));

        house.write("users", "a 3\nb 3\n");
        assert_eq!(house.take("users").0, Loaded::InUse, "{by:?}");
        assert_eq!(house.value("b").as_deref(), Some("3"));

        let users = house.path("users");
        fs::OpenOptions::new().append(true).open(users).unwrap().write_all(b"c 4\n").unwrap();
        assert_eq!(house.take("users").0, Loaded::InUse, "{by:?}");
        assert_eq!(house.value("c").as_deref(), Some("4"));
    }
}

#[test]
fn the_directory_of_a_file_may_be_replaced() {
    for by in [By::Kernel, By::Poll] {
        let mut house = House::new(by, &[], "texthash:DIR/etc/users", "");
        let make = |name: &str, content: &str| {
            fs::create_dir(house.path(name)).unwrap();
            fs::write(house.path(name).join("users"), content).unwrap();
        };
        make("etc", "a 1\n");
        make("next", "a 2\n");
        assert_eq!(house.take("etc/users").0, Loaded::InUse, "{by:?}: it heals when it appears");
        assert_eq!(house.value("a").as_deref(), Some("1"));
        fs::rename(house.path("etc"), house.path("old")).unwrap();
        fs::rename(house.path("next"), house.path("etc")).unwrap();
        assert_eq!(house.take("etc/users").0, Loaded::InUse, "{by:?}");
        assert_eq!(house.value("a").as_deref(), Some("2"));
        // The new one is watched like the old one.
        house.replace("etc/users", "a 3\n");
        assert_eq!(house.take("etc/users").0, Loaded::InUse, "{by:?}");
        assert_eq!(house.value("a").as_deref(), Some("3"));
    }
}

#[test]
fn a_link_on_the_way_to_a_file_may_lead_elsewhere() {
    use std::os::unix::fs::symlink;
    for by in [By::Kernel, By::Poll] {
        let mut house = House::new(by, &[], "texthash:DIR/users", "");
        for (version, content) in [("one", "a 1\n"), ("two", "a 2\n")] {
            fs::create_dir(house.path(version)).unwrap();
            fs::write(house.path(version).join("users"), content).unwrap();
        }
        symlink("one", house.path("current")).unwrap();
        symlink("current/users", house.path("users")).unwrap();
        assert_eq!(house.take("users").0, Loaded::InUse, "{by:?}");
        // As Kubernetes changes a volume: nothing happens to the name that the table has.
        symlink("two", house.path("next")).unwrap();
        fs::rename(house.path("next"), house.path("current")).unwrap();
        assert_eq!(house.take("users").0, Loaded::InUse, "{by:?}");
        assert_eq!(house.value("a").as_deref(), Some("2"));
        house.replace("two/users", "a 3\n");
        assert_eq!(house.take("users").0, Loaded::InUse, "{by:?}");
        assert_eq!(house.value("a").as_deref(), Some("3"));
    }
}

#[test]
fn what_is_wrong_is_said_once_and_once_when_it_is_over() {
    let mut house = House::new(By::Kernel, &[("users", "a 1\n")], "texthash:DIR/users", "");
    let nul = "table texthash:DIR/users: DIR/users:1: this line holds a NUL byte; is this a text \
               file? -- the one before stays in use";
    house.replace("users", "a \0 1\n");
    let (loaded, lines) = house.take("users");
    assert!(matches!(loaded, Loaded::Failed(_)));
    assert_eq!(lines, [warning(nul)]);
    house.replace("users", "b \0 2\n");
    assert_eq!(house.take("users").1, []);
    assert_eq!(house.value("a").as_deref(), Some("1"));

    fs::remove_file(house.path("users")).unwrap();
    let away = "table texthash:DIR/users: open DIR/users: No such file or directory (os error 2) \
                -- the one before stays in use";
    assert_eq!(house.take("users").1, [warning(away)]);
    assert_eq!(house.value("a").as_deref(), Some("1"));

    house.replace("users", "a 2\nb\n");
    let (loaded, lines) = house.take("users");
    assert_eq!(loaded, Loaded::InUse);
    assert_eq!(lines[0], info("table texthash:DIR/users is right again -- the new one is in use"));
    assert_eq!(lines.len(), 2, "and the line without a value: {lines:?}");
    house.replace("users", "a 3\n");
    assert_eq!(house.take("users").1, [info(CHANGED)]);
}

#[test]
fn a_file_of_patterns_may_name_what_nobody_has_heard_of_before() {
    let files = [("ours", "example.com\n"), ("more", "!example.net\nexample.org\n/nowhere\n")];
    let mut house = House::new(By::Kernel, &files, "", "DIR/ours");
    house.replace("hosts", "mx.example.net x\n");
    house.replace("ours", "texthash:DIR/hosts\nDIR/more\n");
    let (loaded, lines) = house.take("ours");
    // One of them is missing: that is said, and heals.
    assert!(matches!(loaded, Loaded::Failed(_)), "{loaded:?}");
    let missing = "table mydestination: \"/nowhere\": open /nowhere: No such file or directory (os \
                   error 2) -- what asks it is answered \"later\" until it is right";
    let changed = "table mydestination DIR/ours has changed -- the new one is in use";
    assert_eq!(lines, [warning(missing), info(changed)]);
    assert_eq!(house.has("mx.example.net"), Matched::Yes);
    assert_eq!(house.has("example.net"), Matched::No);
    assert_eq!(house.has("example.org"), Matched::Yes);
    assert!(matches!(house.has("example.com"), Matched::Unavailable(_)));
    // What is new is watched.
    house.replace("hosts", "mx.example.com x\n");
    assert_eq!(house.take("hosts").0, Loaded::InUse);
    assert_eq!(house.has("mx.example.com"), Matched::Yes);
}

#[test]
fn what_is_written_while_it_is_read_is_not_used() {
    let mut house = House::new(By::Kernel, &[("users", "a 1\n")], "texthash:DIR/users", "");
    house.replace("users", "a 2\nb 2\n");
    let change = house.next();
    house.write("users", "");
    assert_eq!(house.load(change).0, Loaded::Unsettled);
    assert_eq!(house.value("a").as_deref(), Some("1"));
    house.write("users", "a 3\n");
    assert_eq!(house.take("users").0, Loaded::InUse);
    assert_eq!(house.value("a").as_deref(), Some("3"));
}

#[test]
fn what_is_no_file_is_never_opened_to_wait_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let not_regular = Missing::Other("not a regular file".to_owned());
    assert_eq!(stamp::look(&fifo), Err(not_regular.clone()));
    assert_eq!(stamp::open(&fifo).map(|_| ()), Err(not_regular));
    assert_eq!(stamp::look(Path::new("/")), Err(Missing::Os(libc::EISDIR)));
}

#[test]
fn a_table_that_cannot_answer_says_so_until_its_file_is_there() {
    let mut house = House::new(By::Kernel, &[], "texthash:DIR/users", "");
    assert!(matches!(block_on(house.maps.lookup("a")), Answer::Unavailable(_)));
    house.replace("users", "a 1\n");
    let healed = "table texthash:DIR/users is right again -- the new one is in use";
    assert_eq!(house.take("users"), (Loaded::InUse, vec![info(healed)]));
    assert_eq!(house.value("a").as_deref(), Some("1"));
}
