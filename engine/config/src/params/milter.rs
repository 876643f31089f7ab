//! Milters: filters that see the session and the message while it is received.

use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{Nonblank, Raw, TableList, Word};
use crate::typed::List;

known! {
    /// Milters.
    MILTER;

    /// Filters of mail that comes by SMTP.
    smtpd_milters: List = ""
        => unsupported "milters are not called: mail is neither signed, checked nor refused by them";
    /// Filters by client address, in place of smtpd_milters; DISABLE is none.
    smtpd_milter_maps: TableList = ""
        => unsupported "milters are not called";
    /// What follows where a filter cannot be asked: accept, reject, tempfail, shutdown or quarantine.
    milter_default_action: Word = "shutdown" in ["accept", "reject", "tempfail", "shutdown", "quarantine"]
        => unsupported "milters are not called, so none can fail";
    /// The version of the protocol, with no_header_reply or other words that switch parts of it off.
    milter_protocol: Nonblank = "6"
        => unsupported "milters are not called";
    /// How long a filter may take to accept a connection and agree on the protocol.
    milter_connect_timeout: Duration = "30s", 1..=INT_MAX
        => unsupported "milters are not called";
    /// How long a filter may take to answer an SMTP command.
    milter_command_timeout: Duration = "30s", 1..=INT_MAX
        => unsupported "milters are not called";
    /// How long a filter may take to answer a piece of content, or to give its verdict.
    milter_content_timeout: Duration = "300s", 1..=INT_MAX
        => unsupported "milters are not called";

    /// Values of macros that the session has no value for, name=value each.
    milter_macro_defaults: Raw = ""
        => unsupported "milters are not called";
    /// The macro {daemon_name}.
    milter_macro_daemon_name: Nonblank = "$myhostname"
        => unsupported "milters are not called";
    /// The macro v.
    milter_macro_v: Nonblank = "$mail_name $mail_version"
        => unsupported "milters are not called";
    /// Macros that filters are sent when a client connects.
    milter_connect_macros: List = "j {daemon_name} {daemon_addr} v _"
        => unsupported "milters are not called";
    /// Macros that filters are sent at HELO and EHLO.
    milter_helo_macros: List = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"
        => unsupported "milters are not called";
    /// Macros that filters are sent at MAIL.
    milter_mail_macros: List = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}"
        => unsupported "milters are not called";
    /// Macros that filters are sent at RCPT.
    milter_rcpt_macros: List = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"
        => unsupported "milters are not called";
    /// Macros that filters are sent at DATA.
    milter_data_macros: List = "i"
        => unsupported "milters are not called";
    /// Macros that filters are sent at the end of the headers.
    milter_end_of_header_macros: List = "i"
        => unsupported "milters are not called";
    /// Macros that filters are sent at the end of the message.
    milter_end_of_data_macros: List = "i"
        => unsupported "milters are not called";
    /// Macros that filters are sent at commands that nobody knows.
    milter_unknown_command_macros: List = ""
        => unsupported "milters are not called";
}
