//! tlsproxy, the process that speaks TLS for postscreen and for reused client connections.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{Nonblank, Word};
use crate::typed::List;

known! {
    /// tlsproxy.
    TLSPROXY;

    /// Whether clients are offered TLS, must use it, or get none, in server sessions through tlsproxy.
    tlsproxy_tls_security_level: Word = "$smtpd_tls_security_level" in ["", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"]
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The file of authorities that client certificates are checked against in server sessions through tlsproxy.
    tlsproxy_tls_CAfile: PathBuf = "$smtpd_tls_CAfile"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The directory of authorities that client certificates are checked against in server sessions through tlsproxy.
    tlsproxy_tls_CApath: PathBuf = "$smtpd_tls_CApath"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// Whether session ids are given out even where no session can be resumed in server sessions through tlsproxy.
    tlsproxy_tls_always_issue_session_ids: bool = "$smtpd_tls_always_issue_session_ids"
        => accepted "TLS is no process of its own here, and there is no TLS yet";
    /// Whether clients are asked for a certificate in server sessions through tlsproxy.
    tlsproxy_tls_ask_ccert: bool = "$smtpd_tls_ask_ccert"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// Whether clients must show a certificate in server sessions through tlsproxy.
    tlsproxy_tls_req_ccert: bool = "$smtpd_tls_req_ccert"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// How many certificates may stand between the client's and the authority's in server sessions through tlsproxy.
    tlsproxy_tls_ccert_verifydepth: u32 = "$smtpd_tls_ccert_verifydepth"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The RSA certificate in server sessions through tlsproxy.
    tlsproxy_tls_cert_file: PathBuf = "$smtpd_tls_cert_file"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The key of the RSA certificate in server sessions through tlsproxy.
    tlsproxy_tls_key_file: PathBuf = "$smtpd_tls_key_file"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The files of keys and certificate chains in server sessions through tlsproxy.
    tlsproxy_tls_chain_files: List = "$smtpd_tls_chain_files"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The DSA certificate in server sessions through tlsproxy.
    tlsproxy_tls_dcert_file: PathBuf = "$smtpd_tls_dcert_file"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The key of the DSA certificate in server sessions through tlsproxy.
    tlsproxy_tls_dkey_file: PathBuf = "$smtpd_tls_dkey_file"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The ECDSA certificate in server sessions through tlsproxy.
    tlsproxy_tls_eccert_file: PathBuf = "$smtpd_tls_eccert_file"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The key of the ECDSA certificate in server sessions through tlsproxy.
    tlsproxy_tls_eckey_file: PathBuf = "$smtpd_tls_eckey_file"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The Diffie-Hellman parameters in server sessions through tlsproxy.
    tlsproxy_tls_dh1024_param_file: PathBuf = "$smtpd_tls_dh1024_param_file"
        => accepted "TLS is no process of its own here, and there is no TLS yet";
    /// The Diffie-Hellman parameters for export ciphers in server sessions through tlsproxy.
    tlsproxy_tls_dh512_param_file: PathBuf = "$smtpd_tls_dh512_param_file"
        => accepted "TLS is no process of its own here, and there is no TLS yet";
    /// The strength of elliptic-curve key exchange in server sessions through tlsproxy.
    tlsproxy_tls_eecdh_grade: Nonblank = "$smtpd_tls_eecdh_grade"
        => accepted "TLS is no process of its own here, and there is no TLS yet";
    /// Whether clients may show a bare public key in server sessions through tlsproxy.
    tlsproxy_tls_enable_rpk: bool = "$smtpd_tls_enable_rpk"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The digest of fingerprints in server sessions through tlsproxy.
    tlsproxy_tls_fingerprint_digest: Nonblank = "$smtpd_tls_fingerprint_digest"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The least strength of ciphers where TLS is optional in server sessions through tlsproxy.
    tlsproxy_tls_ciphers: Nonblank = "$smtpd_tls_ciphers"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The least strength of ciphers where TLS is mandatory in server sessions through tlsproxy.
    tlsproxy_tls_mandatory_ciphers: Nonblank = "$smtpd_tls_mandatory_ciphers"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// Ciphers that are never used in server sessions through tlsproxy.
    tlsproxy_tls_exclude_ciphers: List = "$smtpd_tls_exclude_ciphers"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// Ciphers that are not used where TLS is mandatory in server sessions through tlsproxy.
    tlsproxy_tls_mandatory_exclude_ciphers: List = "$smtpd_tls_mandatory_exclude_ciphers"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// TLS versions where TLS is optional in server sessions through tlsproxy.
    tlsproxy_tls_protocols: Box<str> = "$smtpd_tls_protocols"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// TLS versions where TLS is mandatory in server sessions through tlsproxy.
    tlsproxy_tls_mandatory_protocols: Box<str> = "$smtpd_tls_mandatory_protocols"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// How much is logged about TLS sessions in server sessions through tlsproxy.
    tlsproxy_tls_loglevel: Box<str> = "$smtpd_tls_loglevel"
        => accepted "TLS is no process of its own here, and there is no TLS yet";
    /// The older way to offer TLS in server sessions through tlsproxy.
    tlsproxy_use_tls: bool = "$smtpd_use_tls"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// The older way to insist on TLS in server sessions through tlsproxy.
    tlsproxy_enforce_tls: bool = "$smtpd_enforce_tls"
        => unsupported "TLS is no process of its own here, and there is no TLS yet";
    /// How long TLS sessions through tlsproxy can be resumed, until release 2.10.
    tlsproxy_tls_session_cache_timeout: Duration = "$smtpd_tls_session_cache_timeout"
        => accepted "no release since 2.11 reads it";

    /// The service that speaks TLS for others.
    tlsproxy_service_name: Nonblank = "tlsproxy"
        => accepted "TLS is no process of its own here, and there is no TLS yet";
    /// How long tlsproxy may be busy with one thing before it is restarted.
    tlsproxy_watchdog_timeout: Duration = "10s", 10..=INT_MAX
        => accepted "TLS is no process of its own here, and there is no TLS yet";
}
