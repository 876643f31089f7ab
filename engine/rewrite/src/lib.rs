//! What becomes of an address: completed, replaced by tables, expanded, classified, and given a way out.
//!
//! Postfix divides this work among trivial-rewrite, cleanup and smtpd; here it is one room that all of
//! them ask, so that a recipient has one answer wherever it is asked for. A [`Rewriter`] is made of a
//! configuration and the host's network addresses. It opens nothing and reads no clock; it is async only
//! because a table may have to ask somebody else.
//!
//! * [`Rewriter::sender`], [`Rewriter::recipient`], [`Rewriter::header`]: completion (`append_at_myorigin`
//!   and its like), canonical tables, masquerading.
//! * [`Rewriter::expand`]: virtual aliases. [`Rewriter::bcc_of_sender`] and its like: copies.
//! * [`Rewriter::resolve`]: class, transport, next hop. [`Rewriter::listed`]: is there such a recipient?
//! * [`Rewriter::generic`]: what an address is called outside.
//!
//! Each step can be watched by a [`Trace`]; `ringpost explain` prints what it sees. A table that cannot
//! answer makes the whole question [`Temporary`]: no address is dropped, bounced or let through because
//! somebody did not answer.

mod bcc;
mod canonical;
mod class;
mod expand;
mod find;
mod generic;
mod headers;
mod listed;
mod map;
mod resolve;
mod rewriter;
mod temporary;
#[cfg(test)]
mod testing;
mod trace;
mod transport;
mod trivial;

pub use class::{Class, Overlap};
pub use headers::{HeaderContext, HeaderRole};
pub use listed::{Listing, Role};
pub use resolve::{Purpose, Route};
pub use rewriter::{Client, Mapping, Rewriter};
pub use temporary::Temporary;
pub use trace::{Step, Trace, Unwatched, Warning};
