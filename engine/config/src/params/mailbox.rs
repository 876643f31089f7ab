//! Mailboxes of virtual domains.

use std::path::PathBuf;
use std::time::Duration;

use table::{MapList, MatchList};

use crate::path_template::PathTemplate;
use crate::row::params;
use crate::typed::{Locks, MailboxSync};

params! {
    /// Mailboxes of virtual domains.
    Mailbox;

    /// The domains whose mail is delivered to virtual mailboxes.
    virtual_mailbox_domains: MatchList = "$virtual_mailbox_maps";
    /// Address to mailbox, below virtual_mailbox_base; a Maildir where it ends in a slash.
    virtual_mailbox_maps: MapList = "";
    /// The directory that holds all virtual mailboxes.
    virtual_mailbox_base: PathBuf = "";
    /// The mailbox of an address where virtual_mailbox_maps is empty: %d is the domain, %u the user
    /// without extension, %% a percent sign. Every address of the domains then has a mailbox.
    virtual_mailbox_template: PathTemplate = "";
    /// Bytes that an mbox may grow to; 0 is no limit.
    virtual_mailbox_limit: u64 = "51200000";
    /// How an mbox is locked: all that are listed, in Postfix's order.
    virtual_mailbox_lock: Locks = "fcntl, dotlock";
    /// Address to numeric user id.
    virtual_uid_maps: MapList = "";
    /// Address to numeric group id.
    virtual_gid_maps: MapList = "";
    /// The least user id that mail is delivered as.
    virtual_minimum_uid: u32 = "100", 1..=4_294_967_294;
    /// Characters that part a user from an extension; none where it is empty.
    recipient_delimiter: Box<str> = "";
    /// How often a locked mailbox is tried.
    deliver_lock_attempts: u32 = "20", 1..=1_000_000;
    /// The pause between two attempts at a locked mailbox.
    deliver_lock_delay: Duration = "1s", 1..=1_000_000;
    /// How old a dotlock may get before it counts as left behind.
    stale_lock_time: Duration = "500s", 1..=1_000_000;
    /// How mailboxes are made durable: batch syncs the file system for many files at once, which
    /// also flushes what others wrote to it; file syncs each file and its directory.
    mailbox_sync: MailboxSync = "batch";
}
