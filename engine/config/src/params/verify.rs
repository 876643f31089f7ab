//! Addresses that are tried out before mail for them is taken.

use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{TableList, Word};
use crate::typed::Stress;

// TableList holds for a single table, too: an empty value keeps what is known in memory.
known! {
    /// reject_unverified_sender and reject_unverified_recipient, and the probes behind them.
    VERIFY;

    /// The table that keeps what was found out; memory where it is empty.
    address_verify_map: TableList = "$default_cache_db_type:$data_directory/verify_cache"
        => unsupported "addresses are not tried out";
    /// How often what has expired is removed from it; 0 is never.
    address_verify_cache_cleanup_interval: Duration = "12h"
        => unsupported "addresses are not tried out";
    /// Keeps addresses that do not exist, too.
    address_verify_negative_cache: bool = "yes"
        => unsupported "addresses are not tried out";
    /// How long it is believed that an address does not exist.
    address_verify_negative_expire_time: Duration = "3d", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// After how long an address that did not exist is tried again.
    address_verify_negative_refresh_time: Duration = "3h", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// How long it is believed that an address exists.
    address_verify_positive_expire_time: Duration = "31d", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// After how long an address that existed is tried again.
    address_verify_positive_refresh_time: Duration = "7d", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// Probes under way at a time.
    address_verify_pending_request_limit: u32 = "5000", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// How often a session asks for the outcome of a probe before it puts the client off.
    address_verify_poll_count: Stress<u32> = "${stress?{1}:{3}}", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// The pause between two such questions.
    address_verify_poll_delay: Duration = "3s", 1..=INT_MAX
        => unsupported "addresses are not tried out";
    /// The sender of probes.
    address_verify_sender: Box<str> = "$double_bounce_sender"
        => unsupported "addresses are not tried out";
    /// How often the sender of probes changes its name; 0 is never.
    address_verify_sender_ttl: Duration = "0s"
        => unsupported "addresses are not tried out";
    /// The reply to a recipient that turned out not to exist; 250 takes the mail.
    unverified_recipient_reject_code: u16 = "450", 200..=599
        => unsupported "addresses are not tried out";
    /// The reply while nothing is known about the recipient; 250 takes the mail.
    unverified_recipient_defer_code: u16 = "450", 200..=499
        => unsupported "addresses are not tried out";
    /// The text of the reply to a recipient that does not exist; the probe's outcome where it is empty.
    unverified_recipient_reject_reason: Box<str> = ""
        => unsupported "addresses are not tried out";
    /// What is done while a recipient cannot be tried out.
    unverified_recipient_tempfail_action: Word = "$reject_tempfail_action" in ["defer", "defer_if_permit"]
        => unsupported "addresses are not tried out";
    /// The reply to a sender that turned out not to exist; 250 takes the mail.
    unverified_sender_reject_code: u16 = "450", 200..=599
        => unsupported "addresses are not tried out";
    /// The reply while nothing is known about the sender; 250 takes the mail.
    unverified_sender_defer_code: u16 = "450", 200..=499
        => unsupported "addresses are not tried out";
    /// The text of the reply to a sender that does not exist; the probe's outcome where it is empty.
    unverified_sender_reject_reason: Box<str> = ""
        => unsupported "addresses are not tried out";
    /// What is done while a sender cannot be tried out.
    unverified_sender_tempfail_action: Word = "$reject_tempfail_action" in ["defer", "defer_if_permit"]
        => unsupported "addresses are not tried out";
}
