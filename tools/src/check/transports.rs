//! Transports that parameters name and nobody is behind.

use std::collections::BTreeSet;

use config::{Configuration, Severity, Snapshot, Transport};

use super::Findings;
use crate::routes::{CONCURRENCY_LIMIT, RECIPIENT_LIMIT, delivers, is_said};

impl Findings {
    /// Mail for a transport that master.cf lacks, or that has no agent here, waits; it is never bounced. Defaults
    /// are told of only where somebody uses them: that a host that sends nothing elsewhere cannot is no
    /// news.
    pub(super) fn transports(&mut self, all: &Configuration) {
        let mut said = BTreeSet::new();
        let snapshots = all.services.iter().map(|one| &*one.snapshot);
        for snapshot in std::iter::once(&*all.base).chain(snapshots) {
            for (parameter, transport, used) in named(snapshot) {
                let Some(why) = missing(all, &transport.name) else { continue };
                let defined = snapshot.settings().defined(parameter);
                let place = match defined {
                    Some(defined) => format!("{}: {parameter}", defined.position),
                    None if used => format!("{parameter} has its default"),
                    None => continue,
                };
                // A filter takes what was accepted, whoever it is for.
                let follows = match parameter {
                    "content_filter" => "mail is accepted, and waits for it",
                    _ => "mail for it is deferred (451)",
                };
                let text = format!("{place}: {why}; {follows}");
                let severity = if used { Severity::Error } else { Severity::Note };
                if said.insert(text.clone()) {
                    self.add(severity, text);
                }
            }
        }
    }
}

impl Findings {
    /// With one recipient a delivery, a limit of deliveries to a destination is one to each recipient, in Postfix as
    /// here. Who wants to spare what stands behind the transport means all of them.
    pub(super) fn limits_of_recipients(&mut self, all: &Configuration) {
        let settings = all.base.settings();
        let transports = all.services.iter().filter(|one| one.service.command.is_transport());
        for name in transports.map(|one| &*one.service.name) {
            let recipients = settings.of_service::<usize>(name, RECIPIENT_LIMIT);
            if recipients != Ok(1) || !is_said(&all.base, name, CONCURRENCY_LIMIT) {
                continue;
            }
            let parameter = [name, "default"].map(|it| format!("{it}{CONCURRENCY_LIMIT}"));
            let Some(defined) = parameter.iter().find_map(|it| settings.defined(it)) else {
                continue;
            };
            self.add(
                Severity::Warning,
                format_args!(
                    "{}: {}: with {name}{RECIPIENT_LIMIT} = 1 it limits the deliveries to each recipient, not \
                     those to a domain; maxproc in master.cf limits all of {name}",
                    defined.position, defined.name
                ),
            );
        }
    }
}

/// Parameters that name a transport, the transport, and whether there may be mail for it.
fn named(snapshot: &Snapshot) -> Vec<(&'static str, Transport, bool)> {
    let (routing, classes) = (&snapshot.routing, &snapshot.classes);
    let is_defined = |parameter| snapshot.settings().defined(parameter).is_some();
    let mut named = vec![
        // With the class of domains that has no other way; of mydestination more is said elsewhere.
        (
            "virtual_transport",
            routing.virtual_transport.clone(),
            !snapshot.mailbox.virtual_mailbox_domains.is_empty(),
        ),
        (
            "relay_transport",
            routing.relay_transport.clone(),
            is_defined("relay_domains") && !classes.relay_domains.is_empty(),
        ),
        (
            "default_transport",
            routing.default_transport.clone(),
            is_defined("default_transport") || !routing.relayhost.is_empty(),
        ),
    ];
    if let Some(filter) = Transport::parse(&snapshot.content.content_filter) {
        named.push(("content_filter", filter, true));
    }
    named
}

/// Why nobody delivers, if so.
pub(super) fn missing(all: &Configuration, name: &str) -> Option<String> {
    match all.find(name).map(|one| &one.service.command) {
        None => Some(format!("master.cf has no service {name} of type unix")),
        Some(command) if !command.is_transport() => {
            Some(format!("{name} is no transport in master.cf but a {command}"))
        }
        Some(command) if !delivers(command) => {
            Some(format!("{name} in master.cf is served by {command}, which is not there yet"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const MASTER_CF: &str = "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\n\
                             virtual unix - n n - - virtual\nerror unix - - n - - error\n";

    fn said(main_cf: &str, master_cf: &str) -> Vec<String> {
        let (all, _, _place) = read(main_cf, master_cf);
        let mut findings = Findings::default();
        findings.transports(&all);
        let texts = findings.0.into_iter().flat_map(|(severity, texts)| {
            texts.into_iter().map(move |text| {
                let text = text.rsplit_once('/').map_or(text.clone(), |(_, text)| text.to_owned());
                format!("{}: {text}", severity.word())
            })
        });
        texts.collect()
    }

    #[test]
    fn transports_that_are_not_there_are_said_with_their_lines() {
        let found = said(
            "virtual_mailbox_domains = example.com\nvirtual_transport = lmpt:unix:x\n\
             default_transport = smtp\nrelay_domains = example.org\n",
            MASTER_CF,
        );
        assert_eq!(
            found,
            [
                "error: main.cf:5: virtual_transport: master.cf has no service lmpt of type unix; mail \
                 for it is deferred (451)",
                "error: relay_transport has its default: master.cf has no service relay of type unix; \
                 mail for it is deferred (451)",
                "error: main.cf:6: default_transport: smtp in master.cf is served by smtp, which is not there \
                 yet; mail for it is deferred (451)",
            ]
        );
    }

    #[test]
    fn a_filter_of_one_service_is_said_once_where_it_is_set() {
        let master_cf = format!(
            "{MASTER_CF}587 inet n - n - - smtpd -o content_filter=amavis:[127.0.0.1]:10024\n\
             cleanup unix n - n - 0 cleanup\n"
        );
        assert_eq!(
            said("", &master_cf),
            [
                "error: master.cf:5: content_filter: master.cf has no service amavis of type unix; mail \
                 is accepted, and waits for it"
            ]
        );
        assert_eq!(
            said("content_filter = cleanup:\n", &master_cf)[0],
            "error: main.cf:4: content_filter: cleanup is no transport in master.cf but a cleanup; mail \
             is accepted, and waits for it"
        );
    }

    #[test]
    fn what_nobody_uses_is_no_error() {
        assert_eq!(said("", MASTER_CF), [""; 0]);
        assert_eq!(said("virtual_transport = away\n", MASTER_CF).len(), 1);
        assert!(said("virtual_transport = away\n", MASTER_CF)[0].starts_with("note: "));
        let served = "virtual_mailbox_domains = example.com\nrelay_domains = example.org\n\
                      relay_transport = error:no\n";
        assert_eq!(said(served, MASTER_CF), [""; 0]);
    }

    #[test]
    fn a_limit_that_is_one_of_recipients_is_said() {
        let said = |main_cf: &str| -> Vec<String> {
            let (all, ..) = read(main_cf, MASTER_CF);
            let mut findings = Findings::default();
            findings.limits_of_recipients(&all);
            findings.0.into_values().flatten().collect()
        };
        assert_eq!(said("virtual_destination_concurrency_limit = 1\n"), [""; 0]);
        assert_eq!(said("virtual_destination_recipient_limit = 1\n"), [""; 0]);
        let found = said(
            "virtual_destination_recipient_limit = 1\nvirtual_destination_concurrency_limit = 4\n",
        );
        let [only] = &found[..] else { panic!("{found:#?}") };
        let expected = "main.cf:5: virtual_destination_concurrency_limit: with \
                        virtual_destination_recipient_limit = 1 it limits the deliveries to each recipient, not \
                        those to a domain; maxproc in master.cf limits all of virtual";
        assert!(only.ends_with(expected), "{only}");
    }
}
