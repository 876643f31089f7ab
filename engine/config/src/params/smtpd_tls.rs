//! TLS of the SMTP server, which has none yet.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{Nonblank, Raw, TableList, Word};
use crate::typed::List;

known! {
    /// TLS of the SMTP server.
    SMTPD_TLS;

    /// Whether clients are offered TLS (may), must use it (encrypt), or get none (none, or empty).
    smtpd_tls_security_level: Word = "" in ["", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"]
        => unsupported "STARTTLS is not offered, and clients that insist on TLS turn away";
    /// The older way to offer TLS; smtpd_tls_security_level overrides it.
    smtpd_use_tls: bool = "no"
        => unsupported "STARTTLS is not offered, and clients that insist on TLS turn away";
    /// The older way to insist on TLS; smtpd_tls_security_level overrides it.
    smtpd_enforce_tls: bool = "no"
        => unsupported "mail is taken without TLS";
    /// TLS from the first byte of a connection on, as port 465 has it.
    smtpd_tls_wrappermode: bool = "no"
        => unsupported "clients that begin with a TLS handshake are not understood";
    /// AUTH is neither offered nor taken before TLS.
    smtpd_tls_auth_only: bool = "no"
        => unsupported "there is no AUTH, with TLS or without";
    /// How long the server waits for reads and writes while TLS is negotiated.
    smtpd_starttls_timeout: Duration = "${stress?{10}:{300}}s", 1..=INT_MAX
        => accepted "STARTTLS is not offered";

    /// Files that hold private keys, each followed by its certificate chain, as many as there are kinds of key.
    smtpd_tls_chain_files: List = ""
        => unsupported "no certificate is shown, as STARTTLS is not offered";
    /// The server's RSA certificate and the intermediate ones behind it, in PEM format; none switches certificates off.
    smtpd_tls_cert_file: PathBuf = ""
        => unsupported "no certificate is shown, as STARTTLS is not offered";
    /// The private key of the RSA certificate, without a passphrase.
    smtpd_tls_key_file: PathBuf = "$smtpd_tls_cert_file"
        => unsupported "no certificate is shown, as STARTTLS is not offered";
    /// The server's DSA certificate.
    smtpd_tls_dcert_file: PathBuf = ""
        => unsupported "no certificate is shown, as STARTTLS is not offered";
    /// The private key of the DSA certificate.
    smtpd_tls_dkey_file: PathBuf = "$smtpd_tls_dcert_file"
        => unsupported "no certificate is shown, as STARTTLS is not offered";
    /// The server's ECDSA certificate.
    smtpd_tls_eccert_file: PathBuf = ""
        => unsupported "no certificate is shown, as STARTTLS is not offered";
    /// The private key of the ECDSA certificate.
    smtpd_tls_eckey_file: PathBuf = "$smtpd_tls_eccert_file"
        => unsupported "no certificate is shown, as STARTTLS is not offered";

    /// Certificates of the authorities that client certificates are checked against, in one file.
    smtpd_tls_CAfile: PathBuf = ""
        => unsupported "client certificates are not asked for";
    /// Certificates of the authorities that client certificates are checked against, in a directory.
    smtpd_tls_CApath: PathBuf = ""
        => unsupported "client certificates are not asked for";
    /// Clients are asked for a certificate.
    smtpd_tls_ask_ccert: bool = "no"
        => unsupported "client certificates are not asked for";
    /// Clients of mandatory TLS must show a certificate that an authority vouches for.
    smtpd_tls_req_ccert: bool = "no"
        => unsupported "mail is taken from clients without a certificate";
    /// How many certificates may stand between the client's and the authority's.
    smtpd_tls_ccert_verifydepth: u32 = "9"
        => unsupported "client certificates are not asked for";
    /// Clients may show a bare public key in place of a certificate (RFC 7250).
    smtpd_tls_enable_rpk: bool = "no"
        => unsupported "client certificates are not asked for";
    /// The digest that fingerprints of client certificates and keys are made with.
    smtpd_tls_fingerprint_digest: Nonblank = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}"
        => unsupported "client certificates are not asked for";

    /// TLS versions that are spoken where TLS is optional.
    smtpd_tls_protocols: Box<str> = ">=TLSv1"
        => unsupported "STARTTLS is not offered";
    /// TLS versions that are spoken where TLS is mandatory.
    smtpd_tls_mandatory_protocols: Box<str> = ">=TLSv1"
        => unsupported "STARTTLS is not offered";
    /// The least strength of ciphers where TLS is optional.
    smtpd_tls_ciphers: Nonblank = "medium"
        => unsupported "STARTTLS is not offered";
    /// The least strength of ciphers where TLS is mandatory.
    smtpd_tls_mandatory_ciphers: Nonblank = "medium"
        => unsupported "STARTTLS is not offered";
    /// Ciphers that are never used.
    smtpd_tls_exclude_ciphers: List = ""
        => unsupported "STARTTLS is not offered";
    /// Ciphers that are not used where TLS is mandatory, beside those of smtpd_tls_exclude_ciphers.
    smtpd_tls_mandatory_exclude_ciphers: List = ""
        => unsupported "STARTTLS is not offered";
    /// OpenSSL cipher list of releases before 2.3.
    smtpd_tls_cipherlist: Raw = ""
        => accepted "no release since 2.3 reads it";
    /// Diffie-Hellman parameters for the finite-field key exchange, or auto.
    smtpd_tls_dh1024_param_file: PathBuf = ""
        => accepted "STARTTLS is not offered";
    /// Diffie-Hellman parameters for export ciphers, which no longer exist.
    smtpd_tls_dh512_param_file: PathBuf = ""
        => accepted "export ciphers no longer exist";
    /// The strength of elliptic-curve key exchange.
    smtpd_tls_eecdh_grade: Nonblank = "auto"
        => accepted "STARTTLS is not offered";

    /// How much is logged about TLS sessions, 0 to 4.
    smtpd_tls_loglevel: Box<str> = "0"
        => accepted "there are no TLS sessions to log";
    /// How much is logged about TLS sessions, by client name or address.
    smtpd_tls_loglevel_maps: TableList = ""
        => accepted "there are no TLS sessions to log";
    /// Bytes of TLS trace that are kept for one session.
    smtpd_tls_trace_size_limit: u32 = "102400"
        => accepted "there are no TLS sessions to trace";
    /// Received: headers name the TLS version, the cipher and the names in the client's certificate.
    smtpd_tls_received_header: bool = "no"
        => accepted "there are no TLS sessions to describe";

    /// Session ids are given out even where no session can be resumed, which some clients need.
    smtpd_tls_always_issue_session_ids: bool = "yes"
        => accepted "there are no TLS sessions";
    /// The table that keeps TLS sessions for clients that come back.
    smtpd_tls_session_cache_database: Box<str> = ""
        => accepted "there are no TLS sessions to keep";
    /// How long a TLS session can be resumed, and the life of half a session ticket key.
    smtpd_tls_session_cache_timeout: Duration = "3600s", 0..=8_640_000
        => accepted "there are no TLS sessions to keep";
}
