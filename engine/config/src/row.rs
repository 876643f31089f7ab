//! One row of the parameter table, and the macro that makes rows and typed fields from one entry.

use std::ops::RangeInclusive;

use crate::source::Machine;

/// A parameter as the table knows it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As it is written in main.cf.
    pub name: &'static str,
    /// What kind of value it takes, in a word or two.
    pub kind: &'static str,
    /// What it is where nothing is configured.
    pub default: Default,
    /// What numbers and times may be.
    pub bounds: Bounds,
    /// Manual text, one line each.
    pub manual: &'static [&'static str],
    /// Why the parameter is accepted without effect; `None` where it acts.
    pub without_effect: Option<&'static str>,
}

/// A default value.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// As main.cf would have it, `$`-expressions and all.
    Text(&'static str),
    /// Found out from the machine.
    Machine(fn(&Machine) -> String),
}

/// The range of a number, or of a time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// What the type holds.
    Any,
    /// No less and no more than this.
    Within(cf::Range),
}

impl Bounds {
    /// The bounds that `range` writes.
    pub const fn new(range: RangeInclusive<u64>) -> Self {
        Self::Within(cf::Range { min: *range.start(), max: *range.end() })
    }

    /// The range, no wider than up to `max`.
    pub const fn up_to(self, max: u64) -> cf::Range {
        match self {
            Self::Any => cf::Range { min: 0, max },
            Self::Within(range) if range.max > max => cf::Range { min: range.min, max },
            Self::Within(range) => range,
        }
    }
}

/// Declares one group of parameters:
///
/// ```text
/// params! {
///     /// What the group is about.
///     Smtpd;
///
///     /// Manual text.
///     smtpd_timeout: Stress<Duration> = "${stress?{10}:{300}}s", 1..=MAX;
///     /// A default that depends on the machine stands in brackets.
///     myhostname: Box<str> = [host_name];
///     /// What follows the arrow says why the parameter does nothing.
///     enable_long_queue_ids: bool = "no" => "queue ids are never reused";
/// }
/// ```
macro_rules! params {
    (
        $(#[doc = $title:literal])+
        $group:ident;
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty = $default:tt $(, $bounds:expr)? $(=> $why:literal)?;
        )+
    ) => {
        $(#[doc = $title])+
        #[derive(Clone, Debug)]
        pub struct $group {
            $( $(#[doc = $doc])+ pub $name: $type, )+
        }

        impl $group {
            /// The group's rows of the parameter table.
            pub(crate) const ROWS: &'static [$crate::Row] = &[
                $( $crate::Row {
                    name: stringify!($name),
                    kind: <$type as $crate::Typed>::KIND,
                    default: $crate::row::params!(@default $default),
                    bounds: $crate::row::params!(@bounds $($bounds)?),
                    manual: &[$($doc),+],
                    without_effect: $crate::row::params!(@why $($why)?),
                }, )+
            ];

            /// Reads all of the group, so that every mistake in it is reported at once.
            pub(crate) fn read(reader: &mut $crate::Reader<'_>) -> Option<Self> {
                let mut rows = Self::ROWS.iter();
                $( let $name = rows.next().and_then(|row| <$type as $crate::Typed>::read(reader, row)); )+
                Some(Self { $( $name: $name?, )+ })
            }
        }
    };
    (@default [$machine:path]) => { $crate::Default::Machine($machine) };
    (@default $text:literal) => { $crate::Default::Text($text) };
    (@bounds) => { $crate::Bounds::Any };
    (@bounds $bounds:expr) => { $crate::Bounds::new($bounds) };
    (@why) => { None };
    (@why $why:literal) => { Some($why) };
}

pub(crate) use params;
