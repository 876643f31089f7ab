//! The shard runtime: one thread, one core, one ring.
//!
//! This room owns tokio-uring; no other names its types, so that it can be replaced here. There are
//! two backends with one face, because container runtimes block io_uring by default and a host can
//! switch it off (`kernel.io_uring_disabled`):
//!
//! * [`Backend::Uring`]: sockets and log writes through a ring that is set up with SINGLE_ISSUER and
//!   COOP_TASKRUN, the flags that make it as cheap as a hand-made one;
//! * [`Backend::Epoll`]: sockets through epoll, file operations on a small pool of threads.
//!
//! The tokio ecosystem (timers, channels, signals) works inside both: a ring is polled by an
//! ordinary current-thread tokio runtime.

mod arena;
mod buf;
mod file;
mod net;
mod runtime;

pub use arena::{Arena, ArenaView, Block, PAGE};
pub use buf::StableBuf;
pub use file::File;
pub use net::{Listener, Stream};
pub use runtime::{Backend, Options, backend, cores, probe_uring, run, select, spawn};
