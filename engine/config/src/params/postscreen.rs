//! postscreen, which sends zombies away before they reach an SMTP server. There is none yet.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{NameList, Nonblank, Raw, TableList, Word};
use crate::typed::{List, Stress};

known! {
    /// postscreen.
    POSTSCREEN;

    /// Clients that are let through or turned away without a test: permit_mynetworks, and tables that say permit, reject or dunno.
    postscreen_access_list: List = "permit_mynetworks"
        => unsupported "there is no postscreen: clients are not screened";
    /// What is done about a client that postscreen_access_list rejects.
    postscreen_denylist_action: Word = "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}" in ["ignore", "enforce", "drop", "continue"]
        => unsupported "there is no postscreen: clients are not screened";
    /// The older name of postscreen_denylist_action.
    postscreen_blacklist_action: Box<str> = ""
        => unsupported "there is no postscreen: clients are not screened";
    /// Addresses of this host where a new client can pass the tests; at others it is always told to come back.
    postscreen_allowlist_interfaces: NameList = "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}"
        => unsupported "there is no postscreen: clients are not screened";
    /// The older name of postscreen_allowlist_interfaces.
    postscreen_whitelist_interfaces: Box<str> = ""
        => unsupported "there is no postscreen: clients are not screened";

    /// How long a client must hold its tongue before the greeting, and block lists have to answer.
    postscreen_greet_wait: Stress<Duration> = "${stress?{2}:{6}}s", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// The first half of a greeting in two halves, which makes hasty clients speak too early; empty has none.
    postscreen_greet_banner: Box<str> = "$smtpd_banner"
        => unsupported "there is no postscreen: clients are not screened";
    /// What is done about a client that speaks before the greeting.
    postscreen_greet_action: Word = "ignore" in ["ignore", "enforce", "drop", "continue"]
        => unsupported "there is no postscreen: clients are not screened";
    /// How long it is remembered that a client waited for the greeting.
    postscreen_greet_ttl: Duration = "1d", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";

    /// DNS block and allow lists that the client is looked up in, with filters and weights.
    postscreen_dnsbl_sites: Raw = ""
        => unsupported "there is no postscreen: clients are not screened";
    /// The sum of weights from which on a client is blocked.
    postscreen_dnsbl_threshold: u32 = "1", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// The negative sum of weights at which a client needs no further test; 0 is none.
    postscreen_dnsbl_allowlist_threshold: i32 = "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}"
        => unsupported "there is no postscreen: clients are not screened";
    /// The older name of postscreen_dnsbl_allowlist_threshold.
    postscreen_dnsbl_whitelist_threshold: Box<str> = ""
        => unsupported "there is no postscreen: clients are not screened";
    /// What is done about a client that is blocked by its sum of weights.
    postscreen_dnsbl_action: Word = "ignore" in ["ignore", "enforce", "drop", "continue"]
        => unsupported "there is no postscreen: clients are not screened";
    /// The longest time that a result of the block lists is remembered.
    postscreen_dnsbl_max_ttl: Duration = "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// The shortest time that a result of the block lists is remembered.
    postscreen_dnsbl_min_ttl: Duration = "60s", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// The older name of postscreen_dnsbl_max_ttl.
    postscreen_dnsbl_ttl: Box<str> = ""
        => unsupported "there is no postscreen: clients are not screened";
    /// Names to be put into replies for block lists whose own name holds a password.
    postscreen_dnsbl_reply_map: TableList = ""
        => unsupported "there is no postscreen: clients are not screened";
    /// How long a block list may take to answer.
    postscreen_dnsbl_timeout: Duration = "10s", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";

    /// New clients are tested for commands that they send ahead without having been offered PIPELINING.
    postscreen_pipelining_enable: bool = "no"
        => unsupported "there is no postscreen: clients are not screened";
    /// What is done about a client that fails this test.
    postscreen_pipelining_action: Word = "enforce" in ["ignore", "enforce", "drop", "continue"]
        => unsupported "there is no postscreen: clients are not screened";
    /// How long it is remembered that a client passed this test.
    postscreen_pipelining_ttl: Duration = "30d", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// New clients are tested for commands that no mail client sends.
    postscreen_non_smtp_command_enable: bool = "no"
        => unsupported "there is no postscreen: clients are not screened";
    /// What is done about a client that fails this test.
    postscreen_non_smtp_command_action: Word = "drop" in ["ignore", "enforce", "drop", "continue"]
        => unsupported "there is no postscreen: clients are not screened";
    /// How long it is remembered that a client passed this test.
    postscreen_non_smtp_command_ttl: Duration = "30d", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// Commands that no mail client sends.
    postscreen_forbidden_commands: NameList = "$smtpd_forbidden_commands"
        => unsupported "there is no postscreen: clients are not screened";
    /// New clients are tested for lines that end in LF without CR.
    postscreen_bare_newline_enable: bool = "no"
        => unsupported "there is no postscreen: clients are not screened";
    /// What is done about a client that fails this test.
    postscreen_bare_newline_action: Word = "ignore" in ["ignore", "enforce", "drop", "continue"]
        => unsupported "there is no postscreen: clients are not screened";
    /// How long it is remembered that a client passed this test.
    postscreen_bare_newline_ttl: Duration = "30d", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";

    /// Connections of one client to postscreen at a time; 0 is no limit.
    postscreen_client_connection_count_limit: usize = "$smtpd_client_connection_count_limit"
        => unsupported "there is no postscreen: clients are not screened";
    /// Clients that can be under test at a time.
    postscreen_pre_queue_limit: usize = "$default_process_limit", 10..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// Clients that passed and can wait for an SMTP server at a time.
    postscreen_post_queue_limit: usize = "$default_process_limit", 5..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// Commands of one session with postscreen.
    postscreen_command_count_limit: u32 = "20", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// How long a client may take for one command to postscreen.
    postscreen_command_time_limit: Stress<Duration> = "${stress?{10}:{300}}s", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";
    /// smtpd_command_filter for sessions with postscreen.
    postscreen_command_filter: TableList = ""
        => unsupported "there is no postscreen: clients are not screened";
    /// smtpd_helo_required for sessions with postscreen.
    postscreen_helo_required: bool = "$smtpd_helo_required"
        => unsupported "there is no postscreen: clients are not screened";
    /// disable_vrfy_command for sessions with postscreen.
    postscreen_disable_vrfy_command: bool = "$disable_vrfy_command"
        => unsupported "there is no postscreen: clients are not screened";
    /// smtpd_discard_ehlo_keywords for sessions with postscreen.
    postscreen_discard_ehlo_keywords: List = "$smtpd_discard_ehlo_keywords"
        => unsupported "there is no postscreen: clients are not screened";
    /// smtpd_discard_ehlo_keyword_address_maps for sessions with postscreen.
    postscreen_discard_ehlo_keyword_address_maps: TableList = "$smtpd_discard_ehlo_keyword_address_maps"
        => unsupported "there is no postscreen: clients are not screened";
    /// smtpd_reject_footer for sessions with postscreen.
    postscreen_reject_footer: Raw = "$smtpd_reject_footer"
        => unsupported "there is no postscreen: clients are not screened";
    /// smtpd_reject_footer_maps for sessions with postscreen.
    postscreen_reject_footer_maps: TableList = "$smtpd_reject_footer_maps"
        => unsupported "there is no postscreen: clients are not screened";
    /// Characters that values put into the footer of postscreen may have.
    postscreen_expansion_filter: Raw = "$smtpd_expansion_filter"
        => unsupported "there is no postscreen: clients are not screened";
    /// haproxy where a proxy in front of postscreen says who the client is; empty has no proxy.
    postscreen_upstream_proxy_protocol: Word = "" in ["", "haproxy"]
        => unsupported "there is no postscreen, and no PROXY protocol: the proxy is taken for the client";
    /// How long that proxy may take to say so.
    postscreen_upstream_proxy_timeout: Duration = "5s", 1..=INT_MAX
        => unsupported "there is no postscreen: clients are not screened";

    /// The table that remembers which clients passed which tests.
    postscreen_cache_map: TableList = "$default_cache_db_type:$data_directory/postscreen_cache"
        => accepted "there is no postscreen: clients are not screened";
    /// The time between two sweeps of outdated clients out of this table; 0 has none.
    postscreen_cache_cleanup_interval: Duration = "12h"
        => accepted "there is no postscreen: clients are not screened";
    /// How long an outdated client stays in this table.
    postscreen_cache_retention_time: Duration = "7d", 1..=INT_MAX
        => accepted "there is no postscreen: clients are not screened";
    /// How long postscreen may be busy with one thing before it is restarted.
    postscreen_watchdog_timeout: Duration = "10s", 10..=INT_MAX
        => accepted "there is no postscreen: clients are not screened";
    /// The service that postscreen gives clients to that passed.
    smtpd_service_name: Nonblank = "smtpd"
        => accepted "there is no postscreen: clients are not screened";

    /// Whether clients are offered TLS, must use it, or get none, in sessions with postscreen.
    postscreen_tls_security_level: Word = "$smtpd_tls_security_level" in ["", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"]
        => unsupported "there is no postscreen: clients are not screened";
    /// The file of authorities that client certificates are checked against in sessions with postscreen.
    postscreen_tls_CAfile: PathBuf = "$smtpd_tls_CAfile"
        => unsupported "there is no postscreen: clients are not screened";
    /// The directory of authorities that client certificates are checked against in sessions with postscreen.
    postscreen_tls_CApath: PathBuf = "$smtpd_tls_CApath"
        => unsupported "there is no postscreen: clients are not screened";
    /// Whether session ids are given out even where no session can be resumed in sessions with postscreen.
    postscreen_tls_always_issue_session_ids: bool = "$smtpd_tls_always_issue_session_ids"
        => accepted "there is no postscreen: clients are not screened";
    /// Whether clients are asked for a certificate in sessions with postscreen.
    postscreen_tls_ask_ccert: bool = "$smtpd_tls_ask_ccert"
        => unsupported "there is no postscreen: clients are not screened";
    /// Whether clients must show a certificate in sessions with postscreen.
    postscreen_tls_req_ccert: bool = "$smtpd_tls_req_ccert"
        => unsupported "there is no postscreen: clients are not screened";
    /// How many certificates may stand between the client's and the authority's in sessions with postscreen.
    postscreen_tls_ccert_verifydepth: u32 = "$smtpd_tls_ccert_verifydepth"
        => unsupported "there is no postscreen: clients are not screened";
    /// The RSA certificate in sessions with postscreen.
    postscreen_tls_cert_file: PathBuf = "$smtpd_tls_cert_file"
        => unsupported "there is no postscreen: clients are not screened";
    /// The key of the RSA certificate in sessions with postscreen.
    postscreen_tls_key_file: PathBuf = "$smtpd_tls_key_file"
        => unsupported "there is no postscreen: clients are not screened";
    /// The files of keys and certificate chains in sessions with postscreen.
    postscreen_tls_chain_files: List = "$smtpd_tls_chain_files"
        => unsupported "there is no postscreen: clients are not screened";
    /// The DSA certificate in sessions with postscreen.
    postscreen_tls_dcert_file: PathBuf = "$smtpd_tls_dcert_file"
        => unsupported "there is no postscreen: clients are not screened";
    /// The key of the DSA certificate in sessions with postscreen.
    postscreen_tls_dkey_file: PathBuf = "$smtpd_tls_dkey_file"
        => unsupported "there is no postscreen: clients are not screened";
    /// The ECDSA certificate in sessions with postscreen.
    postscreen_tls_eccert_file: PathBuf = "$smtpd_tls_eccert_file"
        => unsupported "there is no postscreen: clients are not screened";
    /// The key of the ECDSA certificate in sessions with postscreen.
    postscreen_tls_eckey_file: PathBuf = "$smtpd_tls_eckey_file"
        => unsupported "there is no postscreen: clients are not screened";
    /// The Diffie-Hellman parameters in sessions with postscreen.
    postscreen_tls_dh1024_param_file: PathBuf = "$smtpd_tls_dh1024_param_file"
        => accepted "there is no postscreen: clients are not screened";
    /// The Diffie-Hellman parameters for export ciphers in sessions with postscreen.
    postscreen_tls_dh512_param_file: PathBuf = "$smtpd_tls_dh512_param_file"
        => accepted "there is no postscreen: clients are not screened";
    /// The strength of elliptic-curve key exchange in sessions with postscreen.
    postscreen_tls_eecdh_grade: Nonblank = "$smtpd_tls_eecdh_grade"
        => accepted "there is no postscreen: clients are not screened";
    /// Whether clients may show a bare public key in sessions with postscreen.
    postscreen_tls_enable_rpk: bool = "$smtpd_tls_enable_rpk"
        => unsupported "there is no postscreen: clients are not screened";
    /// The digest of fingerprints in sessions with postscreen.
    postscreen_tls_fingerprint_digest: Nonblank = "$smtpd_tls_fingerprint_digest"
        => unsupported "there is no postscreen: clients are not screened";
    /// The least strength of ciphers where TLS is optional in sessions with postscreen.
    postscreen_tls_ciphers: Nonblank = "$smtpd_tls_ciphers"
        => unsupported "there is no postscreen: clients are not screened";
    /// The least strength of ciphers where TLS is mandatory in sessions with postscreen.
    postscreen_tls_mandatory_ciphers: Nonblank = "$smtpd_tls_mandatory_ciphers"
        => unsupported "there is no postscreen: clients are not screened";
    /// Ciphers that are never used in sessions with postscreen.
    postscreen_tls_exclude_ciphers: List = "$smtpd_tls_exclude_ciphers"
        => unsupported "there is no postscreen: clients are not screened";
    /// Ciphers that are not used where TLS is mandatory in sessions with postscreen.
    postscreen_tls_mandatory_exclude_ciphers: List = "$smtpd_tls_mandatory_exclude_ciphers"
        => unsupported "there is no postscreen: clients are not screened";
    /// TLS versions where TLS is optional in sessions with postscreen.
    postscreen_tls_protocols: Box<str> = "$smtpd_tls_protocols"
        => unsupported "there is no postscreen: clients are not screened";
    /// TLS versions where TLS is mandatory in sessions with postscreen.
    postscreen_tls_mandatory_protocols: Box<str> = "$smtpd_tls_mandatory_protocols"
        => unsupported "there is no postscreen: clients are not screened";
    /// How much is logged about TLS sessions in sessions with postscreen.
    postscreen_tls_loglevel: Box<str> = "$smtpd_tls_loglevel"
        => accepted "there is no postscreen: clients are not screened";
    /// How much is logged about TLS sessions, by client, in sessions with postscreen.
    postscreen_tls_loglevel_maps: TableList = "$smtpd_tls_loglevel_maps"
        => accepted "there is no postscreen: clients are not screened";
    /// Bytes of TLS trace that are kept in sessions with postscreen.
    postscreen_tls_trace_size_limit: u32 = "$smtpd_tls_trace_size_limit"
        => accepted "there is no postscreen: clients are not screened";
    /// The older way to offer TLS in sessions with postscreen.
    postscreen_use_tls: bool = "$smtpd_use_tls"
        => unsupported "there is no postscreen: clients are not screened";
    /// The older way to insist on TLS in sessions with postscreen.
    postscreen_enforce_tls: bool = "$smtpd_enforce_tls"
        => unsupported "there is no postscreen: clients are not screened";
    /// How long TLS may take to be negotiated with postscreen.
    postscreen_starttls_timeout: Duration = "$smtpd_starttls_timeout", 1..=INT_MAX
        => accepted "there is no postscreen: clients are not screened";
}
