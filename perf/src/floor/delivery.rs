//! The delivery thread: Maildir files in batches, as agentd makes them.
//!
//! O_TMPFILE and write for all, one syncfs, linkat for all, a second syncfs: never a partial file
//! in `new/`, two syncs for up to 256 files. Few files are synced one by one, which is cheaper.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::Counts;
use super::batch::Batch;
use crate::failure::{Doing, Result};

/// Files that share two syncfs.
const FILES_MAX: usize = 256;

/// Up to this many files are synced one by one.
const SINGLE_FILES_MAX: usize = 3;

/// A durable batch, to be delivered and sent back.
pub(crate) struct Job {
    pub(crate) batch: Batch,
    pub(crate) back: Sender<Batch>,
    /// The shard's eventfd.
    pub(crate) wake: Arc<OwnedFd>,
}

pub(crate) struct Agent {
    directories: Vec<OwnedFd>,
    jobs: Receiver<Job>,
    counts: Arc<Counts>,
}

/// A file without a name yet.
struct Nameless {
    file: OwnedFd,
    mailbox: usize,
    name: String,
}

impl Agent {
    pub(crate) fn new(
        mailboxes: &[PathBuf],
        jobs: Receiver<Job>,
        counts: Arc<Counts>,
    ) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directories = mailboxes
            .iter()
            .map(|path| {
                rustix::fs::open(path, flags, Mode::empty())
                    .doing(|| format!("opening {}", path.display()))
            })
            .collect::<Result<_>>()?;
        Ok(Self { directories, jobs, counts })
    }

    /// Delivers until every shard is gone.
    pub(crate) fn run(self) -> Result<()> {
        while let Ok(first) = self.jobs.recv() {
            let mut files = self.create(&first.batch)?;
            let mut jobs = vec![first];
            // What has arrived meanwhile joins; nothing is waited for.
            while files.len() < FILES_MAX {
                let Ok(next) = self.jobs.try_recv() else { break };
                files.extend(self.create(&next.batch)?);
                jobs.push(next);
            }
            self.publish(&files)?;
            self.counts.files.fetch_add(files.len() as u64, Ordering::Relaxed);
            drop(files);
            for job in jobs {
                if job.back.send(job.batch).is_ok() {
                    rustix::io::write(&job.wake, &1u64.to_ne_bytes()).doing(|| "waking a shard")?;
                }
            }
        }
        Ok(())
    }

    fn create(&self, batch: &Batch) -> Result<Vec<Nameless>> {
        let mut files = Vec::with_capacity(batch.messages.len());
        for message in &batch.messages {
            let content = batch.content(message);
            for (index, mailbox) in message.mailboxes.iter().enumerate() {
                let mailbox = *mailbox as usize;
                let file = nameless(&self.directories[mailbox], content)?;
                let name = format!("{:x}.{index}.floor,S={}", message.id, content.len());
                files.push(Nameless { file, mailbox, name });
            }
        }
        Ok(files)
    }

    fn publish(&self, files: &[Nameless]) -> Result<()> {
        let Some(first) = files.first() else { return Ok(()) };
        let synced = |syncs: u64| self.counts.file_syncs.fetch_add(syncs, Ordering::Relaxed);
        if files.len() <= SINGLE_FILES_MAX {
            for file in files {
                rustix::fs::fsync(&file.file).doing(|| "syncing a mailbox file")?;
                self.link(file)?;
                rustix::fs::fsync(&self.directories[file.mailbox])
                    .doing(|| "syncing a mailbox directory")?;
            }
            synced(2 * files.len() as u64);
            return Ok(());
        }
        rustix::fs::syncfs(&first.file).doing(|| "syncing the mailboxes' file system")?;
        for file in files {
            self.link(file)?;
        }
        rustix::fs::syncfs(&first.file).doing(|| "syncing the mailboxes' file system")?;
        synced(2);
        Ok(())
    }

    fn link(&self, file: &Nameless) -> Result<()> {
        link_nameless(&file.file, &self.directories[file.mailbox], &file.name)
    }
}

/// An O_TMPFILE with this content.
pub(crate) fn nameless(directory: &OwnedFd, content: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory.as_fd(), ".", flags, Mode::RUSR | Mode::WUSR)
        .doing(|| "making a file without a name")?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest).doing(|| "writing a mailbox file")?;
        rest = &rest[written..];
    }
    Ok(file)
}

/// Whether linkat takes the descriptor itself; 0 unknown, 1 yes, 2 no.
static EMPTY_PATH: AtomicU64 = AtomicU64::new(0);

/// Gives a nameless file its name.
///
/// AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH before Linux 6.10; /proc/self/fd always works and costs
/// a path lookup.
pub(crate) fn link_nameless(file: &OwnedFd, directory: &OwnedFd, name: &str) -> Result<()> {
    if EMPTY_PATH.load(Ordering::Relaxed) != 2 {
        match rustix::fs::linkat(file, "", directory, name, AtFlags::EMPTY_PATH) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::PERM) => {
                EMPTY_PATH.store(2, Ordering::Relaxed);
            }
            Err(error) => return Err(error).doing(|| format!("naming the file {name}")),
        }
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, path, directory, name, AtFlags::SYMLINK_FOLLOW)
        .doing(|| format!("naming the file {name}"))
}
