//! Tables that change while the mail system runs.
//!
//! ```text
//!   the file ──▶ watch: noticed, settled, opened     (a thread of master: root, outside any chroot)
//!                  │ descriptor
//!                  ▼
//!              hand_over: agentd first, then the engine                 (master)
//!                  │ Order::TableFile, Order::Tables                ▲ Report::Tables
//!                  ▼                                                │
//!              loader: read, verified, put in its place   (a thread of engine and of agentd)
//! ```
//!
//! The engine sees nothing but the queue and could not open a table; agentd does the same for the sake
//! of having it once. Where all is one process, the same messages go between threads.

mod given;
mod hand_over;
mod loader;
mod notices;
mod settle;
mod settled;
mod stamp;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use hand_over::{HandOver, Step};
pub(crate) use loader::{Loader, Reloaded, Say};
pub(crate) use settled::Settled;
pub(crate) use stamp::{Missing, Opened, Stamp, open};
pub(crate) use watch::{By, Change, Command, Watch};
