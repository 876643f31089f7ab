//! What eighteen public configurations set loads, and how much of it acts.
//!
//! `data/real-world-params.tsv` has each parameter that one of them sets in main.cf, with `postconf -e` or
//! with `-o` in master.cf, and its value without the quotes of the script that it stands in. A `?` stands
//! for a value that only the project's own tools can tell (a template, a variable of a shell script), that
//! is too long, or that is different in each service. Those are not loaded; their names are, like all
//! others, known.

use std::collections::BTreeMap;
use std::fmt::Write;

use config::{Machine, Settings, Severity, Snapshot, Sources, Status};
use table::{Memory, Tables};

const FACTS: &str = include_str!("../data/real-world-params.tsv");

/// One line of the file.
struct Fact {
    name: &'static str,
    place: &'static str,
    value: Option<&'static str>,
}

fn configurations() -> BTreeMap<&'static str, Vec<Fact>> {
    let mut configurations: BTreeMap<&str, Vec<Fact>> = BTreeMap::new();
    for line in FACTS.lines().skip(1) {
        let [project, name, place, value] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}");
        };
        let value = Some(value).filter(|value| *value != "?");
        configurations.entry(project).or_default().push(Fact { name, place, value });
    }
    configurations
}

/// main.cf, and on the command line what services of master.cf have of their own.
fn sources(facts: &[Fact]) -> Sources {
    let mut main_cf = String::new();
    let mut overrides = Vec::new();
    for Fact { name, place, value } in facts {
        let Some(value) = value else { continue };
        if place.contains("main.cf") {
            let _ = writeln!(main_cf, "{name} = {value}");
        }
        if place.contains("-o") {
            overrides.push(format!("{name}={value}"));
        }
    }
    Sources::new()
        .main_cf("main.cf", main_cf.as_bytes())
        .overrides(overrides.iter().map(String::as_str))
}

#[test]
fn eighteen_public_configurations_load() {
    let configurations = configurations();
    assert_eq!(configurations.len(), 18);
    let mut refused = Vec::new();
    for (project, facts) in &configurations {
        let files = Memory::default();
        let machine = Machine::named("mx.example.com");
        if let Err(problems) = Snapshot::build(&sources(facts), &machine, &Tables::new(&files)) {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            refused.extend(errors.map(|error| format!("{project}: {error}")));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_name_that_they_set_is_known_and_this_share_of_them_acts() {
    let (mut acts_of_all, mut all) = (0, 0);
    for (project, facts) in configurations() {
        let (settings, _) = Settings::read(&sources(&facts), &Machine::named("mx.example.com"));
        let row = |fact: &Fact| settings.row(fact.name).map(|row| row.status);
        let unknown: Vec<&str> =
            facts.iter().filter(|fact| row(fact).is_none()).map(|fact| fact.name).collect();
        // A parameter of its own, which others mention.
        let own: &[&str] = if project == "Mailu" { &["podop"] } else { &[] };
        assert_eq!(unknown, own, "{project}");
        let count = |wanted: fn(Status) -> bool| {
            facts.iter().filter_map(row).filter(|status| wanted(*status)).count()
        };
        let acts = count(|status| status == Status::Acts);
        let accepted = count(|status| matches!(status, Status::Accepted(_)));
        let unsupported = count(|status| matches!(status, Status::Unsupported(_)));
        let known = facts.len() - own.len();
        println!(
            "{project}: {known} settings: {} % act ({acts}), {accepted} are accepted without effect, \
             {unsupported} not supported",
            acts * 100 / known
        );
        acts_of_all += acts;
        all += known;
    }
    println!("all: {all} settings: {} % act", acts_of_all * 100 / all);
    assert!(all >= 1_100);
}
