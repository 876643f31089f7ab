//! `ringpost check`: what is wrong with a configuration, what it does differently here, and what this host
//! allows.

mod overrides;
mod submission_tables;
mod tables;
mod transports;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use config::master::{Command, Kind};
use config::{Configuration, Problem, Severity, Snapshot};
use remote::Remote;
use table::MatchList;

use crate::cli::Check;
use crate::listening::{self, Endpoint};
use crate::settings::Settings;
use crate::{pickup, privilege, stdout, submission};

/// Prints everything worth knowing, worst first. Exit code 1 if mail would not flow as configured.
pub(crate) fn run(options: &Check) -> ExitCode {
    let settings = match Settings::of_host(&options.configuration) {
        Ok(settings) => settings,
        Err(why) => {
            stdout::print(format_args!("error: {why}\n"));
            return ExitCode::FAILURE;
        }
    };
    stdout::print(format_args!("configuration: {}\n", settings.name()));
    let settings = settings.with_hosts();
    let mut findings = Findings::default();
    let mut submission = None;
    match settings.open(&Remote::new()) {
        Ok((all, catalog)) => {
            let away: Vec<String> =
                catalog.troubles().into_iter().map(|(_, why)| why.to_string()).collect();
            findings.problems(all.problems(), &away);
            findings.services(&all);
            findings.endpoints(&settings, &all);
            findings.local_delivery(&all.base);
            findings.transports(&all);
            findings.transport_tables(&all);
            findings.limits_of_recipients(&all);
            findings.overrides(&all);
            findings.owner(&settings, &all.base);
            findings.pickup(&all);
            findings.submission_tables(&all.base);
            submission = all.base.settings().text("setgid_group").ok();
        }
        Err(problems) => findings.problems(&problems, &[]),
    }
    stdout::print(format_args!(
        "{}{}\n{}\n",
        findings.report(),
        host(submission.as_deref()),
        findings.summary()
    ));
    if findings.mail_differs() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What was found, each group in the order of the files.
#[derive(Default)]
struct Findings(BTreeMap<Severity, Vec<String>>);

impl Findings {
    fn add(&mut self, severity: Severity, text: impl Display) {
        self.0.entry(severity).or_default().push(text.to_string());
    }

    /// A server starts with a table that is away and defers what needs it; whoever asks whether all is well
    /// is told that it is not. The cause names the command that makes it.
    fn problems(&mut self, problems: &[Problem], away: &[String]) {
        for problem in problems {
            // Behind the cause may stand for which service it is so.
            let is_away = away.iter().any(|why| {
                let rest = problem.cause.strip_prefix(why.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
            });
            self.add(if is_away { Severity::Error } else { problem.severity }, problem);
        }
    }

    /// Ports that are served otherwise than master.cf says, or by nobody. What is no program at all, or does
    /// not belong behind a port, was said when the file was read.
    fn services(&mut self, all: &Configuration) {
        for one in all.servers().filter(|one| matches!(one.service.kind, Kind::Inet(_))) {
            let service = &one.service;
            let name = service.name_space();
            let place = format!("{}: {name}", service.position);
            match (&service.command, listening::serving(all, &name)) {
                (Command::Postscreen, Some(behind)) => self.add(
                    Severity::Differs,
                    format_args!(
                        "{place}: there is no postscreen yet: clients are passed on to {} at {} \
                         without its tests",
                        behind.service.name_space(),
                        behind.service.position
                    ),
                ),
                (Command::Postscreen, None) => self.add(
                    Severity::Error,
                    format_args!(
                        "{place}: there is no postscreen yet, and no smtpd of type pass to serve its \
                         clients, so nobody listens there; expected an entry such as \"smtpd pass - - \
                         n - - smtpd\""
                    ),
                ),
                (command, None) if command.serves_network() && !is_unknown(command) => self.add(
                    Severity::Differs,
                    format_args!(
                        "{place}: not supported: there is no {command} yet, so nobody listens there"
                    ),
                ),
                _ => {}
            }
        }
    }

    fn endpoints(&mut self, settings: &Settings, all: &Configuration) {
        match Endpoint::all(settings, all) {
            Ok(endpoints) if endpoints.is_empty() => {
                let why = "no SMTP server listens anywhere: there is no smtpd of type inet among the \
                           services";
                self.add(Severity::Warning, why);
            }
            Ok(_) => {}
            Err(why) => self.add(Severity::Error, why),
        }
    }

    /// What is configured and not there yet.
    fn local_delivery(&mut self, snapshot: &Snapshot) {
        let set = |list: &MatchList| !list.is_empty();
        if !set(&snapshot.site.mydestination) {
            return;
        }
        match snapshot.settings().defined("mydestination") {
            None => self.add(
                Severity::Note,
                "mydestination has its default; there is no local delivery yet, so mail for these \
                 domains is deferred unless virtual_mailbox_domains has them, too",
            ),
            Some(defined) => self.add(
                Severity::Error,
                format_args!(
                    "{}: mydestination: there is no local delivery yet; mail for these domains is \
                     deferred (451) unless virtual_mailbox_domains has them, too",
                    defined.position
                ),
            ),
        }
        if snapshot.settings().defined("local_recipient_maps").is_none() {
            for why in snapshot.classes.local_recipient_maps.troubles() {
                self.add(
                    Severity::Warning,
                    format_args!(
                        "local_recipient_maps has its default: {why}; until it can be asked, recipients in \
                         these domains are put off"
                    ),
                );
            }
        }
    }

    /// Root needs somebody to become; others stay who they are.
    fn owner(&mut self, settings: &Settings, snapshot: &Snapshot) {
        let name = &snapshot.site.mail_owner;
        if privilege::is_root()
            && settings.trial_directory().is_none()
            && let Err(why) = privilege::user(name)
        {
            self.add(
                Severity::Warning,
                format_args!(
                    "mail_owner: {why}, so that it cannot be started by root. Make it with: useradd \
                     --system --no-create-home {name}"
                ),
            );
        }
    }

    /// Mail from local programs.
    fn pickup(&mut self, all: &Configuration) {
        if pickup::service(all).is_none() {
            let why = "there is no pickup service among the services, so that what programs of this host \
                       send with sendmail stays in the maildrop";
            self.add(Severity::Warning, why);
        }
    }

    /// Whether mail flows otherwise than it is configured, or not at all.
    fn mail_differs(&self) -> bool {
        self.count(Severity::Error) + self.count(Severity::Differs) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.get(&severity).map_or(0, Vec::len)
    }

    /// All of them, under a heading for each group.
    fn report(&self) -> String {
        let mut text = String::new();
        for (severity, found) in &self.0 {
            let heading = match severity {
                Severity::Error => "Wrong: mail is not taken, or has to wait",
                Severity::Differs => "Different: mail flows, but not as it is configured",
                Severity::Warning => "Worth a look",
                Severity::Note => "Good to know: the flow of mail does not depend on it",
            };
            text.push_str(&format!("\n{heading}\n"));
            for finding in found {
                text.push_str(&format!("{}: {finding}\n", severity.word()));
            }
        }
        text
    }

    /// How many of each, and what that means.
    fn summary(&self) -> String {
        let counted = [
            (Severity::Error, "error", "errors"),
            (Severity::Differs, "difference", "differences"),
            (Severity::Warning, "warning", "warnings"),
            (Severity::Note, "note", "notes"),
        ];
        let counted: Vec<String> = counted
            .into_iter()
            .filter_map(|(severity, one, many)| match self.count(severity) {
                0 => None,
                1 => Some(format!("1 {one}")),
                count => Some(format!("{count} {many}")),
            })
            .collect();
        let counted = match &counted[..] {
            [] => "all is well".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        match (self.count(Severity::Error), self.mail_differs()) {
            (0, false) => format!("{counted}: nothing here changes the flow of mail"),
            (0, true) => format!("{counted}: it runs, and mail does not flow quite as configured"),
            _ => format!("{counted}: the errors first, please"),
        }
    }
}

/// Reported where the file is read.
fn is_unknown(command: &Command) -> bool {
    matches!(command, Command::Unknown(_))
}

/// What this host allows; `group` is the one that may write to the maildrop.
fn host(group: Option<&str>) -> String {
    let mut lines = vec!["\nThis host".to_owned()];
    if let Some(group) = group.filter(|_| privilege::is_root()) {
        lines.push(match submission::not_for_everyone(group) {
            None => "sendmail: for every user".to_owned(),
            Some(why) => format!("sendmail: for root only: {why}"),
        });
    }
    lines.push(match ring::probe_uring() {
        Ok(()) => "io_uring: available".to_owned(),
        Err(why) => format!("io_uring: not available, epoll is used instead: {why}"),
    });
    lines.push(match ring::cores() {
        Ok(cores) => format!("cores: {}", cores.len()),
        Err(error) => format!("cores: {error}"),
    });
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    lines.push(match files.maximum {
        Some(most) => format!("open files: at most {most}, one for each session"),
        None => "open files: no limit".to_owned(),
    });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::cli;

    /// Without a table, a port is the only thing that may be missing.
    const MAIN_CF: &str = "compatibility_level = 3.11\nmydestination =\nmail_owner = root\n";

    /// A configuration, and the directory that it is in.
    pub(super) fn read(main_cf: &str, master_cf: &str) -> (Configuration, Settings, TempDir) {
        let place = TempDir::new().expect("a directory");
        fs::write(place.path().join("main.cf"), format!("{MAIN_CF}{main_cf}")).expect("a file");
        fs::write(place.path().join("master.cf"), master_cf).expect("a file");
        let configuration = cli::Configuration::of(Some(place.path().to_owned()));
        let settings = Settings::read(&configuration).expect("files");
        let (all, _) = settings.open(&Remote::new()).expect("a good configuration");
        (all, settings, place)
    }

    fn found(main_cf: &str, master_cf: &str) -> Findings {
        let (all, settings, _place) = read(main_cf, master_cf);
        let mut findings = Findings::default();
        findings.services(&all);
        findings.endpoints(&settings, &all);
        findings
    }

    fn texts(findings: &Findings, severity: Severity) -> &[String] {
        findings.0.get(&severity).map_or(&[], Vec::as_slice)
    }

    #[test]
    fn who_is_behind_postscreen_is_said() {
        let findings = found("", "25 inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n");
        let [said] = texts(&findings, Severity::Differs) else { panic!("{}", findings.report()) };
        assert!(said.contains("/master.cf:1: 25/inet: there is no postscreen yet: "), "{said}");
        assert!(said.contains(" passed on to smtpd/pass at "), "{said}");
        assert!(said.contains("/master.cf:2 "), "{said}");
        assert!(findings.mail_differs());
    }

    #[test]
    fn a_postscreen_with_nobody_behind_it_is_an_error() {
        let findings = found("", "25 inet n - n - 1 postscreen\n");
        let [said] = texts(&findings, Severity::Error) else { panic!("{}", findings.report()) };
        assert!(said.contains("nobody listens there"), "{said}");
        // And that nothing listens at all.
        assert_eq!(findings.count(Severity::Warning), 1);
    }

    #[test]
    fn ports_that_nobody_serves_are_said() {
        let findings = found(
            "",
            "25 inet n - n - - smtpd\n628 inet n - n - - qmqpd\n\
             127.0.0.1:9998 inet n n n - 0 spawn user=nobody argv=/bin/true\n",
        );
        let said = texts(&findings, Severity::Differs);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains(":2: 628/inet: not supported: there is no qmqpd yet"), "{said:?}");
        assert!(said[1].contains(":3: 127.0.0.1:9998/inet: not supported: there is no spawn yet"));
        assert_eq!(findings.count(Severity::Warning), 0);
    }

    #[test]
    fn an_address_that_cannot_be_had_is_an_error_as_at_the_start() {
        let findings = found("inet_protocols = ipv4\n", "[::1]:25 inet n - n - - smtpd\n");
        let [said] = texts(&findings, Severity::Error) else { panic!("{}", findings.report()) };
        assert!(said.contains("no address to listen on"), "{said}");
    }

    #[test]
    fn the_worst_comes_first_and_all_are_counted() {
        let mut findings = Findings::default();
        assert_eq!(findings.summary(), "all is well: nothing here changes the flow of mail");
        findings.add(Severity::Note, "n");
        assert_eq!(findings.summary(), "1 note: nothing here changes the flow of mail");
        findings.add(Severity::Warning, "w");
        findings.add(Severity::Note, "m");
        assert_eq!(
            findings.summary(),
            "1 warning and 2 notes: nothing here changes the flow of mail"
        );
        assert!(!findings.mail_differs());
        findings.add(Severity::Differs, "d");
        assert!(findings.mail_differs());
        assert_eq!(
            findings.summary(),
            "1 difference, 1 warning and 2 notes: it runs, and mail does not flow quite as configured"
        );
        findings.add(Severity::Error, "e");
        assert!(findings.summary().ends_with(": the errors first, please"));
        let report = findings.report();
        let lines: Vec<&str> =
            report.lines().filter(|line| line.contains(": ") && line.len() < 12).collect();
        assert_eq!(lines, ["error: e", "differs: d", "warning: w", "note: n", "note: m"]);
    }
}
