//! Files that master has opened.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use table::{FILE_BYTES_MAX, Files, Manner, ReadAt, Source};

use super::stamp::Opened;

/// What a table may be read from: nothing but what was given. What else it wants is remembered.
#[derive(Default)]
pub(crate) struct Given {
    files: HashMap<PathBuf, Opened>,
    wanted: RefCell<BTreeSet<Source>>,
}

impl Given {
    /// One more file, or why there is none.
    pub(crate) fn add(&mut self, path: PathBuf, file: Opened) {
        self.files.insert(path, file);
    }

    /// What was asked for and is not there.
    pub(crate) fn wanted(&self) -> Vec<Source> {
        self.wanted.borrow().iter().cloned().collect()
    }

    /// Whether a file was written to since it was found finished: then nobody knows what was read.
    pub(crate) fn is_unsettled(&self) -> bool {
        let open = self.files.values().filter_map(|file| file.as_ref().ok());
        open.into_iter().any(|(file, stamp)| !stamp.is_content_of(file).unwrap_or(false))
    }

    fn file(&self, path: &Path, manner: Manner) -> io::Result<&File> {
        match self.files.get(path) {
            Some(Ok((file, _))) => Ok(file),
            Some(Err(missing)) => Err(missing.into()),
            None => {
                self.wanted.borrow_mut().insert(Source { path: path.to_owned(), manner });
                Err(io::Error::other("not here yet"))
            }
        }
    }
}

impl Files for Given {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read(self.file(path, Manner::Text)?)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        table::map_file(self.file(path, Manner::Whole)?.try_clone()?)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(self.file(path, Manner::Whole)?.try_clone()?))
    }
}

/// Reads all of it without moving the file's position, which other processes share.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len();
    if len > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64) {
            // It was cut meanwhile, which shows in its stamp.
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}
