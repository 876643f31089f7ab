//! `maillog_file_permissions`.

use super::FromText;
use crate::row::Row;

/// Who may read a file that its owner writes; the bits of chmod(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FromText for FileMode {
    const KIND: &'static str = "0600, 0640 or 0644";

    /// The zero at the front may be left out.
    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        match text.strip_prefix('0').unwrap_or(text) {
            "600" => Ok(Self(0o600)),
            "640" => Ok(Self(0o640)),
            "644" => Ok(Self(0o644)),
            _ => Err(Self::KIND.into()),
        }
    }
}
