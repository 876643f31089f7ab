//! Names of Maildir files.
//!
//! `SECONDS.MmicrosecondsQidRnumber.host,S=bytes`: the arrival time of the message, its queue id,
//! which never comes back, and the recipient's number in it. Nothing in the name depends on the
//! attempt, so a second delivery of the same message finds the first. `S=` is the size, which
//! Dovecot and others read instead of asking the file system.

use std::fmt::Write;

use mail::Job;

/// The host's name as it may stand in a file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Box<str>);

impl Host {
    /// `/` and `:` have a meaning in the names of Maildir files, and are written in octal
    /// (<https://cr.yp.to/proto/maildir.html>).
    pub fn new(name: &str) -> Self {
        let name: String = name
            .chars()
            .filter(|c| !c.is_control())
            .map(|c| match c {
                '/' => "\\057".to_owned(),
                ':' => "\\072".to_owned(),
                // Ends the part that tells messages apart, as `:` does.
                ',' => "\\054".to_owned(),
                _ => c.to_string(),
            })
            .collect();
        Self(if name.is_empty() { "localhost".into() } else { name.into() })
    }
}

/// What all names of this delivery begin with, whatever a reader has added to them.
pub(crate) fn prefix(job: &Job) -> String {
    let mut name = String::with_capacity(96);
    let (secs, micros) = (job.arrival.secs(), job.arrival.micros());
    // Writing to a String does not fail.
    let _ = write!(name, "{secs}.M{micros}Q{}R{}.", job.id, job.number);
    name
}

/// The name in `tmp/` and `new/`.
pub(crate) fn file_name(job: &Job, host: &Host, bytes: u64) -> String {
    let mut name = prefix(job);
    let _ = write!(name, "{},S={bytes}", host.0);
    name
}

#[cfg(test)]
mod tests {
    use mail::{Address, Content, QueueId, Recipient, Time};

    use super::*;

    fn job(id: u64, number: u32) -> Job {
        Job {
            tag: 9,
            id: QueueId::from_u64(id),
            sender: None,
            recipient: Recipient::new(Address::parse(b"a@example.com").unwrap()),
            number,
            arrival: Time(1_800_000_000_000_042),
            content: Content::File { len: 0 },
            seen_before: false,
            has_delivered_to: false,
            service: None,
        }
    }

    #[test]
    fn a_name_tells_message_recipient_host_and_size() {
        let host = Host::new("mx.example.com");
        assert_eq!(
            file_name(&job(0x1234_5678_9ABC, 3), &host, 4711),
            "1800000000.M42Q123456789ABCR3.mx.example.com,S=4711"
        );
    }

    #[test]
    fn no_name_is_the_beginning_of_another() {
        let host = Host::new("mx");
        for number in [10, 11, 100] {
            assert!(!file_name(&job(1, number), &host, 1).starts_with(&prefix(&job(1, 1))));
        }
        assert_ne!(prefix(&job(0x10, 1)), prefix(&job(0x1, 1)));
    }

    #[test]
    fn a_host_name_cannot_leave_the_directory_or_end_the_name() {
        assert_eq!(*Host::new("a/b:c,d\n").0, *"a\\057b\\072c\\054d");
        assert_eq!(*Host::new("").0, *"localhost");
    }
}
