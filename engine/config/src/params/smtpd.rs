//! The SMTP server.

use std::time::Duration;

use table::{MapList, MatchList};

use crate::row::params;
use crate::syntax::Nonblank;
use crate::syntax::Raw;
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
    /// Connections that one client may make in anvil_rate_time_unit; 0 is no limit.
    smtpd_client_connection_rate_limit: u32 = "0";
    /// Messages that one client may begin in anvil_rate_time_unit, accepted or not; 0 is no limit.
    smtpd_client_message_rate_limit: u32 = "0";
    /// Recipients that one client may name in anvil_rate_time_unit, accepted or not; 0 is no limit.
    smtpd_client_recipient_rate_limit: u32 = "0";
    /// The time that the rates of a client are counted over.
    anvil_rate_time_unit: Duration = "60s", 1..=8_640_000;
    /// Bits that the addresses of IPv4 clients must have in common to be counted as one client.
    smtpd_client_ipv4_prefix_length: u8 = "32", 0..=32;
    /// Bits that the addresses of IPv6 clients must have in common to be counted as one client.
    smtpd_client_ipv6_prefix_length: u8 = "84", 0..=128;
    /// Clients that the per-client limits do not hold for.
    smtpd_client_event_limit_exceptions: MatchList = "${smtpd_client_connection_limit_exceptions:$mynetworks}";
    /// The older name of smtpd_client_event_limit_exceptions.
    smtpd_client_connection_limit_exceptions: Box<str> = "";
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
    /// The same by client address, in place of smtpd_discard_ehlo_keywords.
    smtpd_discard_ehlo_keyword_address_maps: MapList = "";
    /// Commands of clients that are replaced before they are understood; the whole line is the key.
    smtpd_command_filter: MapList = "";
    /// Refusals that are replaced before they are sent; the whole reply is the key.
    smtpd_reject_filter_maps: MapList = "";
    /// What is appended to each refusal, with values of the session for $client_address and the like; \n
    /// begins a further line, and \c in front goes on in the last one.
    smtpd_reject_footer: Raw = "";
    /// Footers by the whole reply, in place of smtpd_reject_footer.
    smtpd_reject_footer_maps: MapList = "";
    /// Characters that values may have where they are put into replies; others become underscores.
    smtpd_expansion_filter: Raw = "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    /// VRFY is refused.
    disable_vrfy_command: bool = "no";
    /// SMTPUTF8 is offered, and addresses may hold UTF-8.
    smtputf8_enable: bool = "${{$compatibility_level} <level {1} ? {no} : {yes}}";
    /// Take a non-ASCII address only from a client that said SMTPUTF8.
    strict_smtputf8: bool = "no";
    /// Addresses in MAIL and RCPT must stand in angle brackets and hold no comments.
    strict_rfc821_envelopes: bool = "no";
    /// Verbs that count as nothing: NOOP by other names.
    smtpd_noop_commands: MatchList = "";
    /// Verbs that end the session at once.
    smtpd_forbidden_commands: MatchList = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
    /// The service of master.cf whose parameters clean up the mail that comes in here.
    cleanup_service_name: Nonblank = "cleanup";
    /// Recipients without a mailbox are refused when they are named, not after.
    smtpd_reject_unlisted_recipient: bool = "yes";
    /// The reply to a user that local_recipient_maps does not have.
    unknown_local_recipient_reject_code: ReplyCode = "550";
    /// The reply to a recipient in relay_domains that relay_recipient_maps does not have.
    unknown_relay_recipient_reject_code: ReplyCode = "550";
    /// The reply to a recipient in virtual_alias_domains that virtual_alias_maps does not have.
    unknown_virtual_alias_reject_code: ReplyCode = "550";
    /// The reply to a recipient in virtual_mailbox_domains without a mailbox.
    unknown_virtual_mailbox_reject_code: ReplyCode = "550";
    /// The reply to a recipient in a domain that is not ours.
    relay_domains_reject_code: ReplyCode = "554";
    /// The client's name is looked up and verified.
    smtpd_peername_lookup: bool = "yes" => accepted "clients are called unknown until there is a resolver";
    /// The client's port is in the log.
    smtpd_client_port_logging: bool = "no";
}
