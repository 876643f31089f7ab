//! Content that is too large for a record: a file of its own, durable before the record that names it.

use std::rc::Rc;

use mail::QueueId;

use crate::disk::{CONTENT, Disk};
use crate::error::{Refusal, SliceError};
use crate::slice::{Inner, Slice};

/// The file of a message's content.
pub(crate) fn name(id: QueueId) -> String {
    format!("{CONTENT}/{id}")
}

/// A file that content is being streamed to. Dropped before it is finished, it is removed at the next
/// start; [`LargeContent::abandon`] does it at once.
pub struct LargeContent<D: Disk> {
    slice: Rc<Inner<D>>,
    id: QueueId,
    file: D::File,
    len: u64,
    crc: u32,
}

/// Content that is durable in a file, to be handed to [`Slice::append_file`].
#[must_use = "the file belongs to no message yet"]
#[derive(Debug)]
pub struct StoredFile {
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

impl StoredFile {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    pub(crate) fn keep(self) {}
}

impl<D: Disk> Slice<D> {
    /// Begins a file for the content of this message.
    pub async fn stream(&self, id: QueueId) -> Result<LargeContent<D>, SliceError> {
        self.accepting()?;
        let file = self.0.disk.create(&name(id)).await.map_err(|e| failed("create", id, e))?;
        Ok(LargeContent { slice: Rc::clone(&self.0), id, file, len: 0, crc: 0 })
    }
}

impl<D: Disk> LargeContent<D> {
    /// Appends to it; gives the buffer back.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, SliceError> {
        let (written, bytes) = self.slice.disk.write_at(&self.file, bytes, self.len).await;
        written.map_err(|error| failed("write", self.id, error))?;
        self.len += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, &bytes);
        Ok(bytes)
    }

    /// Makes it durable, its name too: a crash after this leaves either a message or a file that nobody
    /// asks for, never a message without content.
    pub async fn finish(self) -> Result<StoredFile, SliceError> {
        let disk = &self.slice.disk;
        disk.sync(&self.file).await.map_err(|error| failed("sync", self.id, error))?;
        disk.sync_dir(CONTENT)
            .await
            .map_err(|error| failed("sync the directory of", self.id, error))?;
        Ok(StoredFile { len: self.len, crc: self.crc })
    }

    /// Removes it: the client went away, or the message was refused.
    pub async fn abandon(self) {
        // What cannot be removed now is at the next start.
        let _ = self.slice.disk.remove(&name(self.id)).await;
    }
}

fn failed(doing: &'static str, id: QueueId, source: std::io::Error) -> SliceError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(source.kind(), StorageFull | QuotaExceeded) {
        return SliceError::Refused(Refusal::NoSpace);
    }
    SliceError::Io { doing, file: name(id), source }
}
