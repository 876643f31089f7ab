//! What the scheduler costs a message on the shortest way: arrive, go out, be delivered, be gone.
//!
//! `cargo bench -p qmgr`

use std::hint::black_box;
use std::time::Instant;

use mail::{Address, Content, Outcome, QueueId, Recipient, Status, Time};
use qmgr::{Effects, Message, Parameters, Pending, Scheduler, Transport, TransportParameters};

const MESSAGES: u64 = 2_000_000;
const MAILBOXES: u64 = 1_000;

fn main() {
    println!("{:>8} {:>10} {:>18}", "batch", "ns/msg", "of it, the inputs");
    for batch in [1, 16, 256] {
        // The best of three: the machine does other things too.
        let (all, inputs) = (0..3).map(|_| run(batch)).min().unwrap_or_default();
        println!("{batch:>8} {:>10} {:>18}", all / MESSAGES, inputs / MESSAGES);
    }
}

/// Nanoseconds in all, and nanoseconds to make the messages and outcomes that go in.
fn run(batch: u64) -> (u64, u64) {
    let mut scheduler = Scheduler::new(Parameters {
        transports: vec![TransportParameters::mailboxes("virtual")],
        ..Parameters::default()
    });
    let mut effects = Effects::default();
    let now = Time::from_secs(1_800_000_000);
    scheduler.poll(now, 0, &mut effects);
    scheduler.pulled([], effects.pull.take().and(None), now);
    let addresses: Vec<Address> = (0..MAILBOXES)
        .map(|n| Address::parse(format!("user{n}@example.com").as_bytes()).expect("an address"))
        .collect();
    let sender = Address::parse(b"sender@client.example").expect("an address");

    let begun = Instant::now();
    for first in (0..MESSAGES).step_by(batch as usize) {
        for n in first..first + batch {
            let to = addresses[(n % MAILBOXES) as usize].clone();
            let _ = black_box(scheduler.arrived(message(n, to, sender.clone(), now), now));
        }
        scheduler.poll(now, batch as usize, &mut effects);
        for submit in effects.jobs.drain(..) {
            scheduler.outcome(outcome(submit.job.tag), now);
        }
        scheduler.poll(now, 0, &mut effects);
        assert_eq!(effects.changes.len() as u64, 2 * batch);
        black_box(&effects);
        effects.changes.clear();
        effects.log.clear();
    }
    let all = begun.elapsed().as_nanos() as u64;

    let begun = Instant::now();
    for n in 0..MESSAGES {
        let to = addresses[(n % MAILBOXES) as usize].clone();
        black_box(message(n, to, sender.clone(), now));
        black_box(outcome(n));
    }
    (all, begun.elapsed().as_nanos() as u64)
}

fn message(n: u64, to: Address, sender: Address, now: Time) -> Message {
    Message {
        id: QueueId::from_u64(n),
        arrival: now,
        sender: Some(sender),
        recipients: vec![Pending {
            number: 0,
            recipient: Recipient::new(to),
            transport: Transport(0),
            next_hop: None,
        }],
        unresolved: 0,
        recipients_total: 1,
        content: Content::Arena { offset: 0, len: 4096 },
        has_delivered_to: false,
        seen_before: false,
        failed_before: false,
    }
}

fn outcome(tag: u64) -> Outcome {
    Outcome::new(tag, Status(2, 0, 0), "delivered to maildir")
}
