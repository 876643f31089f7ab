//! What an operator may rely on, one promise at a time.

mod world;

use std::time::Duration;

use jiff::tz::TimeZone;
use mail::log::{Formatter, Record, Style};
use mail::{Recipient, Status, Time, Verdict};
use qmgr::{Admission, Hold, Log, Parameters, Transport, TransportParameters};
use world::{Place, World, address};

const SENT: (Verdict, Status) = (Verdict::Delivered, Status(2, 0, 0));
const BUSY: (Verdict, Status) = (Verdict::Deferred, Status(4, 2, 0));
const UNREACHABLE: (Verdict, Status) = (Verdict::Deferred, Status(4, 4, 1));

fn limits() -> Parameters {
    let slow = TransportParameters {
        rate_delay: Duration::from_secs(20),
        ..TransportParameters::new("slow")
    };
    Parameters {
        transports: vec![
            TransportParameters::mailboxes("virtual"),
            TransportParameters::new("smtp"),
            slow,
        ],
        ..Parameters::default()
    }
}

fn world() -> World {
    World::new(limits())
}

/// The domains of the jobs that are out.
fn out(world: &World) -> Vec<&str> {
    world.out.iter().map(|(_, job)| job.recipient.address.domain()).collect()
}

fn answer(world: &mut World, (verdict, status): (Verdict, Status)) {
    world.answer(0, verdict, status);
}

/// A line as the log would have it, less its date and host.
fn printed(line: &Log) -> String {
    let mut text = Vec::new();
    let record = Record {
        time: Time(0),
        name: None,
        service: line.service(),
        session: 0,
        event: line.event(),
    };
    Formatter::new(Style::Postfix, "host", "log", TimeZone::UTC, 2).write(&record, &mut text);
    let text = String::from_utf8(text).unwrap();
    let (_, rest) = text.trim_end().split_once("log/").unwrap();
    rest.replacen("[0]", "", 1)
}

fn log(world: &World) -> Vec<String> {
    world.log.iter().map(printed).collect()
}

fn until(world: &World, id: mail::QueueId) -> u64 {
    match world.stored[&id].place {
        Place::Deferred(next) => next.since(world.now).as_secs(),
        place => panic!("{id} is in {place:?}"),
    }
}

#[test]
fn a_message_goes_out_at_once_and_its_way_is_in_the_log() {
    let mut world = world();
    let _ = world.arrive(&["user@example.com"]);
    world.sleep(Duration::from_millis(20));
    world.poll(9);
    world.sleep(Duration::from_millis(120));
    answer(&mut world, SENT);
    world.poll(0);
    assert!(world.stored.is_empty());
    assert_eq!(
        log(&world),
        [
            "qmgr: 000000000001: from=<sender@client.example>, size=1000, nrcpt=1 (queue active)",
            "virtual: 000000000001: to=<user@example.com>, relay=virtual, delay=0.14, \
             delays=0/0.02/0/0.12, dsn=2.0.0, status=sent (the agent's words)",
            "qmgr: 000000000001: removed",
        ]
    );
}

#[test]
fn a_dead_destination_with_a_thousand_messages_holds_no_slot_and_no_memory() {
    let mut world = world();
    for _ in 0..1_000 {
        let _ = world.arrive(&["a@host1.example"]);
    }
    world.poll(100);
    assert_eq!(out(&world).len(), 5, "a new destination starts with a small window");
    for _ in 0..3 {
        answer(&mut world, UNREACHABLE);
    }
    world.poll(100);
    assert_eq!(world.scheduler.active(), 2, "only what the agent still has in hand");
    let (late, _) = world.arrive(&["b@host1.example"]);
    let (other, _) = world.arrive(&["c@host2.example"]);
    world.poll(100);
    assert_eq!(until(&world, late), 300, "not even tried");
    assert_eq!(world.out.last().map(|(_, job)| job.id), Some(other));
    assert!(log(&world).contains(&format!(
        "error: {late}: to=<b@host1.example>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, \
         status=deferred (delivery temporarily suspended: the agent's words)"
    )));
}

#[test]
fn a_dead_destination_gets_its_next_chance_after_the_minimal_backoff() {
    let mut world = world();
    for _ in 0..3 {
        let _ = world.arrive(&["a@host1.example"]);
    }
    world.poll(9);
    for _ in 0..3 {
        answer(&mut world, UNREACHABLE);
    }
    world.sleep(Duration::from_secs(299));
    let _ = world.arrive(&["a@host1.example"]);
    world.poll(9);
    assert_eq!(out(&world), [""; 0]);
    world.sleep(Duration::from_secs(1));
    world.poll(9);
    let _ = world.arrive(&["a@host1.example"]);
    world.poll(9);
    assert_eq!(out(&world), ["host1.example"]);
}

#[test]
fn a_destination_that_answers_nothing_does_not_fill_the_active_queue() {
    let mut world = World::new(Parameters { active_messages_max: 100, ..limits() });
    for _ in 0..1_000 {
        let _ = world.arrive(&["a@host1.example"]);
    }
    let (other, _) = world.arrive(&["b@host2.example"]);
    for _ in 0..200 {
        world.poll(9);
        if world.out.iter().any(|(_, job)| job.id == other) {
            assert!(world.lived <= Duration::from_secs(300), "{:?}", world.lived);
            return;
        }
        if world.effects.pull.is_none() {
            world.sleep_until_woken();
        }
        world.answer_pull();
    }
    panic!("it waits for the silent one");
}

#[test]
fn lanes_take_turns_however_long_they_are() {
    let mut world = world();
    for _ in 0..100 {
        let _ = world.arrive(&["a@host1.example"]);
    }
    let _ = world.arrive(&["b@host2.example"]);
    let _ = world.arrive(&["c@host3.example"]);
    world.poll(4);
    assert_eq!(out(&world), ["host1.example", "host2.example", "host3.example", "host1.example"]);
}

#[test]
fn a_slow_mailbox_takes_no_more_than_its_window() {
    let mut world = world();
    for _ in 0..100 {
        let _ = world.arrive(&["slow@example.com"]);
    }
    let _ = world.arrive(&["quick@example.com"]);
    world.poll(100);
    assert_eq!(world.out.len(), 5 + 1);
    // Mailboxes that answer are believed to bear more, up to the limit.
    for _ in 0..60 {
        answer(&mut world, SENT);
        world.poll(100);
    }
    assert_eq!(world.out.len(), 20);
}

#[test]
fn agents_take_turns_and_none_gets_more_than_its_process_limit() {
    let mut limits = limits();
    limits.transports[0].jobs_max = 3;
    let mut world = World::new(limits);
    for n in 0..10 {
        let _ = world.arrive(&[&format!("user{n}@example.com"), &format!("a@host{n}.example")]);
    }
    world.poll(5);
    let turns: Vec<u16> = world.out.iter().map(|(transport, _)| transport.0).collect();
    assert_eq!(turns, [0, 1, 0, 1, 0]);
    world.poll(100);
    assert_eq!(world.out.iter().filter(|(transport, _)| transport.0 == 0).count(), 3);
}

#[test]
fn mail_waits_as_long_as_it_has_been_here_within_the_bounds() {
    let mut world = world();
    let (id, _) = world.arrive(&["user@example.com"]);
    let mut waits = Vec::new();
    for _ in 0..7 {
        world.poll(9);
        answer(&mut world, BUSY);
        world.poll(9);
        waits.push(until(&world, id));
        while world.out.is_empty() {
            if world.effects.pull.is_none() {
                world.sleep_until_woken();
            }
            world.answer_pull();
            world.poll(9);
        }
    }
    assert_eq!(waits, [300, 300, 600, 1_200, 2_400, 4_000, 4_000]);
}

#[test]
fn a_message_waits_until_each_of_its_recipients_has_been_tried() {
    let mut world = world();
    let (id, _) = world.arrive(&["a@example.com", "b@example.com", "c@example.com"]);
    world.poll(9);
    answer(&mut world, BUSY);
    answer(&mut world, SENT);
    world.poll(9);
    assert_eq!(world.stored[&id].place, Place::Incoming);
    answer(&mut world, BUSY);
    world.poll(9);
    assert_eq!(until(&world, id), 300);
    assert_eq!(world.stored[&id].pending.keys().copied().collect::<Vec<_>>(), [0, 2]);
}

/// Lives until a message whose deliveries are all put off is put on hold.
fn lifetime_in_hours(world: &mut World, id: mail::QueueId) -> u64 {
    while !matches!(world.stored[&id].place, Place::Held(_)) {
        world.poll(9);
        while !world.out.is_empty() {
            answer(world, BUSY);
        }
        world.answer_pull();
        if !matches!(world.stored[&id].place, Place::Held(_)) {
            world.sleep_until_woken();
        }
    }
    world.lived.as_secs() / 3_600
}

#[test]
fn mail_is_given_up_after_its_lifetime_and_kept_on_hold() {
    let mut world = world();
    let (id, _) = world.arrive(&["user@example.com"]);
    let hours = lifetime_in_hours(&mut world, id);
    assert!((120..122).contains(&hours), "{hours} hours");
    assert_eq!(world.stored[&id].place, Place::Held(Hold::Expired));
    let line = format!("qmgr: {id}: from=<sender@client.example>, status=expired, placed on hold");
    assert_eq!(log(&world).last(), Some(&line));
}

#[test]
fn a_clock_that_is_days_ahead_for_a_while_shortens_no_lifetime() {
    let mut world = world();
    let (id, _) = world.arrive(&["user@example.com"]);
    world.poll(9);
    world.now = world.now.after(Duration::from_secs(30 * 86_400));
    let hours = lifetime_in_hours(&mut world, id);
    assert!(hours >= 120, "given up after {hours} hours");
}

#[test]
fn mail_deferred_by_a_clock_that_was_ahead_is_not_left_for_later() {
    let mut world = world();
    let (id, _) = world.arrive(&["user@example.com"]);
    world.poll(9);
    let right = world.now;
    world.now = right.after(Duration::from_secs(86_400));
    answer(&mut world, BUSY);
    world.poll(9);
    world.now = right;
    world.poll(9);
    assert!(until(&world, id) > 86_400);
    assert!(world.effects.wake <= right.after(Duration::from_secs(300)));
    world.sleep_until_woken();
    world.answer_pull();
    world.poll(9);
    assert_eq!(world.out.len(), 1);
}

#[test]
fn a_message_with_a_recipient_that_failed_is_kept_on_hold_after_the_others_had_it() {
    let mut world = world();
    let (id, _) = world.arrive(&["nobody@example.com", "user@example.com"]);
    world.poll(9);
    world.answer(0, Verdict::Failed, Status(5, 1, 1));
    answer(&mut world, BUSY);
    world.poll(9);
    assert_eq!(until(&world, id), 300);
    world.sleep(Duration::from_secs(300));
    world.settle();
    world.poll(9);
    assert_eq!(world.stored[&id].place, Place::Held(Hold::Undeliverable));
    assert!(log(&world)[1].ends_with("dsn=5.1.1, status=bounced (the agent's words)"));
}

#[test]
fn a_full_active_queue_leaves_new_mail_in_the_index_and_takes_the_oldest_first() {
    let mut world = World::new(Parameters { active_messages_max: 4, ..limits() });
    let admitted = [(); 8].map(|()| world.arrive(&["user@example.com"]).1);
    use Admission::{Active, Queued};
    assert_eq!(admitted, [Active, Active, Active, Active, Queued, Queued, Queued, Queued]);
    world.poll(2);
    answer(&mut world, SENT);
    // There is room, but others came first.
    assert_eq!(world.arrive(&["user@example.com"]).1, Queued);
    world.settle();
    let removed: Vec<u64> = world
        .log
        .iter()
        .filter(|line| matches!(line, Log::Removed { .. }))
        .map(|line| line.id().as_u64())
        .collect();
    assert_eq!(removed, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(world.arrive(&["user@example.com"]).1, Active, "the backlog is gone");
}

#[test]
fn a_message_with_more_recipients_than_the_limit_is_taken_alone() {
    let mut world = World::new(Parameters { active_recipients_max: 3, ..limits() });
    let to = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
    assert_eq!(world.arrive(&to).1, Admission::Active);
    assert_eq!(world.arrive(&to[..1]).1, Admission::Queued);
    world.settle();
    assert!(world.stored.is_empty());
}

#[test]
fn the_jobs_of_a_lost_agent_go_out_again_in_order_and_with_a_warning() {
    let mut world = world();
    for _ in 0..7 {
        let _ = world.arrive(&["user@example.com"]);
    }
    let _ = world.arrive(&["a@host1.example"]);
    world.poll(9);
    world.lose_agent(Transport(0));
    assert_eq!(out(&world), ["host1.example"], "the other agent is alive");
    world.poll(9);
    let again: Vec<(u64, bool)> =
        world.out[1..].iter().map(|(_, job)| (job.id.as_u64(), job.seen_before)).collect();
    assert_eq!(again, [(1, true), (2, true), (3, true), (4, true), (5, true)]);
}

#[test]
fn an_answer_to_a_job_that_went_out_again_is_not_the_new_job_s() {
    let mut world = world();
    let (id, _) = world.arrive(&["user@example.com"]);
    world.poll(9);
    let stale = world.out[0].1.tag;
    world.lose_agent(Transport(0));
    world.poll(9);
    let late = mail::Outcome::new(stale, Status(5, 0, 0), "from beyond");
    assert!(!world.scheduler.outcome(late, world.now));
    answer(&mut world, SENT);
    world.poll(9);
    assert!(!world.stored.contains_key(&id));
}

#[test]
fn a_job_that_its_agent_does_not_survive_is_put_off() {
    let mut world = world();
    let (id, _) = world.arrive(&["user@example.com"]);
    for _ in 0..3 {
        world.poll(9);
        assert_eq!(world.out.len(), 1);
        world.lose_agent(Transport(0));
    }
    world.poll(9);
    assert_eq!(until(&world, id), 300);
}

#[test]
fn a_rate_delay_keeps_deliveries_to_one_destination_apart() {
    let mut world = world();
    for _ in 0..3 {
        let _ = world.arrive(&["a@host.slow"]);
    }
    let mut moments = Vec::new();
    while !world.stored.is_empty() {
        world.poll(9);
        if world.out.is_empty() {
            world.sleep_until_woken();
            continue;
        }
        assert_eq!(world.out.len(), 1);
        moments.push(world.lived.as_secs());
        answer(&mut world, SENT);
        world.poll(0);
    }
    assert_eq!(moments, [0, 20, 40]);
}

#[test]
fn a_flush_gives_dead_destinations_and_deferred_mail_another_chance() {
    for how in ["all", "site", "other site"] {
        let mut world = world();
        for _ in 0..3 {
            let _ = world.arrive(&["a@host1.example"]);
        }
        world.poll(9);
        for _ in 0..3 {
            answer(&mut world, UNREACHABLE);
        }
        world.poll(9);
        match how {
            "all" => world.scheduler.flush_all(world.now),
            "site" => world.scheduler.flush_site("HOST1.example", world.now),
            _ => world.scheduler.flush_site("host2.example", world.now),
        }
        // The first look into the index was under way before.
        for _ in 0..2 {
            world.answer_pull();
            world.poll(9);
        }
        assert_eq!(world.out.len(), if how == "other site" { 0 } else { 3 }, "{how}");
    }
}

#[test]
fn orders_for_active_mail_wait_for_the_delivery_under_way() {
    for delete in [false, true] {
        let mut world = world();
        let to = ["a@example.com", "b@example.com"];
        let (id, _) = world.arrive(&to);
        world.poll(1);
        let taken = if delete {
            world.scheduler.delete(id, world.now)
        } else {
            world.scheduler.hold(id, world.now)
        };
        assert!(taken);
        world.poll(9);
        assert_eq!(world.out.len(), 1, "nothing new is started");
        assert_eq!(world.stored[&id].place, Place::Incoming);
        answer(&mut world, SENT);
        world.poll(9);
        match delete {
            true => assert!(world.stored.is_empty()),
            false => {
                assert_eq!(world.stored[&id].place, Place::Held(Hold::Asked));
                assert_eq!(world.stored[&id].pending.len(), 1);
            }
        }
        assert!(!world.scheduler.hold(id, world.now), "it is no longer active");
    }
}

#[test]
fn a_hold_taken_back_in_time_costs_no_more_than_a_queue_run() {
    let mut world = world();
    let (id, _) = world.arrive(&["a@example.com", "b@example.com"]);
    world.poll(1);
    assert!(!world.scheduler.release(id, world.now), "nothing holds it");
    assert!(world.scheduler.hold(id, world.now));
    assert!(world.scheduler.release(id, world.now));
    answer(&mut world, SENT);
    world.settle();
    assert!(world.stored.is_empty());
}

#[test]
fn redirected_mail_goes_to_the_new_recipients_under_new_numbers() {
    let mut world = world();
    let (id, _) = world.arrive(&["alias@example.com", "other@example.com"]);
    world.poll(1);
    let to = ["x@example.com", "y@host1.example"].map(|to| Recipient::new(address(to)));
    world.answer(0, Verdict::Redirect(to.to_vec()), Status(2, 0, 0));
    world.poll(9);
    world.poll(9);
    let mut numbers: Vec<u32> = world.out.iter().map(|(_, job)| job.number).collect();
    numbers.sort();
    assert_eq!(numbers, [1, 2, 3]);
    world.settle();
    assert!(!world.stored.contains_key(&id));
}

#[test]
fn redirection_without_end_is_a_loop() {
    let mut world = World::new(Parameters { message_recipients_max: 100, ..limits() });
    let (id, _) = world.arrive(&["alias@example.com"]);
    for _ in 0..300 {
        world.poll(1);
        if world.out.is_empty() {
            continue;
        }
        let again = Recipient::new(address("alias@example.com"));
        world.answer(0, Verdict::Redirect(vec![again]), Status(2, 0, 0));
    }
    assert_eq!(world.stored[&id].place, Place::Held(Hold::Undeliverable));
    let looped = |line: &String| line.contains("dsn=5.4.6, status=bounced (too many recipients");
    assert!(log(&world).iter().any(looped));
}

#[test]
fn dead_destinations_are_remembered_up_to_a_limit() {
    let mut world = World::new(Parameters { resting_lanes_max: 2, ..limits() });
    let hosts = ["a@host1.example", "a@host2.example", "a@host3.example"];
    for host in hosts {
        for _ in 0..3 {
            let _ = world.arrive(&[host]);
        }
        world.poll(9);
        for _ in 0..3 {
            answer(&mut world, UNREACHABLE);
        }
    }
    for host in hosts {
        let _ = world.arrive(&[host]);
    }
    world.poll(9);
    assert_eq!(out(&world), ["host1.example"], "the first has rested longest");
}

#[test]
fn what_the_index_holds_at_the_start_is_asked_for_page_by_page() {
    let mut world = world();
    // A second scheduler on the same queue: a restart.
    for n in 0..1_000 {
        let (id, _) = world.arrive(&["user@example.com"]);
        if n % 2 == 0 {
            world.stored.get_mut(&id).unwrap().place = Place::Deferred(Time(0));
        }
    }
    world.scheduler = qmgr::Scheduler::new(limits());
    world.effects = qmgr::Effects::default();
    world.settle();
    assert!(world.stored.is_empty());
}

#[test]
fn a_message_waits_for_recipients_whose_way_is_not_known_yet() {
    let mut world = world();
    let (id, _) = world.arrive_with_unresolved(&["a@example.com", "b@example.com"], 1);
    world.poll(9);
    answer(&mut world, SENT);
    world.poll(9);
    assert!(world.scheduler.is_active(id), "one recipient is not tried yet");
    world.resolve(id, 1, "b@example.com");
    world.poll(9);
    answer(&mut world, SENT);
    world.poll(9);
    assert!(world.stored.is_empty());
    assert!(log(&world)[0].contains("nrcpt=2"), "{:?}", log(&world));
}

#[test]
fn new_parameters_count_for_what_comes_and_transports_keep_their_places() {
    let mut world = world();
    let _ = world.arrive(&["a@host1.example"]);
    world.poll(9);
    let mut parameters = limits();
    parameters.transports[1].concurrency_limit = 1;
    parameters.transports.push(TransportParameters::nobody("retry"));
    parameters.minimal_backoff = Duration::from_secs(60);
    world.scheduler.follow(parameters);
    answer(&mut world, BUSY);
    world.poll(9);
    let (id, _) = world.arrive(&["b@host1.example"]);
    world.poll(9);
    answer(&mut world, BUSY);
    world.poll(9);
    assert_eq!(until(&world, id), 60);
}

#[test]
fn an_agent_that_hands_mail_to_nobody_has_no_relay_in_the_log() {
    let mut parameters = limits();
    parameters.transports[1] = TransportParameters::nobody("error");
    let mut world = World::new(parameters);
    let _ = world.arrive(&["a@host1.example"]);
    world.poll(9);
    answer(&mut world, (Verdict::Failed, Status(5, 1, 1)));
    world.poll(9);
    let line = log(&world).into_iter().find(|line| line.contains("status=bounced")).unwrap();
    assert!(line.starts_with("error: ") && line.contains("relay=none"), "{line}");
}
