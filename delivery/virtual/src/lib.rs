//! The virtual delivery agent: mailboxes of domains whose users are no users of the system.
//!
//! It trusts nothing but the address in its job. Where the mailbox is and whose it is, it finds out
//! itself, from `virtual_mailbox_maps` (or `virtual_mailbox_template`), `virtual_uid_maps` and
//! `virtual_gid_maps`; then it writes with that owner's rights. A table that cannot answer defers.
//!
//! No aliases, no `.forward`, no commands: that is the local agent's work.

mod delivered_to;
mod resolve;
mod virtual_agent;

pub use virtual_agent::{Rights, VirtualAgent};
