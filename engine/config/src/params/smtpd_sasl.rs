//! AUTH of the SMTP server, which has none yet.

use crate::row::{INT_MAX, known};
use crate::syntax::{NameList, Nonblank, TableList};
use crate::typed::List;

known! {
    /// AUTH of the SMTP server.
    SMTPD_SASL;

    /// Clients can log in with AUTH (RFC 4954).
    smtpd_sasl_auth_enable: bool = "no"
        => unsupported "AUTH is not offered, so nobody can log in to submit mail";
    /// Who checks passwords: dovecot, or cyrus.
    smtpd_sasl_type: Nonblank = "cyrus"
        => unsupported "AUTH is not offered";
    /// Where that is: a socket of Dovecot, or the name of a Cyrus configuration.
    smtpd_sasl_path: Nonblank = "smtpd"
        => unsupported "AUTH is not offered";
    /// The older name of smtpd_sasl_path.
    smtpd_sasl_application_name: Box<str> = ""
        => accepted "no release since 2.3 reads it";
    /// The service name that is given to the one who checks passwords.
    smtpd_sasl_service: Nonblank = "smtp"
        => unsupported "AUTH is not offered";
    /// The realm of user names that have none.
    smtpd_sasl_local_domain: Box<str> = ""
        => unsupported "AUTH is not offered";
    /// Properties that mechanisms must have to be offered without TLS: noanonymous, noplaintext and the like.
    smtpd_sasl_security_options: List = "noanonymous"
        => unsupported "AUTH is not offered";
    /// The same for sessions with TLS.
    smtpd_sasl_tls_security_options: List = "$smtpd_sasl_security_options"
        => unsupported "AUTH is not offered";
    /// Mechanisms that are offered, of those that the one who checks passwords knows.
    smtpd_sasl_mechanism_filter: NameList = "!external, static:rest"
        => unsupported "AUTH is not offered";
    /// Clients that AUTH is not offered to.
    smtpd_sasl_exceptions_networks: NameList = ""
        => accepted "AUTH is offered to nobody";
    /// Received: headers name the user that logged in.
    smtpd_sasl_authenticated_header: bool = "no"
        => accepted "nobody can log in";
    /// Bytes that a client may send as one answer within AUTH; RFC 4954 wants the default at least.
    smtpd_sasl_response_limit: u32 = "12288", 12_288..=INT_MAX
        => accepted "AUTH is not offered";
    /// Which users may send under which sender addresses.
    smtpd_sender_login_maps: TableList = ""
        => unsupported "nobody can log in, so no sender address has an owner";
}
