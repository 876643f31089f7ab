//! `ringpost serve` as a test starts it: in a directory of its own, on a port that is free.
//!
//! Dropping a [`Server`] kills its processes and nobody else's, and shows the end of its logs where the
//! test fails.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::mailbox::Maildir;
use crate::peer::Ran;
use crate::process::Process;
use crate::session::Session;
use crate::wait::{self, SOON};

/// Debian's user and group `nobody`, whom the program runs as where it is not to be root.
pub const NOBODY: u32 = 65534;

/// How long a clean stop may take.
const STOP_SECS_MAX: u64 = 30;

/// Whom the program runs as, which decides whether it is three processes or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// As the test itself, where that is root.
    Root,
    /// As an ordinary user: the test's own, or `nobody` where the test is root.
    User,
}

impl RunAs {
    /// What `RINGPOST_AS` says; without it, what the test's own user allows.
    pub fn wanted() -> Self {
        match std::env::var("RINGPOST_AS").as_deref() {
            Ok("user") => Self::User,
            Ok("root") | Err(_) if geteuid().is_root() => Self::Root,
            Err(_) => Self::User,
            Ok(other) => panic!("RINGPOST_AS={other}: user, or root where the test is root"),
        }
    }
}

/// How a server is to be started, and started again.
#[derive(Debug)]
pub struct Setup {
    place: Option<TempDir>,
    run_as: RunAs,
    main_cf: Option<String>,
    master_cf: Option<String>,
    arguments: Vec<String>,
    backend: String,
    descriptors_max: Option<u32>,
    data: PathBuf,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// The built-in settings: any user at `localhost`.
    pub fn new() -> Self {
        let place = tempfile::Builder::new()
            .prefix("ringpost-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a directory for the test");
        let data = place.path().join("data");
        let setup = Self {
            place: Some(place),
            run_as: RunAs::wanted(),
            main_cf: None,
            master_cf: None,
            arguments: Vec::new(),
            backend: std::env::var("RINGPOST_BACKEND").unwrap_or_else(|_| "auto".into()),
            descriptors_max: None,
            data,
        };
        setup.give_to_user(setup.place());
        setup
    }

    /// The directory that holds everything of this server.
    pub fn place(&self) -> &Path {
        self.place.as_ref().expect("the place lives as long as the setup").path()
    }

    /// Where queue, mail and log are.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Keeps queue, mail and log elsewhere.
    pub fn data_in(mut self, data: impl Into<PathBuf>) -> Self {
        self.data = data.into();
        self
    }

    /// Runs as this user whatever `RINGPOST_AS` says.
    pub fn run_as(mut self, run_as: RunAs) -> Self {
        self.run_as = run_as;
        self.give_to_user(self.place());
        self
    }

    /// `-o name=value`
    pub fn option(self, setting: &str) -> Self {
        self.argument("-o").argument(setting)
    }

    /// One more argument of `ringpost serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// `--backend`, whatever `RINGPOST_BACKEND` says.
    pub fn backend(mut self, backend: &str) -> Self {
        self.backend = backend.to_owned();
        self
    }

    /// `--config` with this main.cf, behind lines that put everything into the test's own directory.
    /// `PLACE` in the text stands for that directory.
    /// The base of the mailboxes exists, and belongs to `nobody`.
    pub fn main_cf(mut self, text: &str) -> Self {
        self.make_mail_base();
        let data = self.data.to_string_lossy().into_owned();
        let text = text.replace("PLACE", &self.place().to_string_lossy());
        // Indented as the test is; in main.cf a line that begins with a blank continues another.
        let text = text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
        self.main_cf = Some(format!(
            "queue_directory = {data}/queue\n\
             data_directory = {data}\n\
             maillog_file = {data}/mail.log\n\
             virtual_mailbox_base = {data}/mail\n\
             mail_owner = nobody\n\
             {text}\n"
        ));
        self
    }

    fn make_mail_base(&self) {
        let base = self.data.join("mail");
        fs::create_dir_all(&base).expect("a directory in the test's place");
        self.give_to_user(&self.data);
        if geteuid().is_root() {
            chown(&base, Some(NOBODY), Some(NOBODY)).expect("root may give directories away");
        }
    }

    /// `--config` with a copy of this directory, each file as `adapted` makes it from its name and text. It
    /// has to say where queue, mailboxes and log are.
    pub fn directory(self, from: &Path, adapted: impl Fn(&str, &str) -> String) -> Self {
        self.make_mail_base();
        let mut folders = vec![from.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a directory").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(from).expect("a path below").to_string_lossy();
                let text = fs::read_to_string(&path).expect("a text");
                let to = self.config_directory().join(&*name);
                fs::create_dir_all(to.parent().expect("a folder")).expect("a directory");
                fs::write(to, adapted(&name, &text)).expect("a file in the test's place");
            }
        }
        self
    }

    /// Where main.cf and master.cf are, if there are any.
    pub fn config_directory(&self) -> PathBuf {
        self.place().join("etc")
    }

    /// Where the mailboxes are.
    pub fn mail_base(&self) -> PathBuf {
        self.data.join("mail")
    }

    /// A master.cf beside the main.cf. Continuation lines are indented by more than the others.
    pub fn master_cf(mut self, text: &str) -> Self {
        self.master_cf = Some(text.replace("PLACE", &self.place().to_string_lossy()));
        self
    }

    /// Writes a file for the server to read, below its place.
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.place().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory in the test's place");
        }
        fs::write(&path, text).expect("a file in the test's place");
        self
    }

    /// `ulimit -n`
    pub fn descriptors_max(mut self, limit: u32) -> Self {
        self.descriptors_max = Some(limit);
        self
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it does not; its last words are shown.
    pub fn start(self) -> Server {
        Server::start(self)
    }

    /// Starts it although it must refuse to run, and returns what it said.
    pub fn refused(&self) -> Ran {
        let command = self.command();
        let program = command.get_program().to_owned();
        let ran = crate::peer::run(&program.to_string_lossy(), command.get_args());
        assert!(!ran.ok && !ran.out.contains("listening on"), "it started\n{ran:?}");
        ran
    }

    /// Runs another of ringpost's commands on the same data, as whoever runs the test.
    pub fn ringpost(&self, arguments: &[&str]) -> Ran {
        let mut all: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        all.extend(self.where_it_is());
        crate::peer::run(&program(), all)
    }

    /// Gives `path` to whom built-in settings deliver as: the server's own user, or `nobody` where that is
    /// root.
    pub fn give_to_user(&self, path: &Path) {
        if geteuid().is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give directories away");
        }
    }

    /// Whether the program is one process, without root's rights.
    pub fn is_user(&self) -> bool {
        self.run_as == RunAs::User
    }

    /// Leaves the test's directory behind, for whoever looks for the cause of a failure.
    fn keep(&mut self) {
        if let Some(place) = self.place.take() {
            eprintln!("-- kept: {}", place.keep().display());
        }
    }

    fn where_it_is(&self) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let etc = self.config_directory();
        match &self.main_cf {
            Some(text) => {
                fs::create_dir_all(&etc).expect("a directory in the test's place");
                fs::write(etc.join("main.cf"), text).expect("main.cf in the test's place");
                if let Some(text) = &self.master_cf {
                    fs::write(etc.join("master.cf"), text).expect("master.cf in the test's place");
                }
                vec!["--config".into(), path(&etc)]
            }
            None if etc.join("main.cf").exists() => vec!["--config".into(), path(&etc)],
            None => vec!["--data".into(), path(&self.data)],
        }
    }

    /// The whole command, with what limits or lowers it in front.
    fn command(&self) -> Command {
        let mut words: Vec<String> = Vec::new();
        let mut push = |more: &[&str]| words.extend(more.iter().map(|&word| word.to_owned()));
        if let Some(limit) = self.descriptors_max {
            push(&["prlimit", &format!("--nofile={limit}:{limit}")]);
        }
        if self.run_as == RunAs::User && geteuid().is_root() {
            let id = NOBODY.to_string();
            push(&["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        push(&[&program(), "serve", "--listen", "127.0.0.1:0", "--backend", &self.backend]);
        words.extend(self.where_it_is());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.place()).env_remove("MAIL_CONFIG");
        command
    }
}

/// The program under test.
fn program() -> String {
    std::env::var("RINGPOST_BIN").expect("RINGPOST_BIN names the program; tests/run sets it")
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// How it was started.
    pub setup: Setup,
    child: Child,
    port: u16,
    out: Lines,
    err: Lines,
    /// Queue ids that [`Server::accept`] got.
    accepted: Mutex<Vec<String>>,
}

impl Server {
    fn start(setup: Setup) -> Self {
        let (child, out, err) = spawn(&setup);
        let mut server = Self { setup, child, port: 0, out, err, accepted: Mutex::default() };
        server.wait_until_ready();
        server
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it says it listens, in the order of master.cf.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        // Said behind all of them.
        self.wait_for_output(&["runs on"]);
        let address =
            |line: &String| line.strip_prefix("ringpost: listening on ")?.trim().parse().ok();
        self.output().iter().filter_map(address).collect()
    }

    /// A connection whose greeting is still to be read.
    pub fn connect(&self) -> Session {
        Session::connect(self.port).expect("a connection")
    }

    /// A connection that has said EHLO.
    pub fn session(&self) -> Session {
        Session::greeted(self.port).expect("a greeting")
    }

    /// Sends one message that must be accepted, and returns its queue id.
    pub fn accept(&self, to: &[&str], content: impl AsRef<[u8]>) -> String {
        let reply = self.session().mail("sender@client.example", to, content.as_ref());
        let reply = reply.expect("an answer");
        let id = reply.queue_id().unwrap_or_else(|| panic!("not accepted: {:?}", reply.lines));
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
        id.to_owned()
    }

    /// The Maildir of a user at localhost.
    pub fn maildir(&self, user: &str) -> Maildir {
        self.maildir_at("localhost", user)
    }

    /// The Maildir of `user@domain`.
    pub fn maildir_at(&self, domain: &str, user: &str) -> Maildir {
        Maildir(self.mail_base().join(domain).join(user))
    }

    /// Where the Maildirs are.
    pub fn mail_base(&self) -> PathBuf {
        self.setup.mail_base()
    }

    /// The lines of the mail log so far.
    pub fn log(&self) -> Vec<String> {
        let bytes = fs::read(self.setup.data().join("mail.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// Waits for a line of the mail log that contains all of `parts`.
    pub fn wait_for_log(&self, parts: &[&str]) -> String {
        wait::until(&format!("a log line with {parts:?}"), || {
            self.log().into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
        })
    }

    /// What it has printed so far.
    pub fn output(&self) -> Vec<String> {
        self.out.all()
    }

    /// Waits for a line on standard output that contains all of `parts`.
    pub fn wait_for_output(&self, parts: &[&str]) -> String {
        self.out
            .wait_for(SOON, |line| parts.iter().all(|part| line.contains(part)))
            .unwrap_or_else(|| panic!("no line with {parts:?} on standard output"))
    }

    /// Waits for a line on standard error that contains all of `parts`.
    pub fn wait_for_error(&self, parts: &[&str]) -> String {
        self.err
            .wait_for(SOON, |line| parts.iter().all(|part| line.contains(part)))
            .unwrap_or_else(|| panic!("no line with {parts:?} on standard error"))
    }

    /// Closes our end of its standard output once it has printed one more line.
    pub fn close_output(&self) {
        self.out.lock().closing = true;
    }

    /// `ringpost COMMAND... --data ...`
    pub fn ringpost(&self, arguments: &[&str]) -> Ran {
        self.setup.ringpost(arguments)
    }

    /// The queue's messages, as `queue list --json` says.
    pub fn queue(&self) -> Vec<serde_json::Value> {
        let text = self.ringpost(&["queue", "list", "--json"]).expect_ok();
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        text.lines().map(parse).collect()
    }

    /// Waits until nothing is listed as queued, and the log has the end of each message that
    /// [`Server::accept`] sent or that it says was taken up.
    pub fn wait_until_drained(&self) {
        wait::until_true("the queue to be empty", || self.queue().is_empty());
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for id in accepted {
            self.wait_for_log(&[&id, "removed"]);
        }
        wait::until_true("messages to be removed", || {
            let log = self.log();
            // `... postfix/qmgr[0]: ID: removed`
            let ids = |end: &str| -> BTreeSet<String> {
                let about = log.iter().filter(|line| line.ends_with(end));
                about.filter_map(|line| Some(line.split(": ").nth(1)?.to_owned())).collect()
            };
            ids(" (queue active)").is_subset(&ids(": removed"))
        });
    }

    /// The process that was started: master, or all there is.
    pub fn main_process(&self) -> Process {
        Process(self.child.id())
    }

    /// It and its children.
    pub fn processes(&self) -> Vec<Process> {
        let main = self.main_process();
        let mut all = main.children();
        all.insert(0, main);
        all
    }

    /// The child whose command line contains `role`.
    pub fn child_process(&self, role: &str) -> Option<Process> {
        let words = |child: &Process| child.command_line();
        self.main_process().children().into_iter().find(|child| words(child).contains(role))
    }

    /// Resident memory of all processes.
    pub fn rss_kib(&self) -> u64 {
        self.processes().into_iter().map(Process::rss_kib).sum()
    }

    /// True while the process that was started runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) -> ExitStatus {
        self.main_process().signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Stops it cleanly and starts it again on the same data.
    pub fn restart(&mut self) {
        let status = self.stop();
        assert!(status.success(), "a clean stop, not {status}");
        self.start_again();
    }

    /// Kills every process at once.
    pub fn kill(&mut self) {
        let all = self.processes();
        all.iter().for_each(|process| process.kill());
        let _ = self.child.wait();
        wait::until_true("killed processes to be gone", || !all.iter().any(|one| one.runs()));
    }

    /// Kills the process that was started; its children must end by themselves.
    pub fn kill_main(&mut self) {
        let children = self.main_process().children();
        self.main_process().kill();
        let _ = self.child.wait();
        wait::until_true("children to end when master is gone", || {
            !children.iter().any(|child| child.runs())
        });
    }

    /// Starts it on the same data; it must have ended.
    pub fn start_again(&mut self) {
        let (child, out, err) = spawn(&self.setup);
        (self.child, self.out, self.err) = (child, out, err);
        self.wait_until_ready();
    }

    /// Changes the back-end for the next start.
    pub fn set_backend(&mut self, backend: &str) {
        self.setup.backend = backend.to_owned();
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        wait::within(Duration::from_secs(STOP_SECS_MAX), || self.child.try_wait().ok().flatten())
            .unwrap_or_else(|| panic!("it did not stop within {STOP_SECS_MAX} s"))
    }

    fn wait_until_ready(&mut self) {
        let line = self.out.wait_for(SOON, |line| line.contains("listening on 127.0.0.1:"));
        let port = line.as_deref().and_then(|line| {
            let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        self.port = port.unwrap_or_else(|| panic!("it did not say where it listens"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            self.show();
        }
        let all = self.processes();
        all.iter().for_each(|process| process.kill());
        let _ = self.child.wait();
        if failed && std::env::var_os("RINGPOST_KEEP").is_some() {
            self.setup.keep();
        }
    }
}

impl Server {
    /// The ends of what it wrote, for the reader of a failed test.
    fn show(&self) {
        let tail = |lines: &[String]| lines[lines.len().saturating_sub(25)..].join("\n  ");
        eprintln!("-- standard output\n  {}", tail(&self.out.all()));
        eprintln!("-- standard error\n  {}", tail(&self.err.all()));
        eprintln!("-- mail.log\n  {}", tail(&self.log()));
    }
}

fn spawn(setup: &Setup) -> (Child, Lines, Lines) {
    let mut command = setup.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = Lines::read(child.stdout.take().expect("standard output is a pipe"));
    let err = Lines::read(child.stderr.take().expect("standard error is a pipe"));
    (child, out, err)
}

/// Lines that a thread reads from a pipe.
#[derive(Clone, Debug)]
struct Lines(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    ended: bool,
    /// Nobody wants more: the pipe is closed at the next line.
    closing: bool,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let lines = Self(Arc::clone(&shared));
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut seen = lines.lock();
                seen.lines.push(line);
                lines.0.1.notify_all();
                if seen.closing {
                    break;
                }
            }
            lines.lock().ended = true;
            lines.0.1.notify_all();
        });
        Self(shared)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits for a line, up to `limit`; `None` also where there will be no more lines.
    fn wait_for(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut read = self.lock();
        loop {
            if let Some(line) = read.lines.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if read.ended || left.is_zero() {
                return None;
            }
            let waited = self.0.1.wait_timeout(read, left);
            read = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}
