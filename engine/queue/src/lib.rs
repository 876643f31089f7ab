//! The durable queue: log, group commit, index, recovery.
