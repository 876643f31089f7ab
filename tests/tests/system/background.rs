//! The mail system in the background: started, renewed and stopped by commands.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tests::peer::Ran;
use tests::process::Process;
use tests::server::RunAs;
use tests::{Home, Session, wait};

/// A host whose configuration `init` has written.
struct Host(Home);

impl Drop for Host {
    /// Where the test has failed in between.
    fn drop(&mut self) {
        if let Some(process) = self.master() {
            process.kill();
        }
    }
}

impl Host {
    fn new() -> Self {
        let home = Home::new();
        home.init("etc").expect_ok();
        Self(home)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut words = arguments.to_vec();
        words.extend(["-c", "etc"]);
        self.0.run(&words)
    }

    /// The port that it listens on. That this returns at all shows that the terminal is let go of: the
    /// output of a command ends when nobody has it open.
    fn start(&self) -> u16 {
        let started = self.run(&["start"]);
        assert!(started.ok, "{started:?}");
        port(&started)
    }

    fn data(&self, name: &str) -> PathBuf {
        let data = if self.0.run_as() == RunAs::Root { "data" } else { "etc/data" };
        self.0.path(data).join(name)
    }

    fn pid_file(&self) -> String {
        fs::read_to_string(self.data("queue/pid/master.pid")).unwrap_or_default()
    }

    fn master(&self) -> Option<Process> {
        self.pid_file().trim().parse().ok().map(Process)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data("mail.log")).unwrap_or_default()
    }

    fn wait_for_mails(&self, count: usize) {
        let mailbox = self.data("mail/localhost/me/new");
        wait::until_true("the mail in its mailbox", || {
            fs::read_dir(&mailbox).is_ok_and(|mails| mails.count() == count)
        });
    }

    fn main_cf(&self, more: &str) {
        let path = self.0.path("etc/main.cf");
        let text = fs::read_to_string(&path).expect("a main.cf") + more;
        fs::write(path, text).expect("a main.cf");
    }
}

fn port(started: &Ran) -> u16 {
    let port = started
        .out
        .lines()
        .find_map(|line| line.strip_prefix("ringpost: listening on 127.0.0.1:")?.parse().ok());
    port.unwrap_or_else(|| panic!("{started:?}"))
}

fn send(port: u16) -> u16 {
    let mut session = Session::greeted(port).expect("a session");
    let reply = session.mail("a@client.example", &["me@localhost"], b"Subject: x\r\n\r\nx\r\n");
    reply.expect("a reply").code
}

#[test]
fn it_is_started_renewed_and_stopped() {
    let host = Host::new();
    assert!(!host.run(&["status"]).ok);
    let none = host.run(&["stop"]);
    assert!(!none.ok && none.err.contains("the mail system is not running"), "{none:?}");

    let port = host.start();
    let master = host.master().expect("the number of a process");
    assert!(master.runs());
    let status = host.run(&["status"]);
    assert!(status.ok && status.out.contains(&format!("process {}", master.0)), "{status:?}");
    assert_eq!(send(port), 250);
    assert!(host.log().contains("daemon started"), "{}", host.log());

    let second = host.run(&["start"]);
    let expected = format!("is in use by process {}", master.0);
    assert!(!second.ok && second.err.contains(&expected), "{second:?}");

    host.main_cf("smtpd_banner = $myhostname renewed\n");
    assert!(host.run(&["reload"]).ok);
    wait::until_true("the log to say so", || host.log().contains("reload -- version"));
    let greeting = Session::connect(port).expect("a connection").reply().expect("a greeting");
    assert!(greeting.last().ends_with("renewed"), "{greeting:?}");

    host.main_cf("smtpd_timeout = soon\n");
    let refused = host.run(&["reload"]);
    assert!(!refused.ok && refused.err.contains("main.cf:"), "{refused:?}");
    assert!(
        refused.err.contains("smtpd_timeout") && refused.err.contains("\"soon\""),
        "{refused:?}"
    );
    assert!(!host.log().contains("soon"), "it was asked for all the same");

    // A configuration that is no good is no reason not to stop.
    let stopped = host.run(&["stop"]);
    assert!(stopped.ok && !master.runs(), "{stopped:?}");
    assert!(host.log().contains("terminating"), "{}", host.log());
    assert_eq!(host.pid_file(), "");
    let failed = host.run(&["start"]);
    assert!(!failed.ok && failed.err.contains("main.cf:"), "{failed:?}");
}

#[test]
fn who_was_killed_is_not_running_and_can_be_started_again() {
    let host = Host::new();
    let port = host.start();
    assert_eq!(send(port), 250);
    let master = host.master().expect("the number of a process");
    master.kill();
    // All of it: the lock is held until its last thread is gone.
    wait::until_true("its end", || !host.run(&["status"]).ok);
    // The number is still there, and nobody has the lock.
    assert_eq!(host.master(), Some(master));
    for command in ["stop", "reload"] {
        let ran = host.run(&[command]);
        assert!(!ran.ok && ran.err.contains("the mail system is not running"), "{ran:?}");
    }
    let port = host.start();
    assert_ne!(host.master(), Some(master));
    assert_eq!(send(port), 250);
    host.wait_for_mails(2);
    assert!(host.run(&["stop"]).ok);
}

#[test]
fn whoever_does_not_wait_keeps_what_was_accepted() {
    let host = Host::new();
    let port = host.start();
    assert_eq!(send(port), 250);
    let mut open = Session::greeted(port).expect("a session");
    for command in ["MAIL FROM:<>", "RCPT TO:<me@localhost>", "DATA"] {
        assert!(open.command(command).expect("a reply").code < 400);
    }
    let master = host.master().expect("the number of a process");
    let stopped = host.run(&["stop", "--now"]);
    assert!(stopped.ok && !master.runs(), "{stopped:?}");
    host.start();
    host.wait_for_mails(1);
    assert!(host.run(&["stop"]).ok);
}

#[test]
fn it_answers_to_the_name_of_postfix() {
    let host = Host::new();
    let program = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
    let link = host.0.path("postfix");
    symlink(program, &link).expect("a link");
    let postfix = |word: &str| -> Ran {
        let mut command = host.0.command_by(link.display().to_string(), &["-c", "etc", word]);
        command.output().expect("the program").into()
    };
    let down = postfix("status");
    assert!(!down.ok && down.err.contains("the mail system is not running"), "{down:?}");
    assert!(postfix("check").ok);
    let started = postfix("start");
    assert!(started.ok && started.err.contains("starting the mail system"), "{started:?}");
    let master = host.master().expect("the number of a process");
    let up = postfix("status");
    assert!(up.ok && up.err.contains(&format!("running: PID: {}", master.0)), "{up:?}");
    assert!(postfix("reload").ok);
    let unknown = postfix("flash");
    assert!(!unknown.ok && unknown.err.contains("\"flash\""), "{unknown:?}");
    assert!(postfix("abort").ok && !master.runs());
}

#[test]
fn its_log_is_put_aside_and_goes_on() {
    let host = Host::new();
    let link = host.0.path("postfix");
    symlink(std::env::var("RINGPOST_BIN").expect("tests/run sets it"), &link).expect("a link");
    let logrotate = || -> Ran {
        let arguments = ["-c", "etc", "logrotate"];
        let mut command = host.0.command_by(link.display().to_string(), &arguments);
        command.output().expect("the program").into()
    };
    let (log, aside) = (host.data("mail.log"), host.data("mail.log.1"));
    host.main_cf("maillog_file_rotate_suffix = 1\nmaillog_file_permissions = 644\n");
    let port = host.start();
    let children = host.master().expect("the number of a process").children();
    assert_eq!(send(port), 250);
    wait::until_true("all of the delivery in the log", || host.log().contains(": removed"));

    let rotated = logrotate();
    assert!(rotated.ok && rotated.err.is_empty(), "{rotated:?}");
    // The compressor had all that was written before, and nobody writes there any more.
    let read =
        std::process::Command::new("gzip").arg("-dc").arg(host.data("mail.log.1.gz")).output();
    let old = String::from_utf8(read.expect("gzip").stdout).expect("text");
    assert!(old.contains("daemon started") && old.contains("status=sent"), "{old}");
    assert!(!aside.exists());
    assert_eq!(fs::metadata(&log).expect("a new log").permissions().mode() & 0o777, 0o644);
    for child in children {
        let stderr = fs::read_link(format!("/proc/{}/fd/2", child.0)).expect("standard error");
        assert_eq!(stderr, fs::canonicalize(&log).expect("a file"));
    }

    assert_eq!(send(port), 250);
    host.wait_for_mails(2);
    wait::until_true("the new log to have it", || host.log().contains("status=sent"));

    // What another rotation has left is not replaced.
    fs::write(&aside, "older\n").expect("a file");
    let refused = logrotate();
    assert!(!refused.ok && refused.err.contains("File exists"), "{refused:?}");
    assert_eq!(fs::read_to_string(&aside).expect("the older one"), "older\n");
    assert_eq!(send(port), 250);
    fs::remove_file(&aside).expect("a file");
    assert!(host.run(&["stop"]).ok);
    assert!(host.log().contains("terminating"), "{}", host.log());

    // It need not run.
    fs::remove_file(host.data("mail.log.1.gz")).expect("a file");
    assert!(logrotate().ok && !log.exists());
}

/// What needs another `/dev`.
mod as_root {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;

    /// A host whose `/dev/log`, for what is started here, is the test's own.
    const OWN_DEV_LOG: &str =
        "mkdir dev && mount --rbind /dev dev && mount -t tmpfs none /dev || exit
        for name in null zero random urandom
        do : > /dev/$name && mount --bind dev/$name /dev/$name || exit
        done
        ln -s \"$PWD/syslog\" /dev/log || exit
        exec \"$@\"";

    fn started_with_own_dev_log(host: &Host) -> Ran {
        let start = host.0.command(&["start", "-c", "etc"]);
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", OWN_DEV_LOG, "sh"]).arg(start.get_program());
        command.args(start.get_args()).current_dir(host.0.path(""));
        command.output().expect("unshare").into()
    }

    #[test]
    fn without_a_log_file_lines_go_to_syslog() {
        let host = Host::new();
        host.main_cf("maillog_file =\nsyslog_facility = local3\nsyslog_name = first\n");
        let socket = host.0.path("syslog");
        let daemon = UnixDatagram::bind(&socket).expect("a socket");
        // As that of a host.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("our own");
        let started = started_with_own_dev_log(&host);
        assert!(started.ok && started.out.contains("syslog at /dev/log"), "{started:?}");
        assert_eq!(send(port(&started)), 250);
        host.wait_for_mails(1);
        assert!(host.run(&["stop"]).ok);

        daemon.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut lines = Vec::new();
        // Those of master come by another way than those of the engine.
        let wanted =
            [" first/master[0]: daemon started", ": removed", " first/master[0]: terminating"];
        while !wanted.iter().all(|end| lines.iter().any(|line: &String| line.contains(end))) {
            let mut line = [0; 1000];
            let length =
                daemon.recv(&mut line).unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
            lines.push(String::from_utf8(line[..length].to_vec()).expect("text"));
        }
        // local3.info, and no host's name.
        let sent = lines.iter().find(|line| line.contains("status=sent")).expect("a delivery");
        let date = sent.strip_prefix("<158>").expect("a priority");
        assert!(date[15..].starts_with(" first/virtual["), "{sent}");
    }

    #[test]
    fn a_syslog_that_is_not_there_is_no_reason_not_to_start() {
        let host = Host::new();
        host.main_cf("maillog_file =\n");
        let started = started_with_own_dev_log(&host);
        assert!(started.ok, "{started:?}");
        assert!(started.err.contains("warning: connect to /dev/log: "), "{started:?}");
        assert!(host.run(&["stop"]).ok);
    }
}
