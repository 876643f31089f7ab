//! How much room the queue takes, and whose it is.

#[path = "sim/model.rs"]
mod model;
#[path = "sim/mod.rs"]
mod sim;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use mail::{Outcome, QueueId, Status, Time};
use model::{NOW, envelope, open, options, read_content};
use queue::{Options, Slice, Start};
use sim::{Dice, SimDisk};

/// What a slice may keep whatever happened before, while little lives in it: three closed segments that
/// are not worth copying, one being copied, the open one, and the spares.
const SEGMENTS_MAX: usize = 9;
/// One of the lives below, in which the index is never idle.
const LIFE: Duration = Duration::from_millis(250);
/// So large that no life fills one.
const SEGMENT_BYTES: u32 = 512 << 10;
/// Messages that wait.
const BACKLOG: usize = 100;
const STEP: Duration = Duration::from_millis(10);

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), work)
}

fn roomy(index: &Path, boot: u64) -> Options {
    Options { segment_bytes: u64::from(SEGMENT_BYTES), ..options(index.to_owned(), boot) }
}

fn delivered() -> Outcome {
    Outcome::new(0, Status(2, 0, 0), "delivered")
}

async fn accept(slice: &Slice<SimDisk>, content: &[u8]) -> QueueId {
    let id = slice.next_id(NOW);
    let appended = slice.append(id, &envelope(1), |sink| {
        sink.push(content);
        Ok::<_, ()>(())
    });
    let (_, commit) = appended.unwrap();
    commit.await.unwrap();
    id
}

async fn settle() {
    // Of the runtime's own time: longer than anything that the slice puts off while it is idle.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn segments(disk: &SimDisk) -> usize {
    disk.names().iter().filter(|name| name.starts_with("segment-")).count()
}

/// Runs under load and is killed. As many messages come as go, any of those there: so for long something
/// lives in the segment of each life, and outcomes name messages in many others.
async fn live_and_die(
    disk: &SimDisk,
    options: Options,
    backlog: &mut Vec<QueueId>,
    dice: &mut Dice,
) {
    let (slice, driver, _) = open(disk, options).await;
    let driver = tokio::task::spawn_local(driver.run());
    // The scheduler has all of them until the end.
    assert_eq!(slice.due(Time(u64::MAX), usize::MAX).unwrap().len(), backlog.len());
    for _ in 0..LIFE.as_millis() / STEP.as_millis() {
        backlog.push(accept(&slice, &[b'x'; 500]).await);
        if backlog.len() > BACKLOG {
            let id = backlog.swap_remove(dice.roll(BACKLOG as u64) as usize);
            slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
        }
        tokio::time::sleep(STEP).await;
    }
    slice.settled().await.unwrap();
    driver.abort();
    let _ = driver.await;
}

#[test]
fn a_queue_that_is_killed_again_and_again_under_load_keeps_a_handful_of_segments() {
    run(async {
        let (mut disk, index) = (SimDisk::new(), scratch());
        // Reading a whole segment takes as long as a life.
        disk.state.borrow_mut().read_time = LIFE / SEGMENT_BYTES;
        let (mut backlog, mut dice, mut boot) = (Vec::new(), Dice(7), 0);
        let mut most = 0;
        for life in 0..80 {
            live_and_die(&disk, roomy(index.path(), boot), &mut backlog, &mut dice).await;
            let count = segments(&disk);
            most = most.max(count);
            assert!(count <= SEGMENTS_MAX, "{count} segments after {life} lives");
            disk = if dice.chance(20) {
                boot += 1;
                disk.after_power_cut(&mut dice)
            } else {
                disk.after_kill()
            };
        }
        assert!(most > 3, "the lives have left nothing behind: {most} segments");
    });
}

#[test]
fn room_that_a_backlog_took_is_given_back_and_no_segment_number_comes_again() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let (slice, driver, _) = open(&disk, options(index.path().to_owned(), 0)).await;
        let driver = tokio::task::spawn_local(driver.run());
        for _ in 0..2 {
            let mut ids = Vec::new();
            for _ in 0..300 {
                ids.push(accept(&slice, &[b'x'; 3000]).await);
            }
            assert!(segments(&disk) > 2 * SEGMENTS_MAX, "the backlog takes room");
            for id in ids {
                slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
            }
            settle().await;
            let count = segments(&disk);
            assert!(count <= SEGMENTS_MAX, "{count} segments for an empty queue");
        }
        // The delivery agent would take a new one for the old one that it has open.
        let trace = disk.state.borrow().trace.clone();
        let mut made: Vec<String> =
            trace.into_iter().filter(|line| line.starts_with("make ")).collect();
        let count = made.len();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), count, "a number was given twice");

        let kept = accept(&slice, b"kept\n").await;
        driver.abort();
        let _ = driver.await;
        drop(slice);
        let (slice, _driver, report) =
            open(&disk.after_kill(), options(index.path().to_owned(), 0)).await;
        assert!(matches!(report.start, Start::Replayed(_)), "{:?}", report.start);
        assert_eq!(slice.due(NOW, 9).unwrap(), [(NOW, kept)]);
    });
}

/// A backlog is delivered but for one message, and the power goes at this point of giving its room back.
/// False: there is no such point.
async fn cut_while_room_is_given_back(point: usize) -> bool {
    let (disk, index) = (SimDisk::new(), scratch());
    let (slice, driver, _) = open(&disk, options(index.path().to_owned(), 0)).await;
    let driver = tokio::task::spawn_local(driver.run());
    let kept = accept(&slice, &[b'k'; 3000]).await;
    let mut ids = Vec::new();
    for _ in 0..150 {
        ids.push(accept(&slice, &[b'x'; 3000]).await);
    }
    for id in ids {
        slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
    }
    slice.settled().await.unwrap();
    disk.halt_after(point);
    disk.until_halted(settle()).await;
    let reached = disk.is_halted();
    let removed = disk.state.borrow().trace.iter().any(|line| line.starts_with("remove segment-"));
    assert!(reached || removed, "nothing was given back");
    driver.abort();
    let _ = driver.await;

    let disk = disk.after_power_cut(&mut Dice(point as u64));
    let (slice, _driver, report) = open(&disk, options(index.path().join("anew"), 1)).await;
    assert_eq!(report.damages, [], "point {point}");
    assert_eq!(slice.due(NOW, 999).unwrap(), [(NOW, kept)], "point {point}");
    let content = slice.load(kept).await.unwrap().place.on_disk_content();
    assert_eq!(read_content(&disk, kept, content), [b'k'; 3000], "point {point}");
    reached
}

#[test]
fn a_power_cut_while_room_is_given_back_loses_and_revives_nothing() {
    let mut points = 0;
    while run(cut_while_room_is_given_back(points + 1)) {
        points += 1;
    }
    assert!(points > 20, "only {points} points");
}

#[test]
fn a_message_can_be_read_where_it_lay_when_it_was_given_out_although_it_was_copied_since() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let (slice, driver, _) = open(&disk, options(index.path().to_owned(), 0)).await;
        let driver = tokio::task::spawn_local(driver.run());
        let slow = accept(&slice, &[b's'; 3000]).await;
        let place = slice.load(slow).await.unwrap().place;
        let given_out = place.on_disk_content();
        // Of ten messages nine are delivered: soon all segments are mostly dead.
        let work = async || {
            for number in 0..300 {
                let id = accept(&slice, &[b'x'; 3000]).await;
                if number % 10 == 0 {
                    slice.put_back(id).unwrap();
                    settle().await;
                } else {
                    slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
                }
            }
        };
        work().await;
        let moved = slice.load(slow).await.unwrap().place.on_disk_content();
        assert_ne!(moved, given_out, "the slow one was not copied");
        assert_eq!(read_content(&disk, slow, given_out), [b's'; 3000]);

        // It failed for now: the next attempt is told the new place, and the old one can go.
        slice.put_back(slow).unwrap();
        drop(place);
        work().await;
        let read = disk.read_file("segment-00000001");
        let old_place = read.is_some_and(|bytes| bytes.windows(3000).any(|at| at == [b's'; 3000]));
        assert!(!old_place, "the old segment is kept for ever");
        driver.abort();
        let _ = driver.await;
    });
}

#[test]
fn a_message_that_is_deleted_while_it_is_being_delivered_stays_readable_until_the_outcome() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let (slice, driver, _) = open(&disk, options(index.path().to_owned(), 0)).await;
        let driver = tokio::task::spawn_local(driver.run());
        let mut lives = Vec::new();
        for by_outcome in [false, true] {
            let id = accept(&slice, &[b'd'; 3000]).await;
            // Its first attempt takes it out of memory.
            let retry = NOW.after(Duration::from_secs(1));
            slice.outcome(id, 0, &Outcome::new(0, Status(4, 2, 0), "busy"), NOW, retry).unwrap();
            let lease = slice.load(id).await.unwrap().place.lease();
            match by_outcome {
                false => slice.delete(id, queue::Reason::Deleted).unwrap(),
                true => drop(slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap()),
            }
            lives.push((id, lease));
        }
        let work = async || {
            for _ in 0..300 {
                let id = accept(&slice, &[b'x'; 3000]).await;
                slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
            }
            settle().await;
        };
        work().await;
        let reclaimed = slice.counters().reclaimed;
        assert!(reclaimed > 0, "no segment was used again");
        for (id, lease) in &lives {
            assert!(slice.load(*id).await.is_err(), "it is gone from the queue");
            assert_eq!(read_content(&disk, *id, lease.content), [b'd'; 3000]);
        }
        // The outcomes are there. Without any other work the segment becomes free.
        drop(lives);
        settle().await;
        assert!(slice.counters().reclaimed > reclaimed, "the segment is kept for ever");
        driver.abort();
        let _ = driver.await;
    });
}
