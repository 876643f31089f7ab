//! A message on its way into a file: the headers that delivery adds, then the content as it is.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use mail::Job;
use rustix::io::Errno;

/// Bytes that the kernel copies from one file to the other in one call.
const COPY_BYTES: usize = 1 << 20;

/// One message for one mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Who sent it, to whom, and how it is called.
    pub job: &'a Job,
    /// What it says.
    pub text: Text<'a>,
}

/// Content: LF-terminated lines, headers first.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file, from its start.
    File {
        /// Open for reading.
        file: BorrowedFd<'a>,
        /// In bytes.
        len: u64,
    },
}

impl Text<'_> {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// What the last line needs to be a whole line.
    pub(crate) fn missing_newline(&self) -> Result<&'static [u8], Errno> {
        let last = match *self {
            Self::Bytes(bytes) => bytes.last().copied(),
            Self::File { len: 0, .. } => None,
            Self::File { file, len } => {
                let mut last = [0];
                read_exactly(file, &mut last, len - 1)?;
                Some(last[0])
            }
        };
        Ok(if matches!(last, None | Some(b'\n')) { b"" } else { b"\n" })
    }
}

/// The headers of final delivery, in Postfix's order (`src/global/mail_copy.c`).
///
/// Addresses hold no control characters, so none can end a line early.
pub(crate) fn put_headers(out: &mut Vec<u8>, job: &Job) {
    let recipient = &job.recipient;
    let original = recipient.original.as_ref().unwrap_or(&recipient.address);
    let parts = [
        // RFC 5321 section 4.4: the null reverse-path is `<>`.
        "Return-Path: <",
        job.sender.as_ref().map_or("", |sender| sender.as_str()),
        ">\nX-Original-To: ",
        original.as_str(),
        "\nDelivered-To: ",
        recipient.address.as_str(),
        "\n",
    ];
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes headers, text and what its last line needs to the file's current offset. One system call
/// where the text is in memory; the text is not copied.
pub(crate) fn write_all(
    out: impl AsFd,
    headers: &[u8],
    text: Text<'_>,
    end: &[u8],
) -> Result<(), Errno> {
    match text {
        Text::Bytes(bytes) => {
            let mut parts = [IoSlice::new(headers), IoSlice::new(bytes), IoSlice::new(end)];
            write_parts(out.as_fd(), &mut parts)
        }
        Text::File { file, len } => {
            write_parts(out.as_fd(), &mut [IoSlice::new(headers)])?;
            copy(out.as_fd(), file, len)?;
            write_parts(out.as_fd(), &mut [IoSlice::new(end)])
        }
    }
}

pub(crate) fn write_parts(out: BorrowedFd<'_>, mut parts: &mut [IoSlice<'_>]) -> Result<(), Errno> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match rustix::io::writev(out, parts) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn copy(out: BorrowedFd<'_>, file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    let mut offset = 0;
    while offset < len {
        let count = usize::try_from(len - offset).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        match rustix::fs::sendfile(out, file, Some(&mut offset), count) {
            // The content file ends early. The queue is damaged, not the mailbox.
            Ok(0) => return Err(Errno::IO),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn read_exactly(
    file: BorrowedFd<'_>,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> Result<(), Errno> {
    while !buffer.is_empty() {
        match rustix::io::pread(file, &mut *buffer, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
