//! How long a start takes with many messages in the queue: after a clean stop, and with a new index.
//!
//! `cargo run --release -p queue --example start -- DIRECTORY MESSAGES [BYTES]` makes a queue of messages
//! of this size, measures, and removes it; with `keep` behind it, it stays, and without a number what is
//! there is measured again.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mail::{Address, Client, Envelope, Protocol, Recipient, Time};
use queue::{Options, RingDisk, Slice};
use ring::{Arena, Backend};

const CONTENT_BYTES: usize = 4096;
const GROUP: u64 = 256;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("usage: start DIRECTORY [MESSAGES [BYTES [keep]]]");
    let messages: Option<u64> = arguments.next().map(|count| count.parse().unwrap());
    let bytes = arguments.next().map_or(CONTENT_BYTES, |bytes| bytes.parse().unwrap());
    let keep = messages.is_none() || arguments.next().is_some();
    let path = Path::new(&directory).join("start-slice");
    let run = |what: &str, put: u64| {
        let options = ring::Options { backend: Backend::Uring, core: None };
        ring::run(options, open(&path, what, put, bytes)).unwrap();
    };
    if let Some(messages) = messages {
        let _ = std::fs::remove_dir_all(&path);
        run("new", messages);
    }
    forget(&path);
    run("clean", 0);
    std::fs::remove_file(path.join("index/data.mdb")).unwrap();
    forget(&path);
    run("without an index", 0);
    if !keep {
        std::fs::remove_dir_all(&path).unwrap();
    }
}

/// Nothing of the segments is in memory, as after a start of the machine.
fn forget(path: &Path) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let file = std::fs::File::open(entry.path()).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }
}

async fn open(path: &Path, what: &str, put: u64, bytes: usize) {
    let disk = RingDisk::open(path, Arena::new(32 << 20).unwrap()).unwrap();
    let (start, cpu, read) = (Instant::now(), cpu_time(), read_bytes());
    let opened = Slice::open(disk, Options::new(0, path)).await.unwrap();
    let slice = opened.slice;
    let due = slice.due(Time(u64::MAX), 1).unwrap();
    if let Some((_, id)) = due.first() {
        slice.load(*id).await.unwrap();
    }
    println!(
        "{what}: {:.3?} to the first message loaded ({:.3?} CPU), {} MiB read, {} KiB resident",
        start.elapsed(),
        cpu_time() - cpu,
        (read_bytes() - read) >> 20,
        resident_kib(),
    );
    let driver = ring::spawn(opened.driver.run());
    let content = vec![b'x'; bytes];
    for _ in 0..put / GROUP {
        let commits: Vec<_> = (0..GROUP)
            .map(|_| {
                let now = Time::now();
                let id = slice.next_id(now);
                let (_, commit) = slice
                    .append(id, &envelope(now), |sink| {
                        sink.push(&content);
                        Ok::<_, ()>(())
                    })
                    .unwrap();
                commit
            })
            .collect();
        for commit in commits {
            slice.put_back(commit.await.unwrap().id).unwrap();
        }
    }
    slice.close().await;
    driver.await.unwrap();
}

/// User and system time of the process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What the process has had read from the disk.
fn read_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    line.unwrap().parse().unwrap()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn envelope(arrival: Time) -> Rc<Envelope> {
    let address = |text: String| Address::parse(text.as_bytes()).unwrap();
    let user = arrival.0 % 1000;
    Rc::new(Envelope {
        sender: Some(address("sender@client.example".to_owned())),
        recipients: vec![Recipient::new(address(format!("user{user}@mx.example")))],
        arrival,
        client: Client {
            name: "client.example".into(),
            address: None,
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
        },
        body: mail::Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        filter: None,
        not_before: None,
    })
}
