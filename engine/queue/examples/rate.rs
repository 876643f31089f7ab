//! What the queue costs: CPU and time for each accepted 4 KiB message.
//!
//! `cargo run --release -p queue --example rate -- DIRECTORY [uring|epoll]`, on the file system that is to
//! be measured. "put" accepts only; "put+finish" also records the delivery of each message before the
//! next round, as a host does that keeps up.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mail::{Address, Client, Envelope, Outcome, Protocol, Recipient, Status, Time};
use queue::{Options, RingDisk, Slice};
use ring::{Arena, Backend};

const CONTENT_BYTES: usize = 4096;
const ROUND_TIME: Duration = Duration::from_secs(3);
const SESSIONS: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("usage: rate DIRECTORY [uring|epoll]");
    let backend = arguments.next().map_or(Backend::Uring, |name| name.parse().unwrap());
    for (finish, group) in [(false, 1), (false, 64), (true, 1), (true, 64)] {
        let path = Path::new(&directory).join("rate-slice");
        let _ = std::fs::remove_dir_all(&path);
        ring::run(ring::Options { backend, core: None }, measure(&path, group, finish)).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
    }
    let path = Path::new(&directory).join("rate-slice");
    ring::run(ring::Options { backend, core: None }, measure_sessions(&path)).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

/// A hundred sessions, each with one transaction after the other: how many writes do they share?
async fn measure_sessions(path: &Path) {
    let disk = RingDisk::open(path, Arena::new(64 << 20).unwrap()).unwrap();
    let opened = Slice::open(disk, Options::new(0, path)).await.unwrap();
    let (slice, driver) = (opened.slice, ring::spawn(opened.driver.run()));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (start, cpu) = (Instant::now(), cpu_time());
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let slice = slice.clone();
            ring::spawn(async move {
                let content = vec![b'x'; CONTENT_BYTES];
                let delivered = Outcome::new(0, Status(2, 0, 0), "delivered to maildir");
                while start.elapsed() < ROUND_TIME {
                    let transaction = slice.begin();
                    // Where a session would wait for the client's RCPT and DATA.
                    tokio::task::yield_now().await;
                    let now = Time::now();
                    let id = slice.next_id(now);
                    let appended = slice.append(id, &envelope(now), |sink| {
                        sink.push(&content);
                        Ok::<_, ()>(())
                    });
                    drop(transaction);
                    appended.unwrap().1.await.unwrap();
                    slice.outcome(id, 0, &delivered, now, now).unwrap();
                }
            })
        })
        .collect();
    for session in sessions {
        session.await.unwrap();
    }
    let (elapsed, cpu) = (start.elapsed(), cpu_time() - cpu);
    let counters = slice.counters();
    slice.close().await;
    driver.await.unwrap();
    let messages = counters.messages as f64;
    println!(
        "{SESSIONS} sessions: {:>7.0} msg/s, {:>6.2} us CPU and {:.4} writes each",
        messages / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / messages,
        (counters.batches + counters.segment_writes) as f64 / messages,
    );
}

async fn measure(path: &Path, group: usize, finish: bool) {
    let disk = RingDisk::open(path, Arena::new(64 << 20).unwrap()).unwrap();
    let direct = disk.is_direct();
    let opened = Slice::open(disk, Options::new(0, path)).await.unwrap();
    let slice = opened.slice;
    let driver = ring::spawn(opened.driver.run());
    let content = vec![b'x'; CONTENT_BYTES];
    let delivered = Outcome::new(0, Status(2, 0, 0), "delivered to maildir");
    // The first segments are made, so that their zeros are not part of the picture.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (start, cpu) = (Instant::now(), cpu_time());
    let (mut messages, mut in_calls) = (0, Duration::ZERO);
    while start.elapsed() < ROUND_TIME {
        let now = Time::now();
        let mut commits = Vec::with_capacity(group);
        let called = Instant::now();
        for _ in 0..group {
            let id = slice.next_id(now);
            let (_, commit) = slice
                .append(id, &envelope(now), |sink| {
                    sink.push(&content);
                    Ok::<_, ()>(())
                })
                .unwrap();
            commits.push(commit);
        }
        in_calls += called.elapsed();
        for commit in commits {
            let committed = commit.await.unwrap();
            if finish {
                let called = Instant::now();
                slice.outcome(committed.id, 0, &delivered, now, now).unwrap();
                in_calls += called.elapsed();
            } else {
                slice.put_back(committed.id).unwrap();
            }
            messages += 1;
        }
    }
    let (elapsed, cpu) = (start.elapsed(), cpu_time() - cpu);
    let counters = slice.counters();
    slice.close().await;
    driver.await.unwrap();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / messages as f64;
    println!(
        "{} group {group:>2}: {:>7.0} msg/s, {:>6.2} us CPU each (of it {:.2} in calls), \
         {:.3} batches and {:.4} index flushes each, {} segments reclaimed{}",
        if finish { "put+finish" } else { "put       " },
        messages as f64 / elapsed.as_secs_f64(),
        each(cpu),
        each(in_calls),
        counters.batches as f64 / messages as f64,
        counters.index_flushes as f64 / messages as f64,
        counters.reclaimed,
        if direct { "" } else { " (without O_DIRECT)" },
    );
}

/// User and system time of the process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn envelope(arrival: Time) -> Rc<Envelope> {
    let address = |text: &str| Address::parse(text.as_bytes()).unwrap();
    Rc::new(Envelope {
        sender: Some(address("sender@client.example")),
        recipients: vec![Recipient::new(address("user123@mx.example"))],
        arrival,
        client: Client {
            name: "client.example".into(),
            address: Some("192.0.2.1:40000".parse().unwrap()),
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
