//! THE parameter table, by rooms.
//!
//! Names and defaults are those that Postfix documents (`src/global/mail_params.h`), except where
//! docs/postfix-differences.md says otherwise.

mod content;
mod log;
mod mailbox;
mod maps;
mod queue;
mod site;
mod smtpd;

pub use content::Content;
pub use log::Log;
pub use mailbox::Mailbox;
pub use maps::Maps;
pub use queue::Queue;
pub use site::Site;
pub use smtpd::Smtpd;

use crate::row::Row;

/// Every row of the table.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [Site::ROWS, Smtpd::ROWS, Content::ROWS, Mailbox::ROWS, Maps::ROWS, Queue::ROWS, Log::ROWS]
        .into_iter()
        .flatten()
}
