//! Maildirs on a real file system, with the process's own rights.

mod post;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};

use mail::{Job, Status};
use mailbox::{
    Creation, Identity, Letter, MailboxError, MaildirSettings, Maildirs, SyncMode, Text,
};
use post::{HEADERS, TEXT, all_ways, deliver, job, names, settings};

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_letter_arrives_whole_in_a_maildir_that_was_not_there() {
    let dir = tempfile::tempdir().unwrap();
    for settings in all_ways(dir.path()) {
        let base = settings.base.clone();
        let way = format!("{settings:?}");
        let results = deliver(&mut Maildirs::new(settings), None, &[(&job(1, 3), "d/u/")]);
        assert_eq!(results, [Ok(())], "{way}");
        let maildir = base.join("d/u");
        let size = HEADERS.len() + TEXT.len();
        let name = format!("1800000000.M42Q123456780001R3.mx.example.com,S={size}");
        assert_eq!(names(maildir.join("new")), std::slice::from_ref(&name), "{way}");
        assert_eq!(names(maildir.join("tmp")), [] as [&str; 0], "{way}");
        let file = maildir.join("new").join(name);
        let text = fs::read(&file).unwrap();
        assert_eq!(text, [HEADERS.as_bytes(), TEXT].concat(), "{way}");
        assert_eq!(mode(file), 0o600, "{way}");
        for part in ["", "tmp", "new", "cur"] {
            assert_eq!(mode(maildir.join(part)), 0o700, "{part} {way}");
        }
    }
}

#[test]
fn a_batch_of_any_size_arrives() {
    let dir = tempfile::tempdir().unwrap();
    for settings in all_ways(dir.path()) {
        let base = settings.base.clone();
        // Each fsync takes its time; whole batches do not.
        let many = if settings.sync == SyncMode::Batch { 300 } else { 6 };
        for (round, count) in [1, 2, 3, 4, 5, many].into_iter().enumerate() {
            let jobs: Vec<Job> = (0..count).map(|n| job(1000 * round as u64 + n, 0)).collect();
            let mailbox = format!("u{round}/");
            let letters: Vec<_> = jobs.iter().map(|job| (job, &*mailbox)).collect();
            let mut maildirs = Maildirs::new(settings.clone());
            assert!(deliver(&mut maildirs, None, &letters).iter().all(Result::is_ok));
            assert_eq!(names(base.join(&mailbox).join("new")).len(), letters.len());
        }
    }
}

#[test]
fn the_same_delivery_twice_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    for settings in all_ways(dir.path()) {
        let new = settings.base.join("u/new");
        let mut maildirs = Maildirs::new(settings);
        let (one, other_recipient) = (job(1, 0), job(1, 1));
        assert_eq!(deliver(&mut maildirs, None, &[(&one, "u/"), (&one, "u/")]), [Ok(()), Ok(())]);
        assert_eq!(deliver(&mut maildirs, None, &[(&one, "u/")]), [Ok(())]);
        assert_eq!(names(&new).len(), 1);
        assert_eq!(deliver(&mut maildirs, None, &[(&other_recipient, "u/")]), [Ok(())]);
        assert_eq!(names(&new).len(), 2);
        assert_eq!(names(new.with_file_name("tmp")), [] as [&str; 0]);
    }
}

#[test]
fn a_delivery_that_a_crash_hid_is_found_even_after_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut maildirs = Maildirs::new(settings(dir.path()));
    let first = job(1, 0);
    assert_eq!(deliver(&mut maildirs, None, &[(&first, "u/")]), [Ok(())]);
    let again = Job { seen_before: true, ..first };
    assert_eq!(deliver(&mut maildirs, None, &[(&again, "u/")]), [Ok(())]);
    let new = dir.path().join("u/new");
    let [name] = &names(&new)[..] else { panic!("delivered once") };
    fs::rename(new.join(name), dir.path().join(format!("u/cur/{name}:2,RS"))).unwrap();

    assert_eq!(deliver(&mut maildirs, None, &[(&again, "u/")]), [Ok(())]);
    assert_eq!(names(&new), [] as [&str; 0]);
    let other = Job { number: 10, ..again };
    assert_eq!(deliver(&mut maildirs, None, &[(&other, "u/")]), [Ok(())]);
    assert_eq!(names(&new).len(), 1, "another recipient of the same message");
}

#[test]
fn what_a_crash_left_in_tmp_does_not_stop_the_next_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let renamed = MaildirSettings { creation: Creation::Renamed, ..settings(dir.path()) };
    let mut maildirs = Maildirs::new(renamed);
    assert_eq!(deliver(&mut maildirs, None, &[(&job(1, 0), "u/")]), [Ok(())]);
    let name = names(dir.path().join("u/new")).remove(0);
    let left = name.replace("0001R0", "0002R0");
    fs::write(dir.path().join("u/tmp").join(&left), "half a mess").unwrap();
    assert_eq!(deliver(&mut maildirs, None, &[(&job(2, 0), "u/")]), [Ok(())]);
    assert_eq!(names(dir.path().join("u/tmp")), [] as [&str; 0]);
    let text = fs::read(dir.path().join("u/new").join(left)).unwrap();
    assert_eq!(text, [HEADERS.as_bytes(), TEXT].concat());
}

#[test]
fn a_large_message_is_copied_from_its_file_and_half_a_one_is_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"A line of a large message, without an end".repeat(100_000);
    let mut content = tempfile::tempfile().unwrap();
    content.write_all(&text).unwrap();
    let identity = Identity::of_this_thread().unwrap();
    for settings in all_ways(dir.path()) {
        let base = settings.base.clone();
        let mut maildirs = Maildirs::new(settings);
        let (whole, half) = (job(1, 0), job(2, 0));
        let mut batch = maildirs.batch(&identity);
        for (key, (job, len)) in [(&whole, text.len()), (&half, text.len() + 1)].iter().enumerate()
        {
            let text = Text::File { file: content.as_fd(), len: *len as u64 };
            batch.add(key, "u/", None, Letter { job, text });
        }
        let mut results = batch.finish();
        results.sort_by_key(|(key, _)| *key);
        assert!(results[0].1.is_ok());
        assert_eq!(results[1].1.as_ref().unwrap_err().status(), Status(4, 3, 0));
        assert_eq!(names(base.join("u/tmp")), [] as [&str; 0]);
        let [name] = &names(base.join("u/new"))[..] else { panic!("one message") };
        let delivered = fs::read(base.join("u/new").join(name)).unwrap();
        assert!(delivered == [HEADERS.as_bytes(), &text, b"\n"].concat());
        assert!(name.ends_with(&format!(",S={}", delivered.len())));
    }
}

#[test]
fn a_message_over_the_limit_bounces_and_one_at_the_limit_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let limit_bytes = (HEADERS.len() + TEXT.len()) as u64;
    let at = MaildirSettings { limit_bytes, ..settings(dir.path()) };
    assert_eq!(deliver(&mut Maildirs::new(at), None, &[(&job(1, 0), "u/")]), [Ok(())]);
    let below = MaildirSettings { limit_bytes: limit_bytes - 1, ..settings(dir.path()) };
    let results = deliver(&mut Maildirs::new(below), None, &[(&job(2, 0), "u/")]);
    assert_eq!(results[0].as_ref().unwrap_err().status(), Status(5, 2, 2));
    assert_eq!(names(dir.path().join("u/new")).len(), 1);
}

#[test]
fn hostile_mailboxes_are_deferred_alone_and_nothing_is_written_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    for settings in all_ways(dir.path()) {
        let base = settings.base.clone();
        let victim = base.join("victim");
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(victim.join(part)).unwrap();
            fs::create_dir_all(outside.path().join(part)).unwrap();
        }
        // As if the base were a place where users can make links.
        fs::set_permissions(&base, Permissions::from_mode(0o777)).unwrap();
        symlink(&victim, base.join("link")).unwrap();
        symlink(outside.path(), base.join("out")).unwrap();
        fs::create_dir(base.join("newlink")).unwrap();
        symlink(victim.join("new"), base.join("newlink/new")).unwrap();
        fs::write(base.join("file"), "").unwrap();
        fs::create_dir(base.join("newfile")).unwrap();
        fs::write(base.join("newfile/new"), "").unwrap();
        fs::create_dir(base.join("fifo")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, base.join("fifo/new"), fifo, mode, 0).unwrap();

        let hostile = [
            "link/",
            "out/",
            "newlink/",
            "file/",
            "newfile/",
            "fifo/",
            "../out/",
            "a/../../b/",
            "/",
            "",
            "./",
            "a\0b/",
        ];
        let jobs: Vec<Job> = (0..hostile.len() as u64 + 2).map(|n| job(n, 0)).collect();
        let mut letters = vec![(&jobs[0], "good1/")];
        letters.extend(jobs[1..].iter().zip(hostile));
        letters.push((&jobs[hostile.len() + 1], "good2/"));
        let way = format!("{settings:?}");
        let results = deliver(&mut Maildirs::new(settings), None, &letters);
        for ((_, mailbox), result) in letters.iter().zip(&results) {
            match result {
                Ok(()) => assert!(mailbox.starts_with("good"), "{mailbox} {way}"),
                Err(error) => assert!(error.status().is_transient(), "{mailbox}: {error} {way}"),
            }
        }
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2, "{way}");
        assert_eq!(names(victim.join("new")), [] as [&str; 0], "{way}");
        assert_eq!(names(outside.path().join("new")), [] as [&str; 0], "{way}");
        assert_eq!(names(base.join("good2/new")).len(), 1, "{way}");
    }
}

#[test]
fn a_link_in_tmp_or_cur_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let victim = tempfile::tempdir().unwrap();
    let renamed = MaildirSettings { creation: Creation::Renamed, ..settings(dir.path()) };
    let mut maildirs = Maildirs::new(renamed);
    fs::create_dir_all(dir.path().join("u/new")).unwrap();
    symlink(victim.path(), dir.path().join("u/tmp")).unwrap();
    symlink(victim.path(), dir.path().join("u/cur")).unwrap();
    let again = Job { seen_before: true, ..job(1, 0) };
    let results = deliver(&mut maildirs, None, &[(&again, "u/")]);
    assert!(matches!(results[0], Err(MailboxError::Io { .. })));
    assert_eq!(names(victim.path()), [] as [&str; 0]);
    assert_eq!(names(dir.path().join("u/new")), [] as [&str; 0]);
}

#[test]
fn a_missing_base_defers_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut maildirs = Maildirs::new(settings(&dir.path().join("none")));
    let results = deliver(&mut maildirs, None, &[(&job(1, 0), "u/")]);
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.status(), Status(4, 2, 0));
    let text = error.to_string();
    assert!(text.starts_with("open mailbox base"), "{text}");
    assert!(text.ends_with("/none: No such file or directory"), "{text}");
    fs::create_dir(dir.path().join("none")).unwrap();
    assert_eq!(deliver(&mut maildirs, None, &[(&job(1, 0), "u/")]), [Ok(())], "it heals");
}
