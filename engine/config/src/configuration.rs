//! The configuration of every service: main.cf, and over it what each entry of master.cf sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashSet;
use table::Tables;

use crate::master::{Command, Endpoint, Host, Kind, MasterCf, Service};
use crate::{Machine, Problem, Settings, Snapshot, Sources, own};

/// A main.cf and a master.cf, read whole or not at all.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What holds for all services that say nothing else, and for what is no service.
    pub base: Arc<Snapshot>,
    /// In the order of master.cf, without those that `master_service_disable` turns off.
    pub services: Vec<ServiceConfig>,
    problems: Vec<Problem>,
}

/// A service and what holds for it.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The entry of master.cf.
    pub service: Service,
    /// The base where it overrides nothing.
    pub snapshot: Arc<Snapshot>,
}

impl Configuration {
    /// Reads everything; either it is right, or every error of every service is in the answer, worst
    /// first. Tables are opened once, whatever number of services uses them.
    pub fn build(
        sources: &Sources,
        master: &MasterCf,
        machine: &Machine,
        tables: &Tables<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let sources = &sources.clone().master(master);
        let mut problems = Collected::default();
        master.problems.iter().for_each(|problem| problems.add(problem, None));
        let base = match Snapshot::build(sources, machine, tables) {
            Ok(base) => {
                base.warnings().iter().for_each(|problem| problems.add(problem, None));
                Some(base)
            }
            Err(found) => {
                found.iter().for_each(|problem| problems.add(problem, None));
                None
            }
        };
        let (settings, _) = Settings::read(sources, machine);
        let disabled = Disabled::of(&settings);
        let is_named = settings.all_defined().any(|definition| names_service(&definition.value));
        let mut services = Vec::with_capacity(master.services.len());
        for service in &master.services {
            if disabled.has(service) {
                continue;
            }
            let shares = !is_named && service.overrides.is_empty();
            let snapshot = match (&base, shares) {
                (_, true) => base.clone(),
                _ => match Snapshot::build(&sources.clone().service(service), machine, tables) {
                    Ok(snapshot) => {
                        let found = snapshot.warnings();
                        found.iter().for_each(|problem| problems.add(problem, Some(service)));
                        Some(snapshot)
                    }
                    Err(found) => {
                        found.iter().for_each(|problem| problems.add(problem, Some(service)));
                        None
                    }
                },
            };
            if let Some(snapshot) = snapshot {
                services.push(ServiceConfig { service: service.clone(), snapshot });
            }
        }
        for ServiceConfig { service, snapshot } in &services {
            for asked in &ASKED {
                if let Some(problem) = asked.that_is_missing(service, snapshot, &services) {
                    problems.add(&problem, Some(service));
                }
            }
        }
        let problems = problems.sorted();
        match base {
            Some(base) if !problems.iter().any(|problem| problem.severity.is_error()) => {
                Ok(Self { base, services, problems })
            }
            _ => Err(problems),
        }
    }

    /// Names of hosts that the configuration means to be looked up before it is built: in `inet_interfaces` and
    /// `proxy_interfaces`, whoever sets them, and those that services listen on.
    pub fn host_names(sources: &Sources, master: &MasterCf, machine: &Machine) -> BTreeSet<String> {
        let (settings, _) = Settings::read(sources, machine);
        let mut names: BTreeSet<String> = settings.host_names().into_iter().collect();
        let disabled = Disabled::of(&settings);
        let varies = own::PARAMETERS.iter().any(|name| {
            settings.defined(name).is_some_and(|definition| definition.value.contains('$'))
        });
        for service in master.services.iter().filter(|service| !disabled.has(service)) {
            if let Kind::Inet(Endpoint { host: Host::Name(name), .. }) = &service.kind {
                names.insert(name.to_string());
            }
            let mut overrides = service.overrides.iter();
            if varies || overrides.any(|it| own::PARAMETERS.contains(&&*it.name)) {
                let (settings, _) = Settings::read(&sources.clone().service(service), machine);
                names.extend(settings.host_names());
            }
        }
        names
    }

    /// What the admin should look at, although it works: worst first.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The service of this name that other services ask: a transport, a cleanup.
    pub fn find(&self, name: &str) -> Option<&ServiceConfig> {
        self.services.iter().find(|one| {
            &*one.service.name == name && !matches!(one.service.kind, Kind::Inet(_) | Kind::Pass)
        })
    }

    /// The snapshot of such a service; the base where there is none of this name.
    pub fn snapshot_of(&self, name: &str) -> &Arc<Snapshot> {
        self.find(name).map_or(&self.base, |one| &one.snapshot)
    }

    /// Services that are reached through a port, or are handed connections by one that is.
    pub fn servers(&self) -> impl Iterator<Item = &ServiceConfig> {
        self.services.iter().filter(|one| matches!(one.service.kind, Kind::Inet(_) | Kind::Pass))
    }
}

/// A service that others ask by a name, which a parameter says.
struct Asked {
    parameter: &'static str,
    name: fn(&Snapshot) -> &str,
    /// Where master.cf has none of this name, main.cf is meant.
    default: &'static str,
    /// What it is to be.
    command: Command,
    /// Who asks.
    by: &'static [Command],
}

const ASKED: [Asked; 2] = [
    Asked {
        parameter: "cleanup_service_name",
        name: |snapshot| &snapshot.smtpd.cleanup_service_name,
        default: "cleanup",
        command: Command::Cleanup,
        by: &[Command::Smtpd, Command::Pickup],
    },
    Asked {
        parameter: "rewrite_service_name",
        name: |snapshot| &snapshot.rewriting.rewrite_service_name,
        default: "rewrite",
        command: Command::TrivialRewrite,
        by: &[Command::Smtpd, Command::Cleanup, Command::Qmgr],
    },
];

impl Asked {
    /// Mail that is to be treated by rules that are not there would be treated by others.
    fn that_is_missing(
        &self,
        service: &Service,
        snapshot: &Snapshot,
        services: &[ServiceConfig],
    ) -> Option<Problem> {
        let wanted = (self.name)(snapshot);
        let is_it =
            |it: &ServiceConfig| it.service.command == self.command && *it.service.name == *wanted;
        if !self.by.contains(&service.command)
            || wanted == self.default
            || services.iter().any(is_it)
        {
            return None;
        }
        let cause = format!("expected the name of a {} service in master.cf", self.command);
        let position = snapshot.settings().position(self.parameter);
        Some(Problem::error(position, self.parameter, Some(wanted), cause))
    }
}

/// Parameters whose value is another one for each service.
const PER_SERVICE: [&str; 2] = ["service_name", "process_name"];

/// Whether a value may come out differently for each service. It is enough to be right where it says no.
fn names_service(value: &str) -> bool {
    PER_SERVICE.iter().any(|name| value.contains(name))
}

/// Problems, each once: those of main.cf come again with every service that has a snapshot of its own.
#[derive(Default)]
struct Collected {
    list: Vec<Problem>,
    seen: HashSet<String>,
}

impl Collected {
    fn add(&mut self, problem: &Problem, service: Option<&Service>) {
        if !self.seen.insert(problem.to_string()) {
            return;
        }
        let mut problem = problem.clone();
        // What is wrong on a line of another file than the service's own is so only for this service.
        if let Some(service) = service
            && problem.position.file != service.position.file
        {
            problem.cause = format!(
                "{} (with what {} at {} sets)",
                problem.cause,
                service.name_space(),
                service.position
            );
        }
        self.list.push(problem);
    }

    fn sorted(mut self) -> Vec<Problem> {
        self.list.sort_by(|a, b| {
            let key = |problem: &Problem| {
                (problem.severity, problem.position.file.clone(), problem.position.line)
            };
            key(a).cmp(&key(b))
        });
        self.list
    }
}

/// `master_service_disable`: `name/type` and types, `!` before those that are not meant, the first that
/// fits decides (postfix `src/global/match_service.c`).
struct Disabled(Vec<String>);

impl Disabled {
    fn of(settings: &Settings) -> Self {
        let text = settings.text("master_service_disable").unwrap_or_default();
        Self(cf::items(&text).map(Self::with_slash).collect())
    }

    /// `name.type` is how it was written before Postfix 2.9.
    fn with_slash(pattern: &str) -> String {
        match pattern.rsplit_once('.') {
            Some((name, kind)) if !pattern.contains('/') => format!("{name}/{kind}"),
            _ => pattern.to_owned(),
        }
    }

    fn has(&self, service: &Service) -> bool {
        let both = service.name_space();
        for pattern in &self.0 {
            let plain = pattern.trim_start_matches('!');
            let is_meant = (pattern.len() - plain.len()) % 2 == 0;
            let subject = if plain.contains('/') { &*both } else { service.kind.name() };
            if subject.eq_ignore_ascii_case(plain) {
                return is_meant;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::{self, Ports};
    use table::Memory;

    fn built(main_cf: &str, master_cf: &str) -> Result<Configuration, Vec<String>> {
        let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
        let master = master::parse("master.cf", master_cf.as_bytes(), &Ports::default());
        let machine = Machine::named("mx.example.com");
        Configuration::build(&sources, &master, &machine, &Tables::new(&Memory::default()))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn warnings(main_cf: &str, master_cf: &str) -> Vec<String> {
        built(main_cf, master_cf).unwrap().problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_override_holds_for_its_service_alone_and_the_rest_shares_one_snapshot() {
        let all = built(
            "smtpd_banner = main\n",
            "smtp inet n - n - - smtpd\n\
             submission inet n - n - - smtpd -o smtpd_banner=sub\n\
             relay unix - - n - - smtp\n",
        )
        .unwrap();
        let banner = |at: usize| &*all.services[at].snapshot.smtpd.smtpd_banner;
        assert_eq!((banner(0), banner(1), banner(2)), ("main", "sub", "main"));
        assert_eq!(&*all.base.smtpd.smtpd_banner, "main");
        assert!(Arc::ptr_eq(&all.services[0].snapshot, &all.base));
        assert!(Arc::ptr_eq(&all.services[2].snapshot, &all.base));
        assert!(Arc::ptr_eq(all.snapshot_of("relay"), &all.base));
        assert!(all.find("submission").is_none(), "nobody delivers through a port");
        assert_eq!(all.servers().count(), 2);
    }

    #[test]
    fn the_name_of_the_service_is_anothers_for_each() {
        let all = built(
            "syslog_name = x/$service_name\n",
            "smtp inet n - n - - smtpd\n\
             relay unix - - n - - smtp -o { smtpd_banner = $process_name as $service_name }\n",
        )
        .unwrap();
        assert_eq!(&*all.services[0].snapshot.log.syslog_name, "x/smtp");
        assert_eq!(&*all.services[1].snapshot.log.syslog_name, "x/relay");
        assert_eq!(&*all.services[1].snapshot.smtpd.smtpd_banner, "smtp as relay");
        assert_eq!(all.problems(), []);
    }

    #[test]
    fn nobody_renames_a_service_with_an_option() {
        let all =
            built("", "a unix - - n - - smtp -o service_name=b -o syslog_name=$service_name\n");
        assert_eq!(&*all.unwrap().services[0].snapshot.log.syslog_name, "a");
    }

    #[test]
    fn every_error_of_every_service_is_reported_with_its_line() {
        let found = built(
            "smtpd_timeout = $limit\nlimit = 10\n",
            "smtp inet n - n - - smtpd\n  -o smtpd_helo_required=maybe\n\
             a unix - - n - - smtp -o limit=never\n\
             b unix x - n - - smtp\n",
        );
        let found = found.unwrap_err();
        assert_eq!(
            found,
            [
                "main.cf:1: smtpd_timeout: found \"never\", expected a number with one of the letters s, \
                 m, h, d, w; in seconds 1 to 86400 (with what a/unix at master.cf:3 sets)",
                "master.cf:2: smtpd_helo_required: found \"maybe\", expected yes or no",
                "master.cf:4: b/unix: private: found \"x\", expected y, n or -",
            ]
        );
    }

    #[test]
    fn a_parameter_that_only_master_cf_uses_is_used() {
        let master_cf = "25 inet n - n - - smtpd -o smtpd_banner=$mua\n";
        assert_eq!(warnings("mua = x\n", master_cf), [""; 0]);
    }

    #[test]
    fn a_cleanup_that_is_not_in_master_cf_is_an_error() {
        let server = "smtp inet n - n - - smtpd -o cleanup_service_name=checked\n";
        assert_eq!(
            built("", server).unwrap_err(),
            [
                "master.cf:1: cleanup_service_name: found \"checked\", expected the name of a cleanup service in \
              master.cf"
            ]
        );
        let cleanup = "checked unix n - n - 0 cleanup -o header_checks=static:OK\n";
        let all = built("", &[server, cleanup].concat()).unwrap();
        assert!(!all.snapshot_of("checked").content.header_checks.is_empty());
        assert!(all.services[0].snapshot.content.header_checks.is_empty());
    }

    #[test]
    fn a_rewriter_that_is_not_in_master_cf_is_an_error_for_who_asks_it() {
        let services = "smtp inet n - n - - smtpd\nvirtual unix - n n - - virtual\n";
        let missing = "main.cf:1: rewrite_service_name: found \"other\", expected the name of a \
                       trivial-rewrite service in master.cf (with what smtp/inet at master.cf:1 sets)";
        let main_cf = "rewrite_service_name = other\n";
        assert_eq!(built(main_cf, services).unwrap_err(), [missing]);
        let other = "other unix - - n - - trivial-rewrite -o transport_maps=static:discard\n";
        let all = built(main_cf, &[services, other].concat()).unwrap();
        assert!(!all.snapshot_of("other").routing.transport_maps.is_empty());
        let wrong = "other unix - - n - - virtual\n";
        assert!(built(main_cf, &[services, wrong].concat()).is_err());
    }

    #[test]
    fn names_to_be_looked_up_are_those_of_every_service() {
        let names = |main_cf: &str| {
            let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
            let services = "smtp inet n - n - - smtpd\n\
                            a.example:25 inet n - n - - smtpd -o inet_interfaces=[b.example],[::1]\n\
                            relay unix - - n - - smtp -o mine=c.example\n\
                            off.example:25 inet n - n - - smtpd\n";
            let master = master::parse("master.cf", services.as_bytes(), &Ports::default());
            let names = Configuration::host_names(&sources, &master, &Machine::named("mx"));
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        let off = "master_service_disable = off.example:25/inet\n";
        assert_eq!(names(off), "a.example b.example");
        let all =
            "inet_interfaces = $mine all\nmine = d.example 192.0.2.1\nproxy_interfaces = all\n";
        let found = names(&[all, off].concat());
        assert_eq!(found, "a.example all b.example c.example d.example");
        assert_eq!(names(""), "a.example b.example off.example");
    }

    #[test]
    fn services_can_be_turned_off() {
        let master_cf = "smtp inet n - n - - smtpd\na unix - - n - - smtp\nb unix - - n - - smtp\n";
        for (disable, left) in [
            ("", "smtp/inet a/unix b/unix"),
            ("inet", "a/unix b/unix"),
            ("a.unix, SMTP/inet", "b/unix"),
            ("!a/unix unix", "smtp/inet a/unix"),
        ] {
            let all = built(&format!("master_service_disable = {disable}\n"), master_cf).unwrap();
            let names: Vec<String> =
                all.services.iter().map(|one| one.service.name_space()).collect();
            assert_eq!(names.join(" "), left, "{disable}");
        }
    }

    #[test]
    fn a_problem_of_main_cf_is_reported_once_whatever_number_of_services_has_it() {
        let master_cf =
            "a unix - - n - - smtp -o smtpd_banner=a\nb unix - - n - - smtp -o smtpd_banner=b\n";
        let found = warnings("smtpd_baner = x\n", master_cf);
        assert_eq!(found.len(), 1, "{found:?}");
        let unknown = warnings("", "a unix - - n - - smtp -o smtpd_baner=a\n");
        assert!(
            unknown[0].starts_with("master.cf:1: smtpd_baner: no such parameter"),
            "{unknown:?}"
        );
    }
}
