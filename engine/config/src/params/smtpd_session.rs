//! What else the SMTP server knows: proxies before and behind it, peers that may speak for others,
//! and details of the session.

use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{NameList, Word, Words};

known! {
    /// Further matters of an SMTP session.
    SMTPD_SESSION;

    /// Clients that may name another client as the true one with XCLIENT.
    smtpd_authorized_xclient_hosts: NameList = ""
        => unsupported "XCLIENT is refused: a proxy is taken for the client";
    /// Clients that may pass on what they know of the true client with XFORWARD.
    smtpd_authorized_xforward_hosts: NameList = ""
        => unsupported "XFORWARD is refused: the log names the content filter as the client";
    /// Clients that may ask with XVERP for one copy per recipient, each with its own return address.
    smtpd_authorized_verp_clients: NameList = "$authorized_verp_clients"
        => unsupported "XVERP is refused to everybody";
    /// haproxy where a proxy in front of the server says who the client is; empty has no proxy.
    smtpd_upstream_proxy_protocol: Word = "" in ["", "haproxy"]
        => unsupported "the PROXY protocol is not spoken: the proxy is taken for the client, and its first line for a command";
    /// How long that proxy may take to say so.
    smtpd_upstream_proxy_timeout: Duration = "5s", 1..=INT_MAX
        => unsupported "the PROXY protocol is not spoken";

    /// A filter that each message passes on its way in, while its client waits for the reply.
    smtpd_proxy_filter: Box<str> = ""
        => unsupported "no filter is asked before the queue: mail is accepted unfiltered";
    /// The name that this filter is greeted with.
    smtpd_proxy_ehlo: Box<str> = "$myhostname"
        => unsupported "no filter is asked before the queue";
    /// speed_adjust, which receives all of a message before the filter is bothered with it.
    smtpd_proxy_options: Words = "" in ["speed_adjust"]
        => unsupported "no filter is asked before the queue";
    /// How long this filter may take for a connection, a command, or an answer.
    smtpd_proxy_timeout: Duration = "100s", 1..=INT_MAX
        => unsupported "no filter is asked before the queue";

    /// Received: headers do not tell the client's name, address and protocol.
    smtpd_hide_client_session: bool = "no"
        => unsupported "Received: headers name the client";
    /// TLS sessions that one client may begin anew in anvil_rate_time_unit; 0 is no limit.
    smtpd_client_new_tls_session_rate_limit: u32 = "0"
        => accepted "there are no TLS sessions to count";
    /// AUTH commands that one client may send in anvil_rate_time_unit; 0 is no limit.
    smtpd_client_auth_rate_limit: u32 = "0"
        => accepted "AUTH is refused to everybody, however often";
    /// The queue file is opened when the first recipient was accepted, and not at MAIL.
    smtpd_delay_open_until_valid_rcpt: bool = "yes"
        => accepted "messages have no files, and an id from the first accepted recipient on";
    /// Lines of a session that are kept to be mailed to the postmaster (notify_classes).
    smtpd_history_flush_threshold: u32 = "100", 1..=INT_MAX
        => accepted "sessions are not mailed to the postmaster";
}
