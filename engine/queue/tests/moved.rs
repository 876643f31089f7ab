//! Messages that are moved while they wait for their turn.

#[path = "sim/model.rs"]
mod model;
#[path = "sim/mod.rs"]
mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use mail::{Outcome, QueueId, Status, Time};
use model::{NOW, envelope, open, options};
use queue::Slice;
use sim::SimDisk;

async fn accept(slice: &Slice<SimDisk>) -> QueueId {
    let id = slice.next_id(NOW);
    let (_, commit) = slice
        .append(id, &envelope(1), |sink| {
            sink.push(&[b'x'; 3000]);
            Ok::<_, ()>(())
        })
        .unwrap();
    commit.await.unwrap();
    id
}

fn deliver(slice: &Slice<SimDisk>, id: QueueId) {
    slice.outcome(id, 0, &Outcome::new(0, Status(2, 0, 0), ""), NOW, NOW).unwrap();
}

/// Puts a message off, and lets go of it.
fn defer(slice: &Slice<SimDisk>, id: QueueId, secs: u64) -> Time {
    let retry = NOW.after(Duration::from_secs(secs));
    slice.outcome(id, 0, &Outcome::new(0, Status(4, 2, 0), "busy"), NOW, retry).unwrap();
    slice.put_back(id).unwrap();
    retry
}

#[test]
fn a_message_that_is_copied_forward_is_due_all_the_while() {
    let index = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let disk = SimDisk::new();
        let (slice, driver, _) = open(&disk, options(index.path().to_owned(), 1)).await;
        tokio::task::spawn_local(driver.run());
        // A few that wait in a segment that is mostly dead, more in one that is mostly alive.
        let mut waiting = BTreeSet::new();
        for number in 0..18 {
            let id = accept(&slice).await;
            if number < 3 {
                defer(&slice, id, 10);
                waiting.insert(id);
            } else {
                deliver(&slice, id);
            }
        }
        let mut due = NOW;
        for _ in 0..18 {
            let id = accept(&slice).await;
            due = defer(&slice, id, 20);
            waiting.insert(id);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let soonest = slice.next_due().unwrap();
        assert_eq!(soonest, Some(NOW.after(Duration::from_secs(10))));
        for _ in 0..400 {
            let id = accept(&slice).await;
            deliver(&slice, id);
            for _ in 0..50 {
                // In memory with its new place, in the index, or between the two: it waits.
                assert_eq!(slice.next_due().unwrap(), soonest);
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(slice.counters().copies > 0, "the early segment was copied forward");
        let given: BTreeSet<QueueId> =
            slice.due(due, 99).unwrap().into_iter().map(|(_, id)| id).collect();
        assert_eq!(given, waiting);
    });
}
