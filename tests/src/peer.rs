//! Programs that are not ours: run, waited for, their output kept.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// No peer takes longer; `timeout` ends it then, and the test fails.
const PEER_SECS_MAX: &str = "180";

/// What a peer said, and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit status 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// The output of a peer that must have succeeded.
    pub fn expect_ok(self) -> String {
        assert!(self.ok, "the peer failed\n{}\n{}", self.out, self.err);
        self.out
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a program with arguments.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Ran {
    run_with_input(program, arguments, "")
}

/// Runs a program that reads `input`.
pub fn run_with_input<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    input: impl AsRef<[u8]>,
) -> Ran {
    let mut child = Command::new("timeout")
        .args([PEER_SECS_MAX, program])
        .args(arguments)
        .env("LC_ALL", "C")
        .env("PATH", path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    // A peer that ends early does not want its input.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_ref()));
    child.wait_with_output().unwrap_or_else(|error| panic!("{program}: {error}")).into()
}

/// Runs one of the Python programs in `tests/peers`.
pub fn python<S: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = S>) -> Ran {
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "peers", script].iter().collect();
    let mut all = vec![script.into_os_string()];
    all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
    run("python3", all)
}

/// Debian keeps smtp-source and its like where an ordinary user's PATH does not look.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
