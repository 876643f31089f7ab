//! Replies of the SMTP server to what it does not take, and who is told what.

use crate::row::known;
use crate::syntax::{NameList, Raw, TableList, Word};
use crate::typed::{List, ReplyCode};

known! {
    /// Reply codes of restrictions.
    REFUSALS;

    /// The reply to what REJECT in a table says.
    access_map_reject_code: ReplyCode = "554"
        => unsupported "restrictions are not evaluated yet";
    /// The reply to what DEFER in a table says.
    access_map_defer_code: ReplyCode = "450"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject.
    reject_code: ReplyCode = "554"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of defer.
    defer_code: ReplyCode = "450"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_invalid_helo_hostname.
    invalid_hostname_reject_code: ReplyCode = "501"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_non_fqdn_helo_hostname, reject_non_fqdn_sender and
    /// reject_non_fqdn_recipient.
    non_fqdn_reject_code: ReplyCode = "504"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_rbl_client and the like.
    maps_rbl_reject_code: ReplyCode = "554"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_multi_recipient_bounce.
    multi_recipient_bounce_reject_code: ReplyCode = "550"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_plaintext_session.
    plaintext_reject_code: ReplyCode = "450"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_unknown_sender_domain and reject_unknown_recipient_domain.
    unknown_address_reject_code: ReplyCode = "450"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_unknown_client_hostname.
    unknown_client_reject_code: ReplyCode = "450"
        => unsupported "restrictions are not evaluated yet";
    /// The reply of reject_unknown_helo_hostname.
    unknown_hostname_reject_code: ReplyCode = "450"
        => unsupported "restrictions are not evaluated yet";
    /// What is done where a restriction cannot be decided for the moment.
    reject_tempfail_action: Word = "defer_if_permit" in ["defer", "defer_if_permit"]
        => unsupported "restrictions are not evaluated yet";
    /// The same where a domain cannot be looked up.
    unknown_address_tempfail_action: Word = "$reject_tempfail_action" in ["defer", "defer_if_permit"]
        => unsupported "restrictions are not evaluated yet";
    /// The same where the name in HELO cannot be looked up.
    unknown_helo_hostname_tempfail_action: Word = "$reject_tempfail_action" in ["defer", "defer_if_permit"]
        => unsupported "restrictions are not evaluated yet";
    /// The text of a refusal by reject_rbl_client and the like.
    default_rbl_reply: Raw = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}"
        => unsupported "restrictions are not evaluated yet";
    /// Tables: a list of bad clients to the text of its refusals.
    rbl_reply_maps: TableList = ""
        => unsupported "restrictions are not evaluated yet";
    /// Lists of bad clients for reject_maps_rbl.
    maps_rbl_domains: List = ""
        => unsupported "restrictions are not evaluated yet";
    /// Networks whose hosts permit_mx_backup takes for primary MX hosts.
    permit_mx_backup_networks: NameList = ""
        => unsupported "restrictions are not evaluated yet";
    /// Tables of fingerprints of clients' certificates that permit_tls_clientcerts takes.
    relay_clientcerts: TableList = ""
        => unsupported "there is no TLS yet";
    /// The directory of Cyrus SASL's own configuration.
    cyrus_sasl_config_path: List = ""
        => unsupported "there is no Cyrus SASL";
    /// Offers AUTH in an older form, too, for clients that know no other.
    broken_sasl_auth_clients: bool = "no"
        => unsupported "AUTH is not offered yet";
    /// Offers REQUIRETLS.
    requiretls_enable: bool = "yes"
        => unsupported "REQUIRETLS is not offered";
    /// Notes in the header that the client asked for REQUIRETLS.
    requiretls_esmtp_header: bool = "yes"
        => unsupported "REQUIRETLS is not offered";
    /// Delays answers about bad clients, for tests.
    dnsblog_reply_delay: std::time::Duration = "0s"
        => accepted "the tests have servers of their own";
}
