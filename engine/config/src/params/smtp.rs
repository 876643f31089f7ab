//! The SMTP and the LMTP client: connections, the dialogue, content.

use std::time::Duration;

use super::clients::clients;
use crate::row::known;
use crate::syntax::{NameList, Nonblank, TableList, Word, Words};
use crate::typed::List;

clients! {
    /// Where the clients connect to, and how.
    CONNECTIONS => unsupported "no mail is sent to other hosts";

    /// The port that is connected to where the destination names none.
    tcp_port: Box<str> = "smtp" / "24";
    /// The IPv4 address that connections are made from; the system chooses where it is empty.
    bind_address: Box<str> = "";
    /// The IPv6 address that connections are made from; the system chooses where it is empty.
    bind_address6: Box<str> = "";
    /// Mail waits where a connection cannot be made from bind_address; otherwise the system chooses
    /// another address.
    bind_address_enforce: bool = "no";
    /// Which addresses of a host are tried first where several are as good.
    address_preference: Word = "any" in ["any", "ipv4", "ipv6"];
    /// Addresses of both IP versions are among those that are tried, whatever mx_address_limit cuts off.
    balance_inet_protocols: bool = "yes";
    /// Addresses of one delivery that are tried; 0 is all.
    mx_address_limit: u32 = "5";
    /// Sessions of one delivery that begin, and fail or not, before it waits; 0 is no limit.
    mx_session_limit: u32 = "2";
    /// Hosts that are as good as each other are tried in any order.
    randomize_addresses: bool = "yes";
    /// Mail waits where none of a destination's MX hosts has an address; otherwise it is returned.
    defer_if_no_mx_address_found: bool = "no";
    /// Where addresses of hosts are looked up.
    host_lookup: Words = "dns" in ["dns", "native"];
    /// Whether DNS is asked, and whether its answers must be signed; empty is what
    /// disable_dns_lookups says.
    dns_support_level: Word = "" in ["", "disabled", "enabled", "dnssec"];
    /// Which domains are added to incomplete names that are looked up.
    dns_resolver_options: Words = "" in ["res_defnames", "res_dnsrch"];
    /// Tables that change or drop records of a DNS answer.
    dns_reply_filter: TableList = "";
    /// The name that a CNAME leads to takes the place of the host's name in the log and in policies.
    cname_overrides_servername: bool = "no";
    /// Destinations whose connections are kept open for the next message.
    connection_cache_destinations: NameList = "";
    /// Connections are kept open while a destination has much mail.
    connection_cache_on_demand: bool = "yes"
        => accepted "there are no connections that could be kept";
    /// How long an unused connection is kept open.
    connection_cache_time_limit: Duration = "2s", 1..=u64::MAX
        => accepted "there are no connections that could be kept";
    /// How long one connection is used for message after message.
    connection_reuse_time_limit: Duration = "300s", 1..=u64::MAX
        => accepted "there are no connections that could be kept";
    /// How many messages go through one connection; 0 is no limit.
    connection_reuse_count_limit: u32 = "0"
        => accepted "there are no connections that could be kept";
}

clients! {
    /// How long the clients wait, and for what.
    TIMES => unsupported "no mail is sent to other hosts";

    /// How long making a connection may take; 0 is as long as the system tries.
    connect_timeout: Duration = "30s" / "0s";
    /// How long sending XFORWARD and waiting for its reply may take.
    xforward_timeout: Duration = "300s", 1..=u64::MAX;
    /// How long sending MAIL and waiting for its reply may take.
    mail_timeout: Duration = "300s", 1..=u64::MAX;
    /// How long sending RCPT and waiting for its reply may take.
    rcpt_timeout: Duration = "300s", 1..=u64::MAX;
    /// How long sending DATA and waiting for its reply may take.
    data_init_timeout: Duration = "120s", 1..=u64::MAX;
    /// How long sending a piece of content may take.
    data_xfer_timeout: Duration = "180s", 1..=u64::MAX;
    /// How long the reply to the end of content may take.
    data_done_timeout: Duration = "600s", 1..=u64::MAX;
    /// How long sending RSET and waiting for its reply may take.
    rset_timeout: Duration = "20s", 1..=u64::MAX;
    /// How long sending QUIT and waiting for its reply may take.
    quit_timeout: Duration = "300s", 1..=u64::MAX;
    /// The times above are for a whole command with its reply, rather than for each read and write.
    per_request_deadline: bool = "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}"
        / "${lmtp_per_record_deadline?{$lmtp_per_record_deadline}:{no}}";
    /// The older name of per_request_deadline.
    per_record_deadline: Box<str> = "";
    /// Bytes of content that give the server a second more where per_request_deadline holds.
    min_data_rate: u32 = "500", 1..=u64::MAX;
}

clients! {
    /// What the clients say, and what they make of replies.
    DIALOGUE => unsupported "no mail is sent to other hosts";

    /// A greeting that refuses for good only means that the next host is tried.
    skip_5xx_greeting: bool = "yes";
    /// The reply to QUIT is not waited for.
    skip_quit_response: bool = "yes" / "no";
    /// Addresses are quoted in MAIL and RCPT as RFC 5321 wants it.
    quote_rfc821_envelope: bool = "yes";
    /// Tells servers that offer XFORWARD about the client that the message came from.
    send_xforward_command: bool = "no";
    /// Tables that change replies of servers before they are understood.
    reply_filter: TableList = "";
    /// Tables that change the status and text of a delivery that did not go well.
    delivery_status_filter: TableList = "$default_delivery_status_filter";
    /// The command whose reply tells whether an address that is probed takes mail.
    address_verify_target: Word = "rcpt" in ["rcpt", "data"];
    /// What is done about firewalls that break the end of content in two.
    pix_workarounds: Words = "disable_esmtp,delay_dotcrlf" in ["disable_esmtp", "delay_dotcrlf"];
    /// Tables with pix_workarounds for an address of a server.
    pix_workaround_maps: TableList = "";
    /// How long mail must have waited before pix_workarounds begin.
    pix_workaround_threshold_time: Duration = "500s";
    /// The pause before the end of content where delay_dotcrlf holds.
    pix_workaround_delay_time: Duration = "10s", 1..=u64::MAX;
}

clients! {
    /// What the clients do to a message on its way.
    OUTBOUND_CONTENT => unsupported "no mail is sent to other hosts";

    /// Bytes of one line that is sent; longer lines are broken. 0 is no limit.
    line_length_limit: u32 = "998";
    /// Rules for headers of messages that are sent.
    header_checks: TableList = "";
    /// Rules for MIME headers of messages that are sent.
    mime_header_checks: TableList = "";
    /// Rules for headers of messages within messages that are sent.
    nested_header_checks: TableList = "";
    /// Rules for lines of text of messages that are sent.
    body_checks: TableList = "";
}

known! {
    /// What only the SMTP client has.
    SMTP_ALONE;

    /// The name that EHLO and HELO give.
    smtp_helo_name: Nonblank = "$myhostname"
        => unsupported "no mail is sent to other hosts";
    /// How long sending EHLO or HELO and waiting for the reply may take, and for the greeting.
    smtp_helo_timeout: Duration = "300s", 1..=u64::MAX
        => unsupported "no mail is sent to other hosts";
    /// EHLO is said to every server, not only to those whose greeting has ESMTP in it.
    smtp_always_send_ehlo: bool = "yes"
        => unsupported "no mail is sent to other hosts";
    /// HELO is said to every server.
    smtp_never_send_ehlo: bool = "no"
        => unsupported "no mail is sent to other hosts";
    /// EHLO keywords of servers that are overlooked.
    smtp_discard_ehlo_keywords: List = ""
        => unsupported "no mail is sent to other hosts";
    /// Tables with smtp_discard_ehlo_keywords for an address of a server.
    smtp_discard_ehlo_keyword_address_maps: TableList = ""
        => unsupported "no mail is sent to other hosts";
    /// Hosts that mail is given to where its destination cannot be reached.
    smtp_fallback_relay: List = "$fallback_relay"
        => unsupported "no mail is sent to other hosts";
    /// The older name of smtp_fallback_relay.
    fallback_relay: List = ""
        => unsupported "no mail is sent to other hosts";
    /// A greeting that refuses for now only means that the next host is tried.
    smtp_skip_4xx_greeting: bool = "yes"
        => accepted "Postfix has not looked at it since 2.1";
    /// The transport for mail whose best MX host is this one, although its domain is not ours.
    best_mx_transport: Box<str> = ""
        => unsupported "no mail is sent to other hosts";
}

known! {
    /// What only the LMTP client has.
    LMTP_ALONE;

    /// The name that LHLO gives.
    lmtp_lhlo_name: Nonblank = "$myhostname"
        => unsupported "no mail is given to LMTP servers";
    /// How long sending LHLO and waiting for the reply may take, and for the greeting.
    lmtp_lhlo_timeout: Duration = "300s", 1..=u64::MAX
        => unsupported "no mail is given to LMTP servers";
    /// LHLO keywords of servers that are overlooked.
    lmtp_discard_lhlo_keywords: List = ""
        => unsupported "no mail is given to LMTP servers";
    /// Tables with lmtp_discard_lhlo_keywords for an address of a server.
    lmtp_discard_lhlo_keyword_address_maps: TableList = ""
        => unsupported "no mail is given to LMTP servers";
    /// Hosts that mail is given to where its destination cannot be reached.
    lmtp_fallback_relay: List = ""
        => unsupported "no mail is given to LMTP servers";
    /// A server that offers no DSN is taken to put mail into mailboxes: notices say delivered, not
    /// relayed.
    lmtp_assume_final: bool = "no"
        => unsupported "no mail is given to LMTP servers";
    /// Connections to LMTP servers are kept open.
    lmtp_cache_connection: bool = "yes"
        => accepted "Postfix has not looked at it since 2.3";
}

known! {
    /// What all delivery agents have.
    AGENTS;

    /// Tables that change the status and text of a delivery that did not go well, where an agent has
    /// none of its own.
    default_delivery_status_filter: TableList = ""
        => unsupported "the status of a delivery stays what it is";
}

known! {
    /// How hosts are found in DNS, and connections handed from one delivery to another.
    LOOKUPS;

    /// Hosts are looked up as the system does it, and never by MX. The older form of
    /// smtp_dns_support_level.
    disable_dns_lookups: bool = "no"
        => unsupported "no mail is sent to other hosts";
    /// Mail for a domain whose MX lookup failed goes to the host of that name, as if there were no MX.
    ignore_mx_lookup_error: bool = "no"
        => unsupported "no mail is sent to other hosts";
    /// Services whose hosts and ports are found by SRV records.
    use_srv_lookup: List = ""
        => unsupported "no mail is sent to other hosts";
    /// Hosts are found by MX where looking up SRV records failed.
    ignore_srv_lookup_error: bool = "no"
        => unsupported "no mail is sent to other hosts";
    /// Hosts are found by MX where there are no SRV records, or looking them up failed.
    allow_srv_lookup_fallback: bool = "no"
        => unsupported "no mail is sent to other hosts";
    /// The type and name that are asked for to see whether DNS answers are validated.
    dnssec_probe: Box<str> = "ns:."
        => accepted "no DNS answers are needed that must be validated";
    /// How long a name is known not to exist is found out in another way, for system libraries that
    /// hide it.
    dns_ncache_ttl_fix_enable: bool = "no"
        => accepted "the system's library is not asked";
    /// The service that keeps connections open between deliveries.
    connection_cache_service_name: Nonblank = "scache"
        => accepted "connections are kept where they are used";
    /// How long any connection may be kept open.
    connection_cache_ttl_limit: Duration = "2s", 1..=u64::MAX
        => accepted "there are no connections that could be kept";
    /// How long handing a connection over may take.
    connection_cache_protocol_timeout: Duration = "5s", 1..=u64::MAX
        => accepted "connections are kept where they are used";
    /// How often the use of kept connections is put in the log.
    connection_cache_status_update_time: Duration = "600s", 1..=u64::MAX
        => accepted "there are no connections that could be kept";
}
