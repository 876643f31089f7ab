//! Names of hosts that the configuration has, looked up by the host's own resolver.
//!
//! Only master and commands do this: what they find travels with the settings, so that every process has the
//! same addresses, and none of them waits for a name server while it serves.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use config::Hosts;

/// How long all names together may take: more than a resolver with its own defaults needs to give up on one
/// server of two.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Names that are looked up at the same time, and no others: a host has a few.
const NAMES_MAX: usize = 100;

/// All addresses of each name, in the order of the resolver; or why there are none.
pub(crate) fn look_up(names: BTreeSet<String>) -> Hosts {
    look_up_with(names, LOOKUP_TIMEOUT, |name| {
        let found = (name, 0).to_socket_addrs().map_err(|error| {
            // What was being done is for the caller to say.
            error.to_string().replace("failed to lookup address information: ", "")
        })?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

/// A resolver cannot be stopped: one that never comes to an end keeps its thread, and nobody waits for it.
fn look_up_with(
    names: BTreeSet<String>,
    timeout: Duration,
    resolve: impl Fn(&str) -> Result<Vec<IpAddr>, String> + Clone + Send + 'static,
) -> Hosts {
    let deadline = Instant::now() + timeout;
    let mut hosts = Hosts::new();
    let (answer, answers) = mpsc::channel();
    for (number, name) in names.iter().enumerate() {
        if number == NAMES_MAX {
            break;
        }
        let (resolve, answer, asked) = (resolve.clone(), answer.clone(), name.clone());
        let started = thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let found = resolve(&asked);
            // Whoever asked may have given up.
            let _ = answer.send((asked, found));
        });
        if let Err(error) = started {
            hosts.insert(name.clone(), Err(format!("cannot start a thread: {error}")));
        }
    }
    drop(answer);
    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok((name, found)) = answers.recv_timeout(left()) {
        hosts.insert(name, found);
    }
    for (number, name) in names.into_iter().enumerate() {
        let why = match number < NAMES_MAX {
            true => format!("no answer within {} seconds", timeout.as_secs()),
            false => format!("more than {NAMES_MAX} names of hosts"),
        };
        hosts.entry(name).or_insert(Err(why));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn each_name_has_an_answer() {
        let resolve = |name: &str| match name {
            "a" => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
            _ => Err(format!("no {name}")),
        };
        let found = look_up_with(names(&["a", "b"]), LOOKUP_TIMEOUT, resolve);
        assert_eq!(found["a"], Ok(vec![Ipv4Addr::LOCALHOST.into()]));
        assert_eq!(found["b"], Err("no b".to_owned()));
    }

    #[test]
    fn a_resolver_that_does_not_come_back_is_not_waited_for() {
        let resolve = |_: &str| loop {
            thread::park();
        };
        let found = look_up_with(names(&["a"]), Duration::ZERO, resolve);
        assert_eq!(found["a"], Err("no answer within 0 seconds".to_owned()));
    }

    #[test]
    fn there_is_a_most_of_names() {
        let many: BTreeSet<String> = (0..=NAMES_MAX).map(|number| format!("{number:03}")).collect();
        let found = look_up_with(many, LOOKUP_TIMEOUT, |_| Ok(Vec::new()));
        assert_eq!(found.len(), NAMES_MAX + 1);
        assert_eq!(found.values().filter(|found| found.is_err()).count(), 1);
        assert_eq!(found["100"], Err("more than 100 names of hosts".to_owned()));
    }

    #[test]
    fn this_host_knows_itself() {
        let found = look_up(names(&["localhost"]));
        let addresses = found["localhost"].as_ref().expect("addresses of localhost");
        assert!(addresses.iter().all(IpAddr::is_loopback) && !addresses.is_empty(), "{found:?}");
    }
}
