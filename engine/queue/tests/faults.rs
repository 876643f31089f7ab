//! What the queue does when the disk does not do its part.

#[path = "sim/model.rs"]
mod model;
#[path = "sim/mod.rs"]
mod sim;

use std::future::Future;
use std::path::Path;

use mail::{Content, Outcome, QueueId, Status, Time};
use model::{NOW, envelope, open, options, read_content};
use queue::{AppendError, Cause, Commit, Options, Refusal, Slice, SliceError, Start};
use sim::{Dice, EDQUOT, ENOSPC, SimDisk};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), work)
}

struct Life {
    slice: Slice<SimDisk>,
    driver: tokio::task::JoinHandle<Option<String>>,
    report: queue::Report,
}

async fn start(disk: &SimDisk, index: &Path, boot: u64) -> Life {
    start_with(disk, options(index.to_owned(), boot)).await
}

async fn start_with(disk: &SimDisk, options: Options) -> Life {
    let (slice, driver, report) = open(disk, options).await;
    Life { slice, driver: tokio::task::spawn_local(driver.run()), report }
}

impl Life {
    async fn close(self) {
        self.slice.close().await;
        self.driver.await.unwrap();
    }

    async fn crash(self) {
        self.driver.abort();
        let _ = self.driver.await;
    }
}

fn append(slice: &Slice<SimDisk>, content: &[u8]) -> Result<(QueueId, Commit), AppendError<()>> {
    let id = slice.next_id(NOW);
    let (_, commit) = slice.append(id, &envelope(1), |sink| {
        sink.push(content);
        Ok(())
    })?;
    Ok((id, commit))
}

async fn accept(slice: &Slice<SimDisk>, content: &[u8]) -> QueueId {
    let (id, commit) = append(slice, content).unwrap();
    commit.await.unwrap();
    id
}

fn delivered() -> Outcome {
    Outcome::new(0, Status(2, 0, 0), "delivered")
}

async fn settle() {
    // Of the runtime's own time: longer than anything that the slice puts off while it is idle.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}

#[test]
fn a_failed_write_is_never_retried_and_the_slice_says_so_while_reads_go_on() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let before = accept(&life.slice, b"before\n").await;
        settle().await;
        disk.fail_after(1);
        let (_, commit) = append(&life.slice, b"lost\n").unwrap();
        let (_, waiting) = append(&life.slice, b"waits, too\n").unwrap();
        assert_eq!(commit.await.unwrap_err(), Refusal::Failed);
        assert_eq!(waiting.await.unwrap_err(), Refusal::Failed);
        let written = disk.state.borrow().trace.len();
        assert_eq!(life.slice.accepting(), Err(Refusal::Failed));
        let refused = append(&life.slice, b"later\n").map(drop);
        assert_eq!(refused, Err(AppendError::Refused(Refusal::Failed)));
        let outcome = life.slice.outcome(before, 0, &delivered(), NOW, NOW);
        assert!(matches!(outcome, Err(SliceError::Refused(Refusal::Failed))));
        assert!(life.slice.load(before).await.is_ok());
        settle().await;
        assert_eq!(disk.state.borrow().trace.len(), written, "nothing more was written");
        let why = life.driver.await.unwrap().expect("it says why");
        assert!(why.starts_with("write segment-0000000"), "{why}");
        drop(life.slice);

        let life = start(&disk.after_kill(), index.path(), 0).await;
        // Whoever was told 451 sends again; what of the failed write reached the disk may be there, too.
        assert_eq!(life.slice.due(NOW, 9).unwrap().first(), Some(&(NOW, before)));
    });
}

#[test]
fn a_file_system_that_turns_read_only_ends_acceptance_at_the_next_write_and_loses_nothing() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(accept(&life.slice, &[b'x'; 3000]).await);
        }
        settle().await;
        disk.state.borrow_mut().read_only = true;
        assert_eq!(life.slice.accepting(), Ok(()), "nobody has told it yet");
        let large = life.slice.stream(life.slice.next_id(NOW)).await;
        assert!(matches!(large.map(drop), Err(SliceError::Io { doing: "create", .. })));
        let (_, commit) = append(&life.slice, b"too late\n").unwrap();
        assert_eq!(commit.await.unwrap_err(), Refusal::Failed);
        assert_eq!(life.slice.accepting(), Err(Refusal::Failed));
        for id in &ids {
            assert!(life.slice.load(*id).await.is_ok(), "reads go on");
        }
        let outcome = life.slice.outcome(ids[0], 0, &delivered(), NOW, NOW);
        assert!(matches!(outcome, Err(SliceError::Refused(Refusal::Failed))));
        life.close().await;

        // Mounted anew. The one that was refused was never there.
        let life = start(&disk.after_power_cut(&mut Dice(1)), index.path(), 1).await;
        let due: Vec<_> = life.slice.due(NOW, 99).unwrap().into_iter().map(|it| it.1).collect();
        assert_eq!(due, ids);
    });
}

#[test]
fn a_batch_whose_durable_write_reports_an_error_at_its_end_is_not_acknowledged() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        accept(&life.slice, b"first\n").await;
        settle().await;
        // The second point of a write is its completion: the bytes went out, the flush failed.
        disk.fail_after(2);
        let (_, commit) = append(&life.slice, b"unsure\n").unwrap();
        assert_eq!(commit.await.unwrap_err(), Refusal::Failed);
        assert_eq!(life.slice.accepting(), Err(Refusal::Failed));
    });
}

#[test]
fn content_whose_sync_fails_never_becomes_a_message() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        accept(&life.slice, b"first\n").await;
        settle().await;
        let id = life.slice.next_id(NOW);
        let mut large = life.slice.stream(id).await.unwrap();
        large.write(b"large\n".to_vec()).await.unwrap();
        disk.fail_after(1);
        let error = large.finish().await.unwrap_err();
        assert!(error.to_string().starts_with("sync content/"), "{error}");
        assert!(life.slice.accepting().is_ok(), "the log is not concerned");
        life.close().await;
        let life = start(&disk, index.path(), 0).await;
        assert_eq!(life.report.orphans, 1);
        assert_eq!(disk.read_file(&format!("content/{id}")), None);
    });
}

#[test]
fn a_full_disk_refuses_new_mail_finishes_the_old_and_heals() {
    run(fill_and_heal(ENOSPC));
}

#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    run(fill_and_heal(EDQUOT));
}

async fn fill_and_heal(errno: i32) {
    let (disk, index) = (SimDisk::new(), scratch());
    disk.state.borrow_mut().full_errno = errno;
    let life = start(&disk, index.path(), 0).await;
    let first = accept(&life.slice, &[b'x'; 3000]).await;
    disk.state.borrow_mut().full = true;
    let mut ids = vec![first];
    let refusal = loop {
        match append(&life.slice, &[b'x'; 3000]) {
            Ok((id, commit)) => {
                commit.await.unwrap();
                ids.push(id);
            }
            Err(refusal) => break refusal,
        }
        assert!(ids.len() < 1000, "a full disk takes mail without end");
    };
    assert_eq!(refusal, AppendError::Refused(Refusal::NoSpace));
    assert_eq!(life.slice.accepting(), Err(Refusal::NoSpace));
    for &id in &ids {
        life.slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
    }
    life.slice.settled().await.unwrap();
    disk.state.borrow_mut().full = false;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(life.slice.accepting(), Ok(()));
    let after = accept(&life.slice, b"again\n").await;
    life.close().await;
    let life = start(&disk.after_power_cut(&mut Dice(1)), index.path(), 1).await;
    assert_eq!(life.slice.due(NOW, 9).unwrap(), [(NOW, after)]);
}

#[test]
fn closing_on_a_full_disk_ends_and_refuses_what_has_no_room() {
    // Full before the slice knows, and known to be full.
    for known in [false, true] {
        run(async {
            let (disk, index) = (SimDisk::new(), scratch());
            let life = start(&disk, index.path(), 0).await;
            let first = accept(&life.slice, b"first\n").await;
            disk.state.borrow_mut().full = true;
            // A first segment is in use, and at most one spare: this is more than they hold.
            let appended = (0..60).map_while(|_| append(&life.slice, &[b'x'; 3000]).ok());
            let waiting: Vec<(QueueId, Commit)> = appended.collect();
            assert!(waiting.len() > 40, "only {} were taken", waiting.len());
            if known {
                settle().await;
                assert_eq!(life.slice.accepting(), Err(Refusal::NoSpace));
            }
            let slice = life.slice.clone();
            let closed = tokio::time::timeout(std::time::Duration::from_secs(5), slice.close());
            assert!(closed.await.is_ok(), "it waits for the disk");
            life.driver.await.unwrap();
            drop((slice, life.slice));
            let mut kept = vec![first];
            for (id, commit) in waiting {
                match commit.await {
                    Ok(_) => kept.push(id),
                    Err(refusal) => assert_eq!(refusal, Refusal::Closed),
                }
            }
            assert!(kept.len() < 50, "all of it had room");

            disk.state.borrow_mut().full = false;
            let life = start(&disk.after_kill(), index.path(), 0).await;
            let due = life.slice.due(NOW, 99).unwrap();
            assert_eq!(due.into_iter().map(|(_, id)| id).collect::<Vec<_>>(), kept);
            assert_eq!(life.report.damages, []);
        });
    }
}

#[test]
fn a_full_disk_refuses_large_content_with_the_reason() {
    for errno in [ENOSPC, EDQUOT] {
        run(refuse_large_content(errno));
    }
}

async fn refuse_large_content(errno: i32) {
    let (disk, index) = (SimDisk::new(), scratch());
    disk.state.borrow_mut().full_errno = errno;
    let life = start(&disk, index.path(), 0).await;
    let mut large = life.slice.stream(life.slice.next_id(NOW)).await.unwrap();
    disk.state.borrow_mut().full = true;
    let refused = large.write(b"x".to_vec()).await;
    assert!(matches!(refused, Err(SliceError::Refused(Refusal::NoSpace))));
    large.abandon().await;
    assert!(disk.names().iter().all(|name| !name.starts_with("content/")));
}

/// Three messages in one segment, in two batches; returns the offset of each record in the segment.
async fn three(disk: &SimDisk, index: &Path) -> Vec<(QueueId, usize, usize)> {
    let life = start(disk, index, 0).await;
    let (a, first) = append(&life.slice, &[b'a'; 500]).unwrap();
    let (b, second) = append(&life.slice, &[b'b'; 500]).unwrap();
    first.await.unwrap();
    second.await.unwrap();
    let c = accept(&life.slice, &[b'c'; 500]).await;
    let mut places = Vec::new();
    for id in [a, b, c] {
        let place = life.slice.load(id).await.unwrap().place.on_disk_content();
        let Content::Segment { offset, len, .. } = place else { panic!("{place:?}") };
        places.push((id, offset as usize, len as usize));
    }
    life.crash().await;
    places
}

#[test]
fn a_damaged_record_costs_that_record_only_and_is_kept_and_reported() {
    // Any byte of the first two messages, from the first's content to the second's: headers,
    // envelopes, contents. Both lie in the first batch, so what follows shows that they were written.
    let places = run(async {
        let disk = SimDisk::new();
        three(&disk, scratch().path()).await
    });
    let (from, to) = (places[0].1, places[1].1 + places[1].2);
    for at in (from..to).step_by(7) {
        run(async {
            let (disk, index) = (SimDisk::new(), scratch());
            let places = three(&disk, index.path()).await;
            let disk = disk.after_power_cut(&mut Dice(1));
            disk.change_file("segment-00000001", |bytes| bytes[at] ^= 0x40);
            let life = start(&disk, index.path(), 1).await;
            assert_eq!(life.report.start, Start::Rebuilt(Cause::PowerCut));
            let [damage] = &life.report.damages[..] else { panic!("{:?}", life.report) };
            let kept = damage.kept.clone().unwrap();
            assert!(disk.read_file(&kept).is_some_and(|bytes| bytes.len() >= 500), "{kept}");
            let alive = life.slice.due(NOW, 9).unwrap();
            let padded_end = (places[0].1 + places[0].2).next_multiple_of(8);
            let lost = if at < padded_end { 0 } else { 1 };
            let expected = [0, 1, 2].into_iter().filter(|n| *n != lost).map(|n| places[n].0);
            let alive: Vec<QueueId> = alive.into_iter().map(|(_, id)| id).collect();
            assert_eq!(alive, expected.collect::<Vec<_>>(), "byte {at}");
        });
    }
}

/// Messages in a full segment, whose footer tells of them.
async fn full_segment(disk: &SimDisk, index: &Path) -> Vec<QueueId> {
    let life = start(disk, index, 0).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(accept(&life.slice, &[b'a' + n; 3000]).await);
    }
    life.crash().await;
    let bytes = disk.read_file("segment-00000001").unwrap();
    assert_eq!(bytes[bytes.len() - 4096 + 16], 13, "it has a footer");
    ids
}

#[test]
fn damage_in_a_full_segment_costs_one_message_though_a_new_index_does_not_read_contents() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let ids = full_segment(&disk, index.path()).await;
        let disk = disk.after_power_cut(&mut Dice(1));
        disk.change_file("segment-00000001", |bytes| {
            let content = bytes.windows(100).position(|window| window == [b'c'; 100]);
            bytes[content.unwrap() + 50] = b'!';
        });
        let life = start(&disk, index.path(), 1).await;
        assert_eq!(life.report.start, Start::Rebuilt(Cause::PowerCut));
        assert_eq!(life.slice.due(NOW, 99).unwrap().len(), ids.len(), "listed as it was accepted");
        for (n, id) in ids.iter().enumerate() {
            match life.slice.load(*id).await {
                Ok(message) => {
                    let content = read_content(&disk, *id, message.place.lease().content);
                    assert!(n != 2 && content == [b'a' + n as u8; 3000]);
                }
                Err(SliceError::Corrupt { kept, .. }) => {
                    assert_eq!((n, kept), (2, format!("corrupt/{id}")));
                }
                Err(error) => panic!("{id}: {error}"),
            }
        }
    });
}

#[test]
fn the_segment_that_was_being_written_has_a_footer_after_a_clean_stop() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let id = accept(&life.slice, b"kept\n").await;
        life.close().await;
        let bytes = disk.read_file("segment-00000001").unwrap();
        assert_eq!(bytes[bytes.len() - 4096 + 16], 13);
        std::fs::remove_dir_all(index.path()).unwrap();
        let life = start(&disk.after_power_cut(&mut Dice(1)), index.path(), 1).await;
        assert!(matches!(life.report.start, Start::Rebuilt(_)));
        assert_eq!(life.slice.due(NOW, 9).unwrap(), [(NOW, id)]);
        assert!(life.slice.next_id(Time(0)) > id, "ids grow although the clock went back");
    });
}

#[test]
fn a_damaged_footer_costs_nothing_but_reading_the_segment() {
    // The digest begins behind the last batch, in a page of its own.
    let digest_at = |bytes: &[u8]| {
        (2..15).map(|page| page * 4096).find(|at| bytes[at + 16] == 14).expect("a digest")
    };
    let last_page = 60 << 10;
    let spoils: [fn(usize, usize) -> usize; 3] =
        [|_, footer| footer, |_, footer| footer + 24, |digest, _| digest + 100];
    for (n, spoil) in spoils.into_iter().enumerate() {
        run(async {
            let (disk, index) = (SimDisk::new(), scratch());
            let ids = full_segment(&disk, index.path()).await;
            let disk = disk.after_power_cut(&mut Dice(1));
            disk.change_file("segment-00000001", |bytes| {
                let at = spoil(digest_at(bytes), last_page);
                bytes[at] ^= 1;
            });
            let life = start(&disk, index.path(), 1).await;
            let due: Vec<_> = life.slice.due(NOW, 99).unwrap().into_iter().map(|it| it.1).collect();
            assert_eq!(due, ids, "spoilt in way {n}");
            for id in ids {
                assert!(life.slice.load(id).await.is_ok());
            }
        });
    }
}

#[test]
fn damage_that_the_index_does_not_know_of_is_found_when_the_message_is_loaded() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let places = three(&disk, index.path()).await;
        let disk = disk.after_kill();
        let life = start(&disk, index.path(), 0).await;
        let (id, offset, _) = places[1];
        disk.change_file("segment-00000001", |bytes| bytes[offset + 7] ^= 1);
        let Err(SliceError::Corrupt { kept, .. }) = life.slice.load(id).await else {
            panic!("{id} is damaged")
        };
        assert_eq!(kept, format!("corrupt/{id}"));
        let bytes = disk.read_file(&kept).unwrap();
        assert!(bytes.windows(400).any(|window| window == [b'b'; 400]));
        assert!(matches!(life.slice.load(id).await, Err(SliceError::NoMessage(_))));
        for other in [places[0].0, places[2].0] {
            assert!(life.slice.load(other).await.is_ok());
        }
    });
}

#[test]
fn a_read_error_defers_and_does_not_condemn() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let id = three(&disk, index.path()).await[0].0;
        let disk = disk.after_kill();
        let life = start(&disk, index.path(), 0).await;
        disk.state.borrow_mut().unreadable = Some("segment-00000001".to_owned());
        assert!(matches!(life.slice.load(id).await, Err(SliceError::Io { .. })));
        disk.state.borrow_mut().unreadable = None;
        assert!(life.slice.load(id).await.is_ok());
    });
}

#[test]
fn large_content_that_was_changed_is_set_aside() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let id = life.slice.next_id(NOW);
        let mut large = life.slice.stream(id).await.unwrap();
        large.write(vec![b'x'; 5000]).await.unwrap();
        let file = large.finish().await.unwrap();
        let commit = life.slice.append_file(id, &envelope(1), file, queue::Notes::default());
        commit.unwrap().await.unwrap();
        let message = life.slice.load(id).await.unwrap();
        assert_eq!(message.place.lease().content, Content::File { len: 5000 });
        disk.change_file(&format!("content/{id}"), |bytes| bytes[4000] = b'y');
        assert!(matches!(life.slice.load(id).await, Err(SliceError::Corrupt { .. })));
        assert_eq!(disk.read_file(&format!("corrupt/{id}")).unwrap().len(), 5000);
    });
}

#[test]
fn a_missing_damaged_or_foreign_index_is_made_anew() {
    let cut = |index: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(index.join("data.mdb")).unwrap();
        file.set_len(8192).unwrap();
    };
    let noise = |index: &Path| std::fs::write(index.join("data.mdb"), [0x5a; 65536]).unwrap();
    let missing = |index: &Path| std::fs::remove_dir_all(index).unwrap();
    let foreign = |index: &Path| {
        run(async {
            let (disk, other) = (SimDisk::new(), scratch());
            disk.state.borrow_mut().set_drawn(77);
            let life = start(&disk, other.path(), 0).await;
            accept(&life.slice, b"of another queue\n").await;
            life.close().await;
            std::fs::copy(other.path().join("index/data.mdb"), index.join("data.mdb")).unwrap();
        });
    };
    let spoils: [&dyn Fn(&Path); 4] = [&cut, &noise, &missing, &foreign];
    for (name, spoil) in ["cut", "noise", "missing", "foreign"].into_iter().zip(spoils) {
        let (disk, index) = (SimDisk::new(), scratch());
        let places = run(three(&disk, index.path()));
        spoil(&index.path().join("index"));
        run(async {
            let disk = disk.after_kill();
            let life = start(&disk, index.path(), 0).await;
            assert!(matches!(life.report.start, Start::Rebuilt(_)), "{name}: {:?}", life.report);
            let due: Vec<_> = life.slice.due(NOW, 9).unwrap().into_iter().map(|d| d.1).collect();
            assert_eq!(due, places.iter().map(|place| place.0).collect::<Vec<_>>(), "{name}");
            let content = life.slice.load(places[1].0).await.unwrap().place.lease().content;
            assert_eq!(read_content(&disk, places[1].0, content), [b'b'; 500], "{name}");
        });
    }
}

#[test]
fn a_message_that_the_decoder_refuses_leaves_nothing_behind() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let id = life.slice.next_id(NOW);
        let refused = life.slice.append(id, &envelope(1), |sink| {
            sink.push(b"half a mess");
            Err::<(), _>("too many hops")
        });
        assert_eq!(refused.map(drop), Err(AppendError::Content("too many hops")));
        settle().await;
        assert!(!disk.state.borrow().trace.iter().any(|line| line.starts_with("write")));
        assert!(matches!(life.slice.load(id).await, Err(SliceError::NoMessage(_))));
    });
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_batch_goes_on() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let (before, commit) = append(&life.slice, b"before\n").unwrap();
        let refused = append(&life.slice, &vec![b'x'; 20 << 10]).map(drop);
        assert_eq!(refused, Err(AppendError::Refused(Refusal::TooLarge)));
        let after = accept(&life.slice, &vec![b'x'; 14 << 10]).await;
        commit.await.unwrap();
        for id in [before, after] {
            assert!(life.slice.load(id).await.is_ok());
        }
    });
}

#[test]
fn without_memory_untried_messages_are_read_from_their_segment() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        disk.limit_memory(64 << 10);
        let life = start(&disk, index.path(), 0).await;
        let (first, commit) = append(&life.slice, &[b'1'; 2000]).unwrap();
        let place = commit.await.unwrap().place;
        let lease = place.lease();
        assert!(matches!(lease.content, Content::Arena { .. }));
        drop(lease);
        for _ in 0..40 {
            accept(&life.slice, &[b'x'; 2000]).await;
        }
        let content = place.lease().content;
        assert!(matches!(content, Content::Segment { .. }), "{content:?}");
        assert_eq!(read_content(&disk, first, content), [b'1'; 2000]);
    });
}

#[test]
fn messages_behind_one_that_outgrew_the_batch_share_a_write_too() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let options = options(index.path().to_owned(), 0);
        let part = vec![b'x'; options.batch_bytes / 10];
        let life = start_with(&disk, options).await;
        let commits: Vec<Commit> =
            (0..100).map(|_| append(&life.slice, &part).unwrap().1).collect();
        for commit in commits {
            commit.await.unwrap();
        }
        let writes = life.slice.counters().batches;
        assert!(writes <= 100 / 9 + 2, "{writes} writes for 100 messages of a tenth of a batch");
        life.close().await;
    });
}

#[test]
fn hundred_sessions_share_their_writes_and_a_lone_message_waits_for_nobody() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        accept(&life.slice, b"alone\n").await;
        assert_eq!(life.slice.counters().batches, 1);
        let sessions: Vec<_> = (0..100)
            .map(|_| {
                let slice = life.slice.clone();
                tokio::task::spawn_local(async move {
                    for _ in 0..20 {
                        let transaction = slice.begin();
                        tokio::task::yield_now().await;
                        let (_, commit) = append(&slice, b"one of many\n").unwrap();
                        drop(transaction);
                        commit.await.unwrap();
                    }
                })
            })
            .collect();
        for session in sessions {
            session.await.unwrap();
        }
        let counters = life.slice.counters();
        assert_eq!(counters.messages, 2001);
        assert!(counters.batches <= 2000 / 20, "{counters:?}: more than 0.05 writes a message");
    });
}

#[test]
fn a_clean_stop_is_believed_by_any_boot() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        let id = accept(&life.slice, b"kept\n").await;
        life.close().await;
        let life = start(&disk.after_power_cut(&mut Dice(3)), index.path(), 9).await;
        assert_eq!(life.report.start, Start::Clean);
        assert_eq!(life.slice.due(Time(u64::MAX), 9).unwrap(), [(NOW, id)]);
        let next = life.slice.next_id(Time(0));
        assert!(next > id, "ids grow although the clock went back");
    });
}

#[test]
fn without_a_name_for_the_boot_a_crash_means_a_new_index() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let nameless = || Options { boot_id: String::new(), ..options(index.path().into(), 0) };
        let life = start_with(&disk, nameless()).await;
        accept(&life.slice, b"kept\n").await;
        life.crash().await;
        let life = start_with(&disk.after_kill(), nameless()).await;
        assert_eq!(life.report.start, Start::Rebuilt(Cause::PowerCut));
        assert_eq!(life.slice.due(NOW, 9).unwrap().len(), 1);
    });
}

#[test]
fn a_segment_is_marked_free_on_disk_before_it_counts_as_free() {
    run(async {
        let (disk, index) = (SimDisk::new(), scratch());
        let life = start(&disk, index.path(), 0).await;
        for _ in 0..60 {
            let id = accept(&life.slice, &[b'x'; 3000]).await;
            life.slice.outcome(id, 0, &delivered(), NOW, NOW).unwrap();
        }
        settle().await;
        let reclaimed = life.slice.counters().reclaimed;
        assert!(reclaimed > 0);
        // Each use writes the head once, and so does each end of one.
        let state = disk.state.borrow();
        let heads = state
            .trace
            .iter()
            .filter(|line| line.starts_with("done segment-") && line.ends_with(" 0"));
        let made = state.trace.iter().filter(|line| line.starts_with("make ")).count();
        let (heads, reclaimed) = (heads.count(), reclaimed as usize);
        assert!(heads >= 2 * reclaimed, "{heads} heads, {reclaimed} reclaimed, {made} made");
    });
}

#[test]
fn what_a_wrong_clock_put_off_for_years_is_found_in_memory_and_in_the_index() {
    let index = scratch();
    run(async {
        let disk = SimDisk::new();
        let life = start(&disk, index.path(), 1).await;
        let ids = [accept(&life.slice, b"one\n").await, accept(&life.slice, b"two\n").await];
        let secs = std::time::Duration::from_secs;
        let (honest, wrong) = (NOW.after(secs(4000)), NOW.after(secs(400_000_000)));
        for (id, retry) in ids.into_iter().zip([wrong, honest]) {
            let busy = Outcome::new(0, Status(4, 2, 0), "busy");
            life.slice.outcome(id, 0, &busy, NOW, retry).unwrap();
            life.slice.put_back(id).unwrap();
        }
        let found = life.slice.misdated(honest, 9).unwrap();
        assert_eq!(found, [(wrong, ids[0])], "not yet in the index");
        assert_eq!(life.slice.misdated(honest, 9).unwrap(), [], "given out once");
        life.slice.put_back(ids[0]).unwrap();
        life.close().await;

        let life = start(&disk, index.path(), 1).await;
        assert_eq!(life.slice.misdated(honest, 9).unwrap(), [(wrong, ids[0])], "in the index");
        assert_eq!(life.slice.due(honest, 9).unwrap(), [(honest, ids[1])]);
    });
}
