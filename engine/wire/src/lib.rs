//! SMTP as values: no sockets, no clock.
//!
//! [`Dialogue`] is the server's side of a session: one input in, one output out. The shell moves
//! bytes and answers questions; everything that RFC 5321 and its extensions say about order,
//! syntax, limits and replies is here, and can be tested as a transcript.
//!
//! Bytes pass three stations. [`Lines`] cuts commands out of the input. [`EndOfData`] finds the end
//! of a message, wherever the reads happen to cut it, and [`Decoder`] then turns what was received
//! into what is stored.

mod command;
mod data;
mod decode;
mod dialogue;
mod dsn;
mod lines;
mod note;
mod path;
mod policy;
mod reply;
mod tally;
mod transaction;

pub use data::{EndOfData, LineEnds, Received, Scan};
pub use decode::{Decoder, Framing};
pub use dialogue::{Dialogue, Input, Output, Question};
pub use dsn::{DsnError, parse_envid, parse_notify, parse_orcpt, parse_ret, xtext_decode};
pub use lines::{Line, Lines};
pub use note::{Context, Note, quoted};
pub use path::{PathError, parse_path};
pub use policy::{BareNewline, EhloKeywords, Policy, Verbs};
pub use reply::{Refusal, Turn, Verdict};
pub use tally::{Tally, Verb};
