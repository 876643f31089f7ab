//! The log.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{INT_MAX, known, params};
use crate::syntax::Nonblank;
use crate::typed::List;
use crate::typed::facility::Facility;
use crate::typed::file_mode::FileMode;

params! {
    /// The log.
    Log;

    /// The file that log lines are added to. Where it is empty they go to syslog, or to standard error from what
    /// runs in the foreground.
    maillog_file: PathBuf = "";
    /// Who may read a new file: the permissions that it is made with.
    maillog_file_permissions: FileMode = "0640";
    /// The end of the name that postfix logrotate gives to the file: a point is put before it, and conversions
    /// are those of strftime(3), in local time.
    maillog_file_rotate_suffix: Nonblank = "%Y%m%d-%H%M%S";
    /// The command that compresses the file when postfix logrotate has put it aside; the file's name is its only
    /// argument.
    maillog_file_compressor: Nonblank = "gzip";
    /// The name before the slash in log lines. The tools that read mail logs look for this one.
    syslog_name: Box<str> = "${multi_instance_name?{$multi_instance_name}:{postfix}}";
    /// The syslog facility of log lines.
    syslog_facility: Facility = "mail";
    /// The name of this instance among several.
    multi_instance_name: Box<str> = "";
    /// Digits after the point in delays.
    delay_logging_resolution_limit: u8 = "2", 0..=6;
}

known! {
    /// The log's file and where else lines go.
    LOGGING;

    /// Where maillog_file may be.
    maillog_file_prefixes: List = "/var, /dev/stdout"
        => unsupported "the file may be anywhere";
    /// How long the process that writes the log may be busy with one line.
    postlogd_watchdog_timeout: Duration = "10s", 10..=INT_MAX
        => accepted "the log is written by a thread that waits for nothing but its file";
}
