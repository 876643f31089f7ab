//! A compiled table as postmap sees it: read by its file, key by key or from end to end.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::cdb::Cdb;
use super::lmdb::Lmdb;
use super::native::Native;
use super::replacement::FileError;
use crate::{Disk, Files, Format};

/// A file that a table is kept in.
#[derive(Debug)]
pub struct Stored {
    path: PathBuf,
    table: Kind,
}

#[derive(Debug)]
enum Kind {
    Native(Native),
    Cdb(Cdb),
    Lmdb(Lmdb),
}

/// Keys and values in the order of the file.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), FileError>> + 'a>;

impl Stored {
    /// Opens the file of a table, see [`Format::path`].
    pub fn open(format: Format, path: &Path) -> Result<Self, FileError> {
        let failed = |error: io::Error| FileError::new("open", path, error);
        let table = match format {
            Format::Native => {
                let file = Disk.map(path).map_err(failed)?;
                super::refuse_foreign(&file)
                    .and_then(|()| Native::open(file).map_err(|damage| damage.to_string()))
                    .map(Kind::Native)
            }
            Format::Cdb => {
                let file = Disk.map(path).map_err(failed)?;
                Cdb::open(file).map(Kind::Cdb).map_err(|damage| damage.to_string())
            }
            Format::Lmdb => {
                let file = Disk.open(path).map_err(failed)?;
                Lmdb::open(file).map(Kind::Lmdb).map_err(|why| why.to_string())
            }
        };
        match table {
            Ok(table) => Ok(Self { path: path.to_owned(), table }),
            Err(why) => Err(failed(io::Error::other(why))),
        }
    }

    /// True where all keys are known to be in lower case. Of `cdb:` and `lmdb:` it is not known, but what
    /// is asked for always is.
    pub fn is_folded(&self) -> bool {
        match &self.table {
            Kind::Native(table) => table.is_folded(),
            Kind::Cdb(_) | Kind::Lmdb(_) => true,
        }
    }

    /// The value of a key as it is in the file: nothing is folded.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, FileError> {
        let shared = |file: &Bytes, value: Option<&[u8]>| value.map(|value| file.slice_ref(value));
        match &self.table {
            Kind::Native(table) => {
                let value = table.get(key).map_err(|why| self.damaged(why))?;
                Ok(shared(table.file(), value))
            }
            Kind::Cdb(table) => {
                let value = table.get(key).map_err(|why| self.damaged(why))?;
                Ok(shared(table.file(), value))
            }
            Kind::Lmdb(table) => table.get(key).map_err(|why| self.damaged(why)),
        }
    }

    /// Every entry, in the file's order.
    pub fn entries(&self) -> Entries<'_> {
        match &self.table {
            Kind::Native(table) => {
                Box::new(table.entries().map(|it| it.map_err(|why| self.damaged(why))))
            }
            Kind::Cdb(table) => {
                Box::new(table.entries().map(|it| it.map_err(|why| self.damaged(why))))
            }
            // Read at once: it may be another table by the time it has been gone through.
            Kind::Lmdb(table) => match table.entries() {
                Ok(entries) => Box::new(entries.into_iter().map(Ok)),
                Err(why) => Box::new(std::iter::once(Err(self.damaged(why)))),
            },
        }
    }

    fn damaged(&self, why: impl Display) -> FileError {
        FileError::new("read", &self.path, io::Error::other(why.to_string()))
    }
}
