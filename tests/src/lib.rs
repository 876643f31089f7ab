//! Tests that look at ringpost from outside: the program as a user starts it, real clients, real files.
//!
//! What is here is what those tests share. Nothing in it knows how ringpost works inside; it knows the
//! command line, SMTP, Maildirs and /proc.
//!
//! `tests/run` builds the program, installs the peers and says through the environment what to try:
//!
//! | variable | meaning |
//! |---|---|
//! | `RINGPOST_BIN` | the program under test |
//! | `RINGPOST_BACKEND` | `uring`, `epoll` or `auto`: passed on to `--backend` |
//! | `RINGPOST_AS` | `root`: three processes; `user`: one, as an unprivileged user |
//! | `RINGPOST_CRASHES`, `RINGPOST_SEED` | how often the crash test kills, and how it draws |

pub mod home;
pub mod mailbox;
pub mod peer;
pub mod process;
pub mod random;
pub mod server;
pub mod session;
pub mod wait;

pub use home::Home;
pub use mailbox::Maildir;
pub use server::{Server, Setup};
pub use session::Session;
