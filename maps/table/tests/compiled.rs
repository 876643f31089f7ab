//! Whatever is in a table: compiled it answers as its text does.

use proptest::prelude::*;
use table::compiled::{Builder, Stored};
use table::{Answer, Disk, Format, Table, block_on};

const FORMATS: [(&str, Format); 3] =
    [("hash", Format::Native), ("cdb", Format::Cdb), ("lmdb", Format::Lmdb)];

fn answer(table: &Table, key: &str) -> Answer {
    block_on(table.lookup(key).answer())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_compiled_table_answers_as_its_text_does(
        pairs in prop::collection::vec(("[a-dA-D@.+é]{1,4}", "[ -!#-~é]{0,60}x"), 0..200),
        asked in prop::collection::vec("[a-dA-D@.+é]{1,4}", 20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("t");
        let mut text = String::new();
        let mut entries = Vec::new();
        for (key, value) in &pairs {
            // What white space around it is for in a text is not part of a value.
            let value = value.trim();
            text.push_str(&format!("{key}\t{value}\n"));
            entries.push((key, value));
        }
        std::fs::write(&source, text).unwrap();
        let text = Table::open(&format!("texthash:{}", source.display()), &Disk);
        prop_assert_eq!(text.trouble(), None);
        for (kind, format) in FORMATS {
            let mut builder = Builder::new(format, &source);
            for (line, (key, value)) in (1..).zip(&entries) {
                builder.add(key, value, line).unwrap();
            }
            let built = builder.finish().unwrap();
            prop_assert_eq!(built.entries + built.duplicates_count, entries.len() as u64);
            let stored = Stored::open(format, &format.path(&source)).unwrap();
            prop_assert_eq!(stored.entries().count() as u64, built.entries);
            let table = Table::open(&format!("{kind}:{}", source.display()), &Disk);
            for key in entries.iter().map(|(key, _)| *key).chain(&asked) {
                prop_assert_eq!(answer(&table, key), answer(&text, key), "{} {}", kind, key);
            }
        }
    }
}

#[test]
fn a_file_that_is_damaged_in_any_way_answers_with_trouble_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("t");
    let name = source.display();
    for (kind, format) in FORMATS {
        let file = format.path(&source);
        let open = || Table::open(&format!("{kind}:{name}"), &Disk);
        let unavailable = |what: &str| {
            let table = open();
            let answer = answer(&table, "a");
            assert!(matches!(answer, Answer::Unavailable(_)), "{kind}, {what}: {answer:?}");
        };
        unavailable("missing");
        for (what, content) in [
            ("empty", Vec::new()),
            ("text", b"a 1\nb 2\n".to_vec()),
            ("zeros", vec![0; 20_000]),
            ("ones", vec![0xff; 20_000]),
        ] {
            std::fs::write(&file, content).unwrap();
            unavailable(what);
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        unavailable("directory");
        std::fs::remove_dir(&file).unwrap();
    }
}
