//! Years in the life of a queue: arrivals, outcomes, lost agents, orders and a clock that jumps, at
//! random. The promises are checked by the world at every step, and at the end nothing is left
//! behind.

mod world;

use std::time::Duration;

use mail::{QueueId, Recipient, Status, Time, Verdict};
use proptest::prelude::*;
use qmgr::{Hold, Parameters, Transport, TransportParameters};
use world::{Place, World, address};

const PLACES: [&str; 8] = [
    "user1@example.com",
    "user2@example.com",
    "user2+tag@example.com",
    "user1@example.net",
    "a@host1.example",
    "b@host1.example",
    "c@host2.example",
    "d@host3.slow",
];

#[derive(Clone, Debug)]
enum Step {
    Arrive(Vec<usize>),
    Poll(usize),
    Answer(usize, Said),
    AnswerAll(Said),
    AnswerPull,
    Sleep(u64),
    /// Sleeps as the shell does: polls whenever the scheduler wants to be woken.
    Live(u64),
    Jump(i64),
    LoseAgent(u16),
    FlushAll,
    FlushSite(usize),
    FlushOne(usize),
    Hold(usize),
    Release(usize),
    Delete(usize),
}

#[derive(Clone, Debug)]
enum Said {
    Delivered,
    Busy,
    Unreachable,
    Failed,
    Redirect(usize),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        4 => Just(Said::Delivered),
        3 => Just(Said::Busy),
        4 => Just(Said::Unreachable),
        1 => Just(Said::Failed),
        1 => (0..PLACES.len()).prop_map(Said::Redirect),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let places = prop::collection::vec(0..PLACES.len(), 1..5);
    prop_oneof![
        8 => places.prop_map(Step::Arrive),
        8 => (0..12_usize).prop_map(Step::Poll),
        8 => (any::<usize>(), said()).prop_map(|(at, said)| Step::Answer(at, said)),
        2 => said().prop_map(Step::AnswerAll),
        6 => Just(Step::AnswerPull),
        3 => (1..600_u64).prop_map(Step::Sleep),
        2 => (600..50_000_u64).prop_map(Step::Live),
        1 => (3_600..2_000_000_i64).prop_map(Step::Jump),
        1 => (-2_000_000..-3_600_i64).prop_map(Step::Jump),
        1 => (0..3_u16).prop_map(Step::LoseAgent),
        1 => Just(Step::FlushAll),
        1 => (0..PLACES.len()).prop_map(Step::FlushSite),
        1 => (0..40_usize).prop_map(Step::FlushOne),
        1 => (0..40_usize).prop_map(Step::Hold),
        1 => (0..40_usize).prop_map(Step::Release),
        1 => (0..40_usize).prop_map(Step::Delete),
    ]
}

fn limits() -> Parameters {
    Parameters {
        active_messages_max: 10,
        active_recipients_max: 20,
        recipient_delimiter: "+".into(),
        queue_lifetime: Duration::from_secs(86_400),
        message_recipients_max: 12,
        resting_lanes_max: 2,
        transports: vec![
            TransportParameters::mailboxes("virtual"),
            TransportParameters { jobs_max: 6, ..TransportParameters::new("smtp") },
            TransportParameters {
                rate_delay: Duration::from_secs(20),
                ..TransportParameters::new("slow")
            },
        ],
        ..Parameters::default()
    }
}

fn answer(world: &mut World, at: usize, said: &Said) {
    let (verdict, status) = match said {
        Said::Delivered => (Verdict::Delivered, Status(2, 0, 0)),
        Said::Busy => (Verdict::Deferred, Status(4, 2, 0)),
        Said::Unreachable => (Verdict::Deferred, Status(4, 4, 1)),
        Said::Failed => (Verdict::Failed, Status(5, 1, 1)),
        Said::Redirect(to) => {
            let to = vec![Recipient::new(address(PLACES[*to])); 2];
            (Verdict::Redirect(to), Status(2, 0, 0))
        }
    };
    world.answer(at, verdict, status);
}

fn nth(world: &World, at: usize) -> Option<QueueId> {
    world.stored.keys().nth(at).copied()
}

fn live(world: &mut World, secs: u64) {
    let end = world.lived + Duration::from_secs(secs);
    while world.lived < end {
        let left = end - world.lived;
        // Whole seconds, and never none: a wake-up that lies in the past is for now.
        let nap = world.effects.wake.since(world.now).max(Duration::from_secs(1));
        world.sleep(nap.min(left));
        world.poll(0);
        world.answer_pull();
    }
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Arrive(to) => {
            let to: Vec<&str> = to.iter().map(|at| PLACES[*at]).collect();
            let _ = world.arrive(&to);
        }
        Step::Poll(free) => world.poll(*free),
        Step::Answer(at, said) if !world.out.is_empty() => {
            let at = at % world.out.len();
            answer(world, at, said);
        }
        Step::AnswerAll(said) => {
            while !world.out.is_empty() {
                answer(world, 0, said);
            }
        }
        Step::AnswerPull => world.answer_pull(),
        Step::Sleep(secs) => {
            world.sleep(Duration::from_secs(*secs));
            world.poll(0);
        }
        Step::Live(secs) => live(world, *secs),
        Step::Jump(secs) => {
            world.poll(0);
            world.now = Time(world.now.0.saturating_add_signed(secs * 1_000_000));
            world.poll(0);
        }
        Step::LoseAgent(transport) => world.lose_agent(Transport(*transport)),
        Step::FlushAll => world.scheduler.flush_all(world.now),
        Step::FlushSite(at) => {
            world.scheduler.flush_site(address(PLACES[*at]).domain(), world.now);
        }
        Step::FlushOne(at) => {
            if let Some(id) = nth(world, *at)
                && !world.scheduler.flush_message(id, world.now)
            {
                world.poll(0);
                let now = world.now;
                if let Some(stored) = world.stored.get_mut(&id)
                    && let Place::Deferred(next) = &mut stored.place
                {
                    *next = now;
                    world.scheduler.run(now);
                }
            }
        }
        // The queue takes orders for what is not active, once it has seen the last changes.
        Step::Hold(at) => {
            if let Some(id) = nth(world, *at)
                && !world.scheduler.hold(id, world.now)
            {
                world.poll(0);
                if let Some(stored) = world.stored.get_mut(&id) {
                    stored.place = Place::Held(Hold::Asked);
                }
            }
        }
        Step::Release(at) => {
            if let Some(id) = nth(world, *at)
                && !world.scheduler.release(id, world.now)
            {
                world.poll(0);
                release(world, id);
            }
        }
        Step::Delete(at) => {
            if let Some(id) = nth(world, *at)
                && !world.scheduler.delete(id, world.now)
            {
                world.poll(0);
                world.stored.remove(&id);
            }
        }
        Step::Answer(..) => {}
    }
}

fn release(world: &mut World, id: QueueId) {
    let now = world.now;
    if let Some(stored) = world.stored.get_mut(&id)
        && stored.place == Place::Held(Hold::Asked)
    {
        stored.place = Place::Deferred(now);
        world.scheduler.run(now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_recipient_comes_to_one_end(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut world = World::new(limits());
        for step in &steps {
            take(&mut world, step);
        }
        // From here on everything works.
        let kept = |place| matches!(place, Place::Held(Hold::Expired | Hold::Undeliverable));
        let begun = world.lived;
        while !world.stored.values().all(|stored| kept(stored.place)) {
            let left = world.stored.iter().find(|(_, stored)| !kept(stored.place));
            // Hundreds of recipients may wait for a pause of 20 seconds each, and then once more.
            prop_assert!(
                world.lived - begun < Duration::from_secs(100_000),
                "left behind: {:?}", left.map(|(id, stored)| (id, stored.place))
            );
            world.poll(0);
            let held: Vec<QueueId> = world.stored.keys().copied().collect();
            for id in held {
                release(&mut world, id);
            }
            world.settle();
            let wait = world.effects.wake.since(world.now);
            world.sleep(wait.max(Duration::from_secs(1)));
            world.poll(0);
        }
        prop_assert_eq!(world.scheduler.active(), 0);
        prop_assert_eq!(world.scheduler.jobs_out(), 0);
    }
}
