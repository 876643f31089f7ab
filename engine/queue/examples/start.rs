//! How long a start takes with many messages in the queue: after a clean stop, and with a new index.
//!
//! `cargo run --release -p queue --example start -- DIRECTORY MESSAGES`

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use mail::{Address, Client, Envelope, Protocol, Recipient, Time};
use queue::{Options, RingDisk, Slice};
use ring::{Arena, Backend};

const CONTENT_BYTES: usize = 1024;
const GROUP: u64 = 256;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("usage: start DIRECTORY MESSAGES");
    let messages: u64 = arguments.next().map_or(100_000, |count| count.parse().unwrap());
    let path = Path::new(&directory).join("start-slice");
    let _ = std::fs::remove_dir_all(&path);
    let run = |what: &str, put: u64| {
        let options = ring::Options { backend: Backend::Uring, core: None };
        ring::run(options, open(&path, what, put)).unwrap();
    };
    run("new", messages);
    run("clean", 0);
    std::fs::remove_file(path.join("index/data.mdb")).unwrap();
    run("without an index", 0);
    std::fs::remove_dir_all(&path).unwrap();
}

async fn open(path: &Path, what: &str, put: u64) {
    let disk = RingDisk::open(path, Arena::new(32 << 20).unwrap()).unwrap();
    let start = Instant::now();
    let opened = Slice::open(disk, Options::new(0, path)).await.unwrap();
    let slice = opened.slice;
    let due = slice.due(Time(u64::MAX), 1).unwrap();
    if let Some((_, id)) = due.first() {
        slice.load(*id).await.unwrap();
    }
    let elapsed = start.elapsed();
    println!("{what}: {elapsed:?} to the first message loaded, {} KiB resident", resident_kib());
    let driver = ring::spawn(opened.driver.run());
    let content = vec![b'x'; CONTENT_BYTES];
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
    })
}
