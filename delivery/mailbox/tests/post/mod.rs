//! Jobs, letters and a look into mailboxes, for all tests of this room.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs;
use std::path::Path;

use mail::{Address, Content, Job, QueueId, Recipient, Time};
use mailbox::{
    Creation, Host, Identity, Letter, MailboxError, MaildirSettings, Maildirs, Owner, SyncMode,
    Text,
};

pub(crate) const TEXT: &[u8] = b"Subject: hello\n\nHow are you?\n";

pub(crate) const HEADERS: &str = "Return-Path: <sender@example.org>\n\
    X-Original-To: alias@example.com\nDelivered-To: user@example.com\n";

/// The message `id` for its recipient `number`.
pub(crate) fn job(id: u64, number: u32) -> Job {
    let address = |text: &str| Address::parse(text.as_bytes()).unwrap();
    Job {
        tag: 0,
        id: QueueId::from_u64(0x1234_5678_0000 + id),
        sender: Some(address("sender@example.org")),
        recipient: Recipient {
            original: Some(address("alias@example.com")),
            ..Recipient::new(address("user@example.com"))
        },
        number,
        arrival: Time(1_800_000_000_000_042),
        content: Content::File { len: 0 },
        seen_before: false,
        has_delivered_to: false,
        service: None,
    }
}

pub(crate) fn letter<'a>(job: &'a Job, text: &'a [u8]) -> Letter<'a> {
    Letter { job, text: Text::Bytes(text) }
}

pub(crate) fn settings(base: &Path) -> MaildirSettings {
    MaildirSettings {
        base: base.to_owned(),
        host: Host::new("mx.example.com"),
        limit_bytes: 0,
        sync: SyncMode::Batch,
        creation: Creation::Auto,
    }
}

/// Every way of making a Maildir file durable.
pub(crate) fn all_ways(base: &Path) -> impl Iterator<Item = MaildirSettings> {
    let ways = [Creation::Auto, Creation::Unnamed, Creation::Renamed];
    ways.into_iter().flat_map(move |creation| {
        [SyncMode::Batch, SyncMode::File].map(|sync| {
            let base = base.join(format!("{creation:?}-{sync:?}"));
            fs::create_dir(&base).unwrap();
            MaildirSettings { creation, sync, ..settings(&base) }
        })
    })
}

/// One batch: the job and the mailbox of each letter, all with the same text.
pub(crate) fn deliver(
    maildirs: &mut Maildirs,
    owner: Option<Owner>,
    letters: &[(&Job, &str)],
) -> Vec<Result<(), MailboxError>> {
    let identity = Identity::of_this_thread().unwrap();
    let mut batch = maildirs.batch(&identity);
    for (key, (job, mailbox)) in letters.iter().enumerate() {
        batch.add(key, mailbox, owner, letter(job, TEXT));
    }
    let mut results = batch.finish();
    results.sort_by_key(|(key, _)| *key);
    assert!(results.iter().map(|(key, _)| *key).eq(0..letters.len()), "a result for each letter");
    results.into_iter().map(|(_, result)| result).collect()
}

/// The names in a directory, sorted; none where there is no directory.
pub(crate) fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
