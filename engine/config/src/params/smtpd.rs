//! The SMTP server.

use std::time::Duration;

use table::MatchList;

use crate::row::params;
use crate::typed::{BareNewline, List, ReplyCode, Stress};

params! {
    /// The SMTP server.
    Smtpd;

    /// The text of the greeting; RFC 5321 wants the host's name first.
    smtpd_banner: Box<str> = "$myhostname ESMTP $mail_name";
    /// How long the server waits for the client to send a command or take a reply. Falls to ten
    /// seconds under overload, so that idle clients yield.
    smtpd_timeout: Stress<Duration> = "${stress?{10}:{300}}s", 1..=86_400;
    /// Makes smtpd_timeout the time for a whole request, its reply included, rather than for each time
    /// that something is read or sent: a client that sends a byte now and then is put out.
    smtpd_per_request_deadline: Stress<bool> = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}";
    /// The older name of smtpd_per_request_deadline.
    smtpd_per_record_deadline: Box<str> = "";
    /// Bytes of content that give the client a second more, up to smtpd_timeout, where
    /// smtpd_per_request_deadline holds.
    smtpd_min_data_rate: u32 = "500", 1..=1_000_000_000;
    /// The client must say HELO or EHLO before MAIL.
    smtpd_helo_required: bool = "no";
    /// Errors of one session after which each reply waits for smtpd_error_sleep_time.
    smtpd_soft_error_limit: Stress<u32> = "10", 1..=1_000_000;
    /// Errors of one session after which it is ended.
    smtpd_hard_error_limit: Stress<u32> = "${stress?{1}:{20}}", 1..=1_000_000;
    /// Commands of one session that do nothing for mail (NOOP, VRFY, RSET and the like) before each
    /// one more counts as an error.
    smtpd_junk_command_limit: Stress<u32> = "${stress?{1}:{100}}", 1..=1_000_000;
    /// How long a reply waits once the soft error limit is passed.
    smtpd_error_sleep_time: Duration = "1s", 0..=3600;
    /// Recipients of one message.
    smtpd_recipient_limit: usize = "1000", 1..=1_000_000;
    /// Recipients over smtpd_recipient_limit that are refused before each counts as an error.
    smtpd_recipient_overshoot_limit: usize = "1000", 1..=1_000_000;
    /// Sessions of one client address at a time; 0 is no limit.
    smtpd_client_connection_count_limit: usize = "50", 0..=1_000_000;
    /// Clients that the per-client limits do not hold for.
    smtpd_client_event_limit_exceptions: MatchList = "$mynetworks";
    /// What is done about lines of content that end in LF without CR.
    smtpd_forbid_bare_newline: BareNewline = "normalize";
    /// The reply where such a line is refused.
    smtpd_forbid_bare_newline_reject_code: ReplyCode = "550";
    /// Clients that may send such lines with their old meaning.
    smtpd_forbid_bare_newline_exclusions: MatchList = "";
    /// Ends the session of a client that sends commands ahead where it must wait.
    smtpd_forbid_unauth_pipelining: bool = "yes";
    /// EHLO keywords that are not offered, in any case of letters; silent-discard keeps that out of
    /// the log.
    smtpd_discard_ehlo_keywords: List = "";
    /// VRFY is refused.
    disable_vrfy_command: bool = "no";
    /// SMTPUTF8 is offered, and addresses may hold UTF-8.
    smtputf8_enable: bool = "${{$compatibility_level} <level {1} ? {no} : {yes}}";
    /// Take a non-ASCII address only from a client that said SMTPUTF8.
    strict_smtputf8: bool = "no";
    /// Addresses in MAIL and RCPT must stand in angle brackets and hold no comments.
    strict_rfc821_envelopes: bool = "no";
    /// Verbs that count as nothing: NOOP by other names.
    smtpd_noop_commands: List = "";
    /// Verbs that end the session at once.
    smtpd_forbidden_commands: List = "CONNECT GET POST";
    /// Recipients without a mailbox are refused when they are named, not after.
    smtpd_reject_unlisted_recipient: bool = "yes" => accepted "unknown users are always refused when they are named";
    /// The reply to a recipient in virtual_mailbox_domains without a mailbox.
    unknown_virtual_mailbox_reject_code: ReplyCode = "550";
    /// The reply to a recipient in a domain that is not ours.
    relay_domains_reject_code: ReplyCode = "554";
    /// The client's name is looked up and verified.
    smtpd_peername_lookup: bool = "yes" => accepted "clients are called unknown until there is a resolver";
    /// The client's port is in the log.
    smtpd_client_port_logging: bool = "no";
}
