//! Why there is no answer now.

use std::fmt;
use std::sync::Arc;

use mail::Status;
use table::Trouble;

/// Nobody knows what becomes of the address. The client is told to come back, or the message waits; it is
/// never refused for good because of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Temporary {
    /// A table cannot answer.
    Unavailable {
        /// The parameter that names the table.
        parameter: &'static str,
        /// The table and the cause.
        trouble: Arc<Trouble>,
    },
    /// A table answers with what is no address.
    NoAddress {
        /// The parameter that names the table.
        parameter: &'static str,
        /// What was looked up.
        address: Box<str>,
        /// What was found.
        result: Box<str>,
    },
    /// `virtual_alias_recursion_limit`
    Recursion {
        /// The recipient.
        address: Box<str>,
        /// The limit.
        limit: usize,
    },
    /// `virtual_alias_expansion_limit`
    Expansion {
        /// The recipient.
        address: Box<str>,
        /// The limit.
        limit: usize,
    },
    /// `virtual_alias_address_length_limit`
    Length {
        /// The beginning of what was found.
        result: Box<str>,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Domains within domains without an end.
    Rounds {
        /// The recipient.
        address: Box<str>,
    },
}

impl Temporary {
    /// RFC 3463: X.3.0 for the system, X.6.0 for the content of alias tables, as Postfix has it
    /// (`src/cleanup/cleanup_map1n.c`).
    pub fn status(&self) -> Status {
        match self {
            Self::Unavailable { .. } | Self::Rounds { .. } => Status(4, 3, 0),
            _ => Status(4, 6, 0),
        }
    }

    /// The cause, for the log: the table comes first, as in what else the log says about tables.
    pub fn logged(&self) -> String {
        match self {
            Self::Unavailable { parameter, trouble } => format!("{trouble} ({parameter})"),
            other => other.to_string(),
        }
    }

    /// What the other side is told; the cause is for the log.
    pub fn reply(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "Temporary lookup failure",
            Self::Rounds { .. } => "Address resolver failure",
            _ => "Alias expansion error",
        }
    }
}

impl fmt::Display for Temporary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { parameter, trouble } => write!(f, "{parameter}: {trouble}"),
            Self::NoAddress { parameter, address, result } => {
                write!(
                    f,
                    "{parameter}: lookup of {address} returns non-address result \"{result}\""
                )
            }
            Self::Recursion { address, limit } => write!(
                f,
                "virtual_alias_maps: unreasonable nesting for {address}: replaced more than {limit} \
                 times (virtual_alias_recursion_limit)"
            ),
            Self::Expansion { address, limit } => write!(
                f,
                "virtual_alias_maps: unreasonable expansion size for {address}: more than {limit} \
                 recipients (virtual_alias_expansion_limit)"
            ),
            Self::Length { result, limit } => write!(
                f,
                "virtual_alias_maps: unreasonable result {result}...: longer than {limit} bytes \
                 (virtual_alias_address_length_limit)"
            ),
            Self::Rounds { address } => {
                write!(f, "{address}: giving up looking for its domain")
            }
        }
    }
}

impl std::error::Error for Temporary {}
