//! The text that postmap reads: a stream has the lines of the whole, and an entry is within its line.

use std::io::BufReader;

use cf::{LineReader, Lines};

pub(crate) fn run(input: &[u8]) {
    let Some((&size, text)) = input.split_first() else { return };
    let mut lines = LineReader::new(BufReader::with_capacity(usize::from(size).max(1), text));
    let mut whole = Lines::new(text);
    while let Some(line) = lines.next().expect("memory can be read") {
        let expected = whole.next().expect("as many lines");
        match (line, expected) {
            (Ok(line), Ok(expected)) => {
                assert_eq!((line.text, line.line), (&*expected.text, expected.line));
                if let Ok((key, value)) = cf::split_entry(line.text) {
                    assert!(!key.is_empty() && !value.is_empty());
                    assert!(key.len() + value.len() < line.text.len());
                    assert_eq!(cf::split_entry(&format!("{key} {value}")), Ok((key, value)));
                }
            }
            (Err(bad), Err(expected)) => assert_eq!((bad.line, bad.why), expected),
            (line, expected) => panic!("{line:?} instead of {expected:?}"),
        }
    }
    assert!(whole.next().is_none());
    assert_eq!(lines.consumed(), text.len() as u64);
}
