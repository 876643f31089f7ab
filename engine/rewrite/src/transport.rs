//! transport(5): another way for some recipients (postfix `src/trivial-rewrite/transport.c`).

use std::borrow::Cow;

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
    pub(crate) async fn look_up_transport<'a, T: Trace>(
        &self,
        maps: Maps<'_>,
        recipient: &str,
        domain: Cow<'a, str>,
        way: &mut Way<'a>,
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

impl<'a> Way<'a> {
    /// `:` changes nothing, `:nexthop` the next hop alone; `transport:` goes to the recipient's domain.
    fn take(&mut self, value: &str, domain: Cow<'a, str>) {
        let (transport, nexthop) = value.split_once(':').unwrap_or((value, ""));
        if !transport.is_empty() {
            self.transport = Cow::Owned(transport.to_owned());
            let fails = matches!(transport, "error" | "retry");
            self.nexthop = if fails { Cow::Borrowed(NO_REASON) } else { domain };
        }
        if !nexthop.is_empty() {
            self.nexthop = Cow::Owned(nexthop.to_owned());
        }
    }
}
