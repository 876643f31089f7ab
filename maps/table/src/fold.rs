//! Key folding: tables with literal keys ignore case, as Postfix's do.

use std::ops::Deref;

use smallvec::SmallVec;

/// A key in lower case. No allocation for ASCII keys of an address's length.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for one lookup")]
pub(crate) enum Folded<'a> {
    Same(&'a str),
    Short(SmallVec<[u8; 256]>),
    Long(String),
}

/// A word of these bytes.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The lower-case form of a key.
#[inline]
pub(crate) fn folded(key: &str) -> Folded<'_> {
    if is_folded(key) { Folded::Same(key) } else { changed(key) }
}

/// Whether a key is certain to be its own lower-case form, as nearly every one is that is asked for.
#[inline]
pub(crate) fn is_folded(key: &str) -> bool {
    // Eight bytes at a time, and the last eight once more: a loop over the bytes was nearly a quarter of
    // the instructions of a lookup.
    let bytes = key.as_bytes();
    let mut seen = Seen::default();
    let Some(last) = bytes.last_chunk::<8>() else {
        bytes.iter().for_each(|&byte| seen.add([byte; 8]));
        return !seen.anything();
    };
    for word in bytes.as_chunks::<8>().0 {
        seen.add(*word);
    }
    seen.add(*last);
    !seen.anything()
}

#[cold]
fn changed(key: &str) -> Folded<'_> {
    if key.is_ascii() {
        return Folded::Short(key.bytes().map(|b| b.to_ascii_lowercase()).collect());
    }
    Folded::Long(key.to_lowercase())
}

/// The highest bit of a byte is set where there was an upper-case letter, or no ASCII.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    #[inline]
    fn add(&mut self, bytes: [u8; 8]) {
        let word = u64::from_le_bytes(bytes);
        let low = word & each(0x7f);
        // The highest bit is set from 'A' on, and from behind 'Z' on.
        self.0 |= word | (low + each(0x80 - b'A')) & !(low + each(0x7f - b'Z'));
    }

    #[inline]
    fn anything(&self) -> bool {
        self.0 & each(0x80) != 0
    }
}

impl Deref for Folded<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Same(key) => key,
            Self::Short(key) => std::str::from_utf8(key).unwrap_or_default(),
            Self::Long(key) => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_folded_wherever_it_is() {
        for length in 1..=40 {
            for at in 0..length {
                for byte in 0..0x80 {
                    let mut key = vec![b'a'; length];
                    key[at] = byte;
                    let key = String::from_utf8(key).unwrap();
                    let folded = folded(&key);
                    assert_eq!(*folded, key.to_lowercase(), "{key:?}");
                    assert_eq!(matches!(folded, Folded::Same(_)), !byte.is_ascii_uppercase());
                }
                let key = format!("{}\u{c4}{}", "a".repeat(at), "A".repeat(length - at));
                assert_eq!(*folded(&key), key.to_lowercase());
            }
        }
        assert_eq!(&*folded(""), "");
    }
}
