//! Parameters that stand where nobody reads them.

use config::master::Command;
use config::{Configuration, ServiceConfig, Severity};

use super::Findings;

/// What trivial-rewrite alone reads (postfix `src/trivial-rewrite/trivial-rewrite.c`): how an address is completed,
/// of which class its domain is, and where it goes.
const READ_BY_TRIVIAL_REWRITE: &[&str] = &[
    "allow_percent_hack",
    "append_at_myorigin",
    "append_dot_mydomain",
    "default_transport",
    "empty_address_default_transport_maps_lookup_key",
    "empty_address_relayhost_maps_lookup_key",
    "local_transport",
    "relay_domains",
    "relay_transport",
    "relayhost",
    "relocated_maps",
    "resolve_dequoted_address",
    "resolve_null_domain",
    "resolve_numeric_domain",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "swap_bangpath",
    "transport_maps",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
    "virtual_transport",
];

impl Findings {
    /// What stands on the line of a service and does not hold for it.
    pub(super) fn overrides(&mut self, all: &Configuration) {
        self.of_trivial_rewrite(all);
        let base = all.base.log.syslog_facility;
        for one in all.services.iter().filter(|one| one.snapshot.log.syslog_facility != base) {
            let set = one.snapshot.settings().defined("syslog_facility");
            let place = set.map_or(&one.service.position, |set| &set.position);
            self.add(
                Severity::Note,
                format_args!("{place}: syslog_facility: all services have the one of main.cf"),
            );
        }
    }

    /// An SMTP server asks another service about addresses, so that what its own entry says of them does nothing.
    fn of_trivial_rewrite(&mut self, all: &Configuration) {
        for one in all.services.iter().filter(|one| one.service.command == Command::Smtpd) {
            for set in &one.service.overrides {
                if READ_BY_TRIVIAL_REWRITE.contains(&&*set.name) && !is_mentioned(one, &set.name) {
                    self.add(
                        Severity::Warning,
                        format_args!(
                            "{}: {}: {} does not read this, so it has no effect here; {}",
                            set.position,
                            set.name,
                            one.service.name_space(),
                            instead(all, one)
                        ),
                    );
                }
            }
        }
    }
}

/// Another value of the service may have it in it.
fn is_mentioned(one: &ServiceConfig, name: &str) -> bool {
    one.service.overrides.iter().any(|set| set.value.contains('$') && set.value.contains(name))
}

/// Who reads it.
fn instead(all: &Configuration, one: &ServiceConfig) -> String {
    let asked = &*one.snapshot.rewriting.rewrite_service_name;
    let place = match all.find(asked).map(|it| &it.service) {
        Some(it) if it.command == Command::TrivialRewrite => {
            format!("{} at {}", it.name_space(), it.position)
        }
        _ => "main.cf".to_owned(),
    };
    format!(
        "set it in {place}, or, for this server alone, in another trivial-rewrite that its \
         rewrite_service_name names"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    fn said(master_cf: &str) -> Vec<String> {
        let (all, _, place) = read("", master_cf);
        let mut findings = Findings::default();
        findings.overrides(&all);
        let place = format!("{}/", place.path().display());
        let texts = findings.0.into_values().flatten();
        texts.map(|text| text.replace(&place, "")).collect()
    }

    #[test]
    fn what_only_trivial_rewrite_reads_is_said_with_the_place_where_it_belongs() {
        let smtpd = "25 inet n - n - - smtpd\n -o smtpd_banner=x\n -o relayhost=[x]\n";
        assert_eq!(
            said(smtpd),
            [
                "master.cf:3: relayhost: 25/inet does not read this, so it has no effect here; set it in main.cf, or, \
                 for this server alone, in another trivial-rewrite that its rewrite_service_name names"
            ]
        );
        let with_rewrite = format!("{smtpd}rewrite unix - - n - - trivial-rewrite\n");
        let found = said(&with_rewrite);
        assert!(found[0].contains(" set it in rewrite/unix at master.cf:4, "), "{found:?}");
        let own = "25 inet n - n - - smtpd -o rewrite_service_name=own -o transport_maps=static:x\n\
                   own unix - - n - - trivial-rewrite -o transport_maps=static:y\n";
        let found = said(own);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(" set it in own/unix at master.cf:2, "), "{found:?}");
    }

    #[test]
    fn one_facility_is_for_all() {
        let master_cf = "25 inet n - n - - smtpd -o syslog_facility=local3\n\
                         587 inet n - n - - smtpd -o syslog_facility=mail\n";
        assert_eq!(
            said(master_cf),
            ["master.cf:1: syslog_facility: all services have the one of main.cf"]
        );
    }

    #[test]
    fn what_another_value_has_in_it_is_used() {
        let used = "25 inet n - n - - smtpd -o relay_domains=a.example\n \
                    -o smtpd_reject_footer=$relay_domains\n";
        assert_eq!(said(used), [""; 0]);
    }
}
