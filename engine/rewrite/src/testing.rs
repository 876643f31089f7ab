//! What the tests of this room share.

use std::sync::Arc;

use config::{Interface, Machine, Snapshot, Sources};
use mail::Address;
use table::{Memory, Tables};

use crate::{Rewriter, Step, Trace, Warning};

/// A host called mx.example.com that is reached at 192.0.2.1, with these lines in its main.cf.
pub(crate) fn rewriter(main_cf: &str) -> Rewriter {
    rewriter_with(main_cf, &Memory::default())
}

pub(crate) fn rewriter_with(main_cf: &str, files: &Memory) -> Rewriter {
    let base = "compatibility_level = 3.6\nmyhostname = mx.example.com\nmydomain = example.com\n\
                recipient_delimiter = +\nlocal_recipient_maps =\n";
    let text = [base, main_cf].concat();
    let sources = Sources::new().main_cf("main.cf", text.as_bytes());
    let interfaces =
        ["192.0.2.1", "::1"].map(|it| Interface { address: it.parse().unwrap(), prefix: 32 });
    let machine =
        Machine { interfaces: Ok(interfaces.to_vec()), ..Machine::named("mx.example.com") };
    let settings: Arc<Snapshot> =
        Snapshot::build(&sources, &machine, &Tables::new(files)).expect("a good configuration");
    Rewriter::new(settings)
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Writes down what it sees.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) lines: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Trace for Notes {
    fn step(&mut self, step: Step<'_>) {
        self.lines.push(match step {
            Step::Rewritten { rule, from, to } => format!("{rule}: {from} -> {to}"),
            Step::Asked { parameter, key, answer, .. } => {
                let found = matches!(answer, Some(table::Answer::Found(_)));
                format!("{parameter} {key} {}", if found { "found" } else { "-" })
            }
            Step::Listed { parameter, name, matched } => format!("{parameter} {name} {matched:?}"),
            Step::Way { rule, transport, nexthop } => format!("{rule}: {transport}:{nexthop}"),
        });
    }

    fn warning(&mut self, warning: Warning) {
        self.warnings.push(warning.to_string());
    }
}
