//! TLS of servers and clients alike: ciphers, curves, randomness, the processes that do the work.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::known;
use crate::syntax::{Nonblank, TableList, Word};
use crate::typed::List;

known! {
    /// What TLS is made of, for servers and clients.
    TLS;

    /// The file with settings for OpenSSL: default, none or a path.
    tls_config_file: Nonblank = "default"
        => accepted "OpenSSL is not used";
    /// The part of that file that holds for mail.
    tls_config_name: Box<str> = ""
        => accepted "OpenSSL is not used";
    /// The ciphers of the grade high.
    tls_high_cipherlist: Nonblank = "aNULL:-aNULL:HIGH:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:@STRENGTH"
        => unsupported "there is no TLS";
    /// The ciphers of the grade medium.
    tls_medium_cipherlist: Nonblank = "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH"
        => unsupported "there is no TLS";
    /// The ciphers of the grade null, which prove who sends and hide nothing.
    tls_null_cipherlist: Nonblank = "eNULL:!kDH:!kECDH:!aDSS:!MD5:!aNULL"
        => unsupported "there is no TLS";
    /// The ciphers of the grade low, which is the grade medium now.
    tls_low_cipherlist: Box<str> = ""
        => accepted "Postfix takes the grade low for medium";
    /// The ciphers of the grade export, which is the grade medium now.
    tls_export_cipherlist: Box<str> = ""
        => accepted "Postfix takes the grade export for medium";
    /// The server's order of ciphers counts, not the client's.
    tls_preempt_cipherlist: bool = "no"
        => unsupported "there is no TLS";
    /// Curves and other ways to agree on a key, best first.
    tls_eecdh_auto_curves: Box<str> = "?X25519MLKEM768:DEFAULT"
        => unsupported "there is no TLS";
    /// The curve of the grade strong.
    tls_eecdh_strong_curve: Box<str> = "prime256v1"
        => accepted "Postfix takes every grade for auto";
    /// The curve of the grade ultra.
    tls_eecdh_ultra_curve: Box<str> = "secp384r1"
        => accepted "Postfix takes every grade for auto";
    /// Groups of plain Diffie-Hellman, best first.
    tls_ffdhe_auto_groups: Box<str> = ""
        => unsupported "there is no TLS";
    /// Options of OpenSSL that are switched on.
    tls_ssl_options: List = ""
        => unsupported "there is no TLS";
    /// Kindnesses of OpenSSL to faulty peers that are switched off.
    tls_disable_workarounds: List = ""
        => accepted "OpenSSL is not used";
    /// Authorities that the system trusts are trusted beside those that are named.
    tls_append_default_CA: bool = "no"
        => unsupported "there is no TLS";
    /// A certificate that says it is for servers will do for a client.
    tls_trust_server_ccerts: bool = "no"
        => unsupported "there is no TLS";
    /// The star in the name of a certificate stands for more than one label.
    tls_wildcard_matches_multiple_labels: bool = "yes"
        => unsupported "there is no TLS";
    /// Keys and certificates of the server for a name that clients ask for.
    tls_server_sni_maps: TableList = ""
        => unsupported "there is no TLS";
    /// The cipher that session tickets are made with; none where it is empty.
    tls_session_ticket_cipher: Box<str> = "aes-256-cbc"
        => accepted "there are no sessions with TLS to take up again";
    /// A connection ends without waiting for the peer to end TLS.
    tls_fast_shutdown_enable: bool = "yes"
        => accepted "there are no sessions with TLS to end";
    /// Digests of TLSA records, best first.
    tls_dane_digests: List = "sha512 sha256"
        => unsupported "there is no TLS";
    /// Of the digests that a host has TLSA records with, only the best counts.
    tls_dane_digest_agility: Word = "on" in ["on", "off", "maybe"]
        => accepted "Postfix has not looked at it since 3.2";
    /// TLSA records may hold the digest of an authority.
    tls_dane_trust_anchor_digest_enable: bool = "yes"
        => accepted "Postfix has not looked at it since 3.2";
    /// Fingerprints of keys are made as a faulty release made them.
    tls_legacy_public_key_fingerprints: bool = "no"
        => accepted "Postfix has not looked at it since 3.9";
    /// Traces of sessions that are written in anvil_rate_time_unit; 0 is no limit.
    tls_trace_rate_limit: i32 = "1"
        => accepted "there are no sessions with TLS to tell of";
    /// The program that makes keys for the command `postfix tls`.
    openssl_path: Nonblank = "openssl"
        => accepted "there is no command that needs it";
}

known! {
    /// Where the randomness of TLS comes from in Postfix.
    RANDOMNESS;

    /// The service that keeps sessions and randomness.
    tlsmgr_service_name: Nonblank = "tlsmgr"
        => accepted "there is no service for it";
    /// Where randomness comes from: dev:, egd: or a file.
    tls_random_source: Box<str> = "dev:/dev/urandom"
        => accepted "randomness comes from the kernel";
    /// Bytes that are taken from that source at once.
    tls_random_bytes: u32 = "32", 1..=u64::MAX
        => accepted "randomness comes from the kernel";
    /// The file that randomness is kept in between starts.
    tls_random_exchange_name: PathBuf = "${data_directory}/prng_exch"
        => accepted "randomness comes from the kernel";
    /// How often that file is written.
    tls_random_prng_update_period: Duration = "3600s", 1..=u64::MAX
        => accepted "randomness comes from the kernel";
    /// The longest time until more is taken from the source.
    tls_random_reseed_period: Duration = "3600s", 1..=u64::MAX
        => accepted "randomness comes from the kernel";
    /// Bytes of randomness that a process asks for.
    tls_daemon_random_bytes: u32 = "32", 1..=u64::MAX
        => accepted "randomness comes from the kernel";
}

// They follow the SMTP client's; what differs is where the work is done.
known! {
    /// TLS of connections that are kept open, which Postfix does in a process of its own.
    TLSPROXY_CLIENT;

    /// How much TLS is wanted.
    tlsproxy_client_security_level: Word = "${tlsproxy_client_level?{$tlsproxy_client_level}:{$smtp_tls_security_level}}"
        in ["", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"]
        => accepted "there is no process for it";
    /// The older name of tlsproxy_client_security_level.
    tlsproxy_client_level: Word = ""
        in ["", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"]
        => accepted "there is no process for it";
    /// TLS is used where a server offers it.
    tlsproxy_client_use_tls: bool = "$smtp_use_tls"
        => accepted "there is no process for it";
    /// Mail is sent by TLS or not at all.
    tlsproxy_client_enforce_tls: bool = "$smtp_enforce_tls"
        => accepted "there is no process for it";
    /// Tables with how much TLS is wanted for a destination.
    tlsproxy_client_policy_maps: TableList = "${tlsproxy_client_policy?{$tlsproxy_client_policy}:{$smtp_tls_policy_maps}}"
        => accepted "there is no process for it";
    /// The older name of tlsproxy_client_policy_maps.
    tlsproxy_client_policy: TableList = ""
        => accepted "there is no process for it";
    /// Tables with how much TLS is wanted for a destination or host, in an older form.
    tlsproxy_client_per_site: TableList = "$smtp_tls_per_site"
        => accepted "there is no process for it";
    /// The file with the authorities that are trusted.
    tlsproxy_client_CAfile: PathBuf = "$smtp_tls_CAfile"
        => accepted "there is no process for it";
    /// The directory with the authorities that are trusted.
    tlsproxy_client_CApath: PathBuf = "$smtp_tls_CApath"
        => accepted "there is no process for it";
    /// How many authorities a certificate may go through.
    tlsproxy_client_scert_verifydepth: u32 = "$smtp_tls_scert_verifydepth"
        => accepted "there is no process for it";
    /// The digest that fingerprints are made with.
    tlsproxy_client_fingerprint_digest: Nonblank = "$smtp_tls_fingerprint_digest"
        => accepted "there is no process for it";
    /// Files with keys and the certificates that go with them.
    tlsproxy_client_chain_files: List = "$smtp_tls_chain_files"
        => accepted "there is no process for it";
    /// The certificate for RSA.
    tlsproxy_client_cert_file: PathBuf = "$smtp_tls_cert_file"
        => accepted "there is no process for it";
    /// The key of tlsproxy_client_cert_file.
    tlsproxy_client_key_file: PathBuf = "$smtp_tls_key_file"
        => accepted "there is no process for it";
    /// The certificate for ECDSA.
    tlsproxy_client_eccert_file: PathBuf = "$smtp_tls_eccert_file"
        => accepted "there is no process for it";
    /// The key of tlsproxy_client_eccert_file.
    tlsproxy_client_eckey_file: PathBuf = "$smtp_tls_eckey_file"
        => accepted "there is no process for it";
    /// The certificate for DSA, which is out of use.
    tlsproxy_client_dcert_file: PathBuf = "$smtp_tls_dcert_file"
        => accepted "there is no process for it";
    /// The key of tlsproxy_client_dcert_file.
    tlsproxy_client_dkey_file: PathBuf = "$smtp_tls_dkey_file"
        => accepted "there is no process for it";
    /// How much about TLS is in the log.
    tlsproxy_client_loglevel: List = "$smtp_tls_loglevel"
        => accepted "there is no process for it";
    /// The parameter that tlsproxy_client_loglevel comes from.
    tlsproxy_client_loglevel_parameter: Box<str> = "smtp_tls_loglevel"
        => accepted "Postfix has not looked at it since 3.12";
}
