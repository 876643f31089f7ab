//! Names that Postfix is giving up, and what it has instead: `check` and `postconf` say so.

use std::fmt;

/// What to do instead of setting an old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Set this one.
    Instead(&'static str),
    /// Do not set it.
    DoNot,
    /// Its default is right.
    LeaveDefault,
}

use Advice::{DoNot, Instead, LeaveDefault};

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Instead(name) => write!(f, "specify \"{name}\""),
            DoNot => f.write_str("do not specify"),
            LeaveDefault => f.write_str("do not specify (leave at default)"),
        }
    }
}

/// Deprecated as of Postfix 3.12 (`src/postconf/postconf_unused.c`, DEPRECATION_README).
const OLD: &[(&str, Advice)] = &[
    ("disable_dns_lookups", Instead("smtp_dns_support_level")),
    ("lmtp_use_tls", Instead("lmtp_tls_security_level")),
    ("postscreen_use_tls", Instead("postscreen_tls_security_level")),
    ("smtp_use_tls", Instead("smtp_tls_security_level")),
    ("smtpd_use_tls", Instead("smtpd_tls_security_level")),
    ("tlsproxy_client_use_tls", Instead("tlsproxy_client_security_level")),
    ("tlsproxy_use_tls", Instead("tlsproxy_tls_security_level")),
    ("lmtp_enforce_tls", Instead("lmtp_tls_security_level")),
    ("postscreen_enforce_tls", Instead("postscreen_tls_security_level")),
    ("smtp_enforce_tls", Instead("smtp_tls_security_level")),
    ("smtpd_enforce_tls", Instead("smtpd_tls_security_level")),
    ("tlsproxy_client_enforce_tls", Instead("tlsproxy_client_security_level")),
    ("tlsproxy_enforce_tls", Instead("tlsproxy_tls_security_level")),
    ("lmtp_tls_per_site", Instead("lmtp_tls_policy_maps")),
    ("smtp_tls_per_site", Instead("smtp_tls_policy_maps")),
    ("tlsproxy_client_per_site", Instead("tlsproxy_client_policy_maps")),
    ("smtpd_tls_dh1024_param_file", LeaveDefault),
    ("smtpd_tls_eecdh_grade", LeaveDefault),
    ("authorized_verp_clients", Instead("smtpd_authorized_verp_clients")),
    ("fallback_relay", Instead("smtp_fallback_relay")),
    ("lmtp_per_record_deadline", Instead("lmtp_per_request_deadline")),
    ("lmtp_tls_enforce_peername", Instead("lmtp_tls_security_level")),
    ("postscreen_blacklist_action", Instead("postscreen_denylist_action")),
    ("postscreen_dnsbl_ttl", Instead("postscreen_dnsbl_max_ttl")),
    ("postscreen_dnsbl_whitelist_threshold", Instead("postscreen_dnsbl_allowlist_threshold")),
    ("postscreen_whitelist_interfaces", Instead("postscreen_allowlist_interfaces")),
    ("smtpd_client_connection_limit_exceptions", Instead("smtpd_client_event_limit_exceptions")),
    ("smtpd_per_record_deadline", Instead("smtpd_per_request_deadline")),
    ("smtp_per_record_deadline", Instead("smtp_per_request_deadline")),
    ("smtp_tls_enforce_peername", Instead("smtp_tls_security_level")),
    ("tlsproxy_client_level", Instead("tlsproxy_client_security_level")),
    ("tlsproxy_client_policy", Instead("tlsproxy_client_policy_maps")),
    ("virtual_maps", Instead("virtual_alias_maps")),
    ("lmtp_cname_overrides_servername", DoNot),
    ("smtp_cname_overrides_servername", DoNot),
    ("tlsproxy_client_loglevel_parameter", DoNot),
];

/// Names that count where they are set, and that nobody else has to know: the defaults of newer parameters
/// have them (`src/postconf/postconf_builtin.c`).
const LEGACY: &[&str] = &[
    "virtual_maps",
    "fallback_relay",
    "authorized_verp_clients",
    "smtpd_client_connection_limit_exceptions",
    "postscreen_dnsbl_ttl",
    "postscreen_blacklist_action",
    "postscreen_dnsbl_whitelist_threshold",
    "postscreen_whitelist_interfaces",
    "lmtp_per_record_deadline",
    "smtp_per_record_deadline",
    "smtpd_per_record_deadline",
    "tlsproxy_client_level",
    "tlsproxy_client_policy",
];

/// Names that Postfix 3.12 has no more. They have rows, so that `check` can say what they meant.
const REMOVED: &[&str] = &[
    "enable_errors_to",
    "extract_recipient_limit",
    "lmtp_cache_connection",
    "sender_based_routing",
    "smtp_skip_4xx_greeting",
    "smtp_tls_cipherlist",
    "smtpd_sasl_application_name",
    "smtpd_tls_cipherlist",
    "tls_dane_digest_agility",
    "tls_dane_trust_anchor_digest_enable",
    "tls_legacy_public_key_fingerprints",
    "tlsproxy_client_loglevel_parameter",
    "tlsproxy_tls_session_cache_timeout",
];

/// Whether a name is one of those that only count where they are set.
pub fn is_legacy(name: &str) -> bool {
    LEGACY.contains(&name)
}

/// Whether Postfix has a name no more.
pub fn is_removed(name: &str) -> bool {
    REMOVED.contains(&name)
}

/// What to do instead of setting this one; `None` where it is no old name.
pub fn advice(name: &str) -> Option<Advice> {
    OLD.iter().find(|(old, _)| *old == name).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_have_rows() {
        for old in LEGACY.iter().chain(REMOVED) {
            assert!(crate::rows().any(|row| row.name == *old), "{old}");
        }
    }

    #[test]
    fn what_is_to_be_set_instead_is_a_parameter_and_not_old_itself() {
        for (old, advice) in OLD {
            // Otherwise `check` takes it for a misspelling.
            assert!(crate::rows().any(|row| row.name == *old), "{old}");
            if let Instead(name) = advice {
                assert!(crate::rows().any(|row| row.name == *name), "{old}: {name}");
                assert_eq!(super::advice(name), None, "{old}");
            }
        }
    }
}
