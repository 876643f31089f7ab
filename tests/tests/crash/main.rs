//! Kills processes under load, and counts the messages afterwards.
//!
//! Clients send without a break and write down what was answered with 250. Meanwhile processes are
//! killed at random moments and started again. In the end every message that got its 250 is in each of
//! its mailboxes exactly once and complete; one whose answer was cut off is there once or not at all;
//! one that was refused is not there.
//!
//! `RINGPOST_CRASHES` says how many kills, `RINGPOST_SEED` repeats the draws of an earlier run (the
//! kernel's scheduling stays its own). The seed is printed.

mod load;
mod message;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tests::random::Random;
use tests::server::RunAs;
use tests::{Server, Setup, wait};

use load::{Fate, Load};
use message::{BLOCKED, Message};

/// Kills in each of the two tests; together more than 200.
const KILLS: u64 = 110;
/// Connections that send at any time.
const CLIENTS: usize = 6;
/// Between two kills so many messages are accepted at least.
const ACCEPTED_BETWEEN_MAX: u64 = 60;
/// And then some time passes, so that the blow falls anywhere within a message's life.
const MOMENT_MICROS_MAX: u64 = 5000;
/// All of what is queued in the end is delivered within this.
const DRAIN_MAX: Duration = Duration::from_secs(90);

fn number(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => otherwise(),
    }
}

fn seed() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    number("RINGPOST_SEED", || since_epoch.as_millis() as u64)
}

/// The queue must not depend on what moves its bytes, so each start may take the other one.
fn backends() -> Vec<&'static str> {
    match std::env::var("RINGPOST_NO_URING").as_deref() {
        Ok("1") => vec!["epoll"],
        _ => vec!["uring", "epoll"],
    }
}

/// A server whose mailbox [`BLOCKED`] is unusable, so that part of the mail stays queued.
fn server(run_as: RunAs, backend: &str) -> Server {
    let setup = Setup::new().run_as(run_as).backend(backend);
    let base = setup.data().join("mail/localhost");
    fs::create_dir_all(&base).expect("directories");
    fs::write(base.join(BLOCKED), "in the way").expect("a file");
    for path in [setup.data(), &setup.data().join("mail"), &base, &base.join(BLOCKED)] {
        setup.give_to_user(path);
    }
    setup
        .option("queue_run_delay=1s")
        .option("minimal_backoff_time=1s")
        .option("maximal_backoff_time=2s")
        .start()
}

/// Kills `victims` in random order until there were enough.
fn crash(run_as: RunAs, victims: &[&str]) {
    let seed = seed();
    let kills = number("RINGPOST_CRASHES", || 2 * KILLS).div_ceil(2);
    println!("{kills} kills, RINGPOST_SEED={seed}");
    let mut random = Random::new(seed);
    let backends = backends();
    let mut server = server(run_as, random.choose(&backends));
    let load = Load::start(CLIENTS, seed, server.port());
    let begin = Instant::now();
    let mut count: BTreeMap<&str, u64> = BTreeMap::new();
    for kill in 1..=kills {
        let goal = load.accepted() + 1 + random.below(ACCEPTED_BETWEEN_MAX);
        wait::until_true("messages to be accepted", || load.accepted() >= goal);
        let moment = Instant::now() + Duration::from_micros(random.below(MOMENT_MICROS_MAX));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        let victim = random.choose(victims);
        *count.entry(victim).or_default() += 1;
        if victim == "master" {
            server.kill_main();
            server.set_backend(random.choose(&backends));
            server.start_again();
            load.set_port(server.port());
        } else {
            wait::until("the victim", || server.child_process(victim)).kill();
        }
        if kill % 20 == 0 || kill == kills {
            let (accepted, elapsed) = (load.accepted(), begin.elapsed().as_secs());
            println!("  {kill}/{kills} kills, {accepted} messages accepted, {elapsed} s");
        }
    }
    println!("  killed: {count:?}");
    let messages = load.stop();
    fs::remove_file(server.mail_base().join("localhost").join(BLOCKED)).expect("unblocking");
    let done = || server.queue().is_empty() && faults(&server, &messages).is_empty();
    let drained = wait::within(DRAIN_MAX, || done().then_some(()));
    if drained.is_none() {
        let wrong = faults(&server, &messages);
        let shown = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        panic!("{} things are wrong:\n{shown}\nqueued: {:#?}", wrong.len(), server.queue());
    }
    // What was delivered stays delivered, and is not delivered again by the next start.
    server.restart();
    wait::until_true("nothing to be queued", || server.queue().is_empty());
    assert_eq!(faults(&server, &messages), Vec::<String>::new(), "after a clean restart");
    println!("  {} messages accounted for, {} s", messages.len(), begin.elapsed().as_secs());
    assert!(server.stop().success(), "a clean stop");
}

/// Every message against every mailbox: what is wrong.
fn faults(server: &Server, messages: &BTreeMap<u64, Fate>) -> Vec<String> {
    let mut copies: BTreeMap<(u64, String), u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, maildir) in tests::mailbox::maildirs(&server.mail_base()) {
        let user = name.file_name().map(|user| user.to_string_lossy().into_owned());
        let user = user.expect("a mailbox has a name");
        for mail in maildir.mails() {
            let number = mail.header("X-Crash").and_then(|number| number.parse().ok());
            let Some(number) = number else {
                wrong.push(format!("without a number: {}", mail.path.display()));
                continue;
            };
            if mail.body() != Message::new(number).body_as_stored() {
                wrong.push(format!("damaged: {}", mail.path.display()));
            }
            if mail.named().is_none_or(|named| named.size != mail.bytes.len() as u64) {
                wrong.push(format!("not of the size in its name: {}", mail.path.display()));
            }
            *copies.entry((number, user.clone())).or_default() += 1;
        }
    }
    for (&number, fate) in messages {
        for user in Message::new(number).recipients() {
            let copies = copies.remove(&(number, user.clone())).unwrap_or(0);
            let right = match fate {
                Fate::Accepted { .. } => copies == 1,
                Fate::Refused => copies == 0,
                Fate::Unknown => copies <= 1,
            };
            if !right {
                wrong.push(format!("message {number} ({fate:?}) is {copies} times at {user}"));
            }
        }
    }
    wrong.extend(copies.keys().map(|(number, user)| format!("{number} is at {user} unasked")));
    wrong
}

#[test]
fn no_accepted_message_is_lost_or_doubled_when_the_one_process_is_killed() {
    crash(RunAs::User, &["master"]);
}

mod as_root {
    use super::*;

    #[test]
    fn no_accepted_message_is_lost_or_doubled_when_any_of_three_processes_is_killed() {
        crash(RunAs::Root, &["master", "engine", "agentd"]);
    }
}
