//! One search for an address in the tables of a parameter (postfix `src/global/mail_addr_find.c`).

use std::borrow::Cow;
use std::ops::Range;

use mail::rfc5322::{quote_bare_local, quote_local, unquote_local};
use table::{Answer, Form, Keys, MapList, Value};

use crate::rewriter::Rewriter;
use crate::temporary::Temporary;
use crate::trace::{Step, Trace};
use crate::trivial::is_plain_as_it_is;

/// The tables of one parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps<'a> {
    pub(crate) parameter: &'static str,
    pub(crate) list: &'a MapList,
}

/// What keys with a quoted local part look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// With quotes.
    External,
    /// With quotes, and where there is no such key without, as before Postfix 3.2.
    ExternalFirst,
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) value: Value,
    /// The address in internal form.
    pub(crate) internal: Cow<'a, str>,
    /// Where in it is what was taken away to find it, the delimiter included.
    pub(crate) extension: Option<Range<usize>>,
}

impl Rewriter {
    /// Looks an address in external form up by the keys of an order.
    pub(crate) async fn find<'a, T: Trace>(
        &self,
        maps: Maps<'_>,
        forms: &[Form],
        quoting: Quoting,
        address: &'a str,
        trace: &mut T,
    ) -> Result<Option<Found<'a>>, Temporary> {
        if maps.list.is_empty() {
            return Ok(None);
        }
        let plain = is_plain_as_it_is(address.as_bytes());
        let internal = if plain { Cow::Borrowed(address) } else { unquoted(address) };
        let delimiters = &self.settings.mailbox.recipient_delimiter;
        let mut user_len = None;
        let search = async || {
            let mut keys = Keys::new(forms, &internal, delimiters);
            let user = keys.user();
            let mut whole = true;
            loop {
                if keys.asks_for_own_domain() {
                    match self.has_own_domain(&internal, trace).await {
                        Ok(own) => keys.set_own_domain(own),
                        Err(trouble) => return Answer::Unavailable(trouble),
                    }
                }
                let Some((form, key)) = keys.next_with_form() else { return Answer::NotFound };
                let external = if plain { Cow::Borrowed(key) } else { quoted(form, key) };
                let mut answer = ask(maps, &external, whole, trace).await;
                if answer == Answer::NotFound
                    && quoting == Quoting::ExternalFirst
                    && *external != *key
                {
                    answer = ask(maps, key, whole, trace).await;
                }
                if answer != Answer::NotFound {
                    let bare = matches!(form, Form::Bare | Form::OwnBareLocal | Form::BareLocalAt);
                    user_len = user.filter(|_| bare).map(str::len);
                    return answer;
                }
                whole = false;
            }
        };
        let value = match maps.list.settled(search).await {
            Answer::Found(value) => value,
            Answer::NotFound => return Ok(None),
            Answer::Unavailable(trouble) => {
                return Err(Temporary::Unavailable { parameter: maps.parameter, trouble });
            }
        };
        let local_len = || internal.rfind('@').unwrap_or(internal.len());
        let extension = user_len.map(|user| user..local_len());
        Ok(Some(Found { value, internal, extension }))
    }

    /// Whether tables are asked for the local part alone.
    async fn has_own_domain<T: Trace>(
        &self,
        address: &str,
        trace: &mut T,
    ) -> Result<bool, std::sync::Arc<table::Trouble>> {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        if mail::domain::same(domain, &self.settings.site.myorigin) {
            return Ok(true);
        }
        self.is_local(domain, trace).await.known()
    }
}

async fn ask<T: Trace>(maps: Maps<'_>, key: &str, whole: bool, trace: &mut T) -> Answer {
    let mut see = |step: table::Step<'_>| {
        if T::STEPS {
            let (table, answer) = (step.table.name(), step.answer);
            trace.step(Step::Asked { parameter: maps.parameter, key: step.key, table, answer });
        }
    };
    maps.list.ask(key, whole, &mut see).await
}

/// The internal form.
pub(crate) fn unquoted(external: &str) -> Cow<'_, str> {
    text(unquote_local(external.as_bytes()), external)
}

/// The external form of a key in internal form.
fn quoted(form: Form, key: &str) -> Cow<'_, str> {
    match form {
        Form::Whole | Form::Bare => text(quote_local(key.as_bytes()), key),
        Form::OwnLocal | Form::OwnBareLocal => text(quote_bare_local(key.as_bytes()), key),
        _ => Cow::Borrowed(key),
    }
}

/// The external form.
pub(crate) fn requoted(internal: &str) -> Cow<'_, str> {
    text(quote_local(internal.as_bytes()), internal)
}

/// Quotes and backslashes are ASCII: what is text stays text.
fn text<'a>(bytes: Cow<'a, [u8]>, same: &'a str) -> Cow<'a, str> {
    match bytes {
        Cow::Borrowed(_) => Cow::Borrowed(same),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        },
    }
}
