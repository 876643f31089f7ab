//! A directory that is removed with all that is in it when its value goes, however that comes.

use std::path::{Path, PathBuf};

use crate::failure::{Doing, Failure, Result};

#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory that was not there: nobody's data may be removed in the end.
    pub(crate) fn make(path: PathBuf) -> Result<Self> {
        if path.exists() {
            return Err(Failure::new(format!("{} is there already", path.display())));
        }
        std::fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("perf: removing {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_with_its_content_and_never_replaces_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let scratch = Scratch::make(path.clone()).unwrap();
        std::fs::write(scratch.path().join("mail"), "x").unwrap();
        assert!(Scratch::make(path.clone()).is_err());
        drop(scratch);
        assert!(!path.exists());
    }
}
