//! What the log does when the disk is well, slow, full and gone.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use jiff::tz::TimeZone;
use mail::Time;
use mail::log::{Event, Formatter, Record, Style};

use crate::*;

fn formatter() -> Formatter {
    Formatter::new(Style::Postfix, "mx.example.com", "postfix", TimeZone::UTC, 2)
}

fn say(pen: &Pen, text: &str) {
    let event = Event::Info { text };
    pen.write(&Record {
        time: Time::from_secs(0),
        name: None,
        service: "smtpd",
        session: 7,
        event,
    });
}

const PREFIX: &str = "Jan  1 00:00:00 mx postfix/smtpd[7]: ";

/// A disk that the test looks at and breaks.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Default)]
struct Platter {
    written: String,
    opened: usize,
    /// Bytes that still fit.
    room: Option<usize>,
    gone: bool,
}

impl Disk {
    fn destination(&self) -> Destination {
        let disk = self.clone();
        Destination::Other(Box::new(move || {
            let mut platter = disk.0.lock().unwrap();
            if platter.gone {
                return Err(io::Error::other("no such disk"));
            }
            platter.opened += 1;
            Ok(Box::new(disk.clone()))
        }))
    }

    fn change(&self, change: impl FnOnce(&mut Platter)) {
        change(&mut self.0.lock().unwrap());
    }

    fn lines(&self) -> Vec<String> {
        let platter = self.0.lock().unwrap();
        platter.written.lines().map(|line| line.replace(PREFIX, "")).collect()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut platter = self.0.lock().unwrap();
        let some = bytes.len().min(platter.room.unwrap_or(usize::MAX));
        if some == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        platter.written.push_str(std::str::from_utf8(&bytes[..some]).unwrap());
        if let Some(room) = &mut platter.room {
            *room -= some;
        }
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_of_a_pen_come_out_in_order_and_all_of_them() {
    let disk = Disk::default();
    let log = MailLog::start(disk.destination(), formatter()).unwrap();
    let pen = log.pen();
    for number in 0..10_000 {
        say(&pen, &number.to_string());
    }
    assert!(log.flush());
    let expected: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(disk.lines(), expected);
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_line_after_a_silence_is_written_without_being_asked_for() {
    struct Told(Sender<Vec<u8>>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (told, heard) = unbounded();
    let open = move || Ok(Box::new(Told(told.clone())) as Output);
    let log = MailLog::start(Destination::Other(Box::new(open)), formatter()).unwrap();
    let pen = log.pen();
    for text in ["first", "second"] {
        say(&pen, text);
        let line = heard.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), format!("{PREFIX}{text}\n"));
    }
}

#[test]
fn dropping_the_log_writes_what_is_left_of_all_pens() {
    let disk = Disk::default();
    let log = MailLog::start(disk.destination(), formatter()).unwrap();
    let pens: Vec<Pen> = (0..4).map(|_| log.pen()).collect();
    for pen in &pens {
        say(pen, "last words");
    }
    drop(pens);
    drop(log);
    assert_eq!(disk.lines(), ["last words"; 4]);
}

#[test]
fn a_full_disk_loses_lines_and_says_how_many_when_it_has_room_again() {
    let disk = Disk::default();
    let log = MailLog::start(disk.destination(), formatter()).unwrap();
    let pen = log.pen();
    say(&pen, "before");
    assert!(log.flush());
    disk.change(|platter| platter.room = Some(PREFIX.len() + 3));
    for text in ["torn", "lost", "lost too"] {
        say(&pen, text);
    }
    assert!(log.flush());
    assert_eq!(log.lost(), 3);
    disk.change(|platter| platter.room = None);
    say(&pen, "after");
    assert!(log.flush());
    let lines = disk.lines();
    assert_eq!(lines[..2], ["before", "tor"]);
    assert!(
        lines[2].ends_with(" mx postfix/log[0]: warning: 3 log lines lost: no storage space"),
        "{lines:?}"
    );
    assert_eq!(lines[3..], ["after"]);
    assert_eq!(log.lost(), 3);
}

#[test]
fn a_disk_that_hangs_stops_no_pen() {
    struct Hangs(Receiver<()>, Disk);
    impl Write for Hangs {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Each write waits until the test lets go of the other end.
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (let_go, hold) = unbounded::<()>();
    let disk = Disk::default();
    let behind = disk.clone();
    let open = move || Ok(Box::new(Hangs(hold.clone(), behind.clone())) as Output);
    let log = MailLog::start(Destination::Other(Box::new(open)), formatter()).unwrap();
    let pen = log.pen();
    let long = "x".repeat(1 << 16);
    // More than the thread may have taken and the buffer can hold.
    let said = 3 * BUFFER_BYTES_MAX / long.len();
    for _ in 0..said {
        say(&pen, &long);
    }
    let lost = log.lost();
    assert!(lost > 0, "the buffer has no limit");
    drop(let_go);
    assert!(log.flush());
    let lines = disk.lines();
    assert_eq!(lines.iter().filter(|line| **line == long).count() as u64, said as u64 - lost);
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&format!("{lost} log lines lost: the log was too slow"))),
        "the loss is not told"
    );
}

#[test]
fn a_renamed_file_is_left_for_a_new_one_of_the_same_name() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = (directory.path().join("maillog"), directory.path().join("maillog.1"));
    std::fs::write(&path, "kept\n").unwrap();
    let log = MailLog::start(Destination::from_path(&path), formatter()).unwrap();
    let pen = log.pen();
    say(&pen, "one");
    assert!(log.flush());
    std::fs::rename(&path, &old).unwrap();
    assert!(log.reopen());
    say(&pen, "two");
    assert!(log.flush());
    assert_eq!(std::fs::read_to_string(&old).unwrap(), format!("kept\n{PREFIX}one\n"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{PREFIX}two\n"));
}

#[test]
fn a_file_that_cannot_be_reopened_is_kept() {
    let disk = Disk::default();
    let log = MailLog::start(disk.destination(), formatter()).unwrap();
    let pen = log.pen();
    disk.change(|platter| platter.gone = true);
    assert!(log.reopen());
    say(&pen, "still here");
    assert!(log.flush());
    let lines = disk.lines();
    assert!(lines[0].ends_with("cannot reopen the log, going on with the old one: no such disk"));
    assert_eq!(lines[1], "still here");
}

#[test]
fn a_file_that_cannot_be_opened_at_the_start_is_an_error_with_its_name() {
    let missing = Destination::from_path("/nonexistent/ringpost/maillog");
    let why = MailLog::start(missing, formatter()).unwrap_err();
    assert!(
        why.to_string().starts_with("open /nonexistent/ringpost/maillog: No such file"),
        "{why}"
    );
}

#[test]
fn the_parameter_names_a_file_or_a_standard_stream() {
    for (path, destination) in [
        ("", "Stderr"),
        ("/dev/stderr", "Stderr"),
        ("/dev/stdout", "Stdout"),
        ("/var/log/maillog", "File(/var/log/maillog)"),
    ] {
        assert_eq!(format!("{:?}", Destination::from_path(path)), destination);
    }
}

#[test]
fn clones_of_a_pen_share_its_buffer_and_a_dropped_pen_loses_nothing() {
    let disk = Disk::default();
    let log = MailLog::start(disk.destination(), formatter()).unwrap();
    let pen = log.pen();
    let clone = pen.clone();
    say(&pen, "a");
    say(&clone, "b");
    drop(pen);
    say(&clone, "c");
    drop(clone);
    assert!(log.flush());
    assert_eq!(disk.lines(), ["a", "b", "c"]);
}
