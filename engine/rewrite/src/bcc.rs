//! Recipients that get a copy (postfix `src/cleanup/cleanup_addr.c`).

use mail::Address;
use table::order::VIRTUAL;

use crate::find::{Maps, Quoting};
use crate::rewriter::{Mapping, Rewriter};
use crate::temporary::Temporary;
use crate::trace::Trace;

impl Rewriter {
    /// `sender_bcc_maps`: who gets a copy of what this sender sends, rewritten like any recipient. There
    /// is none for the null sender.
    pub async fn bcc_of_sender<T: Trace>(
        &self,
        sender: &Address,
        trace: &mut T,
    ) -> Result<Option<Address>, Temporary> {
        let list = &self.settings.rewriting.sender_bcc_maps;
        self.bcc(Maps { parameter: "sender_bcc_maps", list }, sender, trace).await
    }

    /// `recipient_bcc_maps`: who gets a copy of what this recipient gets. It is asked for the canonical
    /// recipient, before virtual aliases.
    pub async fn bcc_of_recipient<T: Trace>(
        &self,
        recipient: &Address,
        trace: &mut T,
    ) -> Result<Option<Address>, Temporary> {
        let list = &self.settings.rewriting.recipient_bcc_maps;
        self.bcc(Maps { parameter: "recipient_bcc_maps", list }, recipient, trace).await
    }

    /// `always_bcc`: who gets a copy of everything.
    pub async fn always_bcc<T: Trace>(&self, trace: &mut T) -> Result<Option<Address>, Temporary> {
        let text = &self.settings.rewriting.always_bcc;
        match &**text {
            "" => Ok(None),
            text => self.copy("always_bcc", text, trace).await.map(Some),
        }
    }

    async fn bcc<T: Trace>(
        &self,
        maps: Maps<'_>,
        address: &Address,
        trace: &mut T,
    ) -> Result<Option<Address>, Temporary> {
        let found =
            self.find(maps, VIRTUAL, Quoting::ExternalFirst, address.as_str(), trace).await?;
        match found {
            Some(found) => self.copy(maps.parameter, &found.value, trace).await.map(Some),
            None => Ok(None),
        }
    }

    async fn copy<T: Trace>(
        &self,
        parameter: &'static str,
        text: &str,
        trace: &mut T,
    ) -> Result<Address, Temporary> {
        let address = Address::parse(text.as_bytes()).map_err(|_| Temporary::NoAddress {
            parameter,
            address: text.into(),
            result: text.into(),
        })?;
        self.recipient(&address, Mapping::On, trace).await
    }
}
