//! Looking on while an address is rewritten.

use std::fmt;

use table::{Answer, Matched};

use crate::class::Overlap;

/// Who looks on. What nobody looks at is not made: a trace that sees nothing costs nothing.
pub trait Trace {
    /// Whether [`Self::step`] is told of steps.
    const STEPS: bool = true;
    /// Whether [`Self::warning`] is told of warnings, some of which take lookups to find.
    const WARNINGS: bool = true;

    /// One step, in the order in which they are made.
    fn step(&mut self, step: Step<'_>) {
        let _ = step;
    }

    /// Something that the admin should put right; mail goes on without.
    fn warning(&mut self, warning: Warning) {
        let _ = warning;
    }
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Trace for Unwatched {
    const STEPS: bool = false;
    const WARNINGS: bool = false;
}

/// What happens to an address.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A rule or table made another address of it, in external form.
    Rewritten {
        /// The parameter that says so.
        rule: &'static str,
        /// Before.
        from: &'a str,
        /// After.
        to: &'a str,
    },
    /// A table was asked.
    Asked {
        /// The parameter that names the table.
        parameter: &'static str,
        /// What for.
        key: &'a str,
        /// `type:name`
        table: &'a str,
        /// What it said; `None` where it is never asked for parts of an address.
        answer: Option<&'a Answer>,
    },
    /// A list was looked through.
    Listed {
        /// The parameter.
        parameter: &'static str,
        /// What was looked for.
        name: &'a str,
        /// Whether it is on it.
        matched: &'a Matched,
    },
    /// The way that was chosen so far.
    Way {
        /// The parameter or rule that chose it.
        rule: &'static str,
        /// The transport.
        transport: &'a str,
        /// The next hop.
        nexthop: &'a str,
    },
}

/// Something that is not right in the configuration or in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A domain is in two classes.
    Overlap(Overlap),
    /// A table has several addresses where one is wanted; the first is taken.
    Several {
        /// The parameter that names the table.
        parameter: &'static str,
        /// What was looked up.
        address: Box<str>,
    },
    /// A table gives an address to another one over and over; the latest is taken.
    Nesting {
        /// The parameter that names the table.
        parameter: &'static str,
        /// Where it came to.
        address: Box<str>,
    },
    /// A table has nothing for a key that it has.
    NullResult {
        /// The parameter that names the table.
        parameter: &'static str,
        /// The key.
        key: Box<str>,
    },
    /// With `relocated_prefix_enable = no`, the answer must begin with a status code.
    RelocatedText(Box<str>),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap(overlap) => overlap.fmt(f),
            Self::Several { parameter, address } => {
                write!(f, "multi-valued {parameter} entry for {address}; the first is taken")
            }
            Self::Nesting { parameter, address } => {
                write!(f, "unreasonable {parameter} map nesting for {address}")
            }
            Self::NullResult { parameter, key } => {
                write!(f, "{parameter}: ignoring null lookup result for {key}")
            }
            Self::RelocatedText(text) => write!(
                f,
                "relocated_maps: expected a status code (RFC 3463) and a text, found \"{text}\""
            ),
        }
    }
}
