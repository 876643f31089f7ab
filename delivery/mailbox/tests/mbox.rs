//! mbox files on a real file system, with the process's own rights.

mod post;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use mail::{Job, Status, Time};
use mailbox::{
    Identity, InUse, Letter, LockTimes, Locking, MailboxError, MboxSettings, Mboxes, Text,
};
use post::{HEADERS, TEXT, job, letter, names};

const NOW: Time = Time::from_secs(1_800_000_000);

fn settings(base: &Path) -> MboxSettings {
    MboxSettings {
        base: base.to_owned(),
        limit_bytes: 0,
        locking: Locking::default(),
        times: LockTimes::default(),
        strict_owner: true,
    }
}

fn deliver(settings: MboxSettings, path: &str, letter: Letter<'_>) -> Result<(), MailboxError> {
    let identity = Identity::of_this_thread().unwrap();
    let mboxes = Mboxes::new(settings, InUse::new());
    mboxes.deliver(&mut identity.act(), path, None, letter, NOW)
}

#[test]
fn letters_follow_one_another_with_from_lines_and_blank_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("box");
    let bounce = Job { sender: None, ..job(2, 0) };
    assert_eq!(deliver(settings(dir.path()), "box", letter(&job(1, 0), TEXT)), Ok(()));
    let text = b"Subject: x\n\nFrom here on\n>From there\nno end";
    assert_eq!(deliver(settings(dir.path()), "box", letter(&bounce, text)), Ok(()));

    let content = fs::read_to_string(&mbox).unwrap();
    let (first, second) = content.split_once("From MAILER-DAEMON  ").unwrap();
    let (from, rest) = first.split_once('\n').unwrap();
    assert!(from.starts_with("From sender@example.org  "), "{from}");
    // asctime(3), whatever the time zone: `Fri Jan 15 09:00:00 2027`.
    assert_eq!(from.len(), "From sender@example.org  Fri Jan 15 09:00:00 2027".len(), "{from}");
    assert!(from.ends_with(" 2027"), "{from}");
    assert_eq!(rest, format!("{HEADERS}{}\n", str::from_utf8(TEXT).unwrap()));
    let (_, second) = second.split_once('\n').unwrap();
    let headers = HEADERS.replace("<sender@example.org>", "<>");
    assert_eq!(second, format!("{headers}Subject: x\n\n>From here on\n>From there\nno end\n\n"));
    assert_eq!(fs::metadata(&mbox).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(dir.path()), ["box"], "the lock file is gone");
}

#[test]
fn a_large_message_is_quoted_wherever_it_is_cut_into_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"From a line\n".repeat(100_000);
    let mut content = tempfile::tempfile().unwrap();
    content.write_all(&text).unwrap();
    let job = job(1, 0);
    let in_file = Text::File { file: content.as_fd(), len: text.len() as u64 };
    assert_eq!(deliver(settings(dir.path()), "f", Letter { job: &job, text: in_file }), Ok(()));
    assert_eq!(deliver(settings(dir.path()), "b", letter(&job, &text)), Ok(()));
    let delivered = fs::read(dir.path().join("f")).unwrap();
    assert!(delivered == fs::read(dir.path().join("b")).unwrap());
    assert!(delivered.ends_with(&[&b">From a line\n".repeat(100_000)[..], b"\n"].concat()));
}

#[test]
fn whatever_fails_the_mailbox_is_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("box");
    fs::write(&mbox, "From x\n\nold\n\n").unwrap();
    let old = fs::read(&mbox).unwrap();
    let job = job(1, 0);

    // A content file that ends in the middle, after more than one write.
    let text = b"A line of a message\n".repeat(50_000);
    let mut content = tempfile::tempfile().unwrap();
    content.write_all(&text).unwrap();
    let cut = Text::File { file: content.as_fd(), len: 2 * text.len() as u64 };
    let result = deliver(settings(dir.path()), "box", Letter { job: &job, text: cut });
    assert!(result.unwrap_err().status().is_transient());
    assert_eq!(fs::read(&mbox).unwrap(), old);

    // The limit is reached in the middle.
    let limited = MboxSettings { limit_bytes: 600_000, ..settings(dir.path()) };
    let result = deliver(limited.clone(), "box", letter(&job, &text));
    assert_eq!(result.unwrap_err().status(), Status(5, 2, 2));
    assert_eq!(fs::read(&mbox).unwrap(), old);
    assert_eq!(deliver(limited, "box", letter(&job, TEXT)), Ok(()));
    assert!(fs::read(&mbox).unwrap().starts_with(&old));
}

#[test]
fn hostile_mailboxes_are_deferred_and_nothing_is_written_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    // As if the base were a place where users can make links.
    fs::set_permissions(base, Permissions::from_mode(0o777)).unwrap();
    fs::write(base.join("victim"), "secret").unwrap();
    symlink("victim", base.join("link")).unwrap();
    symlink("nothing", base.join("dangling")).unwrap();
    fs::write(base.join("twice"), "").unwrap();
    fs::hard_link(base.join("twice"), base.join("hardlink")).unwrap();
    fs::create_dir(base.join("dir")).unwrap();
    symlink(base, base.join("loop")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, base.join("fifo"), fifo, mode, 0).unwrap();
    let before = names(base);

    type Expected = fn(&MailboxError) -> bool;
    let refused: &[(&str, Expected)] = &[
        ("link", |error| matches!(error, MailboxError::Symlink(_))),
        ("dangling", |error| matches!(error, MailboxError::Symlink(_))),
        ("loop/victim", |error| matches!(error, MailboxError::Symlink(_))),
        ("hardlink", |error| matches!(error, MailboxError::HardLinks { links: 2, .. })),
        ("dir", |error| matches!(error, MailboxError::NotAFile(_))),
        ("fifo", |error| matches!(error, MailboxError::NotAFile(_))),
        ("victim/x", |error| matches!(error, MailboxError::Io { .. })),
        ("none/x", |error| matches!(error, MailboxError::Io { .. })),
        ("../x", |error| matches!(error, MailboxError::BadPath(_))),
        ("", |error| matches!(error, MailboxError::BadPath(_))),
    ];
    for (mailbox, expected) in refused {
        let error = deliver(settings(base), mailbox, letter(&job(1, 0), TEXT)).unwrap_err();
        assert!(expected(&error), "{mailbox}: {error:?}");
        assert!(error.status().is_transient(), "{mailbox}: {error}");
        assert_eq!(names(base), before, "{mailbox}");
    }
    assert_eq!(fs::read(base.join("victim")).unwrap(), b"secret");
    assert_eq!(fs::read(base.join("twice")).unwrap(), b"");
}

#[test]
fn a_lock_file_is_respected_until_it_is_stale() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("box.lock"), "").unwrap();
    // The file's time is the real one.
    let deliver_at = |now| {
        let identity = Identity::of_this_thread().unwrap();
        let mboxes = Mboxes::new(settings(dir.path()), InUse::new());
        mboxes.deliver(&mut identity.act(), "box", None, letter(&job(1, 0), TEXT), now)
    };
    let now = Time::now();
    let error = deliver_at(now).unwrap_err();
    assert!(matches!(error, MailboxError::Locked { .. }), "{error}");
    assert_eq!(error.status(), Status(4, 2, 0));
    assert_eq!(names(dir.path()), ["box.lock"]);
    assert_eq!(deliver_at(now.after(Duration::from_secs(502))), Ok(()));
    assert_eq!(names(dir.path()), ["box"]);
}

#[test]
fn threads_of_one_process_do_not_write_the_same_mailbox_at_once() {
    const THREADS: usize = 4;
    const LETTERS: usize = 25;

    let dir = tempfile::tempdir().unwrap();
    let in_use = InUse::new();
    // The kernel's locks alone: those of a process do not keep its threads apart.
    let locking = Locking { fcntl: true, flock: false, dotlock: false };
    let mbox_settings = MboxSettings { locking, ..settings(dir.path()) };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let identity = Identity::of_this_thread().unwrap();
                let mboxes = Mboxes::new(mbox_settings.clone(), in_use.clone());
                let job = job(1, 0);
                let mut delivered = 0;
                while delivered < LETTERS {
                    let mut acting = identity.act();
                    match mboxes.deliver(&mut acting, "box", None, letter(&job, TEXT), NOW) {
                        Ok(()) => delivered += 1,
                        Err(MailboxError::Locked { .. }) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let content = fs::read_to_string(dir.path().join("box")).unwrap();
    let whole = format!("{HEADERS}{}\n", str::from_utf8(TEXT).unwrap());
    assert_eq!(content.matches(&whole).count(), THREADS * LETTERS);
    assert_eq!(content.lines().filter(|line| line.starts_with("From ")).count(), THREADS * LETTERS);
}
