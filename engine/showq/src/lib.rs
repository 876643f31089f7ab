//! What `mailq`, `postqueue` and `postcat` print, from values.
//!
//! Scripts parse these listings, so they are Postfix's to the column. A listing is written message
//! by message as the caller reads them: a queue of millions is listed in constant memory. Nothing is
//! opened here, and the time zone is passed in.
//!
//! ```
//! use jiff::tz::TimeZone;
//! use mail::{Address, QueueId, Time};
//! use showq::{Listed, ListedRecipient, Mailq, Names, Place};
//!
//! let mut printed = Vec::new();
//! let names = Names { time_zone: &TimeZone::UTC, null_sender: "MAILER-DAEMON" };
//! let mut mailq = Mailq::new(&mut printed, names);
//! mailq.message(&Listed {
//!     place: Place::Active,
//!     id: QueueId::from_u64(0x2C_1234_5678_9ABC),
//!     arrival: Time::from_secs(1_760_369_379),
//!     size: 2_345,
//!     forced_expire: false,
//!     sender: None,
//!     recipients: vec![ListedRecipient::new(Address::parse(b"user@example.com").unwrap())],
//! })?;
//! mailq.finish()?;
//! assert!(printed.ends_with(b"-- 2 Kbytes in 1 Request.\n"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod list;
mod postcat;
mod print;

pub use list::{Json, Listed, ListedRecipient, Mailq, Reason};
pub use postcat::{Show, Stored, postcat};
pub use print::{Names, Place};
