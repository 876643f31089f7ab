//! Access restrictions of the SMTP server: lists, what they look up, and what they reply.
//!
//! None is evaluated yet: recipients are accepted in domains of this host, and nowhere else.

use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{NameList, Nonblank, Restrictions, TableList};
use crate::typed::List;

known! {
    /// Access restrictions of the SMTP server.
    SMTPD_RESTRICTIONS;

    /// What a client's name and address must pass when it connects.
    smtpd_client_restrictions: Restrictions = ""
        => unsupported "restrictions are not evaluated: no client is turned away or let through by them";
    /// What the name in HELO and EHLO must pass.
    smtpd_helo_restrictions: Restrictions = ""
        => unsupported "restrictions are not evaluated: no HELO name is refused";
    /// What the sender in MAIL must pass.
    smtpd_sender_restrictions: Restrictions = ""
        => unsupported "restrictions are not evaluated: no sender is refused";
    /// What a recipient in RCPT must pass to be relayed, before smtpd_recipient_restrictions.
    smtpd_relay_restrictions: Restrictions = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}"
        => unsupported "restrictions are not evaluated: recipients elsewhere are refused to everybody";
    /// What a recipient in RCPT must pass.
    smtpd_recipient_restrictions: Restrictions = ""
        => unsupported "restrictions are not evaluated: recipients are refused only where they do not exist";
    /// What the envelope must pass at DATA.
    smtpd_data_restrictions: Restrictions = ""
        => unsupported "restrictions are not evaluated at DATA";
    /// What a message must pass after its content was received.
    smtpd_end_of_data_restrictions: Restrictions = ""
        => unsupported "restrictions are not evaluated at the end of content";
    /// What a client must pass to use ETRN.
    smtpd_etrn_restrictions: Restrictions = ""
        => unsupported "there is no ETRN: it is refused to everybody";
    /// Names that stand for lists of restrictions, so that access tables can name them.
    smtpd_restriction_classes: List = ""
        => unsupported "restrictions are not evaluated";
    /// Client, HELO and sender restrictions wait for RCPT, so that the log has all of the envelope.
    smtpd_delay_reject: bool = "yes"
        => unsupported "restrictions are not evaluated, early or late";
    /// Relay restrictions come before recipient restrictions.
    smtpd_relay_before_recipient_restrictions: bool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}"
        => unsupported "restrictions are not evaluated, in any order";
    /// Senders in our own domains that do not exist are refused.
    smtpd_reject_unlisted_sender: bool = "no"
        => unsupported "senders that do not exist are accepted";
    /// The key that access tables are asked for the null sender with.
    smtpd_null_access_lookup_key: Box<str> = "<>"
        => unsupported "access tables are not asked";
    /// Actions of access tables that are logged although they permit: none by default.
    smtpd_log_access_permit_actions: NameList = ""
        => accepted "access tables are not asked, so there is no permit to log";
    /// A table of DNS records that restrictions do not get to see.
    smtpd_dns_reply_filter: TableList = ""
        => unsupported "restrictions ask no DNS";

    /// What a policy server that cannot be asked is taken to have said.
    smtpd_policy_service_default_action: Nonblank = "451 4.3.5 Server configuration problem"
        => unsupported "policy servers are not asked";
    /// The attribute policy_context of requests to policy servers.
    smtpd_policy_service_policy_context: Box<str> = ""
        => unsupported "policy servers are not asked";
    /// How long a policy server may take to accept a connection, a request, or to answer.
    smtpd_policy_service_timeout: Duration = "100s", 1..=INT_MAX
        => unsupported "policy servers are not asked";
    /// How often a request is tried.
    smtpd_policy_service_try_limit: u32 = "2", 1..=INT_MAX
        => unsupported "policy servers are not asked";
    /// The pause between two tries of a request.
    smtpd_policy_service_retry_delay: Duration = "1s", 1..=INT_MAX
        => unsupported "policy servers are not asked";
    /// How long a connection to a policy server is kept without use.
    smtpd_policy_service_max_idle: Duration = "300s", 1..=INT_MAX
        => accepted "policy servers are not asked, so no connection is kept";
    /// How long a connection to a policy server is kept at all.
    smtpd_policy_service_max_ttl: Duration = "1000s", 1..=INT_MAX
        => accepted "policy servers are not asked, so no connection is kept";
    /// Requests over one connection to a policy server; 0 is no limit.
    smtpd_policy_service_request_limit: u32 = "0"
        => accepted "policy servers are not asked, so no connection is kept";
}
