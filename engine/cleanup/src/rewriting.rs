//! Whoever rewrites the addresses in headers, as cleanup sees it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use table::Trouble;

use crate::header::Role;

/// Rewrites the addresses in a header: completes them, and maps them (canonical, masquerading).
pub trait HeaderRewriter: Send + Sync + Debug {
    /// The header with its addresses rewritten. Asks tables, and so may have to be waited for.
    fn rewrite(&self, header: AddressHeader<'_>) -> Rewriting;

    /// True where no table that it asks has to be waited for.
    fn is_immediate(&self) -> bool;
}

/// A header with addresses.
#[derive(Clone, Copy, Debug)]
pub struct AddressHeader<'a> {
    /// `From`, as it is written.
    pub name: &'a [u8],
    /// What stands behind the colon, line endings between its lines included, the last one not.
    pub value: &'a [u8],
    /// Which maps are asked.
    pub role: Role,
    /// What completes an address without a domain.
    pub context: Context,
    /// False with `no_address_mappings`: only completed.
    pub maps: bool,
}

/// Whose domain an address without one belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// `myorigin`: ours.
    Local,
    /// `remote_header_rewrite_domain`: a stranger's.
    Remote,
}

/// The whole header with its name, `None` where it stays as it is. Its lines are parted by LF; the last one
/// has none.
pub type Rewritten = Result<Option<Vec<u8>>, Arc<Trouble>>;

/// That, or the promise of it.
pub enum Rewriting {
    /// Here it is.
    Ready(Rewritten),
    /// It takes a while.
    Later(Pin<Box<dyn Future<Output = Rewritten>>>),
}
