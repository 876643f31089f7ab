//! What the queue asks of a file system, so that tests can hand it one that loses power.
//!
//! Names are relative to the directory of the slice: `segment-00000001`, `content/5D2F1B3A00`. The
//! promises written next to each call are the only ones that the queue relies on.

use std::io;
use std::ops::DerefMut;

/// The directory of the slice itself.
pub const ROOT: &str = "";
/// Content that is too large for a record.
pub const CONTENT: &str = "content";
/// What could not be read.
pub const CORRUPT: &str = "corrupt";

/// Memory of a batch: aligned for O_DIRECT, and shared with the delivery agent.
pub trait Buf: DerefMut<Target = [u8]> + 'static {
    /// Where the agent finds it, in bytes from the start of the shared arena.
    fn offset(&self) -> u64;
    /// Gives back what lies behind the first `bytes`, rounded up to whole pages.
    fn shrink_to(&mut self, bytes: usize);
}

/// The files of one slice. All calls are made from the thread of its shard.
#[allow(async_fn_in_trait, reason = "a shard is one thread: no future of it is ever sent")]
pub trait Disk: 'static {
    /// Memory that batches are built in.
    type Buf: Buf;
    /// An open file.
    type File: Clone + 'static;

    /// Memory of at least this many bytes, or `None` where there is none at the moment.
    fn alloc(&self, bytes: usize) -> Option<Self::Buf>;

    /// A number that no stranger can guess.
    fn draw(&self) -> u64;

    /// Makes a file of `bytes`, `head` and then zeros, written (not only allocated) and durable together
    /// with its name. Until it is all that, a listing does not show it.
    async fn create_segment(&self, name: &str, head: Vec<u8>, bytes: u64) -> io::Result<()>;

    /// Opens a segment for [`Disk::write_durably`] and reading.
    async fn open_segment(&self, name: &str) -> io::Result<Self::File>;

    /// Writes all of `buf`, whose length and offset are multiples of 4096. When it returns `Ok`, the bytes
    /// survive a power cut; before that, any part of them may.
    async fn write_durably(
        &self,
        file: &Self::File,
        buf: Self::Buf,
        offset: u64,
    ) -> (io::Result<()>, Self::Buf);

    /// Fills `buf` from `offset`; fewer bytes only at the end of the file.
    async fn read_at(
        &self,
        file: &Self::File,
        buf: Vec<u8>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<u8>);

    /// Makes a new, empty file; durable only after [`Disk::sync`] and [`Disk::sync_dir`].
    async fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading.
    async fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Writes all of `buf`; durable only after [`Disk::sync`].
    async fn write_at(
        &self,
        file: &Self::File,
        buf: Vec<u8>,
        offset: u64,
    ) -> (io::Result<()>, Vec<u8>);

    /// Makes the bytes of a file durable. After a failure nothing may be believed about them.
    async fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes the names in a directory durable.
    async fn sync_dir(&self, directory: &str) -> io::Result<()>;

    /// Removes a file; one that is not there is no error.
    async fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes a segment, and gives its room back though another process may keep it open.
    async fn remove_segment(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name.
    async fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// The names of the files in a directory.
    async fn list(&self, directory: &str) -> io::Result<Vec<String>>;
}
