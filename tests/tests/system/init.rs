//! `ringpost init` and what a new user does next, as root and as an ordinary user.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use tests::server::RunAs;
use tests::{Home, Session, wait};

/// Killed where the test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file in the test's place")
}

#[test]
fn what_init_writes_passes_check_and_takes_mail() {
    let home = Home::new();
    home.init("etc").expect_ok();
    let checked = home.run(&["check", "-c", "etc"]);
    assert!(checked.ok, "{checked:?}");
    assert!(
        checked.out.ends_with("all is well: nothing here changes the flow of mail\n"),
        "{checked:?}"
    );
    let mut child =
        home.command(&["serve", "-c", "etc"]).stdout(Stdio::piped()).spawn().expect("a server");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let _running = Running(child);
    let port = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ringpost: listening on 127.0.0.1:")?.parse().ok())
        .expect("a port");
    let mut session = Session::greeted(port).expect("a session");
    let reply = session.mail("a@client.example", &["me@localhost"], b"Subject: first\r\n\r\nx\r\n");
    assert_eq!(reply.expect("a reply").code, 250);
    let data = if home.run_as() == RunAs::Root { "data" } else { "etc/data" };
    let mailbox = home.path(data).join("mail/localhost/me/new");
    wait::until_true("the mail in its mailbox", || {
        fs::read_dir(&mailbox).is_ok_and(|mut mails| mails.next().is_some())
    });
}

#[test]
fn what_is_there_is_never_overwritten() {
    let home = Home::new();
    home.init("etc").expect_ok();
    let files = [home.path("etc/main.cf"), home.path("etc/master.cf")];
    let before = files.each_ref().map(|path| read(path));
    let again = home.init("etc");
    assert!(!again.ok && again.err.contains("/etc/main.cf is there already"), "{again:?}");
    assert_eq!(files.each_ref().map(|path| read(path)), before);
    // Half of a configuration is somebody's as well.
    fs::remove_file(&files[0]).expect("a file");
    let half = home.init("etc");
    assert!(!half.ok && half.err.contains("/etc/master.cf is there already"), "{half:?}");
    assert!(!files[0].exists());
}

#[test]
fn what_cannot_be_is_said_and_leaves_nothing_behind() {
    let home = Home::new();
    fs::write(home.path("file"), "").expect("a file");
    let no_directory = home.init("file/etc");
    assert!(!no_directory.ok && no_directory.err.contains("file/etc"), "{no_directory:?}");
    let no_domain = home.run(&["init", "--domain", "a b", "etc"]);
    assert!(!no_domain.ok && !home.path("etc").exists(), "{no_domain:?}");
    let nobody = home.run(&["init", "--user", "no-such-user-here", "etc"]);
    let expected = match home.run_as() {
        RunAs::Root => "useradd --system --no-create-home no-such-user-here",
        RunAs::User => "--user is for root",
    };
    assert!(!nobody.ok && nobody.err.contains(expected), "{nobody:?}");
    assert!(!home.path("etc").exists());
}
