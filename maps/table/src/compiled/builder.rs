//! postmap's work: entries in, a file out.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::collection::{Collection, Duplicates, Twice};
use super::replacement::{FileError, Replacement};
use super::{cdb, lmdb, native, stored::Stored};
use crate::Format;
use crate::fold::folded;

/// Duplicates that are told apart; more are only counted.
pub const DUPLICATES_REPORTED_MAX: usize = 10_000;

/// Bytes of a key, as long as a logical line may be.
const KEY_BYTES_MAX: usize = cf::LINE_BYTES_MAX;
/// Bytes of a value, likewise.
const VALUE_BYTES_MAX: usize = cf::LINE_BYTES_MAX;

/// From here on, remembering a key costs little beside its value.
const LARGE_VALUE_BYTES: usize = 4096;

/// Makes the file of a table; nothing of it is to be seen before [`Builder::finish`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let source = directory.path().join("virtual");
/// use table::compiled::Builder;
///
/// let mut table = Builder::new(table::Format::Native, &source);
/// table.add("User@Example.com", "example.com/user/", 1)?;
/// table.add("user@example.com", "elsewhere", 2)?;
/// let built = table.finish()?;
/// assert_eq!((built.entries, built.duplicates[0].dropped), (1, 2));
/// # Ok(())
/// # }
/// ```
pub struct Builder {
    format: Format,
    path: PathBuf,
    mode: u32,
    folds: bool,
    duplicates: Duplicates,
    seed: u64,
    entries: Collection,
    /// Keys with large values.
    large: HashSet<Box<[u8]>>,
    /// From when the table is locked.
    file: Option<Replacement>,
    /// Keys of the table before may be in any case.
    keeps_unfolded: bool,
}

/// What was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Entries in the file.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The keys that came more than once, in the order of the lines that were left out; the first
    /// [`DUPLICATES_REPORTED_MAX`] of them.
    pub duplicates: Vec<Duplicate>,
    /// How often a key came that had come before.
    pub duplicates_count: u64,
}

/// A key that came more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The line of the entry that counts; 0 where it was in the table before.
    pub kept: u32,
    /// The line of the entry that does not.
    pub dropped: u32,
    /// The key as it is in the table.
    pub key: Box<str>,
}

/// Why an entry cannot be in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// The key has no characters.
    EmptyKey,
    /// The key or the value is longer than any table can have.
    TooLong,
    /// The table is full.
    Full,
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EmptyKey => "the key is empty",
            Self::TooLong => "the key or the value is too long",
            Self::Full => "the table has no room for more",
        })
    }
}

impl std::error::Error for EntryError {}

impl Builder {
    /// A table to be made from this source: the file beside it that [`Format::path`] names.
    pub fn new(format: Format, source: impl AsRef<Path>) -> Self {
        let seed = native::seed();
        Self {
            format,
            path: format.path(source),
            mode: 0o644,
            folds: true,
            duplicates: Duplicates::KeepFirst,
            seed,
            entries: Collection::new(seed),
            large: HashSet::new(),
            file: None,
            keeps_unfolded: false,
        }
    }

    /// Keys are kept as they are instead of in lower case: `postmap -f`.
    #[must_use]
    pub fn without_folding(mut self) -> Self {
        self.folds = false;
        self
    }

    /// Which of several entries for one key counts.
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// The mode of a file that is not there yet. One that is there keeps its mode and its owner.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The file that is made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else makes this table, and from now on lets nobody else. Whoever reads the
    /// source after this makes the table of the latest source; otherwise [`Builder::finish`] locks it.
    pub fn lock(&mut self) -> Result<(), FileError> {
        if self.file.is_none() {
            self.file = Some(Replacement::create(&self.path, self.mode)?);
        }
        Ok(())
    }

    /// Begins with what the table has already: `postmap -i`, `postmap -d`. Its entries count as lines 0.
    /// All but these keys, which are folded unless keys are kept as they are; returns how many were left
    /// out. Locks the table, so that of two that add to it neither loses what the other added.
    pub fn keep_existing(&mut self, except: &[&str]) -> Result<u64, FileError> {
        self.lock()?;
        let except: HashSet<Vec<u8>> = except.iter().map(|key| self.key(key).into()).collect();
        let stored = Stored::open(self.format, &self.path)?;
        self.keeps_unfolded = !stored.is_folded();
        let mut left_out = 0;
        for entry in stored.entries() {
            let (key, value) = entry?;
            if except.contains(&*key) {
                left_out += 1;
            } else if !self.entries.add(&key, &value, 0) {
                let source = std::io::Error::other(EntryError::Full);
                return Err(FileError::new("keep the entries of", &self.path, source));
            }
        }
        Ok(left_out)
    }

    fn key(&self, key: &str) -> Box<[u8]> {
        if self.folds { folded(key).as_bytes().into() } else { key.as_bytes().into() }
    }

    /// Adds an entry; `line` is where it was written.
    pub fn add(&mut self, key: &str, value: &str, line: u32) -> Result<(), EntryError> {
        if key.is_empty() {
            return Err(EntryError::EmptyKey);
        }
        let key_bytes_max = match self.format {
            Format::Lmdb => lmdb::KEY_BYTES_MAX,
            Format::Native | Format::Cdb => KEY_BYTES_MAX,
        };
        if key.len() > key_bytes_max || value.len() > VALUE_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        let folded = self.folds.then(|| folded(key));
        let key = folded.as_ref().map_or(key.as_bytes(), |folded| folded.as_bytes());
        let value = if self.is_large_again(key, value) { "" } else { value };
        let added = self.entries.add(key, value.as_bytes(), line);
        if added { Ok(()) } else { Err(EntryError::Full) }
    }

    /// Whether a large value comes for a key that has one, so that nobody will ever ask for it: a text that says
    /// the same few things for gigabytes makes a small table, and is to need no more memory than that.
    fn is_large_again(&mut self, key: &[u8], value: &str) -> bool {
        value.len() >= LARGE_VALUE_BYTES
            && self.duplicates == Duplicates::KeepFirst
            && !self.large.insert(key.into())
    }

    /// Writes the file, makes it durable, and puts it in the old one's place.
    pub fn finish(mut self) -> Result<Built, FileError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => Replacement::create(&self.path, self.mode)?,
        };
        let folded = self.folds && !self.keeps_unfolded;
        let (entries, bytes) = (self.entries.len(), self.entries.bytes());
        let mut built = Built::default();
        let drain = |put: &mut Put<'_>| drain(self.entries, self.duplicates, &mut built, put);
        let length = match self.format {
            Format::Native => {
                let mut out = native::Writer::begin(&mut file, self.seed, folded, entries);
                drain(&mut |hash, entry| out.put(hash, entry))?;
                out.finish()?
            }
            Format::Cdb => {
                let mut out = cdb::Writer::begin(&mut file);
                drain(&mut |_, entry| out.put(entry))?;
                out.finish()?
            }
            Format::Lmdb => {
                let out = lmdb::Writer::begin(&file, entries, bytes)?;
                out.put_all(|put| drain(&mut |_, entry| put(entry)))?;
                out.finish()?
            }
        };
        file.commit()?;
        built.bytes = length;
        built.duplicates.sort_unstable_by_key(|duplicate| duplicate.dropped);
        Ok(built)
    }
}

/// Takes an entry's hash and its bytes as they are in a native file.
type Put<'a> = dyn FnMut(u64, &[u8]) -> Result<(), FileError> + 'a;

/// Puts every entry that counts, and keeps account.
fn drain(
    entries: Collection,
    duplicates: Duplicates,
    built: &mut Built,
    put: &mut Put<'_>,
) -> Result<(), FileError> {
    let mut kept = 0;
    let twice = |twice: Twice<'_>| {
        built.duplicates_count += 1;
        if built.duplicates.len() < DUPLICATES_REPORTED_MAX {
            built.duplicates.push(Duplicate {
                kept: twice.kept,
                dropped: twice.dropped,
                key: String::from_utf8_lossy(twice.key).into(),
            });
        }
    };
    let stopped = entries.drain(duplicates, twice, |hash, entry| match put(hash, entry) {
        Ok(()) => {
            kept += 1;
            ControlFlow::Continue(())
        }
        Err(error) => ControlFlow::Break(error),
    });
    built.entries = kept;
    match stopped {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_that_do_not_count_take_no_memory() {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = Builder::new(Format::Native, directory.path().join("t"));
        let large = "x".repeat(100_000);
        builder.add("A", &large, 1).unwrap();
        for line in 2..1000 {
            builder.add("a", &large, line).unwrap();
        }
        builder.add("b", "small", 1000).unwrap();
        assert!(builder.entries.bytes() < 2 * large.len() as u64, "{}", builder.entries.bytes());
        let built = builder.finish().unwrap();
        assert_eq!((built.entries, built.duplicates_count), (2, 998));
        assert_eq!(built.duplicates[0], Duplicate { kept: 1, dropped: 2, key: "a".into() });

        let mut builder = Builder::new(Format::Native, directory.path().join("t"))
            .duplicates(Duplicates::KeepLast);
        let last = "y".repeat(100_000);
        builder.add("a", &large, 1).unwrap();
        builder.add("a", &last, 2).unwrap();
        let built = builder.finish().unwrap();
        assert!(built.bytes > 100_000, "the last one is there: {built:?}");
    }
}
