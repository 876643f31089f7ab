//! What it costs to hand a job to an agent and to hear of its outcome.
//!
//! ```sh
//! cargo run --release -p agent --example link_rate -- [JOBS]
//! ```
//!
//! The shard keeps its window full of jobs, whose content lies in the arena; the agent looks at the
//! content and answers at once. Prints jobs per second and the CPU time of each side per job.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use agent::{Answer, Attempt, Body, Contents, Deliver, Link, Sources, Submitted};
use mail::{Address, Content, Job, Outcome, QueueId, Recipient, Status, Time};
use ring::{Arena, Backend};

fn main() {
    let jobs = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    for backend in [Backend::Epoll, Backend::Uring] {
        let options = ring::Options { backend, core: None };
        match ring::run(options, measure(jobs)) {
            Ok(result) => println!("{backend}: {result}"),
            Err(error) => println!("{backend}: {error}"),
        }
    }
}

async fn measure(jobs: u64) -> String {
    let (ours, theirs) = agent::pair().expect("a socket");
    let agent = std::thread::spawn(move || {
        let mut looker = Looker { batches: 0 };
        agent::serve(theirs, &mut looker).expect("the engine keeps the protocol");
        (looker.batches, cpu_nanos())
    });
    let arena = Arena::new(1 << 20).expect("memory");
    let shown = Some((arena.fd(), arena.len() as u64));
    let link = Link::open(ours, shown, Box::new(NoFiles)).expect("the agent is there");

    let (begun, cpu_begun) = (Instant::now(), cpu_nanos());
    let (mut submitted, mut answered) = (0, 0);
    while answered < jobs {
        while submitted < jobs && link.free() > 0 {
            assert_eq!(link.submit(job(submitted)), Submitted::Yes);
            submitted += 1;
        }
        answered += link.next().await.expect("the agent stays").len() as u64;
    }
    let (time, cpu) = (begun.elapsed(), cpu_nanos() - cpu_begun);
    drop(link);
    let (batches, agent_cpu) = agent.join().expect("the agent ends");
    let each = |nanos: u64| nanos as f64 / 1000.0 / jobs as f64;
    format!(
        "{:.0} jobs/s, shard {:.2} us, agent {:.2} us per job, {:.0} jobs per batch",
        jobs as f64 / time.as_secs_f64(),
        each(cpu),
        each(agent_cpu),
        jobs as f64 / batches as f64,
    )
}

struct Looker {
    batches: u64,
}

impl Deliver for Looker {
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer> {
        self.batches += 1;
        let looked = batch.iter().map(|attempt| {
            let is_there = matches!(contents.body(&attempt.job), Ok(Body::Bytes(_)));
            let status = if is_there { Status(2, 0, 0) } else { Status(4, 3, 0) };
            Answer::Done(Outcome::new(attempt.job.tag, status, "delivered to maildir"))
        });
        looked.collect()
    }
}

struct NoFiles;

impl Sources for NoFiles {
    fn segment(&self, _: u8, _: u64) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn file(&self, _: QueueId) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn job(tag: u64) -> Job {
    Job {
        tag,
        id: QueueId::from_u64(tag << 8),
        sender: Address::parse(b"sender@example.org").ok(),
        recipient: Recipient::new(Address::parse(b"user@example.com").expect("an address")),
        number: 0,
        arrival: Time(0),
        content: Content::Arena { offset: 4096, len: 4096 },
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
