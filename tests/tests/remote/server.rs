//! A server that is not ours: started in a directory of its own, killed by its number.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::geteuid;
use tempfile::TempDir;
use tests::process::Process;
use tests::server::NOBODY;
use tests::wait;

/// A server, running or not.
pub(crate) struct Server {
    place: TempDir,
    socket: PathBuf,
    command: Vec<String>,
    more: Vec<String>,
    child: Option<Child>,
}

/// A directory for a server, which belongs to whom servers run as.
pub(crate) fn place() -> TempDir {
    let place = tempfile::Builder::new()
        .prefix("rt-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a directory for the server");
    if geteuid().is_root() {
        chown(place.path(), Some(NOBODY), Some(NOBODY)).expect("root may give directories away");
    }
    place
}

/// A port of 127.0.0.1 that nobody has. Not one of those that connections are made from, which somebody
/// could get before the server does.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap_or(0) * 100 + 20_000;
    wait::until("a free port", || {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

/// `words` as an ordinary user.
pub(crate) fn as_user(words: &[&str]) -> Command {
    let id = NOBODY.to_string();
    let lowered = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
    let lowered = if geteuid().is_root() { &lowered[..] } else { &[] };
    let all: Vec<&str> = lowered.iter().chain(words).copied().collect();
    let mut command = Command::new(all[0]);
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(&all[1..])
        .env("PATH", format!("/usr/sbin:/usr/bin:/sbin:/bin:{path}"))
        .env("LC_ALL", "C");
    command
}

/// Runs something that prepares a server, to its end.
pub(crate) fn prepare(words: &[&str], place: &Path) {
    let ran = as_user(words).current_dir(place).env("TMPDIR", place).stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{words:?}: {said}");
}

/// The program of this name in the place that Debian keeps it, where that is not in PATH.
pub(crate) fn program(name: &str, elsewhere: &str) -> String {
    let mut found: Vec<PathBuf> = fs::read_dir(elsewhere)
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

impl Server {
    /// A server that will listen on `socket` in `place` once it is started by `command`.
    pub(crate) fn new(place: TempDir, socket: &str, command: &[&str]) -> Self {
        let socket = place.path().join(socket);
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { place, socket, command, more: Vec::new(), child: None }
    }

    /// Its directory.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Adds to its command line, in place of what was added before.
    pub(crate) fn arguments(&mut self, more: &[&str]) {
        self.more = more.iter().map(|&word| word.to_owned()).collect();
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) fn start(&mut self) {
        // Left by the one that was killed, and in the way of some.
        let _ = fs::remove_file(&self.socket);
        let log = fs::File::create(self.place().join("log")).expect("a log");
        let words: Vec<&str> = self.command.iter().chain(&self.more).map(String::as_str).collect();
        let child = as_user(&words)
            .current_dir(self.place())
            .env("TMPDIR", self.place())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{words:?}: {error}")));
        wait::until(&format!("{} listens", self.command[0]), || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                let log = fs::read_to_string(self.place().join("log")).unwrap_or_default();
                panic!("{:?} ended: {status}\n{log}", self.command);
            }
            UnixStream::connect(&self.socket).ok()
        });
    }

    /// kill -9, for it and the processes that it has started.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let process = Process(child.id());
        let children = process.children();
        process.kill();
        children.iter().for_each(|child| child.kill());
        let _ = child.wait();
        for child in children {
            wait::until_true("the server's children end", || !child.runs());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
