//! Native tables as they are built and asked, and all that can be wrong with their files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::{Disk, Memory, Table, block_on};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn source(&self) -> PathBuf {
        self.0.path().join("t")
    }

    fn build(&self, entries: &[(&str, &str)]) -> Built {
        let mut builder = Builder::new(Format::Native, self.source());
        add(&mut builder, entries);
        builder.finish().unwrap()
    }

    fn table(&self) -> Table {
        Table::open(&format!("hash:{}", self.source().display()), &Disk)
    }
}

fn add(builder: &mut Builder, entries: &[(&str, &str)]) {
    for (line, (key, value)) in (1..).zip(entries) {
        builder.add(key, value, line).unwrap();
    }
}

fn found(table: &Table, key: &str) -> Option<String> {
    let answer = block_on(table.lookup(key).answer());
    answer.found().unwrap().map(|value| value.to_string())
}

fn trouble(table: &Table) -> String {
    assert!(matches!(block_on(table.lookup("a").answer()), Answer::Unavailable(_)), "it answered");
    table.trouble().unwrap().cause.to_string()
}

/// The file of a table with two entries.
fn small() -> Vec<u8> {
    let directory = Directory::new();
    directory.build(&[("a", "1"), ("b@example.com", "two words")]);
    fs::read(directory.source().with_extension("db")).unwrap()
}

fn table_of(file: Vec<u8>) -> Table {
    Table::open("hash:/t", &Memory::default().with("/t.db", file))
}

#[test]
fn what_was_built_is_found_in_any_case_and_nothing_else_is() {
    let directory = Directory::new();
    let built = directory.build(&[
        ("Alice@Example.com", "example.com/alice/"),
        ("JÖRG@example.com", "joerg, with spaces"),
        ("x", ""),
    ]);
    assert_eq!((built.entries, built.duplicates_count), (3, 0));
    assert_eq!(built.bytes, fs::metadata(directory.source().with_extension("db")).unwrap().len());
    for name in ["hash", "btree", "dbm"] {
        let spec = format!("{name}:{}", directory.source().display());
        let table = Table::open(&spec, &Disk);
        assert_eq!(found(&table, "alice@EXAMPLE.com").as_deref(), Some("example.com/alice/"));
        assert_eq!(found(&table, "jörg@example.com").as_deref(), Some("joerg, with spaces"));
        assert_eq!(found(&table, "x").as_deref(), Some(""));
        assert_eq!(found(&table, "bob@example.com"), None);
        assert_eq!(table.paths(), [directory.source().with_extension("db")]);
        assert_eq!(table.nature(), Some(crate::Nature::Compiled));
    }
}

#[test]
fn a_table_without_entries_finds_nothing() {
    let directory = Directory::new();
    assert_eq!(directory.build(&[]).entries, 0);
    assert_eq!(found(&directory.table(), "a"), None);
}

#[test]
fn the_first_of_two_entries_counts_and_the_second_is_named_by_its_line() {
    let directory = Directory::new();
    let built = directory.build(&[("a", "1"), ("b", "2"), ("A", "3"), ("b", "4"), ("a", "5")]);
    assert_eq!(built.entries, 2);
    let twice = |key: &str, kept, dropped| Duplicate { kept, dropped, key: key.into() };
    assert_eq!(built.duplicates, [twice("a", 1, 3), twice("b", 2, 4), twice("a", 1, 5)]);
    assert_eq!(found(&directory.table(), "a").as_deref(), Some("1"));

    let mut builder =
        Builder::new(Format::Native, directory.source()).duplicates(Duplicates::KeepLast);
    add(&mut builder, &[("a", "1"), ("A", "2")]);
    assert_eq!(builder.finish().unwrap().duplicates, [twice("a", 2, 1)]);
    assert_eq!(found(&directory.table(), "a").as_deref(), Some("2"));
}

#[test]
fn a_table_without_folding_tells_case_apart() {
    let directory = Directory::new();
    let mut builder = Builder::new(Format::Native, directory.source()).without_folding();
    add(&mut builder, &[("a", "1"), ("A", "2")]);
    assert_eq!(builder.finish().unwrap().entries, 2);
    assert_eq!(found(&directory.table(), "a").as_deref(), Some("1"));
    assert_eq!(found(&directory.table(), "A").as_deref(), Some("2"));

    let mut builder = Builder::new(Format::Native, directory.source()).without_folding();
    add(&mut builder, &[("lower", "1"), ("Upper", "2")]);
    builder.finish().unwrap();
    assert_eq!(found(&directory.table(), "Lower").as_deref(), Some("1"));
    assert_eq!(found(&directory.table(), "upper"), None);
}

#[test]
fn entries_are_added_to_replaced_in_and_taken_out_of_a_table_that_is_there() {
    let directory = Directory::new();
    directory.build(&[("a", "1"), ("b", "2"), ("c", "3")]);

    let mut builder = Builder::new(Format::Native, directory.source());
    assert_eq!(builder.keep_existing(&["C", "none"]).unwrap(), 1);
    add(&mut builder, &[("a", "changed"), ("d", "4")]);
    let built = builder.finish().unwrap();
    assert_eq!(built.duplicates, [Duplicate { kept: 0, dropped: 1, key: "a".into() }]);

    let stored = Stored::open(Format::Native, &Format::Native.path(directory.source())).unwrap();
    let mut entries: Vec<_> = stored.entries().map(Result::unwrap).collect();
    entries.sort();
    let expected = [("a", "1"), ("b", "2"), ("d", "4")];
    assert_eq!(entries, expected.map(|(key, value)| (key.into(), value.into())));
    assert_eq!(stored.get(b"d").unwrap().as_deref(), Some(&b"4"[..]));
    assert_eq!(stored.get(b"D").unwrap(), None);
}

#[test]
fn of_many_that_add_to_a_table_at_once_none_loses_what_another_added() {
    let directory = Directory::new();
    directory.build(&[]);
    std::thread::scope(|scope| {
        for adder in ["a", "b", "c", "d"] {
            let directory = &directory;
            scope.spawn(move || {
                for n in 0..10 {
                    let mut builder = Builder::new(Format::Native, directory.source());
                    builder.keep_existing(&[]).unwrap();
                    builder.add(&format!("{adder}{n}"), "x", 1).unwrap();
                    builder.finish().unwrap();
                }
            });
        }
    });
    let path = Format::Native.path(directory.source());
    assert_eq!(Stored::open(Format::Native, &path).unwrap().entries().count(), 40);
}

#[test]
fn keys_that_were_not_folded_are_still_found_after_a_change() {
    let directory = Directory::new();
    let mut builder = Builder::new(Format::Native, directory.source()).without_folding();
    add(&mut builder, &[("Upper", "1"), ("other", "2")]);
    builder.finish().unwrap();
    let mut builder = Builder::new(Format::Native, directory.source());
    assert_eq!(builder.keep_existing(&["OTHER", "UPPER"]).unwrap(), 1);
    builder.finish().unwrap();
    let table = directory.table();
    assert_eq!(found(&table, "Upper").as_deref(), Some("1"));
    assert_eq!(found(&table, "other"), None);
}

#[test]
fn many_entries_are_all_found_again() {
    let directory = Directory::new();
    let count = 5000;
    let mut builder = Builder::new(Format::Native, directory.source());
    let long = "v".repeat(70_000);
    for n in 0..count {
        let value = if n % 1000 == 0 { &*long } else { "value" };
        builder.add(&format!("user{n}@example.com"), value, n).unwrap();
    }
    assert_eq!(builder.finish().unwrap().entries, u64::from(count));
    let table = directory.table();
    for n in 0..count {
        let value = if n % 1000 == 0 { &*long } else { "value" };
        assert_eq!(found(&table, &format!("USER{n}@example.com")).as_deref(), Some(value), "{n}");
        assert_eq!(found(&table, &format!("other{n}@example.com")), None);
    }
}

#[test]
fn what_cannot_be_an_entry_is_refused_by_name() {
    let mut builder = Builder::new(Format::Native, "/none/t");
    assert_eq!(builder.add("", "value", 1), Err(EntryError::EmptyKey));
    let long = "x".repeat(cf::LINE_BYTES_MAX + 1);
    assert_eq!(builder.add(&long, "value", 1), Err(EntryError::TooLong));
    assert_eq!(builder.add("key", &long, 1), Err(EntryError::TooLong));
    let error = builder.finish().unwrap_err();
    assert_eq!(error.to_string(), "create /none/t.db.tmp: No such file or directory (os error 2)");
}

#[test]
fn a_file_cut_or_changed_anywhere_is_refused_and_never_asked() {
    let file = small();
    for cut in 0..file.len() {
        trouble(&table_of(file[..cut].to_vec()));
    }
    let mut file = file;
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        trouble(&table_of(file.clone()));
        file[bit / 8] ^= 1 << (bit % 8);
    }
    file.push(0);
    trouble(&table_of(file));
}

#[test]
fn each_bad_file_is_refused_with_what_is_wrong_and_what_to_do() {
    let mut later = small();
    later[8] = 3;
    let crc = crc32c::crc32c(&later[..60]);
    later[60..64].copy_from_slice(&crc.to_le_bytes());
    let cut = small()[..100].to_vec();
    let mut altered = small();
    altered[70] ^= 1;
    for (file, why) in [
        (Vec::new(), "the file is empty"),
        (b"a 1\nb 2\n".to_vec(), "this is no compiled table"),
        (vec![0; 4096], "this is no compiled table"),
        (later, "its format has version 3, and version 2 is known here"),
        (cut, "it was cut: 100 of 160 bytes are there"),
        (altered, "it is damaged: its checksum does not match"),
    ] {
        let expected = format!(
            "/t.db: {why}; \"postmap hash:/t\" (\"postalias hash:/t\" for aliases) makes it anew"
        );
        assert_eq!(trouble(&table_of(file)), expected);
    }
}

#[test]
fn what_berkeley_db_wrote_is_refused_with_the_command_that_rebuilds_it() {
    for magic in [0x0006_1561_u32, 0x0005_3162, 0x0004_2253] {
        for (at, bytes) in
            [(12, magic.to_le_bytes()), (12, magic.to_be_bytes()), (0, magic.to_be_bytes())]
        {
            let mut file = vec![0; 8192];
            file[at..at + 4].copy_from_slice(&bytes);
            assert_eq!(
                trouble(&table_of(file)),
                "/t.db: this is a Berkeley DB file, which ringpost does not read; \
                 \"postmap hash:/t\" (\"postalias hash:/t\" for aliases) makes it anew"
            );
        }
    }
}

#[test]
fn a_table_that_was_never_built_says_how_to_build_it() {
    let directory = Directory::new();
    let source = directory.source();
    let (name, table) = (source.display(), directory.table());
    assert_eq!(
        trouble(&table),
        format!(
            "open {name}.db: No such file or directory (os error 2); \
             \"postmap hash:{name}\" (\"postalias hash:{name}\" for aliases) makes it from {name}"
        )
    );
    assert_eq!(table.paths(), [source.with_extension("db")]);
}

#[test]
fn what_is_no_file_or_may_not_be_read_is_refused() {
    let directory = Directory::new();
    let file = directory.source().with_extension("db");
    fs::create_dir(&file).unwrap();
    assert!(trouble(&directory.table()).ends_with("is a directory"), "{:?}", directory.table());
    fs::remove_dir(&file).unwrap();
    fs::write(&file, small()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if fs::File::open(&file).is_err() {
        assert!(trouble(&directory.table()).contains("Permission denied"));
    }
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    assert!(trouble(&directory.table()).ends_with("not a regular file"));
}

/// A table that lies in a mapped file, not in memory.
fn large(directory: &Path) -> PathBuf {
    let source = directory.join("large");
    let mut builder = Builder::new(Format::Native, &source);
    for n in 0..40_000 {
        builder.add(&format!("user{n}@example.com"), "a value of some length", n).unwrap();
    }
    assert!(builder.finish().unwrap().bytes > crate::mapped::MAPPED_BYTES_MIN);
    source
}

#[test]
fn a_value_outlives_its_table_and_the_file_that_it_was_found_in() {
    let directory = Directory::new();
    let source = large(directory.0.path());
    let table = Table::open(&format!("hash:{}", source.display()), &Disk);
    let value = block_on(table.lookup("user7@example.com").answer()).found().unwrap().unwrap();
    fs::remove_file(Format::Native.path(&source)).unwrap();
    drop(table);
    assert_eq!(&*value, "a value of some length");
}

#[test]
fn a_rebuilt_table_leaves_the_one_that_is_open_as_it_is() {
    let directory = Directory::new();
    directory.build(&[("a", "old")]);
    let open = directory.table();
    let mapped = large(directory.0.path());
    let mapped = Table::open(&format!("hash:{}", mapped.display()), &Disk);
    directory.build(&[("a", "new")]);
    fs::write(directory.0.path().join("large"), "").unwrap();
    Builder::new(Format::Native, directory.0.path().join("large")).finish().unwrap();
    assert_eq!(found(&open, "a").as_deref(), Some("old"));
    assert_eq!(found(&mapped, "user1@example.com").as_deref(), Some("a value of some length"));
    assert_eq!(found(&directory.table(), "a").as_deref(), Some("new"));
}
