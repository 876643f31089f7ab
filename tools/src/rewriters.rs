//! Each service's view of addresses, and of whom it asks about them.

use std::sync::Arc;

use config::{Configuration, Snapshot};
use rewrite::Rewriter;

/// The rewriter of a service with these settings. What completes and resolves addresses for it is the service
/// that its `rewrite_service_name` names.
pub(crate) fn rewriter(all: &Configuration, settings: &Arc<Snapshot>) -> Arc<Rewriter> {
    let trivial = all.snapshot_of(&settings.rewriting.rewrite_service_name);
    let own = Rewriter::new(Arc::clone(settings));
    Arc::new(match Arc::ptr_eq(trivial, settings) {
        true => own,
        false => own.with_trivial(Arc::new(Rewriter::new(Arc::clone(trivial)))),
    })
}
