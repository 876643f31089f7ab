//! The real file system: segments through the ring with O_DIRECT and O_DSYNC.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ring::{Arena, Block};
use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};

use crate::disk::{Buf, CONTENT, CORRUPT, Disk};
use crate::segment::PAGE;

/// Zeros are written in pieces of this size.
const ZEROS_BYTES: usize = 1 << 20;
/// Queue files are nobody else's business.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

impl Buf for Block {
    fn offset(&self) -> u64 {
        Self::offset(self)
    }

    fn shrink_to(&mut self, bytes: usize) {
        Self::shrink_to(self, bytes);
    }
}

/// One slice's directory, and the arena of its shard.
pub struct RingDisk {
    directory: PathBuf,
    arena: Arena,
    direct: bool,
}

impl RingDisk {
    /// Takes a slice's directory, making it where it is missing.
    pub fn open(directory: &Path, arena: Arena) -> io::Result<Self> {
        for path in [directory.to_owned(), directory.join(CONTENT), directory.join(CORRUPT)] {
            fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        }
        let direct = takes_direct(directory)?;
        Ok(Self { directory: directory.to_owned(), arena, direct })
    }

    /// False where the file system refuses O_DIRECT (tmpfs): log writes then go through the page cache,
    /// as durable but slower.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// An open file of a slice.
#[derive(Clone)]
pub struct RingFile {
    /// For durable writes; the same as `read` for other files.
    write: ring::File,
    /// Without O_DIRECT: reads need no alignment, and what was just written is often read by the agent.
    read: Rc<ring::File>,
}

impl RingFile {
    /// A descriptor for reading, to be passed to the delivery agent.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.read.fd()
    }
}

impl Disk for RingDisk {
    type Buf = Block;
    type File = RingFile;

    fn alloc(&self, bytes: usize) -> Option<Block> {
        self.arena.alloc(bytes)
    }

    fn draw(&self) -> u64 {
        let mut bytes = [0; 8];
        // Cannot fail for so few bytes once the system is up; a zero would only weaken the stamp.
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        u64::from_le_bytes(bytes)
    }

    async fn create_segment(&self, name: &str, head: Vec<u8>, bytes: u64) -> io::Result<()> {
        let path = self.path(name);
        blocking(move || write_zeros(&path, &head, bytes)).await
    }

    async fn open_segment(&self, name: &str) -> io::Result<RingFile> {
        let path = self.path(name);
        let read = OpenOptions::new().read(true).open(&path)?;
        let flags = if self.direct { OFlags::DSYNC | OFlags::DIRECT } else { OFlags::DSYNC };
        let write =
            OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(&path)?;
        wait_for_writes(&write);
        Ok(RingFile {
            write: ring::File::from_std(write)?,
            read: Rc::new(ring::File::from_std(read)?),
        })
    }

    async fn write_durably(
        &self,
        file: &RingFile,
        buf: Block,
        offset: u64,
    ) -> (io::Result<()>, Block) {
        file.write.write_at(buf, offset).await
    }

    async fn read_at(
        &self,
        file: &RingFile,
        buf: Vec<u8>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<u8>) {
        file.read.read_at(buf, offset).await
    }

    async fn create(&self, name: &str) -> io::Result<RingFile> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.path(name))?;
        plain(file)
    }

    async fn open(&self, name: &str) -> io::Result<RingFile> {
        plain(fs::File::open(self.path(name))?)
    }

    async fn write_at(
        &self,
        file: &RingFile,
        buf: Vec<u8>,
        offset: u64,
    ) -> (io::Result<()>, Vec<u8>) {
        file.write.write_at(buf, offset).await
    }

    async fn sync(&self, file: &RingFile) -> io::Result<()> {
        file.write.sync_data().await
    }

    async fn sync_dir(&self, directory: &str) -> io::Result<()> {
        let path = self.path(directory);
        blocking(move || fs::File::open(path)?.sync_all()).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    async fn remove_segment(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        blocking(move || {
            let file = OpenOptions::new().write(true).open(&path)?;
            // In this order: a start must never find a segment that is cut short.
            fs::remove_file(path)?;
            file.set_len(0)
        })
        .await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    async fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(directory))? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn plain(file: fs::File) -> io::Result<RingFile> {
    let file = ring::File::from_std(file)?;
    Ok(RingFile { write: file.clone(), read: Rc::new(file) })
}

/// Waits for what a killed predecessor's ring still has on its way to the disk: a process can be gone, and
/// its lock with it, before its last write has landed. No call says just that, but file systems let
/// direct writes finish before they allocate; and here nothing is left to be allocated.
fn wait_for_writes(segment: &fs::File) {
    // Where there is no such call (tmpfs), writes are done when they return.
    let _ = fallocate(segment, FallocateFlags::KEEP_SIZE, 0, PAGE as u64);
}

/// Runs what would hold up the shard on a thread of its own.
async fn blocking<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(operation).await {
        Ok(value) => value,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

/// Tries O_DIRECT on an unnamed or short-lived file, because only opening one tells.
fn takes_direct(directory: &Path) -> io::Result<bool> {
    let path = directory.join("direct.new");
    let direct = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(&path);
    let direct = match direct {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => false,
        Err(error) => return Err(error),
    };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(direct),
    }
}

/// Zeros that were written once cost nothing at each later write; extents that were only allocated are
/// converted at each write, which halves the rate.
fn write_zeros(path: &Path, head: &[u8], bytes: u64) -> io::Result<()> {
    let new = path.with_extension("new");
    let result = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&new)?;
        file.write_all(head)?;
        let zeros = vec![0; ZEROS_BYTES];
        let mut left = bytes - head.len() as u64;
        while left > 0 {
            let piece = left.min(ZEROS_BYTES as u64);
            file.write_all(&zeros[..piece as usize])?;
            left -= piece;
        }
        file.sync_all()?;
        // They will be written around the page cache: do not keep the zeros in it.
        fadvise(file.as_fd(), 0, None, Advice::DontNeed)?;
        fs::rename(&new, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    if result.is_err() {
        // A full disk must get its space back. The next start removes what cannot be removed now.
        let _ = fs::remove_file(&new);
    }
    result
}
