//! Addresses as headers and lookup tables write them (RFC 5322 section 3.4), read as Postfix reads them.
//!
//! Any bytes are accepted, nothing that is not understood is thrown away, and everything takes time in
//! proportion to its length: what is no address stays where it is. An address has two forms. The
//! *external* one is what RFC 5322 writes, with quotes around a local part that needs them; the
//! *internal* one is what it means, without them. [`quote_local`] and [`unquote_local`] turn one into
//! the other.
//!
//! The grammar is that of Postfix's `src/global/tok822_parse.c`, liberties included, because what a
//! header says after rewriting is something that people see and other programs sign: [`Tokens`] are
//! words, operators and comments; an [`AddressList`] is a whole header with its groups, display names
//! and comments, in which addresses can be replaced.

mod list;
mod quote;
mod token;

pub use list::{AddressList, NON_ADDRESS_BYTES_MAX};
pub use quote::{is_dot_string, quote_bare_local, quote_local, unquote_local};
pub use token::{Kind, Token, Tokens};
