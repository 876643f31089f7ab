//! How fast Maildir files become durable on a given file system, and what they cost.
//!
//! ```sh
//! cargo run --release -p mailbox --example maildir_rate -- DIR [FILES [BYTES [MAILBOXES [BATCH [UID]]]]]
//! ```
//!
//! With `BATCH` other than 0, only that size of batch is tried; with `UID`, as root, the files are
//! written as that user and, every other one, as the next. Prints, for each way of creating and
//! each size of batch, files per second and the CPU time of the delivering thread per file (the
//! kernel's journal threads are not counted). `DIR` should be on a file system with a journal; what
//! is written there stays there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mail::{Address, Content, IdSource, Job, Recipient, Time};
use mailbox::{Creation, Host, Identity, Letter, MaildirSettings, Maildirs, Owner, SyncMode, Text};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(base) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: maildir_rate DIR [FILES [BYTES [MAILBOXES [BATCH [UID]]]]]");
        std::process::exit(64);
    };
    let mut number = |default| arguments.next().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (files, bytes, mailboxes) = (number(20_000), number(4096), number(1000));
    let (only_batch, uid) = (number(0), u32::try_from(number(0)).unwrap_or(0));
    let text = text(bytes);

    println!("{:>9} {:>6} {:>6} {:>10} {:>8}", "creation", "sync", "batch", "files/s", "CPU us");
    let mut run = 0;
    for creation in [Creation::Unnamed, Creation::Renamed] {
        for (sync, batch) in [
            (SyncMode::File, 1),
            (SyncMode::Batch, 2),
            (SyncMode::File, 2),
            (SyncMode::Batch, 3),
            (SyncMode::File, 3),
            (SyncMode::Batch, 4),
            (SyncMode::File, 4),
            (SyncMode::Batch, 8),
            (SyncMode::File, 8),
            (SyncMode::Batch, 64),
            (SyncMode::Batch, 256),
        ] {
            if only_batch != 0 && batch != only_batch {
                continue;
            }
            run += 1;
            let base = base.join(format!("{}-{run}", std::process::id()));
            let files = if batch < 64 { files / 10 } else { files };
            let case =
                Case { base: &base, creation, sync, batch, files, mailboxes, text: &text, uid };
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
    sync: SyncMode,
    batch: usize,
    files: usize,
    mailboxes: usize,
    text: &'a [u8],
    /// 0 for the process's own user.
    uid: u32,
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
        for (n, path) in paths.iter().enumerate().filter(|_| self.uid > 0) {
            for part in ["", "tmp", "new", "cur"] {
                let owner = self.owner(n).map(|owner| owner.uid);
                let dir = self.base.join(path).join(part);
                std::os::unix::fs::chown(dir, owner, owner).expect("root may do this");
            }
        }
        let mut ids = IdSource::new(0, None);
        let jobs: Vec<Job> = (0..self.files).map(|_| job(&mut ids, self.text.len())).collect();

        let (begun, cpu_begun) = (Instant::now(), cpu_nanos());
        for (batch_number, jobs) in jobs.chunks(self.batch).enumerate() {
            let mut batch = maildirs.batch(&identity);
            // By owner, as the agent sorts them.
            let mut order: Vec<usize> = (0..jobs.len()).collect();
            let mailbox = |key: usize| (batch_number * self.batch + key) % paths.len();
            order.sort_by_key(|&key| self.owner(mailbox(key)));
            for key in order {
                let letter = Letter { job: &jobs[key], text: Text::Bytes(self.text) };
                batch.add(key, &paths[mailbox(key)], self.owner(mailbox(key)), letter);
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

impl Case<'_> {
    fn owner(&self, mailbox: usize) -> Option<Owner> {
        let id = self.uid + u32::from(mailbox % 2 == 1);
        (self.uid > 0).then_some(Owner { uid: id, gid: id })
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
        service: None,
    }
}

/// Time this thread has spent on a processor, in the kernel and outside.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("procfs");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds")
}
