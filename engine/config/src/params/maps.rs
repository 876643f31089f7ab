//! Lookup tables in general: what they are made as, and which of them hold aliases.

use crate::row::{known, params};
use crate::syntax::TableList;
use crate::typed::List;

params! {
    /// Lookup tables and the commands that make them.
    Maps;

    /// The table type that postmap, postalias and newaliases take where none is named.
    default_database_type: Box<str> = "hash";
    /// The alias tables that newaliases makes.
    alias_database: List = "$default_database_type:/etc/aliases";
}

known! {
    /// Tables of the agent that delivers to accounts of this machine.
    ALIASES;

    /// The tables of aliases that local delivery follows; local_recipient_maps has them, too.
    alias_maps: TableList = "$default_database_type:/etc/aliases"
        => unsupported "mail for an alias is accepted and not delivered";
}
