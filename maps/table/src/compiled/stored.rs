//! A compiled table as postmap sees it: read by its file, key by key or from end to end.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::native::Native;
use super::replacement::FileError;
use crate::{Disk, Files, Format};

/// A file that a table is kept in.
#[derive(Debug)]
pub struct Stored {
    path: PathBuf,
    table: Native,
}

impl Stored {
    /// Opens the file of a table, see [`Format::path`].
    pub fn open(format: Format, path: &Path) -> Result<Self, FileError> {
        let failed = |error: io::Error| FileError::new("open", path, error);
        match format {
            Format::Native => {
                let file = Disk.map(path).map_err(failed)?;
                let table = super::refuse_foreign(&file)
                    .and_then(|()| Native::open(file).map_err(|damage| damage.to_string()))
                    .map_err(|why| failed(io::Error::other(why)))?;
                Ok(Self { path: path.to_owned(), table })
            }
            Format::Cdb | Format::Lmdb => Err(failed(io::ErrorKind::Unsupported.into())),
        }
    }

    /// True where all keys are known to be in lower case.
    pub fn is_folded(&self) -> bool {
        self.table.is_folded()
    }

    /// The value of a key as it is in the file: nothing is folded.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, FileError> {
        let found = self.table.get(key).map_err(|damage| self.damaged(damage))?;
        Ok(found.map(|value| self.table.file().slice_ref(value)))
    }

    /// Every entry, in the file's order.
    pub fn entries(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), FileError>> + '_ {
        self.table.entries().map(|entry| entry.map_err(|damage| self.damaged(damage)))
    }

    fn damaged(&self, damage: super::Damage) -> FileError {
        FileError::new("read", &self.path, io::Error::other(damage.to_string()))
    }
}
