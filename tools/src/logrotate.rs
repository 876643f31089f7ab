//! `postfix logrotate`: puts the log aside, has the mail system go on in a new file, and compresses the old one.
//!
//! ```text
//!   mail.log ──rename──▶ mail.log.SUFFIX ──nobody writes there any more──▶ compressor mail.log.SUFFIX
//!      ▲                                        ▲
//!      └── new, made by master at SIGUSR1 ──────┘ its children follow
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Zoned;
use jiff::fmt::strtime;
use rustix::process::Signal;

use crate::log_file;
use crate::pid_file::Master;

/// How long the mail system may take to let go of the old file. The disk may be slow.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(30);

/// What is rotated, and how: parameters of main.cf.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// `maillog_file`
    pub(crate) log: PathBuf,
    /// `maillog_file_rotate_suffix`
    pub(crate) suffix: String,
    /// `maillog_file_compressor`
    pub(crate) compressor: String,
}

impl Rotation {
    /// Rotates; the error is a text for the administrator.
    ///
    /// Whatever goes wrong, no line is lost: the log is where it was, or under the name that the error says.
    pub(crate) fn run(&self, master: Option<&Master>, now: &Zoned) -> Result<(), String> {
        self.refuse_what_is_no_file()?;
        let aside = self.aside(now)?;
        let log = self.log.display();
        let kept = aside.display();
        let failed = |why: String| format!("logfile '{log}' rotation failed: {why}");
        log_file::put_aside(&self.log, &aside)
            .map_err(|error| failed(format!("cannot rename it to '{kept}': {error}")))?;
        if let Some(master) = master {
            let pid = master.pid;
            master
                .signal(Signal::USR1)
                .map_err(|error| failed(format!("process {pid} goes on in '{kept}': {error}")))?;
            let finished = log_file::is_finished_within(&aside, LET_GO_TIMEOUT)
                .map_err(|error| failed(format!("'{kept}' is left as it is: {error}")))?;
            if !finished {
                let secs = LET_GO_TIMEOUT.as_secs();
                return Err(failed(format!(
                    "after {secs} seconds process {pid} still writes to '{kept}', which is left as it is"
                )));
            }
        }
        self.compress(&aside).map_err(|why| failed(format!("{why}; '{kept}' is left as it is")))
    }

    fn refuse_what_is_no_file(&self) -> Result<(), String> {
        if self.log.as_os_str().is_empty() {
            let why = "empty 'maillog_file' parameter value - logfile rotation failed; lines go to syslog, \
                       which rotates its own";
            return Err(why.to_owned());
        }
        if self.log.starts_with("/dev") {
            return Err(format!("not rotating '{}'", self.log.display()));
        }
        Ok(())
    }

    /// Its name after that.
    fn aside(&self, now: &Zoned) -> Result<PathBuf, String> {
        let wrong = |why: &str| format!("maillog_file_rotate_suffix: \"{}\": {why}", self.suffix);
        let suffix =
            strtime::format(&self.suffix, now).map_err(|error| wrong(&error.to_string()))?;
        if suffix.contains('/') {
            return Err(wrong(
                "the file would be in another directory; expected a name without a /",
            ));
        }
        let mut name = OsString::from(&self.log);
        name.push(".");
        name.push(suffix);
        Ok(name.into())
    }

    fn compress(&self, aside: &Path) -> Result<(), String> {
        let compressor = &self.compressor;
        let why = |what: &str| format!("maillog_file_compressor: \"{compressor}\": {what}");
        let ran = Command::new(compressor).arg(aside).stdin(Stdio::null()).output();
        let ran = ran.map_err(|error| why(&error.to_string()))?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        Err(why(&format!("{}: {}", ran.status, said.trim_end())))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rotation(log: &Path) -> Rotation {
        Rotation { log: log.to_owned(), suffix: "%Y%m%d-%H%M%S".into(), compressor: "true".into() }
    }

    fn now() -> Zoned {
        "2026-12-01T09:05:07+01:00[+01:00]".parse().expect("a time")
    }

    #[test]
    fn the_file_gets_the_suffix_and_the_compressor_gets_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("mail.log");
        fs::write(&log, "lines\n").expect("a file");
        // The only argument is the file.
        let rotation = Rotation { compressor: "rm".into(), ..rotation(&log) };
        rotation.run(None, &now()).expect("rotated");
        assert_eq!(fs::read_dir(&directory).expect("a directory").count(), 0);

        fs::write(&log, "lines\n").expect("a file");
        self::rotation(&log).run(None, &now()).expect("rotated");
        let aside = directory.path().join("mail.log.20261201-090507");
        assert_eq!(fs::read_to_string(aside).expect("the old file"), "lines\n");
        assert!(!log.exists());
    }

    #[test]
    fn what_cannot_be_rotated_is_left_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("mail.log");
        let refused = |rotation: &Rotation| rotation.run(None, &now()).expect_err("refused");
        let none = Rotation { log: PathBuf::new(), ..rotation(&log) };
        let empty = "empty 'maillog_file' parameter value - logfile rotation failed; lines go to syslog, \
                     which rotates its own";
        assert_eq!(refused(&none), empty);
        assert_eq!(refused(&rotation(Path::new("/dev/stdout"))), "not rotating '/dev/stdout'");
        assert!(refused(&rotation(&log)).contains("No such file"));

        fs::write(&log, "lines\n").expect("a file");
        let slash = Rotation { suffix: "%D".into(), ..rotation(&log) };
        assert!(refused(&slash).starts_with("maillog_file_rotate_suffix: \"%D\": "));
        let wrong = Rotation { suffix: "%!".into(), ..rotation(&log) };
        assert!(refused(&wrong).starts_with("maillog_file_rotate_suffix: \"%!\": "));
        let constant = Rotation { suffix: "old".into(), ..rotation(&log) };
        fs::write(directory.path().join("mail.log.old"), "older\n").expect("a file");
        assert!(refused(&constant).contains("File exists"));
        assert_eq!(fs::read_to_string(&log).expect("the file"), "lines\n");
    }

    #[test]
    fn a_compressor_that_fails_is_said_with_its_words() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("mail.log");
        for (compressor, expected) in [
            ("no-such-compressor", "No such file"),
            ("false", "exit status: 1"),
            ("ls -l", "No such"),
        ] {
            fs::write(&log, "lines\n").expect("a file");
            let rotation = Rotation {
                compressor: compressor.into(),
                suffix: compressor.into(),
                ..rotation(&log)
            };
            let failed = rotation.run(None, &now()).expect_err("no compressor");
            assert!(failed.contains(expected) && failed.ends_with("is left as it is"), "{failed}");
            let aside = directory.path().join(format!("mail.log.{compressor}"));
            assert_eq!(fs::read_to_string(aside).expect("the old file"), "lines\n");
        }
    }
}
