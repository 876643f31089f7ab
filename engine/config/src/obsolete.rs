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

/// What to do instead of setting this one; `None` where it is no old name.
pub fn advice(name: &str) -> Option<Advice> {
    OLD.iter().find(|(old, _)| *old == name).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

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
