//! Delivery to accounts of this machine: aliases, .forward files, mailboxes, commands.

use crate::row::{INT_MAX, known};
use crate::syntax::{Nonblank, Raw, TableList, Words};
use crate::typed::Locks;

known! {
    /// The local delivery agent.
    LOCAL;

    /// Tables of aliases: a user to where that user's mail goes.
    alias_maps: TableList = "$default_database_type:/etc/aliases"
        => unsupported "there is no local delivery yet";
    /// Where aliases may say |command.
    allow_mail_to_commands: Words = "alias, forward" in ["alias", "forward", "include"]
        => unsupported "there is no local delivery yet";
    /// Where aliases may say /file.
    allow_mail_to_files: Words = "alias, forward" in ["alias", "forward", "include"]
        => unsupported "there is no local delivery yet";
    /// Replaces owner-NAME, as a sender, by what that is an alias of.
    expand_owner_alias: bool = "no"
        => unsupported "there is no local delivery yet";
    /// An alias without an owner has no owner, not that of the alias it came from.
    reset_owner_alias: bool = "no"
        => unsupported "there is no local delivery yet";
    /// Tells a logged in user's terminal of new mail.
    biff: bool = "yes"
        => accepted "nobody is told by UDP; the flow of mail does not depend on it";
    /// The directory in which commands run.
    command_execution_directory: Raw = ""
        => unsupported "there is no local delivery yet";
    /// The characters that $name may put into commands; others become an underscore.
    command_expansion_filter: Nonblank = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        => unsupported "there is no local delivery yet";
    /// The characters that $name may put into command_execution_directory.
    execution_directory_expansion_filter: Nonblank = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        => unsupported "there is no local delivery yet";
    /// The characters that $name may put into forward_path.
    forward_expansion_filter: Nonblank = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        => unsupported "there is no local delivery yet";
    /// The files that say where a user wants mail to go, the first that there is.
    forward_path: Raw = "$home/.forward${recipient_delimiter}${extension}, $home/.forward"
        => unsupported "there is no local delivery yet";
    /// Delivered-To: has the recipient that came in, not each alias on the way.
    frozen_delivered_to: bool = "yes"
        => unsupported "there is no local delivery yet";
    /// Which deliveries add Delivered-To:.
    prepend_delivered_header: Words = "command, file, forward" in ["command", "file", "forward"]
        => unsupported "there is no local delivery yet";
    /// The mailbox below a user's home; a Maildir where it ends in a slash.
    home_mailbox: Box<str> = ""
        => unsupported "there is no local delivery yet";
    /// Puts mail off while the user's home is not there.
    require_home_directory: bool = "no"
        => unsupported "there is no local delivery yet";
    /// The shell that runs commands; /bin/sh where it must, nothing otherwise, if it is empty.
    local_command_shell: Box<str> = ""
        => unsupported "there is no local delivery yet";
    /// The directory of mailboxes, one for each user.
    mail_spool_directory: Box<str> = "/var/mail"
        => unsupported "there is no local delivery yet";
    /// The command that takes the mail of all users.
    mailbox_command: Raw = ""
        => unsupported "there is no local delivery yet";
    /// Tables: a user to a command.
    mailbox_command_maps: TableList = ""
        => unsupported "there is no local delivery yet";
    /// Where all mail for known users goes instead of a mailbox: transport:nexthop.
    mailbox_transport: Box<str> = ""
        => unsupported "there is no local delivery yet";
    /// Tables: a user to transport:nexthop.
    mailbox_transport_maps: TableList = ""
        => unsupported "there is no local delivery yet";
    /// Where mail for unknown users goes: transport:nexthop.
    fallback_transport: Box<str> = ""
        => unsupported "there is no local delivery yet";
    /// Tables: an unknown user to transport:nexthop.
    fallback_transport_maps: TableList = ""
        => unsupported "there is no local delivery yet";
    /// Who gets the mail for unknown users.
    luser_relay: Raw = ""
        => unsupported "there is no local delivery yet";
    /// How an mbox is locked: all that are listed.
    mailbox_delivery_lock: Locks = "fcntl, dotlock"
        => unsupported "there is no local delivery yet";
    /// Bytes that a mailbox may grow to; 0 is no limit.
    mailbox_size_limit: u64 = "51200000"
        => unsupported "there is no local delivery yet";
    /// Puts mail off when somebody else owns the mailbox.
    strict_mailbox_ownership: bool = "yes"
        => unsupported "there is no local delivery yet, and virtual mailboxes are written with their owners' rights";
    /// Locks mailboxes as a reader of old wants it.
    sun_mailtool_compatibility: bool = "no"
        => unsupported "mailbox_delivery_lock says how mailboxes are locked";
    /// Tables that change the status or the text of local deliveries.
    local_delivery_status_filter: TableList = "$default_delivery_status_filter"
        => unsupported "delivery status is not filtered";
    /// Deliveries to one user at a time.
    local_destination_concurrency_limit: u32 = "2", 0..=INT_MAX
        => unsupported "there is no local delivery yet";
    /// Recipients of one local delivery.
    local_destination_recipient_limit: u32 = "1", 0..=INT_MAX
        => unsupported "there is no local delivery yet";
}

known! {
    /// Delivery status of agents here.
    DELIVERY_STATUS;

    /// Tables that change the status or the text of deliveries to virtual mailboxes.
    virtual_delivery_status_filter: TableList = "$default_delivery_status_filter"
        => unsupported "delivery status is not filtered";
    /// Tables that change the status or the text of deliveries to programs by pipe.
    pipe_delivery_status_filter: TableList = "$default_delivery_status_filter"
        => unsupported "delivery status is not filtered";
}
