//! `ringpost queue`, `status` and `check`.

use std::fs;

use tests::peer::Ran;
use tests::{Home, Server, Setup};

/// A server that keeps what it is sent, since its one mailbox is unusable.
fn keeping() -> Server {
    let setup = Setup::new();
    let base = setup.data().join("mail/localhost");
    fs::create_dir_all(&base).expect("directories");
    fs::write(base.join("kept"), "in the way").expect("a file");
    for path in [setup.data(), &setup.data().join("mail"), &base, &base.join("kept")] {
        setup.give_to_user(path);
    }
    setup.start()
}

fn keep(server: &Server, subject: &str) -> String {
    let content = format!("Subject: {subject}\r\nX-Kept: yes\r\n\r\nbody of {subject}\r\n");
    let id = server.accept(&["kept@localhost"], content);
    server.wait_for_log(&[&id, "status=deferred"]);
    id
}

#[test]
fn what_was_just_accepted_is_listed_at_once() {
    let server = keeping();
    for number in 0..20 {
        let id = server.accept(&["kept@localhost"], format!("Subject: {number}\r\n\r\n"));
        let listed = server.queue();
        assert!(listed.iter().any(|message| message["queue_id"] == id.as_str()), "{listed:?}");
    }
}

#[test]
fn an_empty_queue_is_said_to_be_empty() {
    let server = Setup::new().start();
    assert_eq!(server.ringpost(&["queue", "list"]).expect_ok(), "Mail queue is empty\n");
    assert_eq!(server.ringpost(&["queue", "list", "--json"]).expect_ok(), "");
}

#[test]
fn the_queue_is_listed_as_mailq_does() {
    let server = keeping();
    let id = keep(&server, "listed");
    let out = server.ringpost(&["queue", "list"]).expect_ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("-Queue ID-") || lines[0].starts_with("----Queue ID-----"),
        "{out}"
    );
    assert!(lines[0].ends_with("Sender/Recipient-------") || lines[0].contains("Sender"), "{out}");
    assert!(lines[1].starts_with(&id) && lines[1].ends_with("sender@client.example"), "{out}");
    assert!(lines[2].trim_start().starts_with('('), "the reason: {out}");
    assert!(lines[3].ends_with("kept@localhost"), "{out}");
    let total = lines.last().expect("a total");
    assert!(total.starts_with("-- ") && total.ends_with(" Kbytes in 1 Request."), "{out}");
}

#[test]
fn the_queue_is_listed_as_json_with_postqueue_s_keys() {
    let server = keeping();
    let id = keep(&server, "json");
    let out = server.ringpost(&["queue", "list", "--json"]).expect_ok();
    let object: serde_json::Value = serde_json::from_str(out.trim_end()).expect("one object");
    assert_eq!(object["queue_name"], "deferred");
    assert_eq!(object["queue_id"], id.as_str());
    assert_eq!(object["sender"], "sender@client.example");
    assert!(object["arrival_time"].as_u64().is_some_and(|time| time > 1_600_000_000));
    assert!(object["message_size"].as_u64().is_some_and(|size| size > 30));
    assert_eq!(object["recipients"][0]["address"], "kept@localhost");
    assert!(object["recipients"][0]["delay_reason"].as_str().is_some_and(|why| why.len() > 5));
    let place = |key: &str| out.find(&format!("\"{key}\": ")).unwrap_or_else(|| panic!("{out}"));
    let keys = ["queue_name", "queue_id", "arrival_time", "message_size", "sender", "recipients"];
    let places: Vec<usize> = keys.iter().map(|key| place(key)).collect();
    assert!(places.is_sorted(), "the order of keys: {out}");
}

#[test]
fn a_message_is_shown_as_postcat_does() {
    let server = keeping();
    let id = keep(&server, "shown");
    let out = server.ringpost(&["queue", "show", &id]).expect_ok();
    for part in [
        "*** ENVELOPE RECORDS ",
        "sender: sender@client.example",
        "recipient: kept@localhost",
        "*** MESSAGE CONTENTS ",
        "X-Kept: yes",
        "body of shown",
        "*** MESSAGE FILE END ",
    ] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
    assert!(out.contains(&format!("id {id}")), "its own Received: header\n{out}");
}

#[test]
fn the_queue_can_be_read_while_nothing_runs() {
    let mut server = keeping();
    let id = keep(&server, "stopped");
    assert!(server.stop().success());
    assert!(server.ringpost(&["queue", "list"]).expect_ok().contains(&id));
    assert!(server.ringpost(&["queue", "show", &id]).expect_ok().contains("body of stopped"));
}

#[test]
fn what_is_not_a_queue_id_is_refused_and_one_that_is_not_there_is_not_found() {
    let server = Setup::new().start();
    for id in ["../../etc/passwd", "ABC", "-", "ALL", "0f5383d", "A1B2C3D4E5F6A7", ""] {
        let ran: Ran = server.ringpost(&["queue", "show", id]);
        assert!(!ran.ok, "{id:?}: {}", ran.out);
        assert!(!ran.err.is_empty() && !ran.out.contains("root:"), "{id:?}: {ran:?}");
    }
}

#[test]
fn status_says_whether_it_runs_and_what_waits() {
    let mut server = keeping();
    keep(&server, "status");
    let running = server.ringpost(&["status"]);
    assert!(running.ok, "{running:?}");
    assert!(running.out.contains('1'), "{running:?}");
    assert!(server.stop().success());
    let stopped = server.ringpost(&["status"]);
    assert!(!stopped.ok, "{stopped:?}");
    assert_ne!(running.out, stopped.out);
}

#[test]
fn check_is_content_with_the_settings_for_trying_things_out() {
    let setup = Setup::new();
    let ran = setup.ringpost(&["check"]);
    assert!(ran.ok, "{ran:?}");
    assert!(format!("{}{}", ran.out, ran.err).contains("io_uring"), "{ran:?}");
}

#[test]
fn whoever_reads_no_further_is_not_in_the_way_of_a_command() {
    let home = Home::new();
    home.init("etc").expect_ok();
    for (arguments, code) in [
        (&["check", "-c", "etc"][..], 0),
        (&["status", "-c", "etc"], 1),
        (&["explain", "-c", "etc", "me@localhost"], 0),
        (&["postconf", "-c", "etc"], 0),
        (&["postconf", "--help"], 0),
        (&["postmap", "--help"], 0),
        (&["newaliases", "--help"], 0),
        (&["queue", "list", "-c", "etc"], 69),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ran = home.command(arguments).stdout(writer).output().expect("the program");
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(!err.contains("panicked"), "{arguments:?}: {err}");
    }
}

#[test]
fn check_says_which_users_it_cannot_know() {
    let setup = Setup::new()
        .main_cf("mydestination = example.com\nalias_maps = hash:PLACE/aliases")
        .file("aliases.db", "no table\n");
    let said = setup.ringpost(&["check"]).out;
    let expected = format!(
        "warning: local_recipient_maps has its default: table hash:{0}/aliases: {0}/aliases.db: ",
        setup.place().display()
    );
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn check_names_the_line_that_is_wrong() {
    let setup = Setup::new().main_cf("message_size_limit = many\nmydestnation = example.com");
    let ran = setup.ringpost(&["check"]);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(!ran.ok, "{said}");
    // Five lines of the harness stand before these.
    assert!(said.contains("main.cf:6") || said.contains("main.cf, line 6"), "{said}");
    assert!(said.contains("message_size_limit"), "{said}");
    assert!(said.contains("mydestnation"), "an unknown name is reported: {said}");
}

#[test]
fn a_clean_stop_waits_for_nobody_and_loses_nothing() {
    let mut server = keeping();
    let id = keep(&server, "stop");
    let mut idle = server.session();
    let mut inside = server.session();
    inside.play(
        "C: MAIL FROM:<sender@client.example>
         S: 250 *
         C: RCPT TO:<kept@localhost>
         S: 250 *
         C: DATA
         S: 354 *",
    );
    assert!(server.stop().success());
    assert!(idle.is_closed());
    assert!(inside.is_closed());
    server.start_again();
    let queue = server.queue();
    assert_eq!(queue.len(), 1, "{queue:?}");
    assert_eq!(queue[0]["queue_id"], id.as_str());
}

#[test]
fn it_is_three_processes_as_root_and_one_else() {
    let server = Setup::new().start();
    let processes = server.processes();
    if server.setup.is_user() {
        assert_eq!(processes.len(), 1, "{processes:?}");
        return;
    }
    assert_eq!(processes.len(), 3, "{processes:?}");
    let engine = server.child_process("engine").expect("engine");
    let agentd = server.child_process("agentd").expect("agentd");
    assert_ne!(engine.euid(), Some(0), "what talks to the network is not root");
    assert_eq!(agentd.euid(), Some(0), "what writes mailboxes has to be");
}
