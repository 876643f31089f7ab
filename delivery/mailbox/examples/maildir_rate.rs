//! How fast Maildir files become durable on a given file system, and what they cost.
//!
//! `cargo run --release -p mailbox --example maildir_rate -- DIR [FILES [BYTES [MAILBOXES]]]`
//!
//! Prints, for each way of creating and each size of batch, files per second and the CPU time of the
//! delivering thread per file (the kernel's journal threads are not counted). `DIR` should be on a
//! file system with a journal; what is written there stays there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mail::{Address, Content, IdSource, Job, Recipient, Time};
use mailbox::{Creation, Host, Identity, Letter, MaildirSettings, Maildirs, Sync, Text};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(base) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: maildir_rate DIR [FILES [BYTES [MAILBOXES]]]");
        std::process::exit(64);
    };
    let mut number = |default| arguments.next().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (files, bytes, mailboxes) = (number(20_000), number(4096), number(1000));
    let text = text(bytes);

    println!("{:>9} {:>6} {:>6} {:>10} {:>8}", "creation", "sync", "batch", "files/s", "CPU us");
    let mut run = 0;
    for creation in [Creation::Unnamed, Creation::Renamed] {
        for (sync, batch) in [
            (Sync::File, 1),
            (Sync::Batch, 2),
            (Sync::File, 2),
            (Sync::Batch, 3),
            (Sync::File, 3),
            (Sync::Batch, 4),
            (Sync::File, 4),
            (Sync::Batch, 8),
            (Sync::File, 8),
            (Sync::Batch, 64),
            (Sync::Batch, 256),
        ] {
            run += 1;
            let base = base.join(format!("{}-{run}", std::process::id()));
            let files = if batch < 64 { files / 10 } else { files };
            let case = Case { base: &base, creation, sync, batch, files, mailboxes, text: &text };
            let (per_second, cpu_us) = case.measure();
            println!(
                "{:>9} {:>6} {batch:>6} {per_second:>10.0} {cpu_us:>8.1}",
                format!("{creation:?}"),
                format!("{sync:?}"),
            );
        }
    }
}

struct Case<'a> {
    base: &'a Path,
    creation: Creation,
    sync: Sync,
    batch: usize,
    files: usize,
    mailboxes: usize,
    text: &'a [u8],
}

impl Case<'_> {
    fn measure(&self) -> (f64, f64) {
        std::fs::create_dir_all(self.base).expect("the directory can be written");
        let mut maildirs = Maildirs::new(MaildirSettings {
            base: self.base.to_owned(),
            host: Host::new("mx.example.com"),
            limit_bytes: 0,
            sync: self.sync,
            creation: self.creation,
        });
        let identity = Identity::of_this_thread().expect("a thread has credentials");
        let paths: Vec<String> =
            (0..self.mailboxes).map(|n| format!("example.com/user{n}/")).collect();
        for path in &paths {
            for part in ["tmp", "new", "cur"] {
                std::fs::create_dir_all(self.base.join(path).join(part)).expect("mailboxes");
            }
        }
        let mut ids = IdSource::new(0, None);
        let jobs: Vec<Job> = (0..self.files).map(|_| job(&mut ids, self.text.len())).collect();

        let (begun, cpu_begun) = (Instant::now(), cpu_nanos());
        for (batch_number, jobs) in jobs.chunks(self.batch).enumerate() {
            let mut batch = maildirs.batch(&identity);
            for (key, job) in jobs.iter().enumerate() {
                let mailbox = &paths[(batch_number * self.batch + key) % paths.len()];
                batch.add(key, mailbox, None, Letter { job, text: Text::Bytes(self.text) });
            }
            for (_, result) in batch.finish() {
                result.expect("the file is delivered");
            }
        }
        let (time, cpu) = (begun.elapsed(), cpu_nanos() - cpu_begun);
        let files = self.files as f64;
        (files / time.as_secs_f64(), cpu as f64 / 1000.0 / files)
    }
}

fn text(bytes: usize) -> Vec<u8> {
    let mut text = b"Subject: a message\nFrom: sender@example.org\n\n".to_vec();
    while text.len() < bytes {
        text.extend_from_slice(b"A line of text as it is found in the messages of people.\n");
    }
    text
}

fn job(ids: &mut IdSource, len: usize) -> Job {
    let now = Time::now();
    Job {
        tag: 0,
        id: ids.next(now),
        sender: Address::parse(b"sender@example.org").ok(),
        recipient: Recipient::new(Address::parse(b"user@example.com").expect("an address")),
        number: 0,
        arrival: now,
        content: Content::File { len: len as u64 },
        seen_before: false,
        has_delivered_to: false,
    }
}

/// Time this thread has spent on a processor, in the kernel and outside.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("procfs");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds")
}
