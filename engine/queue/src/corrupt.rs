//! What cannot be read is set aside, not thrown away: `corrupt/` keeps the bytes as they were found.

use mail::QueueId;

use crate::disk::{CORRUPT, Disk};

/// A part of the log that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u32,
    /// Where in it, in bytes.
    pub offset: u64,
    /// It is the unfinished end of a run that crashed: most likely nobody was told that it is safe.
    pub torn: bool,
    /// The message it held, where that can be told.
    pub id: Option<QueueId>,
    /// The file with the bytes, relative to the slice's directory; `None` where it could not be written.
    pub kept: Option<String>,
}

impl Damage {
    /// Of the head of a segment: the whole segment cannot be read.
    pub(crate) fn head(segment: u32, name: &str) -> Self {
        Self { segment, offset: 0, torn: false, id: None, kept: Some(name.to_owned()) }
    }

    fn file(&self) -> String {
        match self.id {
            Some(id) => format!("{CORRUPT}/{id}"),
            None => format!("{CORRUPT}/segment-{:08x}-{:x}", self.segment, self.offset),
        }
    }
}

/// Writes the bytes to `corrupt/`, unless an earlier start has done it.
pub(crate) async fn keep<D: Disk>(disk: &D, mut damage: Damage, bytes: &[u8]) -> Damage {
    let name = damage.file();
    let kept = async {
        let file = match disk.create(&name).await {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            other => other?,
        };
        disk.write_at(&file, bytes.to_vec(), 0).await.0?;
        disk.sync(&file).await?;
        disk.sync_dir(CORRUPT).await
    };
    if kept.await.is_ok() {
        damage.kept = Some(name);
    }
    damage
}
