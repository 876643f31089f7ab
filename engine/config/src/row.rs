//! One row of the parameter table, and the macro that makes rows and typed fields from one entry.

use std::ops::RangeInclusive;

use crate::settings::Facts;

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
    /// What it does here.
    pub status: Status,
    /// Whether a text, expanded, is a value of the parameter; the error is what is allowed. It opens
    /// nothing.
    pub check: fn(&str, &Row) -> Result<(), String>,
    /// The value is kept as it is written: its `$` is for whoever uses it.
    pub raw: bool,
    /// A snapshot has a field of this name, which is read and checked with its group.
    pub(crate) has_field: bool,
}

/// What a parameter does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What Postfix documents, or what docs/postfix-differences.md says instead.
    Acts,
    /// Nothing, and mail flows the same; why that is so.
    Accepted(&'static str),
    /// Nothing, and mail would flow otherwise if it did; what would differ.
    Unsupported(&'static str),
}

/// A default value.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// As main.cf would have it, `$`-expressions and all.
    Text(&'static str),
    /// Found out from the machine.
    Machine(fn(&Facts) -> String),
}

/// What a value may be, beside what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// What the type holds.
    Any,
    /// A number, or a time in seconds: no less and no more than this.
    Within(cf::Range),
    /// One of these words, in any case of letters.
    Words(&'static [&'static str]),
}

impl Bounds {
    /// The bounds that `range` writes.
    pub const fn new(range: RangeInclusive<u64>) -> Self {
        Self::Within(cf::Range { min: *range.start(), max: *range.end() })
    }

    /// The range, no wider than up to `max`.
    pub const fn up_to(self, max: u64) -> cf::Range {
        match self {
            Self::Any | Self::Words(_) => cf::Range { min: 0, max },
            Self::Within(range) if range.max > max => cf::Range { min: range.min, max },
            Self::Within(range) => range,
        }
    }
}

/// The most that Postfix's numbers and times hold.
pub(crate) const INT_MAX: u64 = i32::MAX as u64;

/// Declares one group of parameters that have fields in a snapshot:
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
///     enable_long_queue_ids: bool = "no" => accepted "queue ids are never reused";
///     /// Or what would differ if it did something.
///     delay_warning_time: Duration = "0h" => unsupported "senders are not told of a delay";
/// }
/// ```
macro_rules! params {
    (
        $(#[doc = $title:literal])+
        $group:ident;
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty = $default:tt
                $(in $words:tt)? $(, $bounds:expr)? $(=> $status:ident $why:literal)?;
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
                    has_field: true,
                    ..$crate::row::row!(
                        [$($doc)+] $name: $type = $default $(in $words)? $(, $bounds)?
                            $(=> $status $why)?
                    )
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
}

/// Declares rows without fields: parameters that do nothing here (yet), and those that are looked up by
/// name. A name that is no identifier is a string; `in` lists the words that a `Word` may be:
///
/// ```text
/// known! {
///     /// What the group is about.
///     BOUNCE;
///
///     /// Manual text.
///     "2bounce_notice_recipient": Box<str> = "postmaster" => unsupported "what would differ";
///     /// Manual text.
///     smtp_dns_support_level: Word = "" in ["", "disabled", "enabled", "dnssec"];
/// }
/// ```
macro_rules! known {
    (
        $(#[doc = $title:literal])+
        $group:ident;
        $(
            $(#[doc = $doc:literal])+
            $($name:ident)? $($text:literal)?: $type:ty = $default:tt
                $(in $words:tt)? $(, $bounds:expr)? $(=> $status:ident $why:literal)?;
        )+
    ) => {
        $(#[doc = $title])+
        pub(crate) const $group: &[$crate::Row] = &[
            $( $crate::row::row!(
                [$($doc)+] $($name)? $($text)?: $type = $default $(in $words)? $(, $bounds)? $(=> $status $why)?
            ), )+
        ];
    };
}

/// One row, from its entry in `params!` or `known!`.
macro_rules! row {
    (
        [$($doc:literal)+] $name:tt: $type:ty = $default:tt
            $(in $words:tt)? $(, $bounds:expr)? $(=> $status:ident $why:literal)?
    ) => {
        $crate::Row {
            name: $crate::row::row!(@name $name),
            kind: <$type as $crate::Typed>::KIND,
            default: $crate::row::row!(@default $default),
            bounds: $crate::row::row!(@bounds $($words)? $($bounds)?),
            manual: &[$($doc),+],
            status: $crate::row::row!(@status $($status $why)?),
            check: <$type as $crate::Typed>::check,
            raw: <$type as $crate::Typed>::RAW,
            has_field: false,
        }
    };
    (@name $name:literal) => { $name };
    (@name $name:ident) => { stringify!($name) };
    (@default [$machine:path]) => { $crate::Default::Machine($machine) };
    (@default $text:literal) => { $crate::Default::Text($text) };
    (@bounds) => { $crate::Bounds::Any };
    (@bounds [$($word:literal),+]) => { $crate::Bounds::Words(&[$($word),+]) };
    (@bounds $bounds:expr) => { $crate::Bounds::new($bounds) };
    (@status) => { $crate::Status::Acts };
    (@status accepted $why:literal) => { $crate::Status::Accepted($why) };
    (@status unsupported $why:literal) => { $crate::Status::Unsupported($why) };
}

pub(crate) use {known, params, row};
