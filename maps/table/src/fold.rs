//! Key folding: tables with literal keys ignore case, as Postfix's do.

use smallvec::SmallVec;

/// Runs `with` on the lower-case form of `key`. No allocation for ASCII keys of an address's length.
pub(crate) fn folded<T>(key: &str, with: impl FnOnce(&str) -> T) -> T {
    if !key.is_ascii() {
        return with(&key.to_lowercase());
    }
    if !key.bytes().any(|b| b.is_ascii_uppercase()) {
        return with(key);
    }
    let lower: SmallVec<[u8; 256]> = key.bytes().map(|b| b.to_ascii_lowercase()).collect();
    with(std::str::from_utf8(&lower).unwrap_or(key))
}

/// The lower-case form, for what is kept.
pub(crate) fn owned(key: &str) -> Box<str> {
    folded(key, |key| key.into())
}
