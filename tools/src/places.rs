//! Where things are when nobody says where.

/// The configuration of the host.
pub(crate) const CONFIG_DIRECTORY: &str = "/etc/ringpost";
/// Everything of a mail system without a configuration, in the directory that it is started in.
pub(crate) const DATA_DIRECTORY: &str = "ringpost-data";
