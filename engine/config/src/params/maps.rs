//! Lookup tables in general: what they are made as, and which of them hold aliases.

use crate::row::params;
use crate::typed::List;

params! {
    /// Lookup tables and the commands that make them.
    Maps;

    /// The table type that postmap, postalias and newaliases take where none is named.
    default_database_type: Box<str> = "hash";
    /// The alias tables that newaliases makes.
    alias_database: List = "$default_database_type:/etc/aliases";
}
