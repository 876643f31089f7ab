//! Each service's view of addresses, and of whom it asks about them.

use std::net::IpAddr;
use std::sync::Arc;

use config::{Configuration, Snapshot};
use rewrite::Rewriter;

/// The network addresses of the machine, which a host without a name for them is reached at.
#[derive(Clone, Debug)]
pub(crate) struct OwnAddresses(pub(crate) Vec<IpAddr>);

impl OwnAddresses {
    /// The rewriter of a service with these settings. What completes and resolves addresses for it is the
    /// service that its `rewrite_service_name` names.
    pub(crate) fn rewriter(&self, all: &Configuration, settings: &Arc<Snapshot>) -> Arc<Rewriter> {
        let trivial = all.snapshot_of(&settings.rewriting.rewrite_service_name);
        let own = self.alone(settings);
        Arc::new(match Arc::ptr_eq(trivial, settings) {
            true => own,
            false => own.with_trivial(Arc::new(self.alone(trivial))),
        })
    }

    fn alone(&self, settings: &Arc<Snapshot>) -> Rewriter {
        Rewriter::new(Arc::clone(settings), rewrite::own_addresses(settings, &self.0))
    }
}
