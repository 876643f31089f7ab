//! An alias file: what is stored of a line means what the line meant.

use aliases::{Destination, Entry, destinations};
use cf::LineReader;

pub(crate) fn run(input: &[u8]) {
    let mut lines = LineReader::new(input);
    while let Some(line) = lines.next().expect("memory can be read") {
        let Ok(line) = line else { continue };
        // As a line of a .forward file, too.
        for destination in destinations(line.text) {
            if let Destination::Address(address) = destination {
                assert!(!address.is_empty());
            }
        }
        let Ok(entry) = Entry::parse(line.text) else { continue };
        let stored = format!("{}:{}", entry.name, entry.value);
        assert_eq!(Entry::parse(&stored).as_ref(), Ok(&entry), "{stored}");
        let again = Entry::parse(&stored).map(|entry| destinations(&entry.value));
        assert_eq!(again, Ok(destinations(&entry.value)));
    }
}
