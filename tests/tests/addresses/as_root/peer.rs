//! A Postfix that answers what trivial-rewrite is asked.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tests::peer::run;
use tests::wait::until_true;

const MASTER_CF: &str = "qmgr unix n - n 300 1 qmgr
pickup unix n - n 1 1 pickup
rewrite unix - - n - - trivial-rewrite
cleanup unix n - n - 0 cleanup
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix.
pub(super) struct Postfix {
    place: tempfile::TempDir,
    /// What follows the answers that were read.
    received: Vec<u8>,
    socket: Option<UnixStream>,
}

/// What it says of a recipient.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) transport: String,
    pub(super) nexthop: String,
    /// In internal form.
    pub(super) recipient: String,
    /// postfix `src/global/resolve_clnt.h`
    pub(super) flags: u32,
}

/// Where both are reached, whatever other addresses this host has.
pub(super) const INTERFACES: &str = "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n";

impl Postfix {
    pub(super) fn start(main_cf: &str) -> Self {
        let place = tempfile::tempdir().expect("a place for the test");
        // Postfix's own user must come to its queue.
        run("chmod", ["755", &place.path().to_string_lossy()]).expect_ok();
        for folder in ["etc", "spool", "data"] {
            fs::create_dir(place.path().join(folder)).expect("a directory in the test's place");
        }
        run("chown", ["postfix", &place.path().join("data").to_string_lossy()]).expect_ok();
        let at = place.path().display();
        let own = format!(
            "queue_directory = {at}/spool\ndata_directory = {at}/data\nmaillog_file = {at}/log\n\
             maillog_file_prefixes = {at}\n{INTERFACES}alias_maps =\n"
        );
        for (name, text) in [("main.cf", [&own, main_cf].concat()), ("master.cf", MASTER_CF.into())]
        {
            fs::write(place.path().join("etc").join(name), text)
                .expect("a file in the test's place");
        }
        let mut postfix = Self { place, received: Vec::new(), socket: None };
        assert!(postfix.control("start"), "{}", postfix.log());
        let socket = postfix.path("spool/private/rewrite");
        until_true("Postfix to listen", || {
            postfix.socket = UnixStream::connect(&socket).ok();
            postfix.socket.is_some()
        });
        // The name of the protocol.
        postfix.answer();
        postfix
    }

    /// An address in external form, completed in a context: `local` or `remote`.
    pub(super) fn rewritten(&mut self, context: &str, external: &str) -> String {
        self.ask(&[("request", "rewrite"), ("rule", context), ("address", external)]);
        value(&self.answer(), "address")
    }

    /// A recipient in internal form.
    pub(super) fn resolved(&mut self, sender: &str, internal: &str) -> Resolved {
        self.ask(&[("request", "resolve"), ("sender", sender), ("address", internal)]);
        let answer = self.answer();
        let flags = answer.iter().rev().find(|(name, _)| name == "flags");
        Resolved {
            transport: value(&answer, "transport"),
            nexthop: value(&answer, "nexthop"),
            recipient: value(&answer, "recipient"),
            flags: flags.and_then(|(_, flags)| flags.parse().ok()).expect("flags"),
        }
    }

    /// The headers of a message that was submitted with these, as they are in the queue.
    pub(super) fn submitted(&self, headers: &str) -> String {
        self.queued(headers, "s@x.example", &["r@x.example".to_owned()], "-h")
    }

    /// The envelope of a message from and to these in external form: what is behind `sender: ` and
    /// `recipient: `.
    pub(super) fn enveloped(&self, sender: &str, recipients: &[String]) -> (String, Vec<String>) {
        let envelope = self.queued("Subject: x\n", sender, recipients, "-e");
        let all = |name: &str| -> Vec<String> {
            let found = envelope.lines().filter_map(|line| line.strip_prefix(name));
            found.map(|it| it.strip_prefix(": ").unwrap_or_default().to_owned()).collect()
        };
        (all("sender").concat(), all("recipient"))
    }

    fn queued(&self, headers: &str, sender: &str, recipients: &[String], shown: &str) -> String {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(self.path("etc")).args(["-i", "-f", sender, "--"]);
        sendmail.args(recipients);
        let mut sendmail = sendmail.stdin(Stdio::piped()).spawn().expect("sendmail");
        let mut input = sendmail.stdin.take().expect("its input");
        input
            .write_all(headers.as_bytes())
            .and_then(|()| input.write_all(b"\nbody\n"))
            .expect("a message");
        drop(input);
        assert!(sendmail.wait().is_ok_and(|status| status.success()), "{}", self.log());
        let (spool, configuration) = (self.path("spool"), self.path("etc"));
        let (spool, configuration) = (spool.to_string_lossy(), configuration.to_string_lossy());
        let mut text = None;
        // The queue manager moves it from directory to directory: it is looked for until it is read.
        until_true("the message to be in the queue", || {
            let found = run("find", [&*spool, "-name", "[0-9A-F]*", "-perm", "0700", "-type", "f"]);
            let file = found.out.lines().find(|line| !line.contains("maildrop")).map(str::to_owned);
            let Some(file) = file else { return false };
            let read = run("postcat", ["-c", &configuration, shown, &file]);
            text = read.ok.then_some(read.out);
            text.is_some()
        });
        text.expect("it was read")
    }

    /// Names and values, each ended by a NUL, and another one (postfix `src/util/attr_print0.c`).
    fn ask(&mut self, attributes: &[(&str, &str)]) {
        let mut question = Vec::new();
        for (name, value) in attributes {
            question.extend_from_slice(&[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        question.push(0);
        let socket = self.socket.as_mut().expect("a connection");
        socket.write_all(&question).expect("a question");
    }

    fn answer(&mut self) -> Vec<(String, String)> {
        loop {
            if let Some((answer, len)) = parsed(&self.received) {
                self.received.drain(..len);
                return answer;
            }
            let mut more = [0; 4096];
            let socket = self.socket.as_mut().expect("a connection");
            let len = socket.read(&mut more).expect("an answer");
            assert_ne!(len, 0, "Postfix went away: {}", self.log());
            self.received.extend_from_slice(&more[..len]);
        }
    }

    /// Its master keeps what it inherits, so it gets nothing.
    fn control(&self, what: &str) -> bool {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("etc")).arg(what);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.place.path().join(below)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.control("stop");
    }
}

/// The first answer in what was received, and its length; `None` where it is not all there.
fn parsed(received: &[u8]) -> Option<(Vec<(String, String)>, usize)> {
    let mut answer = Vec::new();
    let mut rest = received;
    let mut word = || {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let word = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        Some(word)
    };
    loop {
        let name = word()?;
        if name.is_empty() {
            return Some((answer, received.len() - rest.len()));
        }
        answer.push((name, word()?));
    }
}

fn value(answer: &[(String, String)], wanted: &str) -> String {
    let found = answer.iter().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no {wanted} in {answer:?}"))
}
