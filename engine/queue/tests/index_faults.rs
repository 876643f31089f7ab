//! What the queue does when the index cannot be written.
//!
//! LMDB writes by itself, so the faults are made where they come from: a seccomp filter makes the kernel
//! answer with an error whatever writes to the index's file, in the thread of the test alone. It cannot be taken
//! away again, but it goes by the file's descriptor.

#[path = "sim/model.rs"]
mod model;
#[path = "sim/mod.rs"]
mod sim;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mail::{Outcome, QueueId, Status};
use model::{NOW, envelope, open, options};
use queue::{AppendError, Options, Refusal, Slice};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use sim::SimDisk;

/// So many messages may wait for the index, and four times as many for one that cannot be written.
const LAG_MESSAGES: usize = 10;

/// Descriptors that this process has of the index's file.
fn descriptors(index: &Path) -> Vec<i32> {
    let file = fs::canonicalize(index.join("index/data.mdb")).unwrap();
    let all = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let of_file = all.filter(|fd| fs::read_link(fd).is_ok_and(|target| target == file));
    of_file.map(|fd| fd.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

/// From now on writes to these descriptors fail in this thread.
fn refuse_writes(descriptors: &[i32], errno: i32) {
    let of_descriptor = |fd: &i32| {
        let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        let is_it = SeccompCondition::new(0, length, equal, u64::from(fd.cast_unsigned()));
        SeccompRule::new(vec![is_it.unwrap()]).unwrap()
    };
    let rules: Vec<SeccompRule> = descriptors.iter().map(of_descriptor).collect();
    let calls = [
        libc::SYS_write,
        libc::SYS_pwrite64,
        libc::SYS_writev,
        libc::SYS_pwritev,
        libc::SYS_ftruncate,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
    ];
    let rules: BTreeMap<i64, _> = calls.into_iter().map(|call| (call, rules.clone())).collect();
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

fn small_lag(index: &Path) -> Options {
    Options { index_lag_messages: LAG_MESSAGES, ..options(index.to_owned(), 0) }
}

async fn accept(slice: &Slice<SimDisk>) -> Result<QueueId, Refusal> {
    let id = slice.next_id(NOW);
    let appended = slice.append(id, &envelope(1), |sink| {
        sink.push(b"Subject: x\n\nx\n");
        Ok::<_, ()>(())
    });
    match appended {
        Ok((_, commit)) => commit.await.map(|committed| committed.id),
        Err(AppendError::Refused(refusal)) => Err(refusal),
        Err(AppendError::Content(())) => unreachable!("it refuses nothing"),
    }
}

fn deliver(slice: &Slice<SimDisk>, id: QueueId) {
    slice.outcome(id, 0, &Outcome::new(0, Status(2, 0, 0), ""), NOW, NOW).unwrap();
}

async fn settle() {
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
}

async fn survive(errno: i32) {
    let directory = tempfile::tempdir().unwrap();
    let index = directory.path();
    let disk = SimDisk::new();
    let (slice, driver, _) = open(&disk, small_lag(index)).await;
    let driver = tokio::task::spawn_local(driver.run());
    let indexed = [accept(&slice).await.unwrap(), accept(&slice).await.unwrap()];
    settle().await;
    assert_eq!(slice.index_error(), None);

    let spoilt = descriptors(index);
    assert!(!spoilt.is_empty());
    refuse_writes(&spoilt, errno);
    // Mail is taken and delivered, and the slice says what is wrong.
    let mut alive = vec![indexed[1]];
    deliver(&slice, indexed[0]);
    let delivered = accept(&slice).await.unwrap();
    deliver(&slice, delivered);
    settle().await;
    let said = slice.index_error().expect("the index lags");
    let cause = std::io::Error::from_raw_os_error(errno).to_string();
    let reason = cause.split(" (").next().unwrap();
    assert!(said.contains(reason) || said.contains("MDB_PANIC"), "{said}, not {reason}");
    // Until more waits for the index than there should be memory for.
    let refusal = loop {
        match accept(&slice).await {
            Ok(id) => alive.push(id),
            Err(refusal) => break refusal,
        }
        assert!(alive.len() <= 5 * LAG_MESSAGES, "memory grows without end");
    };
    assert_eq!(refusal, Refusal::NoSpace, "452 4.3.1");
    assert!(alive.len() > 3 * LAG_MESSAGES, "refused after {}", alive.len());
    for id in &alive {
        assert!(slice.load(*id).await.is_ok(), "reads go on");
    }
    assert!(slice.load(delivered).await.is_err());
    slice.close().await;
    driver.await.unwrap();
    drop(slice);

    // The file can be written again: the filter's numbers are those of other files.
    let mut others = Vec::new();
    while spoilt.iter().any(|fd| !others.iter().any(|it: &File| it.as_raw_fd() == *fd)) {
        others.push(File::open("/dev/null").unwrap());
        assert!(others.len() < 100, "the descriptors {spoilt:?} are still in use");
    }
    let (slice, driver, report) = open(&disk.after_kill(), small_lag(index)).await;
    let driver = tokio::task::spawn_local(driver.run());
    let due: Vec<QueueId> = slice.due(NOW, 999).unwrap().into_iter().map(|it| it.1).collect();
    assert_eq!(due, alive, "{report:?}");
    accept(&slice).await.unwrap();
    settle().await;
    assert_eq!(slice.index_error(), None);
    driver.abort();
    let _ = driver.await;
}

fn with_errno(errno: i32) {
    // One at a time: a descriptor that one test gives back must not be taken by another.
    static DESCRIPTORS: Mutex<()> = Mutex::new(());
    let _mine = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    // The filter stays with the thread.
    let test = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, survive(errno));
    });
    if let Err(failure) = test.join() {
        std::panic::resume_unwind(failure);
    }
}

#[test]
fn an_index_whose_disk_fails_delays_nothing_until_memory_is_short_and_loses_nothing() {
    with_errno(libc::EIO);
}

#[test]
fn an_index_without_room_delays_nothing_until_memory_is_short_and_loses_nothing() {
    with_errno(libc::ENOSPC);
    with_errno(libc::EDQUOT);
}

#[test]
fn an_index_that_became_read_only_delays_nothing_until_memory_is_short_and_loses_nothing() {
    with_errno(libc::EROFS);
}
