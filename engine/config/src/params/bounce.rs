//! Notices of mail that was not delivered, is late, or arrived.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{Nonblank, Words};
use crate::typed::List;

known! {
    /// Bounces, and notices of delay and of success.
    BOUNCE;

    /// The file with the texts of notices.
    bounce_template_file: PathBuf = ""
        => unsupported "no notices are sent yet";
    /// Bytes of a message that a bounce gives back; of a larger one, its header.
    bounce_size_limit: u32 = "50000", 1..=INT_MAX
        => unsupported "no notices are sent yet";
    /// Who gets copies of bounces, where notify_classes has bounce.
    bounce_notice_recipient: Nonblank = "postmaster"
        => unsupported "no notices are sent yet";
    /// Who gets bounces that cannot be delivered, where notify_classes has 2bounce.
    "2bounce_notice_recipient": Nonblank = "postmaster"
        => unsupported "no notices are sent yet";
    /// Who gets copies of notices of delay, where notify_classes has delay.
    delay_notice_recipient: Nonblank = "postmaster"
        => unsupported "no notices are sent yet";
    /// Tells the sender when mail that was said to be late arrives.
    confirm_delay_cleared: bool = "no"
        => unsupported "no notices are sent yet";
    /// Notices refer to the message, so that mail readers show them beneath it.
    enable_threaded_bounces: bool = "no"
        => unsupported "no notices are sent yet";
    /// Writes records of failures in the form of Postfix 1, too.
    backwards_bounce_logfile_compatibility: bool = "yes"
        => accepted "records of failures are in the queue's log, whose form is its own";
    /// Mail of the mail system itself whose content is checked all the same.
    internal_mail_filter_classes: Words = ""
        in ["bounce", "notify", "sendmail", "smtpd", "qmqpd", "forward", "verify"]
        => unsupported "the mail system sends no mail of its own yet";
    /// Notices about a message that asked for REQUIRETLS have its header only, and do not ask for it.
    requiretls_redact_dsn: bool = "yes"
        => unsupported "REQUIRETLS is not offered";
}

known! {
    /// Return addresses that say to whom mail was sent: VERP.
    VERP;

    /// The two characters around the recipient in such an address.
    default_verp_delimiters: Nonblank = "+=", 2..=2
        => unsupported "return addresses are as they were given";
    /// The characters that a client may choose for that.
    verp_delimiter_filter: Nonblank = "-=+"
        => unsupported "return addresses are as they were given";
    /// Bounces of such mail go to the address as it was given.
    disable_verp_bounces: bool = "no"
        => unsupported "return addresses are as they were given";
}

known! {
    /// Mail that is kept for destinations that ask for it: ETRN, sendmail -qR, postqueue -s.
    FLUSH;

    /// Destinations for which a list of their mail is kept.
    fast_flush_domains: List = "$relay_domains"
        => accepted "the index of the queue knows the destinations of all mail";
    /// When an empty list is dropped.
    fast_flush_purge_time: Duration = "7d", 1..=INT_MAX
        => accepted "the index of the queue knows the destinations of all mail";
    /// How often a list is brought up to date.
    fast_flush_refresh_time: Duration = "12h", 1..=INT_MAX
        => accepted "the index of the queue knows the destinations of all mail";
}
