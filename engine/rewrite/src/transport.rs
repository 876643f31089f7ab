//! transport(5): another way for some recipients (postfix `src/trivial-rewrite/transport.c`).

use table::Parents;
use table::order::{TRANSPORT, TRANSPORT_PARENTS};

use crate::find::{Maps, Quoting};
use crate::resolve::Way;
use crate::rewriter::Rewriter;
use crate::temporary::Temporary;
use crate::trace::Trace;

/// What a transport that fails all mail says where the table gives no reason.
const NO_REASON: &str = "Address is undeliverable";

impl Rewriter {
    /// Changes the way where the table has something for the recipient.
    pub(crate) async fn look_up_transport<T: Trace>(
        &self,
        maps: Maps<'_>,
        recipient: &str,
        domain: &str,
        way: &mut Way,
        trace: &mut T,
    ) -> Result<(), Temporary> {
        let forms = match self.transport_parents {
            Parents::Plain => TRANSPORT_PARENTS,
            Parents::Dotted => TRANSPORT,
        };
        let found = self.find(maps, forms, Quoting::ExternalFirst, recipient, trace).await?;
        if let Some(found) = found {
            way.take(&found.value, domain);
            way.seen(maps.parameter, trace);
        }
        Ok(())
    }
}

impl Way {
    /// `:` changes nothing, `:nexthop` the next hop alone; `transport:` goes to the recipient's domain.
    fn take(&mut self, value: &str, domain: &str) {
        let (transport, nexthop) = value.split_once(':').unwrap_or((value, ""));
        if !transport.is_empty() {
            self.transport = transport.into();
            let fails = matches!(transport, "error" | "retry");
            self.nexthop = if fails { NO_REASON } else { domain }.into();
        }
        if !nexthop.is_empty() {
            self.nexthop = nexthop.into();
        }
    }
}
