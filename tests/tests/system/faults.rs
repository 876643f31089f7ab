//! What is broken around it: configuration, disks, descriptors, ports, logs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use tests::{Server, Setup};

/// What it said when it refused, without regard to where it said so.
fn refusal(setup: &Setup) -> String {
    let ran = setup.refused();
    format!("{}{}", ran.out, ran.err)
}

#[test]
fn a_second_instance_on_the_same_data_refuses_and_the_first_goes_on() {
    let server = Setup::new().start();
    let second = Setup::new().data_in(server.setup.data());
    let said = refusal(&second);
    assert!(said.contains("is in use by process"), "{said}");
    server.accept(&["me@localhost"], "Subject: first\r\n\r\n");
    server.maildir("me").wait_for_one();
}

#[test]
fn a_broken_main_cf_is_refused_with_file_and_line() {
    for (text, what) in [
        ("message_size_limit = lots", "message_size_limit"),
        ("smtpd_timeout = 5 parsecs", "smtpd_timeout"),
        ("smtpd_forbid_bare_newline = perhaps", "smtpd_forbid_bare_newline"),
        ("this is no assignment", "main.cf"),
    ] {
        let setup = Setup::new().main_cf(&format!("virtual_mailbox_domains = example.com\n{text}"));
        let said = refusal(&setup);
        assert!(said.contains(what), "{text}: {said}");
        assert!(said.contains("main.cf:7") || said.contains("line 7"), "{text}: {said}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_refused() {
    let setup = Setup::new().argument("--config").argument("/nonexistent/etc");
    let said = refusal(&setup);
    assert!(said.contains("/nonexistent/etc"), "{said}");
}

#[test]
fn an_unknown_parameter_is_reported_and_mail_goes_on() {
    // As in Postfix, where any name may be defined for use in others.
    let server = Setup::new().option("message_size_limt=5").start();
    server.wait_for_error(&["warning", "message_size_limt"]);
    server.accept(&["me@localhost"], "Subject: unknown\r\n\r\n");
    server.maildir("me").wait_for_one();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its number").to_string();
    let said = refusal(&Setup::new().argument("--listen").argument(&address));
    assert!(said.contains(&address), "{said}");
    assert!(said.to_lowercase().contains("in use"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let setup = Setup::new();
    let blocked = setup.place().join("file/data");
    fs::write(setup.place().join("file"), "").expect("a file");
    let setup = setup.data_in(&blocked);
    let said = refusal(&setup);
    assert!(said.contains(&*blocked.to_string_lossy()), "{said}");
}

#[test]
fn a_data_directory_that_is_not_there_is_made() {
    let setup = Setup::new();
    let deep = setup.place().join("not/yet/there");
    let server = setup.data_in(deep).start();
    server.accept(&["me@localhost"], "Subject: made\r\n\r\n");
    server.maildir("me").wait_for_one();
    // Content lies there: nobody else may read it. Who is master anybody may know, and the group of postdrop
    // leaves mail there.
    for entry in fs::read_dir(server.setup.data().join("queue")).expect("the queue").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let others = match &*name {
            "pid" => continue,
            "maildrop" | "public" => 0o007,
            _ => 0o077,
        };
        let mode = entry.metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & others, 0, "{name}: {mode:o}");
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_named_at_start() {
    let setup = Setup::new();
    let log = setup.place().join("no/such/directory/mail.log");
    let said = refusal(&setup.option(&format!("maillog_file={}", log.display())));
    assert!(said.contains(&*log.to_string_lossy()), "{said}");
}

#[test]
fn mail_goes_on_when_the_log_s_disk_is_full() {
    let server = Setup::new().option("maillog_file=/dev/full").start();
    for _ in 0..50 {
        server.accept(&["me@localhost"], "Subject: unlogged\r\n\r\n");
    }
    server.maildir("me").wait_for(50);
}

#[test]
fn mail_goes_on_when_nobody_reads_its_output_any_more() {
    // As with `ringpost serve | head`.
    let mut server = Setup::new().start();
    server.close_output();
    for _ in 0..20 {
        server.accept(&["me@localhost"], "Subject: unread\r\n\r\n");
    }
    server.maildir("me").wait_for(20);
    assert!(server.runs());
    assert!(server.stop().success());
}

#[test]
fn running_out_of_descriptors_refuses_for_now_and_heals() {
    let server = Setup::new().argument("--shards").argument("1").descriptors_max(64).start();
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..150 {
        let Ok(session) = tests::Session::connect(server.port()) else { break };
        session.set_reply_timeout(std::time::Duration::from_millis(200)).expect("a socket");
        let mut session = session;
        match session.reply() {
            Ok(reply) if reply.code == 220 => {}
            _ => refused += 1,
        }
        open.push(session);
        if refused > 5 {
            break;
        }
    }
    assert!(refused > 0, "{} connections with 64 descriptors", open.len());
    drop(open);
    let content = "Subject: healed\r\n\r\n";
    tests::wait::until_true("mail to be accepted again", || {
        let reply = tests::Session::greeted(server.port())
            .and_then(|mut session| session.mail("", &["healed@localhost"], content.as_bytes()));
        reply.is_ok_and(|reply| reply.is_ok())
    });
    tests::wait::until_true("it to be delivered", || server.maildir("healed").count() >= 1);
}

#[test]
fn a_queue_directory_that_was_damaged_by_hand_is_told_apart_from_an_empty_one() {
    let mut server = Setup::new().start();
    server.accept(&["me@localhost"], "Subject: before\r\n\r\n");
    server.wait_until_drained();
    assert!(server.stop().success());
    // The index is made anew from the log.
    for entry in walk(&server.setup.data().join("queue")) {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.contains("data.mdb") || name.contains("lock.mdb")) {
            fs::remove_file(&entry).expect("the index");
        }
    }
    server.start_again();
    server.accept(&["me@localhost"], "Subject: after\r\n\r\n");
    server.maildir("me").wait_for(2);
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

mod as_root {
    use super::*;
    use std::path::{Path, PathBuf};
    use tests::peer::run;

    /// A small file system in memory, unmounted at the end.
    struct Disk(PathBuf);

    impl Disk {
        fn mount(at: &Path, size: &str) -> Self {
            fs::create_dir_all(at).expect("a mount point");
            let path = at.to_string_lossy().into_owned();
            let options = format!("size={size},mode=755");
            run("mount", ["-t", "tmpfs", "-o", &options, "tmpfs", &path]).expect_ok();
            Self(at.to_owned())
        }

        fn remount(&self, options: &str) {
            let path = self.0.to_string_lossy().into_owned();
            run("mount", ["-o", &format!("remount,{options}"), &path]).expect_ok();
        }

        /// Fills what is left.
        fn fill(&self) -> PathBuf {
            let path = self.0.join("ballast");
            let file = fs::File::create(&path).expect("ballast");
            let mut step = 1 << 20;
            let mut size = 0;
            while step >= 4096 {
                match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), size, step)
                {
                    Ok(()) => size += step,
                    Err(_) => step /= 2,
                }
            }
            path
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            // Lazily: the server may not yet have ended.
            run("umount", ["-l", &self.0.to_string_lossy()]);
        }
    }

    /// A file system on a device of its own, with a journal, which can be told to give up as after an error of
    /// its disk: it is read-only from then on, for files that are open, too.
    struct Journaled {
        at: PathBuf,
        image: PathBuf,
    }

    impl Journaled {
        fn make(at: &Path, image: &Path) -> Self {
            fs::create_dir_all(at).expect("a mount point");
            let file = fs::File::create(image).expect("an image");
            file.set_len(256 << 20).expect("its size");
            run("mkfs.ext4", ["-q", "-F", &image.to_string_lossy()]).expect_ok();
            let made = Self { at: at.to_owned(), image: image.to_owned() };
            made.mount();
            made
        }

        fn mount(&self) {
            let (image, at) = (self.image.to_string_lossy(), self.at.to_string_lossy());
            run("mount", ["-o", "loop,errors=remount-ro", &image, &at]).expect_ok();
        }

        fn give_up(&self) {
            let listed = run("losetup", ["-j", &self.image.to_string_lossy()]);
            let device = listed.out.split(':').next().and_then(|it| it.strip_prefix("/dev/"));
            let name = device.expect("a loop device");
            fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").expect("an error");
        }

        fn repair(&self) {
            run("umount", [&*self.at.to_string_lossy()]).expect_ok();
            // It says 1 where it has corrected something.
            run("e2fsck", ["-fy", &self.image.to_string_lossy()]);
            self.mount();
        }
    }

    impl Drop for Journaled {
        fn drop(&mut self) {
            run("umount", ["-l", &self.at.to_string_lossy()]);
        }
    }

    #[test]
    fn a_queue_whose_disk_turns_read_only_answers_451_is_listed_and_loses_nothing() {
        let setup = Setup::new();
        let queue = setup.data().join("queue");
        let disk = Journaled::make(&queue, &setup.place().join("image"));
        for path in [setup.data(), &queue] {
            setup.give_to_user(path);
        }
        let setup = setup.option("queue_run_delay=1s").option("minimal_backoff_time=1s");
        let mut server = setup.option("smtpd_error_sleep_time=0").start();
        server.accept(&["me@localhost"], "Subject: before\r\n\r\n");
        server.maildir("me").wait_for_one();
        // No mailbox can be made where there is a file.
        let obstacle = server.mail_base().join("localhost/stuck");
        fs::write(&obstacle, "").expect("a file in the way");
        let stuck = server.accept(&["stuck@localhost"], "Subject: stuck\r\n\r\n");
        server.wait_for_log(&[&stuck, "status=deferred"]);
        let is_listed =
            || server.queue().iter().any(|message| message["queue_id"] == stuck.as_str());
        assert!(is_listed());

        disk.give_up();
        let refused = tests::wait::until("451 at MAIL", || {
            let mut session = server.session();
            let reply = session.command("MAIL FROM:<a@client.example>").expect("a reply");
            if !reply.is_ok() {
                return Some(reply);
            }
            let reply = server.session().mail("", &["me@localhost"], b"Subject: during\r\n\r\n");
            let reply = reply.expect("a reply");
            assert!(reply.last().starts_with("451 4.3.0 "), "{:?}", reply.lines);
            None
        });
        assert!(refused.last().starts_with("451 4.3.0 "), "{:?}", refused.lines);
        assert!(is_listed(), "reads go on");
        server.wait_for_log(&["write segment-", "Read-only file system", "accepts nothing"]);

        server.stop();
        disk.repair();
        fs::remove_file(obstacle).expect("the file in the way");
        server.start_again();
        server.maildir("stuck").wait_for_one();
        server.accept(&["me@localhost"], "Subject: after\r\n\r\n");
        server.maildir("me").wait_for(2);
        server.wait_until_drained();
    }

    /// A disk, and a server whose data lie on it.
    fn on_a_disk(size: &str) -> (Disk, Server) {
        let setup = Setup::new();
        let at = setup.place().join("disk");
        let disk = Disk::mount(&at, size);
        setup.give_to_user(&at);
        let setup = setup.data_in(at.join("data")).option("smtpd_error_sleep_time=0");
        (disk, setup.start())
    }

    #[test]
    fn a_full_disk_is_452_at_mail_and_heals_when_there_is_space() {
        let (disk, server) = on_a_disk("256M");
        server.accept(&["me@localhost"], "Subject: before\r\n\r\n");
        server.wait_until_drained();
        let ballast = disk.fill();
        let mut accepted = 1;
        let mut size = 600_000;
        let refused = tests::wait::until("452", || {
            let mut session = server.session();
            let reply = session.command("MAIL FROM:<a@client.example>").expect("a reply");
            if !reply.is_ok() {
                return Some(reply);
            }
            let content = format!("Subject: full\r\n\r\n{}", "x\r\n".repeat(size / 3));
            let reply = server.session().mail("", &["me@localhost"], content.as_bytes());
            let reply = reply.expect("a reply");
            accepted += usize::from(reply.is_ok());
            if !reply.is_ok() {
                assert!(reply.last().starts_with("452 4.3.1 "), "{:?}", reply.lines);
                // What is smaller may still fit.
                size = (size / 2).max(300);
            }
            None
        });
        assert!(refused.last().starts_with("452 4.3.1 "), "{:?}", refused.lines);
        assert!(refused.last().contains("Insufficient system storage"), "{:?}", refused.lines);
        fs::remove_file(ballast).expect("the ballast");
        tests::wait::until_true("mail to be accepted again", || {
            let reply = server.session().mail("", &["me@localhost"], b"Subject: after\r\n\r\n");
            reply.expect("a reply").is_ok()
        });
        // A delivery that found the disk full is tried again; nothing was lost.
        let there = || server.maildir("me").count() + server.queue().len();
        tests::wait::until_true("all to be delivered or queued", || there() == accepted + 1);
    }

    #[test]
    fn mailboxes_that_become_read_only_defer_their_mail_and_heal() {
        let setup = Setup::new();
        let mail = setup.data().join("mail");
        let disk = Disk::mount(&mail, "64M");
        for path in [setup.data(), &mail] {
            setup.give_to_user(path);
        }
        let server = setup.option("queue_run_delay=1s").option("minimal_backoff_time=1s").start();
        server.accept(&["me@localhost"], "Subject: before\r\n\r\n");
        server.wait_until_drained();
        disk.remount("ro");
        let id = server.accept(&["me@localhost"], "Subject: during\r\n\r\n");
        let line = server.wait_for_log(&[&id, "status=deferred"]);
        assert!(line.contains("Read-only file system"), "{line}");
        disk.remount("rw");
        server.maildir("me").wait_for(2);
        server.wait_until_drained();
    }

    #[test]
    fn a_child_that_dies_is_started_again() {
        let server = Setup::new().run_as(tests::server::RunAs::Root).start();
        for role in ["engine", "agentd"] {
            let first = server.child_process(role).expect("a child");
            first.kill();
            tests::wait::until_true("another child", || {
                server.child_process(role).is_some_and(|now| now != first && now.runs())
            });
            tests::wait::until_true("mail to be accepted", || {
                tests::Session::greeted(server.port()).is_ok()
            });
            server.accept(&[&format!("{role}@localhost")], "Subject: again\r\n\r\n");
            server.maildir(role).wait_for_one();
        }
        server.wait_until_drained();
    }

    #[test]
    fn no_child_outlives_its_master() {
        let mut server = Setup::new().run_as(tests::server::RunAs::Root).start();
        server.accept(&["me@localhost"], "Subject: before\r\n\r\n");
        server.kill_main();
        server.start_again();
        server.maildir("me").wait_for_one();
        server.wait_until_drained();
    }
}
