//! Cleanup's view of what becomes of addresses: the rewriter, asked in cleanup's words.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cleanup::{AddressHeader, Addresses, HeaderRewriter, Rewriting, Rewritten};
use config::Snapshot;
use mail::Address;
use rewrite::{HeaderContext, HeaderRole, Mapping, Rewriter, Temporary, Unwatched};
use table::{MapList, Nature, Trouble};

/// The addresses of one service's envelopes and headers.
#[derive(Clone, Debug)]
pub(crate) struct Rewriters {
    rewriter: Arc<Rewriter>,
    /// No table replaces, expands or copies anything.
    unmapped: bool,
    /// No table that headers are rewritten by has to be waited for.
    immediate: bool,
}

impl Rewriters {
    pub(crate) fn new(rewriter: Arc<Rewriter>) -> Self {
        let settings = Arc::clone(rewriter.settings());
        let unmapped = is_unmapped(&settings);
        let rules = &settings.rewriting;
        let of_headers =
            [&rules.canonical_maps, &rules.sender_canonical_maps, &rules.recipient_canonical_maps];
        // A list of names is asked for exceptions only, and may hold any table.
        let immediate = rules.masquerade_exceptions.is_empty()
            && of_headers.into_iter().flat_map(MapList::tables).all(is_immediate);
        Self { rewriter, unmapped, immediate }
    }
}

fn is_unmapped(settings: &Snapshot) -> bool {
    let rules = &settings.rewriting;
    let maps = [
        &rules.canonical_maps,
        &rules.sender_canonical_maps,
        &rules.recipient_canonical_maps,
        &rules.virtual_alias_maps,
        &rules.sender_bcc_maps,
        &rules.recipient_bcc_maps,
    ];
    maps.into_iter().all(MapList::is_empty)
        && rules.masquerade_domains.is_empty()
        && rules.always_bcc.is_empty()
}

/// A table made of others may hold a remote one.
fn is_immediate(table: &table::Table) -> bool {
    !matches!(table.nature(), Some(Nature::Remote | Nature::Combined))
}

const fn mapping(maps: bool) -> Mapping {
    if maps { Mapping::On } else { Mapping::Off }
}

impl Addresses for Rewriters {
    type Trouble = Temporary;

    fn leaves(&self, address: &Address) -> bool {
        let (local, domain) = (address.local(), address.domain());
        let completed = match self.rewriter.completes_domains() {
            true => domain.contains('.'),
            false => !domain.is_empty(),
        };
        self.unmapped
            && completed
            && !domain.ends_with('.')
            && !local.contains(['%', '!', '"', '@'])
            && !local.eq_ignore_ascii_case("mailer-daemon")
    }

    async fn sender(
        &self,
        sender: Option<&Address>,
        maps: bool,
    ) -> Result<Option<Address>, Temporary> {
        self.rewriter.sender(sender, mapping(maps), &mut Unwatched).await
    }

    async fn recipient(&self, recipient: &Address, maps: bool) -> Result<Address, Temporary> {
        self.rewriter.recipient(recipient, mapping(maps), &mut Unwatched).await
    }

    async fn expand(&self, recipient: &Address) -> Result<Vec<Address>, Temporary> {
        let expanded = self.rewriter.expand(recipient, Mapping::On, &mut Unwatched).await?;
        Ok(expanded.into_vec())
    }

    async fn copy_of_sender(&self, sender: &Address) -> Result<Option<Address>, Temporary> {
        self.rewriter.bcc_of_sender(sender, &mut Unwatched).await
    }

    async fn copy_of_recipient(&self, recipient: &Address) -> Result<Option<Address>, Temporary> {
        self.rewriter.bcc_of_recipient(recipient, &mut Unwatched).await
    }

    async fn copy_of_all(&self) -> Result<Option<Address>, Temporary> {
        self.rewriter.always_bcc(&mut Unwatched).await
    }
}

impl HeaderRewriter for Rewriters {
    fn rewrite(&self, header: AddressHeader<'_>) -> Rewriting {
        let Some(role) = HeaderRole::of(header.name) else { return Rewriting::Ready(Ok(None)) };
        let context = match header.context {
            cleanup::Context::Local => HeaderContext::Local,
            cleanup::Context::Remote => HeaderContext::Remote,
        };
        let maps = mapping(header.maps);
        let trace = &mut Unwatched;
        let now = self.rewriter.header(role, context, maps, header.name, header.value, trace);
        if let Poll::Ready(rewritten) = pin!(now).poll(&mut Context::from_waker(Waker::noop())) {
            return Rewriting::Ready(told(rewritten));
        }
        // Asked again from the start: what was borrowed does not live as long as the wait.
        let rewriter = Arc::clone(&self.rewriter);
        let (name, value) = (header.name.to_vec(), header.value.to_vec());
        Rewriting::Later(Box::pin(async move {
            told(rewriter.header(role, context, maps, &name, &value, &mut Unwatched).await)
        }))
    }

    fn is_immediate(&self) -> bool {
        self.immediate
    }
}

fn told(rewritten: Result<Option<Vec<u8>>, Temporary>) -> Rewritten {
    rewritten.map_err(|why| match why {
        Temporary::Unavailable { trouble, .. } => trouble,
        other => Arc::new(Trouble {
            table: "addresses of headers".into(),
            cause: other.to_string().into(),
        }),
    })
}
