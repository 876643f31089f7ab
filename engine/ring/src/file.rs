//! Files: positioned reads and writes that do not block the shard.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use crate::buf::{Owned, bytes, bytes_mut};
use crate::{Backend, StableBuf};

/// An open file. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct File(Kind);

#[derive(Clone)]
enum Kind {
    Ring { ring: Rc<tokio_uring::fs::File>, fd: Arc<fs::File> },
    Threads(Arc<fs::File>),
}

impl File {
    /// Takes over a file that was opened with ordinary means.
    pub fn from_std(file: fs::File) -> io::Result<Self> {
        Ok(Self(match crate::backend() {
            Backend::Uring => {
                let ring = Rc::new(tokio_uring::fs::File::from_std(file.try_clone()?));
                Kind::Ring { ring, fd: Arc::new(file) }
            }
            Backend::Epoll => Kind::Threads(Arc::new(file)),
        }))
    }

    /// Writes all of `buf` at `offset`, and gives it back.
    ///
    /// Only a file opened with O_DIRECT and O_DSYNC is written asynchronously *and* durably by a ring;
    /// for others the kernel uses a worker thread.
    pub async fn write_at<B: StableBuf>(&self, buf: B, offset: u64) -> (io::Result<()>, B) {
        match &self.0 {
            Kind::Ring { ring, .. } => {
                let (result, Owned(buf)) = ring.write_all_at(Owned(buf), offset).await;
                (result, buf)
            }
            Kind::Threads(file) => {
                let file = Arc::clone(file);
                on_thread(move || (file.write_all_at(bytes(&buf), offset), buf)).await
            }
        }
    }

    /// Fills `buf` from `offset`, and gives it back with the number of bytes read: fewer only at the
    /// end of the file.
    pub async fn read_at<B: StableBuf>(&self, buf: B, offset: u64) -> (io::Result<usize>, B) {
        match &self.0 {
            Kind::Ring { ring, .. } => {
                let want = buf.stable_len();
                let mut buf = buf;
                let mut done = 0;
                while done < want {
                    let (result, slice) = read_slice(ring, buf, done, offset).await;
                    buf = slice;
                    match result {
                        Ok(0) => break,
                        Ok(n) => done += n,
                        Err(error) => return (Err(error), buf),
                    }
                }
                (Ok(done), buf)
            }
            Kind::Threads(file) => {
                let file = Arc::clone(file);
                let mut buf = buf;
                on_thread(move || (read_full(&file, bytes_mut(&mut buf), offset), buf)).await
            }
        }
    }

    /// fdatasync. A failure means that what was written may be lost, and stays so: never try again.
    pub async fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Ring { ring, .. } => ring.sync_data().await,
            Kind::Threads(file) => {
                let file = Arc::clone(file);
                on_thread(move || file.sync_data()).await
            }
        }
    }

    /// The descriptor, for the calls that no ring makes.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Ring { fd, .. } | Kind::Threads(fd) => fd.as_fd(),
        }
    }
}

async fn read_slice<B: StableBuf>(
    ring: &tokio_uring::fs::File,
    buf: B,
    done: usize,
    offset: u64,
) -> (io::Result<usize>, B) {
    use tokio_uring::buf::BoundedBuf;
    let (result, slice) = ring.read_at(Owned(buf).slice(done..), offset + done as u64).await;
    (result, slice.into_inner().0)
}

fn read_full(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Runs one blocking operation on the shard's file threads.
async fn on_thread<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(operation).await {
        Ok(value) => value,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arena, Options, run};

    fn on_both_backends(test: impl AsyncFn()) {
        for backend in [Backend::Epoll, Backend::Uring] {
            run(Options { backend, core: None }, test()).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        on_both_backends(async || {
            let file = File::from_std(tempfile::tempfile().unwrap()).unwrap();
            let arena = Arena::new(4096).unwrap();
            let mut block = arena.alloc(4096).unwrap();
            block.fill(b'x');
            let (written, _block) = file.write_at(block, 100).await;
            written.unwrap();
            file.sync_data().await.unwrap();
            let (read, buf) = file.read_at(vec![0; 8192], 98).await;
            assert_eq!(read.unwrap(), 4098);
            assert_eq!(&buf[..3], b"\0\0x");
            assert_eq!(buf[4097], b'x');
        });
    }

    #[test]
    fn a_file_that_cannot_be_written_says_so_and_the_buffer_comes_back() {
        on_both_backends(async || {
            let file = File::from_std(fs::File::open("/proc/self/exe").unwrap()).unwrap();
            let (written, buf) = file.write_at(b"data".to_vec(), 0).await;
            assert!(written.is_err());
            assert_eq!(buf, b"data");
        });
    }
}
