//! Addresses: how they are completed and replaced, which class each belongs to, and where it goes.

use table::{MapList, MatchList};

use crate::row::params;
use crate::syntax::Nonblank;
use crate::typed::List;
use crate::typed::address::{
    AddressKinds, Extensions, RecipientKinds, RewriteClients, SenderKinds, Transport,
};

params! {
    /// How addresses are completed and replaced.
    Rewriting;

    /// The trivial-rewrite service of master.cf that completes addresses, and says where they lead. Its own
    /// parameters count for that.
    rewrite_service_name: Nonblank = "rewrite";
    /// An address without a domain gets @$myorigin.
    append_at_myorigin: bool = "yes";
    /// A domain without a dot gets .$mydomain.
    append_dot_mydomain: bool = "${{$compatibility_level} <level {1} ? {yes} : {no}}";
    /// site!user becomes user@site.
    swap_bangpath: bool = "yes";
    /// user%domain becomes user@domain.
    allow_percent_hack: bool = "yes";
    /// Clients whose message headers are rewritten as local mail is.
    local_header_rewrite_clients: RewriteClients = "permit_inet_interfaces";
    /// What incomplete addresses in headers from other clients get; nothing where it is empty, and then
    /// the headers of such mail stay as they are.
    remote_header_rewrite_domain: Box<str> = "";
    /// Tables that replace any address, before all other tables but the ones for senders or recipients.
    canonical_maps: MapList = "";
    /// What canonical_maps holds for.
    canonical_classes: AddressKinds = "envelope_sender, envelope_recipient, header_sender, header_recipient";
    /// Tables that replace addresses of senders.
    sender_canonical_maps: MapList = "";
    /// What sender_canonical_maps holds for.
    sender_canonical_classes: SenderKinds = "envelope_sender, header_sender";
    /// Tables that replace addresses of recipients.
    recipient_canonical_maps: MapList = "";
    /// What recipient_canonical_maps holds for.
    recipient_canonical_classes: RecipientKinds = "envelope_recipient, header_recipient";
    /// Domains that hide those below them; with a ! in front one that does not. The first that matches
    /// counts.
    masquerade_domains: List = "";
    /// Users whose domains are not hidden.
    masquerade_exceptions: MatchList = "";
    /// What masquerade_domains holds for.
    masquerade_classes: AddressKinds = "envelope_sender, header_sender, header_recipient";
    /// The tables whose answers get the extension of the address that was asked for, where only the
    /// address without it was found.
    propagate_unmatched_extensions: Extensions = "canonical, virtual";
    /// owner-LIST and LIST-request have no extension where recipient_delimiter has a dash.
    owner_request_special: bool = "yes"
        => accepted "these addresses are always kept whole";
    /// Tables that replace recipients by one or more others.
    virtual_alias_maps: MapList = "$virtual_maps";
    /// The older name of virtual_alias_maps.
    virtual_maps: Box<str> = "";
    /// How often a recipient is replaced in virtual_alias_maps before the mail is put off.
    virtual_alias_recursion_limit: usize = "1000", 1..=1_000_000;
    /// How many recipients may come of one in virtual_alias_maps before the mail is put off.
    virtual_alias_expansion_limit: usize = "1000", 1..=1_000_000;
    /// Bytes of an address in virtual_alias_maps before the mail is put off.
    virtual_alias_address_length_limit: usize = "1000", 1..=1_000_000;
    /// Tables of recipients that get a copy of what a sender sends.
    sender_bcc_maps: MapList = "";
    /// Tables of recipients that get a copy of what a recipient gets.
    recipient_bcc_maps: MapList = "";
    /// The recipient that gets a copy of everything.
    always_bcc: Box<str> = "";
    /// Tables that replace addresses when mail leaves by SMTP.
    smtp_generic_maps: MapList = "";
    /// Tables that replace addresses when mail leaves by LMTP.
    lmtp_generic_maps: MapList = "";
    /// Words and signs of a header that are looked at for addresses; what is behind them is kept as it is.
    header_address_token_limit: usize = "10240", 1..=10_000_000;
}

params! {
    /// Which domains and recipients are known, and how.
    Classes;

    /// Addresses and names of hosts in front that pass connections on to this one; they are its own.
    proxy_interfaces: List = "";
    /// Domains whose addresses all are aliases.
    virtual_alias_domains: MatchList = "$virtual_alias_maps";
    /// Domains that mail is relayed to.
    relay_domains: MatchList = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}";
    /// The parameters in which example.com stands for the domains below it, too; in others .example.com
    /// does.
    parent_domain_matches_subdomains: List = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps";
    /// Tables of everybody who has mail here; where it is empty, every name is taken.
    local_recipient_maps: MapList = "proxy:unix:passwd.byname $alias_maps";
    /// Tables of the recipients in relay_domains; where it is empty, every name is taken.
    relay_recipient_maps: MapList = "";
    /// The reply to an unknown recipient names the table it is not in.
    show_user_unknown_table_name: bool = "yes";
    /// The sender of bounces of which no bounces are made.
    double_bounce_sender: Box<str> = "double-bounce";
    /// Warns of domains that are in more than one class.
    helpful_warnings: bool = "yes";
}

params! {
    /// Where each recipient goes: by which transport, to which host.
    Routing;

    /// @ % and ! in quoted local parts name domains, too, so that nothing is relayed by quoting it.
    resolve_dequoted_address: bool = "yes";
    /// user@ is user at this host.
    resolve_null_domain: bool = "no";
    /// user@192.0.2.1 is user@[192.0.2.1].
    resolve_numeric_domain: bool = "no";
    /// Recipients may begin with a dash.
    allow_min_user: bool = "no";
    /// Mail with a route in its recipient (user%there@here) is taken for here from clients that are not trusted.
    allow_untrusted_routing: bool = "no";
    /// Tables of recipients and domains that go another way: transport:nexthop.
    transport_maps: MapList = "";
    /// The way to mydestination and the host's addresses.
    local_transport: Transport = "local:$myhostname";
    /// The way to virtual_mailbox_domains.
    virtual_transport: Transport = "virtual";
    /// The way to relay_domains.
    relay_transport: Transport = "relay";
    /// The way to everywhere else.
    default_transport: Transport = "smtp";
    /// The host that takes mail for relay_domains and everywhere else.
    relayhost: Box<str> = "";
    /// Tables of senders whose mail goes to another relayhost.
    sender_dependent_relayhost_maps: MapList = "";
    /// Tables of senders whose mail goes by another default_transport.
    sender_dependent_default_transport_maps: MapList = "";
    /// What sender_dependent_relayhost_maps is asked for the null sender.
    empty_address_relayhost_maps_lookup_key: Box<str> = "<>";
    /// What sender_dependent_default_transport_maps is asked for the null sender.
    empty_address_default_transport_maps_lookup_key: Box<str> = "<>";
    /// Tables of recipients that have moved; their senders are told where to.
    relocated_maps: MapList = "";
    /// The notice of a move begins with "5.1.6 User has moved to"; without it, the table has all of it.
    relocated_prefix_enable: bool = "yes";
    /// transport_maps for probes of addresses.
    address_verify_transport_maps: MapList = "$transport_maps";
    /// local_transport for probes of addresses.
    address_verify_local_transport: Transport = "$local_transport";
    /// virtual_transport for probes of addresses.
    address_verify_virtual_transport: Transport = "$virtual_transport";
    /// relay_transport for probes of addresses.
    address_verify_relay_transport: Transport = "$relay_transport";
    /// default_transport for probes of addresses.
    address_verify_default_transport: Transport = "$default_transport";
    /// relayhost for probes of addresses.
    address_verify_relayhost: Box<str> = "$relayhost";
    /// sender_dependent_relayhost_maps for probes of addresses.
    address_verify_sender_dependent_relayhost_maps: MapList = "$sender_dependent_relayhost_maps";
    /// sender_dependent_default_transport_maps for probes of addresses.
    address_verify_sender_dependent_default_transport_maps: MapList = "$sender_dependent_default_transport_maps";
}
