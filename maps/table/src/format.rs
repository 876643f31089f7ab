//! The files that postmap makes.

use std::path::{Path, PathBuf};

/// What a compiled table looks like on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ringpost's own, see `docs/map-format.md`.
    Native,
    /// D. J. Bernstein's constant database.
    Cdb,
    /// LMDB, one file without a directory.
    Lmdb,
}

impl Format {
    /// What is added to a table's name for its file.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Native => ".db",
            Self::Cdb => ".cdb",
            Self::Lmdb => ".lmdb",
        }
    }

    /// The file of the table that is made from `source`.
    pub fn path(self, source: impl AsRef<Path>) -> PathBuf {
        let mut path = source.as_ref().as_os_str().to_owned();
        path.push(self.suffix());
        path.into()
    }
}
