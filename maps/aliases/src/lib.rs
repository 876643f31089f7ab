//! The grammar of aliases(5): `name: value, value`.
//!
//! Two readers share it. postalias splits a logical line into the name and the value that it stores
//! ([`Entry`]); the local delivery agent later reads a stored value, or a line of a `.forward` or
//! `:include:` file, as typed [`Destination`]s. Both see the text as RFC 822 tokens, so that a quote
//! protects a colon, a comma or an `@` in the same way on both sides.
//!
//! Pure: a destination that names a file is a name; nothing is opened here. Logical lines are made by
//! `cf`.

mod destination;
mod entry;
mod token;

pub use destination::{Destination, destinations};
pub use entry::{Entry, EntryError};
