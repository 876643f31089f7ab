//! Files of compiled tables, damaged in any way: an answer, or trouble that says what is wrong.
//!
//! The first byte chooses the kind, the next two a table that was sound, whose bytes the rest is written
//! over; a file that begins with the right words gets further than one that does not.

use std::sync::LazyLock;

use table::compiled::Builder;
use table::{Answer, Format, Memory, Table, block_on};

const KEYS: [&str; 4] = ["a", "user1@example.com", "user17@example.com", "none"];
const KINDS: [(&str, Format); 3] =
    [("hash", Format::Native), ("cdb", Format::Cdb), ("lmdb", Format::Lmdb)];

/// A sound file of each kind.
static SOUND: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    KINDS.map(|(_, format)| {
        let place = tempfile::tempdir().expect("a directory");
        let source = place.path().join("t");
        let mut builder = Builder::new(format, &source);
        for n in 0..40 {
            builder.add(&format!("user{n}@example.com"), "a value", n).expect("an entry");
        }
        builder.finish().expect("a table");
        std::fs::read(format.path(&source)).expect("its file")
    })
});

pub(crate) fn run(input: &[u8]) {
    let [kind, low, high, rest @ ..] = input else { return };
    let number = usize::from(*kind) % KINDS.len();
    let (name, format) = KINDS[number];
    let file = match kind / 3 % 2 {
        0 => rest.to_vec(),
        _ => {
            let mut file = SOUND[number].clone();
            let at = usize::from(u16::from_le_bytes([*low, *high])) % file.len();
            let room = file.len() - at;
            let rest = &rest[..rest.len().min(room)];
            file[at..at + rest.len()].copy_from_slice(rest);
            file
        }
    };
    let is_sound = file == SOUND[number];
    let files = Memory::default().with(format.path("/t"), file);
    let table = Table::open(&format!("{name}:/t"), &files);
    for key in KEYS {
        match block_on(table.lookup(key).answer()) {
            // Only the native format can tell that a file is another one than was written.
            Answer::Found(value) if format == Format::Native => {
                assert!(is_sound && &*value == "a value", "{key}: {value}");
            }
            Answer::NotFound if format == Format::Native => assert!(is_sound, "{key}"),
            Answer::Found(_) | Answer::NotFound => {}
            Answer::Unavailable(trouble) => assert!(!trouble.cause.is_empty()),
        }
    }
}
