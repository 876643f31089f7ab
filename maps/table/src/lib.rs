//! "What is X?": the lookup contract, and the tables that need no server.
//!
//! A lookup has three answers: [`Answer::Found`], [`Answer::NotFound`] and [`Answer::Unavailable`].
//! The third names the table and the cause, and every caller has to say what it makes of it: a table
//! that cannot be read never turns into "no such user". Tables in memory and in files answer at once;
//! for others a lookup is a [`Response`] that can be waited for.
//!
//! A [`Table`] is one `type:name`, a [`MapList`] the ordered tables of one parameter, a [`MatchList`]
//! a list of names, networks and tables with `!`. What keys an address is looked up by, and in which
//! order, is data: see [`order`]. Tables that parse text open nothing themselves; they are given bytes
//! by a [`Files`].

mod answer;
mod at_hand;
mod catalog;
mod cidr;
mod combined;
pub mod compiled;
mod constant;
mod files;
mod fold;
mod format;
mod hash;
mod host;
mod inline;
mod list_file;
mod mapped;
mod maps;
mod matching;
mod network;
pub mod order;
mod patterns;
mod rule_lines;
mod table;
mod text;
mod types;
mod wait;

pub use answer::{Answer, Later, Note, Response, Trouble, Value};
pub use at_hand::AtHand;
pub use catalog::{Catalog, Manner, Reopened, Replaced, Source, Taken};
pub use files::{Disk, FILE_BYTES_MAX, Files, Memory, ReadAt};
pub use format::Format;
pub use mapped::map as map_file;
pub use maps::{MapList, Step};
pub use matching::{FILE_DEPTH_MAX, LIST_FILES_MAX, MatchList, Matched, Parents};
pub use network::{Network, NetworkError};
pub use order::{Form, Keys, split_extension};
pub use table::{Lookup, NESTING_DEPTH_MAX, Table, Tables, types};
pub use types::{Nature, Open, Opened, Opening, TYPES, Type};
pub use wait::block_on;
