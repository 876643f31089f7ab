//! Files that are read where they lie.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use memmap2::Mmap;

/// Smaller files are read into memory: that costs no more, and what is in memory cannot be cut off.
pub(crate) const MAPPED_BYTES_MIN: u64 = 1 << 20;

/// The content of a compiled table. The file's position is not used: it may be shared with another process.
///
/// Such files are written whole under another name and renamed, here and by Postfix's postmap for
/// `cdb:`: once they have their name nobody writes to them, and replacing them leaves this one as it is.
///
/// Whoever cuts or overwrites such a file in place, which takes the right to write to the tables of the
/// mail system, breaks this. Overwriting gives wrong answers, or the damage is noticed. Cutting it off
/// ends the process with SIGBUS at the next lookup behind the cut; master starts it again, and it then
/// finds the file too short, so that its lookups are temporary failures until the table is made anew.
/// Nothing that was acknowledged is lost by that.
pub fn map(file: File) -> io::Result<Bytes> {
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() < MAPPED_BYTES_MIN {
        let mut bytes = vec![0; metadata.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        return Ok(bytes.into());
    }
    // SAFETY: the file is sealed by its rename, see above. What is read from it is looked at as bytes
    // with checked bounds; text is checked to be text each time it is given out (`Value`).
    let mapped = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(mapped))
}
