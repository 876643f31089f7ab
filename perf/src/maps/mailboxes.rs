//! The keys that are measured: a `virtual_mailbox_maps` of a host with many domains.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::failure::{Doing, Result};

/// The address of the `n`th user.
pub(super) fn address(n: u64) -> String {
    format!("user{n:07}@example{}.com", n % 5000)
}

/// An address of the same form that no table has.
pub(super) fn unknown(n: u64) -> String {
    format!("none{n:07}@example{}.com", n % 5000)
}

/// Writes the text of a table of this many users; returns its bytes.
pub(super) fn write(path: &Path, users: u64) -> Result<u64> {
    let write = || -> std::io::Result<u64> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        for n in 0..users {
            writeln!(out, "{}\texample{}.com/user{n:07}/", address(n), n % 5000)?;
        }
        out.flush()?;
        Ok(std::fs::metadata(path)?.len())
    };
    write().doing(|| format!("writing {}", path.display()))
}

/// Users in an order that no cache knows. The same one each time.
pub(super) fn drawn(users: u64, count: usize) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % users
    })
    .take(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_users_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t");
        let bytes = write(&path, 3).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len() as u64, bytes);
        assert!(text.starts_with("user0000000@example0.com\texample0.com/user0000000/\n"));
        assert!(text.contains(&address(2)) && !text.contains(&unknown(2)));
        assert!(drawn(3, 100).all(|n| n < 3));
    }
}
