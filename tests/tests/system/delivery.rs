//! Mailboxes: kinds, owners, trouble and its end.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use tests::peer::python;
use tests::server::NOBODY;
use tests::{Server, Setup};

/// Trouble is retried every second.
const IMPATIENT: &str = "queue_run_delay = 1s
     minimal_backoff_time = 1s
     maximal_backoff_time = 1s";

/// A file that is no directory makes every mailbox below it unusable.
fn with_a_file_in_the_way(more: &str) -> Server {
    let setup = Setup::new();
    let base = setup.data().join("mail");
    fs::create_dir_all(base.join("example.com")).expect("directories");
    fs::write(base.join("example.com/blocked"), "in the way").expect("a file");
    give_to_nobody(&base.join("example.com"));
    setup
        .main_cf(&format!(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = inline:{{ blocked@example.com=example.com/blocked/, \
                                              free@example.com=example.com/free/ }}
             {}
             {IMPATIENT}
             {more}",
            owners()
        ))
        .start()
}

/// To the owner of the mailboxes.
fn give_to_nobody(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give directories away");
    }
}

fn wait_until_listed(server: &Server, count: usize) {
    tests::wait::until_true(&format!("{count} listed"), || server.queue().len() == count);
}

/// Uid maps that let the server, whoever it is, deliver.
fn owners() -> String {
    format!(
        "virtual_uid_maps = static:{NOBODY}
         virtual_gid_maps = static:{NOBODY}
         virtual_minimum_uid = 100"
    )
}

#[test]
fn an_unusable_mailbox_defers_with_its_reason_and_is_delivered_once_repaired() {
    let server = with_a_file_in_the_way("");
    let id = server.accept(
        &["blocked@example.com", "free@example.com"],
        "Subject: blocked\r\nMessage-ID: <1@client.example>\r\n\r\nhello\r\n",
    );
    let line = server.wait_for_log(&[&id, "to=<blocked@example.com>", "status=deferred"]);
    assert!(line.contains("relay=virtual") && line.contains("dsn=4."), "{line}");
    assert!(line.contains("blocked"), "the reason names the path: {line}");
    server.maildir_at("example.com", "free").wait_for_one();
    // It is tried again by itself.
    let tries = || {
        let log = server.log();
        log.iter().filter(|line| line.contains(&id) && line.contains("status=deferred")).count()
    };
    tests::wait::until_true("a second try", || tries() >= 2);
    let queued = tests::wait::until("one recipient to be left", || {
        let queue = server.queue();
        let one = queue.len() == 1 && queue[0]["recipients"].as_array().map(Vec::len) == Some(1);
        one.then(|| queue[0].clone())
    });
    assert_eq!(queued["queue_id"], id.as_str());
    assert_eq!(queued["recipients"][0]["address"], "blocked@example.com");
    fs::remove_file(server.mail_base().join("example.com/blocked")).expect("the file in the way");
    let mail = server.maildir_at("example.com", "blocked").wait_for_one();
    assert_eq!(mail.body(), b"hello\n");
    server.wait_until_drained();
    assert_eq!(server.maildir_at("example.com", "free").count(), 1, "not delivered again");
    assert_eq!(server.maildir_at("example.com", "blocked").count(), 1);
}

#[test]
fn what_waits_in_the_queue_survives_a_stop_and_is_delivered_after_the_next_start() {
    let mut server = with_a_file_in_the_way("");
    let id = server.accept(&["blocked@example.com"], "Subject: waiting\r\n\r\nhello\r\n");
    server.wait_for_log(&[&id, "status=deferred"]);
    server.restart();
    wait_until_listed(&server, 1);
    fs::remove_file(server.mail_base().join("example.com/blocked")).expect("the file in the way");
    server.maildir_at("example.com", "blocked").wait_for_one();
    server.wait_until_drained();
}

#[test]
fn a_message_that_is_too_old_is_kept_on_hold() {
    let server = with_a_file_in_the_way("maximal_queue_lifetime = 2s\nbounce_queue_lifetime = 2s");
    let id = server.accept(&["blocked@example.com"], "Subject: old\r\n\r\nhello\r\n");
    server.wait_for_log(&[&id, "from=<sender@client.example>", "status=expired"]);
    let held = tests::wait::until("the message to be on hold", || {
        server.queue().into_iter().find(|message| message["queue_name"] == "hold")
    });
    assert_eq!(held["queue_id"], id.as_str());
    assert!(server.ringpost(&["queue", "list"]).expect_ok().contains(&format!("{id}!")));
}

#[test]
fn the_active_limit_holds_back_and_nothing_is_forgotten() {
    let server = with_a_file_in_the_way("qmgr_message_active_limit = 5");
    let blocked = ["blocked@example.com"];
    let ids: Vec<String> =
        (0..40).map(|n| server.accept(&blocked, format!("Subject: {n}\r\n\r\n"))).collect();
    wait_until_listed(&server, 40);
    let active = server.queue().iter().filter(|m| m["queue_name"] == "active").count();
    // The limit is for each shard.
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(active <= 5 * shards, "{active} active");
    fs::remove_file(server.mail_base().join("example.com/blocked")).expect("the file in the way");
    let mails = server.maildir_at("example.com", "blocked").wait_for(40);
    server.wait_until_drained();
    let delivered: Vec<String> = mails.iter().filter_map(|m| Some(m.named()?.id)).collect();
    assert!(ids.iter().all(|id| delivered.contains(id)));
}

#[test]
fn an_mbox_does_not_grow_beyond_its_limit_and_what_did_not_fit_is_kept() {
    let server = Setup::new()
        .main_cf(&format!(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = static:box
             virtual_mailbox_limit = 20000
             message_size_limit = 15000
             {}",
            owners()
        ))
        .start();
    let content = format!("Subject: full\r\n\r\n{}", "x".repeat(70).repeat(120));
    for _ in 0..2 {
        let id = server.accept(&["a@example.com"], &content);
        server.wait_for_log(&[&id, "status=sent"]);
    }
    let before = fs::metadata(server.mail_base().join("box")).expect("the mbox").len();
    let id = server.accept(&["a@example.com"], &content);
    let line = server.wait_for_log(&[&id, "to=<a@example.com>", "dsn=5.2.2"]);
    assert!(line.contains("status=bounced"), "{line}");
    let after = fs::metadata(server.mail_base().join("box")).expect("the mbox").len();
    assert_eq!(before, after, "not a byte of it was left behind");
    tests::wait::until_true("it to be on hold", || {
        let queue = server.queue();
        queue.len() == 1 && queue[0]["queue_name"] == "hold"
    });
}

#[test]
fn an_mbox_is_appended_to_and_python_reads_it() {
    let server = Setup::new()
        .main_cf(&format!(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = static:box
             {}",
            owners()
        ))
        .start();
    for number in 0..20 {
        let content =
            format!("Subject: mbox {number}\r\n\r\nFrom the start\r\nnumber {number}\r\n");
        server.accept(&["a@example.com"], content);
    }
    let path = server.mail_base().join("box");
    let all =
        || fs::read_to_string(&path).is_ok_and(|text| text.matches("\nnumber ").count() == 20);
    tests::wait::until_true("20 messages in the mbox", all);
    server.wait_until_drained();
    let out = python("maildir_reader.py", ["mbox", &path.to_string_lossy()]).expect_ok();
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let found = found.as_array().expect("a list");
    assert_eq!(found.len(), 20);
    let mut subjects = std::collections::BTreeSet::new();
    for mail in found {
        subjects.insert(mail["subject"].to_string());
        let body = mail["body"].as_str().expect("a body");
        assert!(body.starts_with(">From the start\nnumber "), "{body}");
    }
    assert_eq!(subjects.len(), 20);
    let text = fs::read_to_string(&path).expect("the mbox");
    assert!(text.starts_with("From sender@client.example  "), "{}", &text[..60]);
    assert!(!path.with_extension("lock").exists());
    server.wait_for_log(&["status=sent (delivered to mailbox)"]);
}

#[test]
fn a_mailbox_that_is_a_link_is_not_followed() {
    let setup = Setup::new();
    let elsewhere = setup.place().join("elsewhere");
    let base = setup.data().join("mail/localhost");
    fs::create_dir_all(&base).expect("directories");
    fs::create_dir(&elsewhere).expect("a directory");
    symlink(&elsewhere, base.join("linked")).expect("a link");
    for path in [setup.data(), &setup.data().join("mail"), &base, &elsewhere] {
        setup.give_to_user(path);
    }
    let server = setup.start();
    let id = server.accept(&["linked@localhost"], "Subject: linked\r\n\r\n");
    server.wait_for_log(&[&id, "status="]);
    // A link that the owner could follow himself may be followed; nothing may be lost.
    let there = || tests::Maildir(elsewhere.clone()).count() + server.queue().len();
    tests::wait::until_true("it to be delivered or queued", || there() == 1);
}

mod as_root {
    use super::*;

    /// Any user id that is not the server's own.
    const OWNER: u32 = 4711;

    #[test]
    fn a_maildir_belongs_to_the_user_that_the_table_names() {
        let server = Setup::new()
            .run_as(tests::server::RunAs::Root)
            .file("uids", &format!("a@example.com {OWNER}\nb@example.com 4712\n"))
            .main_cf(
                "virtual_mailbox_domains = example.com
                 virtual_mailbox_maps = inline:{ a@example.com=a/, b@example.com=b/ }
                 virtual_uid_maps = texthash:PLACE/uids
                 virtual_gid_maps = texthash:PLACE/uids",
            )
            .start();
        // The base belongs to root; each user gets a directory in it.
        for (user, owner) in [("a", OWNER), ("b", 4712)] {
            let directory = server.mail_base().join(user);
            fs::create_dir_all(&directory).expect("a directory");
            chown(&directory, Some(owner), Some(owner)).expect("its owner");
        }
        server.accept(&["a@example.com", "b@example.com"], "Subject: owned\r\n\r\n");
        for (user, owner) in [("a", OWNER), ("b", 4712)] {
            let mail = tests::Maildir(server.mail_base().join(user)).wait_for_one();
            let file = fs::metadata(&mail.path).expect("the file");
            assert_eq!((file.uid(), file.gid()), (owner, owner), "{}", mail.path.display());
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
            let new = fs::metadata(mail.path.parent().expect("new/")).expect("new/");
            assert_eq!((new.uid(), new.permissions().mode() & 0o777), (owner, 0o700));
        }
    }

    #[test]
    fn a_user_below_virtual_minimum_uid_gets_nothing() {
        let server = Setup::new()
            .run_as(tests::server::RunAs::Root)
            .main_cf(
                "virtual_mailbox_domains = example.com
                 virtual_mailbox_maps = static:a/
                 virtual_uid_maps = static:0
                 virtual_gid_maps = static:0",
            )
            .start();
        let id = server.accept(&["a@example.com"], "Subject: root\r\n\r\n");
        let line = server.wait_for_log(&[&id, "status=deferred"]);
        assert!(line.contains("dsn=4."), "{line}");
        wait_until_listed(&server, 1);
        assert!(!server.mail_base().join("a").exists());
    }

    #[test]
    fn another_user_s_directory_is_not_written_through_a_link() {
        let server = Setup::new()
            .run_as(tests::server::RunAs::Root)
            .main_cf(&format!(
                "virtual_mailbox_domains = example.com
                 virtual_mailbox_maps = static:a/
                 virtual_uid_maps = static:{OWNER}
                 virtual_gid_maps = static:{OWNER}"
            ))
            .start();
        let victim = server.setup.place().join("victim");
        fs::create_dir(&victim).expect("a directory");
        fs::create_dir_all(server.mail_base()).expect("the base");
        symlink(&victim, server.mail_base().join("a")).expect("a link");
        let id = server.accept(&["a@example.com"], "Subject: link\r\n\r\n");
        server.wait_for_log(&[&id, "status=deferred"]);
        assert_eq!(fs::read_dir(&victim).expect("the victim's directory").count(), 0);
    }

    #[test]
    fn a_planted_fifo_does_not_stop_the_others() {
        let server = Setup::new()
            .run_as(tests::server::RunAs::Root)
            .main_cf(&format!(
                "virtual_mailbox_domains = example.com
                 virtual_mailbox_maps = inline:{{ fifo@example.com=fifo, b@example.com=b/ }}
                 virtual_uid_maps = static:{OWNER}
                 virtual_gid_maps = static:{OWNER}"
            ))
            .start();
        fs::create_dir_all(server.mail_base()).expect("the base");
        chown(server.mail_base(), Some(OWNER), Some(OWNER)).expect("its owner");
        let fifo = server.mail_base().join("fifo");
        tests::peer::run("mkfifo", [&fifo]).expect_ok();
        chown(&fifo, Some(OWNER), Some(OWNER)).expect("its owner");
        let id = server.accept(&["fifo@example.com"], "Subject: fifo\r\n\r\n");
        server.accept(&["b@example.com"], "Subject: b\r\n\r\n");
        tests::Maildir(server.mail_base().join("b")).wait_for_one();
        server.wait_for_log(&[&id, "status=deferred"]);
    }
}
