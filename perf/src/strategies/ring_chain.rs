//! Maildir files made by linked io_uring requests.
//!
//! Open into a slot of the ring's file table, write, (sync,) close, rename: one chain for each file,
//! a batch of chains in one submission. Few system calls, but every one of these requests blocks,
//! so the kernel hands each to a worker thread; `perf maildir` shows what that costs.
#![allow(unsafe_code)] // submitting to an io_uring hands the kernel pointers

use std::ffi::CString;
use std::os::fd::AsRawFd as _;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, opcode};
use rustix::fs::{OFlags, fsync, syncfs};

use super::maildir::{Mailbox, file_name};
use crate::failure::{Doing, Failure, Result};

/// Requests in the longest chain.
const CHAIN: usize = 5;

pub(crate) struct RingChain {
    ring: IoUring,
}

/// Whether the chain makes the file durable before it is named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Now,
    Later,
}

impl RingChain {
    pub(crate) fn new(batch: usize) -> Result<Self> {
        let entries = (batch * CHAIN).next_power_of_two() as u32;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(entries)
            .doing(|| "making an io_uring for chains")?;
        ring.submitter()
            .register_files_sparse(batch as u32)
            .doing(|| "registering the ring's file table")?;
        Ok(Self { ring })
    }

    pub(crate) fn syncfs(
        &mut self,
        mailboxes: &[Mailbox],
        numbers: &[usize],
        content: &[u8],
    ) -> Result<()> {
        let names = names(numbers);
        let mut entries = Vec::new();
        for (slot, (number, name)) in numbers.iter().zip(&names).enumerate() {
            let mailbox = &mailboxes[number % mailboxes.len()];
            create(&mut entries, mailbox, name, slot as u32, content, Durable::Later);
        }
        self.run(&entries)?;
        syncfs(&mailboxes[0].new).doing(|| "syncing the file system")?;
        let renames: Vec<Entry> = numbers
            .iter()
            .zip(&names)
            .map(|(number, name)| rename(&mailboxes[number % mailboxes.len()], name))
            .collect();
        self.run(&renames)?;
        syncfs(&mailboxes[0].new).doing(|| "syncing the file system")
    }

    pub(crate) fn file_sync(
        &mut self,
        mailboxes: &[Mailbox],
        numbers: &[usize],
        content: &[u8],
    ) -> Result<()> {
        let names = names(numbers);
        let mut entries = Vec::new();
        for (slot, (number, name)) in numbers.iter().zip(&names).enumerate() {
            let mailbox = &mailboxes[number % mailboxes.len()];
            create(&mut entries, mailbox, name, slot as u32, content, Durable::Now);
            if let Some(close) = entries.pop() {
                entries.push(close.flags(Flags::IO_LINK));
            }
            entries.push(rename(mailbox, name));
        }
        self.run(&entries)?;
        for number in numbers {
            fsync(&mailboxes[number % mailboxes.len()].new).doing(|| "syncing a directory")?;
        }
        Ok(())
    }

    /// Submits all entries and waits for all of them.
    fn run(&mut self, entries: &[Entry]) -> Result<()> {
        for entry in entries {
            // SAFETY: names, content and descriptors outlive this call, which ends only when every
            // completion has been seen.
            unsafe { self.ring.submission().push(entry) }.doing(|| "queueing a chain")?;
        }
        let mut left = entries.len();
        let mut failure = None;
        while left > 0 {
            self.ring.submit_and_wait(left).doing(|| "running chains")?;
            for done in self.ring.completion() {
                left -= 1;
                if done.result() < 0 {
                    failure.get_or_insert(-done.result());
                }
            }
        }
        match failure {
            None => Ok(()),
            Some(code) => {
                let cause = std::io::Error::from_raw_os_error(code);
                Err(Failure::new(format!("a chain of io_uring requests: {cause}")))
            }
        }
    }
}

fn names(numbers: &[usize]) -> Vec<CString> {
    numbers.iter().map(|number| CString::new(file_name(*number)).unwrap_or_default()).collect()
}

fn create(
    entries: &mut Vec<Entry>,
    mailbox: &Mailbox,
    name: &CString,
    slot: u32,
    content: &[u8],
    durable: Durable,
) {
    let file = Fixed(slot);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let open = opcode::OpenAt::new(Fd(mailbox.tmp.as_raw_fd()), name.as_ptr())
        .flags(flags.bits() as i32)
        .mode(0o600)
        .file_index(DestinationSlot::try_from_slot_target(slot).ok())
        .build();
    entries.push(open.flags(Flags::IO_LINK));
    let write = opcode::Write::new(file, content.as_ptr(), content.len() as u32).build();
    entries.push(write.flags(Flags::IO_LINK));
    if durable == Durable::Now {
        entries.push(opcode::Fsync::new(file).build().flags(Flags::IO_LINK));
    }
    entries.push(opcode::Close::new(file).build());
}

fn rename(mailbox: &Mailbox, name: &CString) -> Entry {
    let (tmp, new) = (Fd(mailbox.tmp.as_raw_fd()), Fd(mailbox.new.as_raw_fd()));
    opcode::RenameAt::new(tmp, name.as_ptr(), new, name.as_ptr()).build()
}
