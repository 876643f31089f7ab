//! Names that nobody uses, and names that Postfix is giving up.

use super::space::Space;
use super::warning;

/// What to do instead of setting an old name.
#[derive(Clone, Copy)]
enum Advice {
    /// Set this one.
    Instead(&'static str),
    /// Do not set it.
    DoNot,
    /// Its default is right.
    LeaveDefault,
}

use Advice::{DoNot, Instead, LeaveDefault};

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

fn advice(name: &str) -> Option<Advice> {
    OLD.iter().find(|(old, _)| *old == name).map(|(_, advice)| *advice)
}

/// Warns of main.cf where that is wanted, and of each service.
pub(crate) fn warn(space: &Space, of_main: bool) {
    let mut found_old = false;
    let mut one = |file: &str, name: &str, unused: Option<&str>| {
        let file = space.directory.join(file);
        let file = file.display();
        match (unused, advice(name)) {
            (Some(_), Some(advice)) => {
                found_old = true;
                warning(format_args!(
                    "{file}: support for parameter {name} has been removed; instead, {advice}"
                ));
            }
            (Some(value), None) => {
                warning(format_args!("{file}: unused parameter: {name}={value}"));
            }
            (None, Some(advice)) => {
                found_old = true;
                warning(format_args!(
                    "{file}: support for parameter \"{name}\" will be removed; instead, {advice}"
                ));
            }
            (None, None) => {}
        }
    };
    if of_main {
        let unused = space.unused_in_main();
        for name in space.defined() {
            one("main.cf", name, unused.get(name).copied());
        }
    }
    for service in &space.services {
        let unused = space.unused_in(service);
        for name in service.parameters.keys() {
            one("master.cf", name, unused.get(name.as_str()).copied());
        }
    }
    if found_old {
        warning("See https://www.postfix.org/DEPRECATION_README.html for details");
    }
}
