//! Crashes at every point of a workload, through the real recovery.

#[path = "sim/model.rs"]
mod model;
#[path = "sim/mod.rs"]
mod sim;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use mail::Time;
use model::{Model, Shared, check, open, options, read_as_the_agent_would, step};
use queue::Start;
use sim::{Dice, SimDisk};

/// Where the index is real, it should at least not wait for a real disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), work)
}

#[derive(Clone, Copy, Debug)]
enum Crash {
    PowerCut,
    Kill,
}

/// One life of the slice: opened, checked, worked with until the disk halts or the steps are done.
/// Returns how many points it passed.
#[allow(clippy::too_many_arguments, reason = "a life has that many circumstances")]
async fn live(
    disk: &SimDisk,
    index: &Path,
    boot: u64,
    model: &Shared,
    dice: &mut Dice,
    steps: usize,
    halt_after: Option<usize>,
    context: &str,
) -> usize {
    let (slice, driver, report) = open(disk, options(index.to_owned(), boot)).await;
    for damage in &report.damages {
        assert!(damage.torn, "{context}: {damage:?} though nothing was damaged");
    }
    let driver = tokio::task::spawn_local(driver.run());
    check(&slice, disk, model, context).await;
    let before = disk.state.borrow().points;
    if let Some(points) = halt_after {
        disk.halt_after(points);
    }
    let work = async {
        for _ in 0..steps {
            step(&slice, model, dice).await.unwrap();
            read_as_the_agent_would(disk, model, context);
        }
    };
    disk.until_halted(work).await;
    let points = disk.state.borrow().points - before;
    // Everything of this life ends here; what was not durable is the seed's.
    driver.abort();
    let _ = driver.await;
    points
}

async fn crash_at(seed: u64, steps: usize, point: usize, crash: Crash) {
    let context = format!("seed {seed}, {crash:?} at point {point}");
    let index = scratch();
    let model: Shared = Rc::new(RefCell::new(Model::default()));
    let disk = SimDisk::new();
    let mut dice = Dice(seed);
    live(&disk, index.path(), 0, &model, &mut dice, steps, Some(point), &context).await;
    let mut fate = Dice(seed ^ point as u64);
    let (disk, boot) = match crash {
        Crash::PowerCut => (disk.after_power_cut(&mut fate), 1),
        Crash::Kill => (disk.after_kill(), 0),
    };
    live(&disk, index.path(), boot, &model, &mut dice, 0, None, &context).await;
}

fn points_of(seed: u64, steps: usize) -> usize {
    run(async {
        let index = scratch();
        let model: Shared = Rc::new(RefCell::new(Model::default()));
        let disk = SimDisk::new();
        live(&disk, index.path(), 0, &model, &mut Dice(seed), steps, None, "whole").await
    })
}

#[test]
fn after_a_power_cut_at_any_point_every_accepted_message_is_there_once_and_nothing_else() {
    let (seed, steps) = (1, 120);
    let points = points_of(seed, steps);
    assert!(points > 200, "the workload passes only {points} points");
    for point in 1..=points {
        run(crash_at(seed, steps, point, Crash::PowerCut));
    }
}

#[test]
fn after_a_kill_at_any_point_every_accepted_message_is_there_once_and_nothing_else() {
    let (seed, steps) = (2, 120);
    for point in 1..=points_of(seed, steps) {
        run(crash_at(seed, steps, point, Crash::Kill));
    }
}

/// Everything that a slice says about what is in it, and how it came to say it.
async fn told(disk: &SimDisk) -> (Vec<String>, queue::Report) {
    let index = scratch();
    let (slice, _driver, report) = open(disk, options(index.path().to_owned(), 1)).await;
    let mut told = Vec::new();
    for (time, id) in slice.due(Time(u64::MAX), usize::MAX).unwrap() {
        let message = slice.load(id).await.unwrap();
        let place = message.place.on_disk_content();
        let (envelope, standings) = (message.envelope, message.standings);
        told.push(format!(
            "{time:?} {id} {place:?} {} {envelope:?} {standings:?}",
            message.expired
        ));
    }
    (told, report)
}

#[test]
fn an_index_made_from_footers_is_the_one_made_from_reading_every_record() {
    let mut with_footer = 0;
    for seed in 0..8 {
        run(async {
            let index = scratch();
            let model: Shared = Rc::new(RefCell::new(Model::default()));
            let disk = SimDisk::new();
            let mut dice = Dice(0xf007_0000 + seed);
            live(&disk, index.path(), 0, &model, &mut dice, 250, None, "workload").await;

            let whole = disk.after_kill();
            let (from_footers, report) = told(&whole).await;
            assert!(matches!(report.start, Start::Rebuilt(_)));
            let spoilt = disk.after_kill();
            for name in spoilt.names().iter().filter(|name| name.starts_with("segment-")) {
                spoilt.change_file(name, |bytes| {
                    let last = bytes.len() - 4096;
                    with_footer += u32::from(bytes[last + 16] == 13);
                    bytes[last..].fill(0);
                });
            }
            let (from_records, report) = told(&spoilt).await;
            assert_eq!(report.damages, []);
            assert_eq!(from_footers, from_records, "seed {seed}");
        });
    }
    assert!(with_footer > 20, "only {with_footer} segments had a footer");
}

/// `CRASH_SEEDS` asks for more than the usual number of lives.
fn seeds() -> u64 {
    std::env::var("CRASH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

#[test]
fn a_queue_that_crashes_again_and_again_never_loses_or_revives_a_message() {
    for seed in 0..seeds() {
        run(async {
            let index = scratch();
            let model: Shared = Rc::new(RefCell::new(Model::default()));
            let mut disk = SimDisk::new();
            let mut dice = Dice(0x5eed_0000 + seed);
            let mut boot = 0;
            for life in 0..8 {
                let context = format!("seed {seed}, life {life}");
                let halt_after = 1 + dice.roll(250) as usize;
                let halt = Some(halt_after);
                live(&disk, index.path(), boot, &model, &mut dice, 150, halt, &context).await;
                disk = if dice.chance(50) {
                    boot += 1;
                    disk.after_power_cut(&mut dice)
                } else {
                    disk.after_kill()
                };
            }
        });
    }
}
