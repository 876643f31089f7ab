//! Maildir and mbox: where mail comes to rest.
//!
//! Everything is written with the recipient's own rights ([`Acting`]) and beneath a base directory,
//! never through a link that the recipient could have made. A delivery counts only when it is on
//! the disk: [`Maildirs`] makes a whole batch durable with two syncs, [`Mboxes`] syncs each file.
//!
//! Failures are values ([`MailboxError`]); whether one defers or bounces is decided in one place,
//! [`MailboxError::status`].

mod beneath;
mod creation;
mod error;
mod file_system;
mod identity;
mod letter;
mod lock;
mod maildir;
mod mbox;
mod name;
mod quote;

pub use creation::Creation;
pub use error::MailboxError;
pub use identity::{Acting, Identity, Owner};
pub use letter::{Letter, Text};
pub use lock::{InUse, LockTimes, Locking};
pub use maildir::{Batch, MaildirSettings, Maildirs, SyncMode};
pub use mbox::{MboxSettings, Mboxes};
pub use name::Host;
