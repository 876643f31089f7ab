//! The parameter table and the immutable configuration snapshot.
//!
//! Every parameter is one entry of a `params!` or `known!` table: name, type, default, bounds, manual
//! text, and whether it does something here. The typed field (of `params!`), the row that [`rows`] lists
//! (for `postconf`, `check` and the manual) and the default come from that entry and are written nowhere
//! else.
//!
//! A [`Snapshot`] is built whole or not at all from [`Sources`] (main.cf, the command line, what
//! `serve` assumes) and never changes. It is handed down; there is no global. Sessions keep the one
//! they started with.

mod configuration;
pub mod master;
mod nearest;
pub mod obsolete;
mod own;
mod params;
mod path_template;
mod print;
mod problem;
mod reader;
mod row;
mod settings;
mod snapshot;
mod source;
mod syntax;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod typed;

pub use configuration::{Configuration, ServiceConfig};
pub use own::{Interface, Own};
pub use params::{
    Classes, Content, Log, Mailbox, Maps, Queue, Rewriting, Routing, Site, Smtpd, rows,
    service_rows,
};
pub use path_template::{NoMailbox, PathTemplate};
pub use print::{Printed, markdown};
pub use problem::{Problem, Severity};
pub use reader::Reader;
pub use row::{Bounds, Default, Row, Status};
pub use settings::{Settings, call};
pub use snapshot::Snapshot;
pub use source::{Hosts, Machine, Origin, Sources};
pub use syntax::{Nonblank, Raw};
pub use typed::address::{
    AddressKind, AddressKinds, Extension, Extensions, Kinds, RecipientKinds, RewriteClient,
    RewriteClients, SenderKinds, Transport,
};
pub use typed::facility::Facility;
pub use typed::file_mode::FileMode;
pub use typed::origin::{MailSource, MailSources};
pub use typed::{
    BareNewline, EndOfHeader, FromFormat, FromText, Level, List, Locks, LogAddresses, MailboxSync,
    NetworksStyle, ReceiveOverrides, ReplyCode, Stress, Typed,
};
