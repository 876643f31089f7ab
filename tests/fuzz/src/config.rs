//! A whole configuration: every mistake in it is a `Problem` with a place, none is a panic.

use config::{Machine, Severity, Snapshot, Sources};
use table::{Memory, Tables};

pub(crate) fn run(text: &[u8]) {
    let sources = Sources::new().main_cf("main.cf", text);
    let files = Memory::default().with("/t", text);
    if let Err(problems) = Snapshot::build(&sources, &Machine::named("mx"), &Tables::new(&files)) {
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
    }
}
