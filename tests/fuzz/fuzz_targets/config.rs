//! A whole configuration: every mistake in it is a `Problem` with a place, none is a panic.
#![no_main]

use config::{Machine, Severity, Snapshot, Sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let sources = Sources::new().main_cf("main.cf", text);
    let files = table::Memory::default().with("/t", text);
    if let Err(problems) = Snapshot::build(&sources, &Machine::named("mx"), &files) {
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
    }
});
