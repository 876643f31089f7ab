//! The table types that the program has, in one place for every command.

use remote::Remote;
use table::Tables;

/// Opens tables of any type from the host's files, and by asking servers.
pub(crate) fn all() -> Tables<'static> {
    Tables::new(&table::Disk).with_types(Remote::new().types())
}
