//! Key folding: tables with literal keys ignore case, as Postfix's do.

use std::ops::Deref;

use smallvec::SmallVec;

/// The lower-case form of a key. No allocation for ASCII keys of an address's length.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for one lookup")]
pub(crate) enum Folded<'a> {
    Same(&'a str),
    Short(SmallVec<[u8; 256]>),
    Long(String),
}

pub(crate) fn folded(key: &str) -> Folded<'_> {
    // Without an early end, so that the compiler looks at many bytes at a time.
    let (mut upper, mut ascii) = (false, true);
    for b in key.bytes() {
        upper |= b.is_ascii_uppercase();
        ascii &= b.is_ascii();
    }
    if !ascii {
        return Folded::Long(key.to_lowercase());
    }
    if !upper {
        return Folded::Same(key);
    }
    Folded::Short(key.bytes().map(|b| b.to_ascii_lowercase()).collect())
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
