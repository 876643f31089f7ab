//! Addresses as other hosts see them (postfix `src/smtp/smtp_map11.c`).

use config::Extension;
use mail::Address;
use table::MapList;

use crate::find::Maps;
use crate::headers::rewritten;
use crate::rewriter::Rewriter;
use crate::temporary::Temporary;
use crate::trace::{Step, Trace, Warning};

impl Rewriter {
    /// What `smtp_generic_maps` (or `lmtp_generic_maps`, whose name is `parameter`) has for an address of an
    /// envelope; the address itself where it has nothing. Asked once, and its answer is final.
    pub async fn generic<T: Trace>(
        &self,
        parameter: &'static str,
        list: &MapList,
        address: &Address,
        trace: &mut T,
    ) -> Result<Address, Temporary> {
        let maps = Maps { parameter, list };
        let Some(new) = self.generic_text(maps, address.as_str(), trace).await? else {
            return Ok(address.clone());
        };
        Address::parse(new.as_bytes()).map_err(|_| Temporary::NoAddress {
            parameter,
            address: address.as_str().into(),
            result: new,
        })
    }

    /// The same for the addresses of a header; `None` where it stays as it is.
    pub async fn generic_header<T: Trace>(
        &self,
        parameter: &'static str,
        list: &MapList,
        name: &[u8],
        value: &[u8],
        trace: &mut T,
    ) -> Result<Option<Vec<u8>>, Temporary> {
        if list.is_empty() {
            return Ok(None);
        }
        let maps = Maps { parameter, list };
        let tokens_max = self.settings.rewriting.header_address_token_limit;
        rewritten(name, value, tokens_max, async |external: &[u8]| {
            let Ok(text) = std::str::from_utf8(external) else { return Ok(None) };
            let new = self.generic_text(maps, text, trace).await?;
            Ok(new.map(|new| new.as_bytes().to_vec()))
        })
        .await
    }

    async fn generic_text<T: Trace>(
        &self,
        maps: Maps<'_>,
        external: &str,
        trace: &mut T,
    ) -> Result<Option<Box<str>>, Temporary> {
        let extensions = self.settings.rewriting.propagate_unmatched_extensions;
        let found = self.map(maps, external, extensions.has(Extension::Generic), trace).await?;
        let Some(found) = found else { return Ok(None) };
        let parameter = maps.parameter;
        if T::WARNINGS && found.len() > 1 {
            trace.warning(Warning::Several { parameter, address: external.into() });
        }
        let first = found.into_iter().next();
        if T::STEPS
            && let Some(first) = &first
        {
            trace.step(Step::Rewritten { rule: parameter, from: external, to: first });
        }
        Ok(first)
    }
}
