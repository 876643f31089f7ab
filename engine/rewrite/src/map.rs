//! One address replaced by what a table has for it (postfix `src/global/mail_addr_map.c` and
//! `mail_addr_crunch.c`).

use std::borrow::Cow;

use mail::rfc5322::AddressList;
use smallvec::{SmallVec, smallvec};
use table::order::VIRTUAL;

use crate::find::{Found, Maps, Quoting, requoted, unquoted};
use crate::rewriter::Rewriter;
use crate::temporary::Temporary;
use crate::trace::{Trace, Unwatched};
use crate::trivial::{completed, is_plain};

/// Addresses in external form. Nearly always one.
pub(crate) type Addresses = SmallVec<[Box<str>; 1]>;

impl Rewriter {
    /// What the tables have for an address in external form, completed. `None` where they have nothing.
    pub(crate) async fn map<T: Trace>(
        &self,
        maps: Maps<'_>,
        address: &str,
        propagate: bool,
        trace: &mut T,
    ) -> Result<Option<Addresses>, Temporary> {
        let found = self.find(maps, VIRTUAL, Quoting::External, address, trace).await?;
        let Some(found) = found else { return Ok(None) };
        let addresses = self.addresses(&found, propagate);
        if addresses.is_empty() {
            return Err(Temporary::NoAddress {
                parameter: maps.parameter,
                address: address.into(),
                result: (*found.value).into(),
            });
        }
        Ok(Some(addresses))
    }

    fn addresses(&self, found: &Found<'_>, propagate: bool) -> Addresses {
        let value = &*found.value;
        let extension = found.extension.clone().map(|range| &found.internal[range]);
        if value.starts_with('@') {
            // The user moves to another domain; what was not looked up stays behind.
            let local = found.internal.rsplit_once('@').map_or(&*found.internal, |(user, _)| user);
            let user = extension.map_or(local, |it| &local[..local.len() - it.len()]);
            let moved = [user, value].concat();
            return self.read(&requoted(&moved), extension.filter(|_| propagate));
        }
        self.read(value, extension.filter(|_| propagate))
    }

    /// The addresses in a text, in external form.
    fn read(&self, text: &str, extension: Option<&str>) -> Addresses {
        // Tables are written with care: most have one address and nothing else.
        if is_plain(text.as_bytes()) {
            return smallvec![extended(text, extension)];
        }
        let text = if text.is_empty() || text == "<>" { "\"\"" } else { text };
        let list = AddressList::parse(text.as_bytes(), usize::MAX);
        let mut addresses = Addresses::new();
        for number in 0..list.len() {
            let external = list.external(number);
            let whole = completed(self.trivial().local_origin(), &external, &mut Unwatched);
            // What is text stays text; a table holds nothing else.
            let Ok(whole) = std::str::from_utf8(&whole) else { continue };
            addresses.push(extended(&requoted(&unquoted(whole)), extension));
        }
        addresses
    }
}

/// With an extension behind the user.
fn extended(external: &str, extension: Option<&str>) -> Box<str> {
    let Some(extension) = extension else { return external.into() };
    let internal = unquoted(external);
    let (user, domain) = internal.split_at(internal.rfind('@').unwrap_or(internal.len()));
    let joined = [user, extension, domain].concat();
    match requoted(&joined) {
        Cow::Borrowed(_) => joined.into(),
        Cow::Owned(quoted) => quoted.into(),
    }
}
