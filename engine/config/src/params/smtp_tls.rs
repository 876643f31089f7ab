//! TLS of the SMTP and the LMTP client.

use std::path::PathBuf;
use std::time::Duration;

use super::clients::clients;
use crate::row::known;
use crate::syntax::{NameList, Nonblank, TableList, Word};
use crate::typed::List;

clients! {
    /// When TLS is used, and whom it is enough for.
    CLIENT_TLS => unsupported "no mail is sent to other hosts, with or without TLS";

    /// How much TLS is wanted where no table says otherwise; empty is what use_tls and enforce_tls say.
    tls_security_level: Word = "${{$compatibility_level} <level {3.11} ? {} : {may}}" / ""
        in ["", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"];
    /// TLS is used where a server offers it. The older form of tls_security_level = may.
    use_tls: bool = "no";
    /// Mail is sent by TLS or not at all. The older form of tls_security_level = encrypt.
    enforce_tls: bool = "no";
    /// With enforce_tls, a server must also prove its name.
    tls_enforce_peername: bool = "yes";
    /// Tables with how much TLS is wanted for a destination.
    tls_policy_maps: TableList = "";
    /// Tables with how much TLS is wanted for a destination or host, in an older form.
    tls_per_site: TableList = "";
    /// TLS begins with the connection, without STARTTLS.
    tls_wrappermode: bool = "no";
    /// How long the handshake may take, and that which ends TLS.
    starttls_timeout: Duration = "300s", 1..=u64::MAX;
    /// Versions of TLS where it is optional.
    tls_protocols: List = ">=TLSv1";
    /// Versions of TLS where it is mandatory.
    tls_mandatory_protocols: List = ">=TLSv1";
    /// The weakest ciphers that will do where TLS is optional.
    tls_ciphers: Word = "medium" in ["high", "medium", "low", "export", "null"];
    /// The weakest ciphers that will do where TLS is mandatory.
    tls_mandatory_ciphers: Word = "medium" in ["high", "medium", "low", "export", "null"];
    /// Ciphers that are never used.
    tls_exclude_ciphers: List = "";
    /// Ciphers that are not used where TLS is mandatory.
    tls_mandatory_exclude_ciphers: List = "";
    /// Names that a server may prove at the level verify.
    tls_verify_cert_match: Nonblank = "hostname";
    /// Names that a server may prove at the level secure.
    tls_secure_cert_match: Nonblank = "nexthop, dot-nexthop" / "nexthop";
    /// Fingerprints that a server's certificate or key may have at the level fingerprint.
    tls_fingerprint_cert_match: Box<str> = "";
    /// The digest that fingerprints are made with.
    tls_fingerprint_digest: Nonblank = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}";
    /// Certificates or keys that servers must be vouched for by; empty is the authorities below.
    tls_trust_anchor_file: List = "";
    /// The file with the authorities that are trusted.
    tls_CAfile: PathBuf = "";
    /// The directory with the authorities that are trusted.
    tls_CApath: PathBuf = "";
    /// How many authorities a certificate may go through.
    tls_scert_verifydepth: u32 = "9";
    /// Asks servers for a key without a certificate (RFC 7250).
    tls_enable_rpk: bool = "no";
    /// The name that is asked for in the handshake (SNI): hostname, nexthop, or a name.
    tls_servername: Box<str> = "";
    /// TLSA records are looked up even for hosts whose addresses are not signed.
    tls_force_insecure_host_tlsa_lookup: bool = "no";
    /// With a table that tells MTA-STS policies, only hosts that a policy names are connected to.
    tls_enforce_sts_mx_patterns: bool = "yes";
    /// What is done for messages that came with REQUIRETLS (RFC 8689), by destination.
    requiretls_policy: NameList = "inline:{{${domain_to_ascii{$mydomain}}=opportunistic}, {.${domain_to_ascii{$mydomain}}=opportunistic}, {localhost=opportunistic}}, cidr:{{0.0.0.0/0 opportunistic}, {::/0 opportunistic}}, enforce"
        / "opportunistic";
    /// A server that replies before it was asked again in TLS is taken for hijacked.
    tls_block_early_mail_reply: bool = "no";
    /// Connections with TLS are kept open for the next message, too.
    tls_connection_reuse: bool = "no"
        => accepted "there are no connections that could be kept";
}

clients! {
    /// Certificates of the clients' own.
    CLIENT_CERTIFICATES => unsupported "no mail is sent to other hosts, with or without a certificate";

    /// Files with keys and the certificates that go with them, the way to give them all.
    tls_chain_files: List = "";
    /// The certificate for RSA.
    tls_cert_file: PathBuf = "";
    /// The key of tls_cert_file.
    tls_key_file: PathBuf = "$smtp_tls_cert_file" / "$lmtp_tls_cert_file";
    /// The certificate for ECDSA.
    tls_eccert_file: PathBuf = "";
    /// The key of tls_eccert_file.
    tls_eckey_file: PathBuf = "$smtp_tls_eccert_file" / "$lmtp_tls_eccert_file";
    /// The certificate for DSA, which is out of use.
    tls_dcert_file: PathBuf = "";
    /// The key of tls_dcert_file.
    tls_dkey_file: PathBuf = "$smtp_tls_dcert_file" / "$lmtp_tls_dcert_file";
}

clients! {
    /// What the clients tell about TLS, and remember of it.
    CLIENT_TLS_NOTES => accepted "there are no sessions with TLS to tell of";

    /// How much about TLS is in the log: 0 to 4, or words.
    tls_loglevel: List = "0";
    /// Tables with tls_loglevel for a host or address.
    tls_loglevel_maps: TableList = "";
    /// Bytes of a session that its trace holds; 0 is no trace.
    tls_trace_size_limit: u32 = "102400";
    /// The log has the hosts that offer STARTTLS where TLS is not used.
    tls_note_starttls_offer: bool = "no";
    /// How a delivery was protected is in its line of the log.
    log_tls_feature_status: bool = "yes";
    /// The table that sessions are kept in, to be taken up again.
    tls_session_cache_database: TableList = "";
    /// How long a session can be taken up again.
    tls_session_cache_timeout: Duration = "3600s", 0..=8_640_000;
    /// What happened in TLS is reported for RFC 8460.
    tlsrpt_enable: bool = "no";
    /// The socket of the program that makes these reports.
    tlsrpt_socket_name: Box<str> = "";
    /// Handshakes that take a session up again are not reported.
    tlsrpt_skip_reused_handshakes: bool = "no";
}

known! {
    /// TLS that only the SMTP client has.
    SMTP_TLS_ALONE;

    /// How much TLS is wanted of MX hosts that have TLSA records where the MX lookup was not signed.
    smtp_tls_dane_insecure_mx_policy: Word = "dane" in ["may", "encrypt", "dane"]
        => unsupported "no mail is sent to other hosts, with or without TLS";
    /// The ciphers of all sessions.
    smtp_tls_cipherlist: Box<str> = ""
        => accepted "Postfix has not looked at it since 2.3";
    /// A header can ask for a message to go on without TLS where there is none (RFC 8689).
    tls_required_enable: bool = "yes"
        => unsupported "no mail is sent to other hosts, with or without TLS";
}
