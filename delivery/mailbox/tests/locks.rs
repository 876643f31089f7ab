//! mbox files that another process holds. Without the usual harness, because this program is also
//! that other process: `locks hold fcntl|flock FILE`.

mod post;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use mail::{Status, Time};
use mailbox::{Identity, InUse, LockTimes, Locking, MailboxError, MboxSettings, Mboxes};
use post::{TEXT, job, letter};
use rustix::fs::FlockOperation;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [hold, how, file] if hold == "hold" => hold_lock(how, Path::new(file)),
        _ => {
            for how in ["fcntl", "flock"] {
                a_mailbox_that_another_process_holds_is_locked_and_unharmed_until_it_lets_go(how);
                println!("test a mailbox held with {how} by another process ... ok");
            }
        }
    }
}

/// Says so once it has the lock, and keeps it until its input ends.
fn hold_lock(how: &str, file: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    let lock = FlockOperation::NonBlockingLockExclusive;
    match how {
        "fcntl" => rustix::fs::fcntl_lock(&file, lock).unwrap(),
        _ => rustix::fs::flock(&file, lock).unwrap(),
    }
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn a_mailbox_that_another_process_holds_is_locked_and_unharmed_until_it_lets_go(how: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("box");
    std::fs::write(&mbox, "").unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["hold", how, mbox.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "held\n");

    let locking = Locking { fcntl: how == "fcntl", flock: how == "flock", dotlock: true };
    let settings = MboxSettings {
        base: dir.path().to_owned(),
        limit_bytes: 0,
        locking,
        times: LockTimes::default(),
        strict_owner: true,
    };
    let mboxes = Mboxes::new(settings, InUse::new());
    let identity = Identity::of_this_thread().unwrap();
    let job = job(1, 0);
    let deliver =
        || mboxes.deliver(&mut identity.act(), "box", None, letter(&job, TEXT), Time::now());
    let error = deliver().unwrap_err();
    assert!(matches!(error, MailboxError::Locked { .. }), "{error}");
    assert_eq!(error.status(), Status(4, 2, 0));
    assert_eq!(std::fs::read(&mbox).unwrap(), b"");
    assert_eq!(post::names(dir.path()), ["box"], "no lock file stays behind");

    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    assert_eq!(deliver(), Ok(()));
}
