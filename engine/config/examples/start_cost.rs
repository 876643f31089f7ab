//! How long a large configuration takes to read: 500 lines of main.cf, 50 tables, 30 services that each
//! override something. And with nothing in main.cf but misspelt names, each of which is compared with all
//! that are known.
//!
//! `cargo run --release -p config --example start_cost`

use std::fmt::Write;
use std::time::Instant;

use config::master::{self, Ports};
use config::{Configuration, Machine, Sources};
use table::{Memory, Tables};

const TABLES: usize = 50;
const SERVICES: usize = 30;
const LINES: usize = 500;

fn main() {
    let misspelt: String = (0..LINES).map(|n| format!("smtpd_timeuot_{n} = 1\n")).collect();
    measure("known names", &main_cf());
    measure("misspelt names", &misspelt);
}

fn measure(what: &str, main_cf: &str) {
    let master_cf = master_cf();
    let mut files = Memory::default();
    for number in 0..TABLES {
        let text: String =
            (0..1000).map(|line| format!("user{line}@example.com x{line}\n")).collect();
        files = files.with(format!("/etc/t{number}"), text.as_bytes());
    }
    let mut best = f64::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
        let master = master::parse("master.cf", master_cf.as_bytes(), &Ports::default());
        let tables = Tables::new(&files);
        let all =
            Configuration::build(&sources, &master, &Machine::named("mx.example.com"), &tables);
        let took = start.elapsed().as_secs_f64() * 1e3;
        match all {
            Ok(all) => assert_eq!(all.services.len(), SERVICES),
            Err(problems) => problems.iter().for_each(|problem| println!("{problem}")),
        }
        best = best.min(took);
    }
    println!(
        "{what}: {} lines, {TABLES} tables, {SERVICES} services with overrides: {best:.1} ms",
        main_cf.lines().count()
    );
}

fn main_cf() -> String {
    let mut text = String::new();
    let lists = ["virtual_alias_maps", "virtual_mailbox_maps", "transport_maps", "canonical_maps"];
    for (place, name) in lists.into_iter().enumerate() {
        let _ = write!(text, "{name} =");
        for number in (place..TABLES).step_by(lists.len()) {
            let _ = write!(text, " texthash:/etc/t{number}");
        }
        text.push('\n');
    }
    let mut lines = lists.len();
    for row in config::rows() {
        if let config::Default::Text(default) = row.default
            && !lists.contains(&row.name)
            && lines < LINES - 20
        {
            let _ = writeln!(text, "{} = {default}", row.name);
            lines += 1;
        }
    }
    for number in lines..LINES {
        let _ = writeln!(text, "mua_{number} = permit_sasl_authenticated, reject");
    }
    text
}

fn master_cf() -> String {
    let mut text = String::new();
    for number in 0..SERVICES {
        let _ = writeln!(
            text,
            "{} inet n - n - - smtpd\n  -o syslog_name=postfix/{number} -o smtpd_timeout=20s\n  \
             -o {{ smtpd_banner = hello from $service_name }}",
            10_000 + number
        );
    }
    text
}
