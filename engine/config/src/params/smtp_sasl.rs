//! How the SMTP and the LMTP client log in to servers.

use std::time::Duration;

use super::clients::clients;
use crate::row::known;
use crate::syntax::{NameList, Nonblank, TableList, Words};

clients! {
    /// Logging in to servers.
    CLIENT_SASL => unsupported "no mail is sent to other hosts, with or without a login";

    /// The client logs in to servers that offer it.
    sasl_auth_enable: bool = "no";
    /// Tables with user and password for a host, a destination or a sender.
    sasl_password_maps: TableList = "";
    /// What stands between user and password in such a table.
    sasl_password_result_delimiter: Nonblank = ":";
    /// Which user logs in depends on the sender of the message.
    sender_dependent_authentication: bool = "no";
    /// Mechanisms that are used, of those that a server offers; empty is all.
    sasl_mechanism_filter: NameList = "";
    /// What a mechanism must not be.
    sasl_security_options: Words = "noplaintext, noanonymous"
        in ["noplaintext", "noactive", "nodictionary", "forward_secrecy", "noanonymous", "mutual_auth"];
    /// The same within TLS.
    sasl_tls_security_options: Words = "$smtp_sasl_security_options" / "$lmtp_sasl_security_options"
        in ["noplaintext", "noactive", "nodictionary", "forward_secrecy", "noanonymous", "mutual_auth"];
    /// The same within TLS to a server that has proved its name.
    sasl_tls_verified_security_options: Words = "$smtp_sasl_tls_security_options"
        / "$lmtp_sasl_tls_security_options"
        in ["noplaintext", "noactive", "nodictionary", "forward_secrecy", "noanonymous", "mutual_auth"];
    /// AUTH=<> is added to MAIL after a login.
    send_dummy_mail_auth: bool = "no";
    /// A login that is refused defers mail; otherwise it is returned.
    sasl_auth_soft_bounce: bool = "yes";
    /// The table with logins that were refused, so that they are not tried over and over.
    sasl_auth_cache_name: TableList = "";
    /// How long a login counts as refused.
    sasl_auth_cache_time: Duration = "90d";
    /// The library that knows the mechanisms.
    sasl_type: Nonblank = "cyrus"
        => accepted "there are no logins that a library could make";
    /// What that library is told about its configuration.
    sasl_path: Box<str> = ""
        => accepted "there are no logins that a library could make";
}

known! {
    /// What the Cyrus SASL library does for clients.
    CYRUS_CLIENT;

    /// The client says whom it acts for as well as who it is.
    send_cyrus_sasl_authzid: bool = "no"
        => unsupported "no mail is sent to other hosts, with or without a login";
}
