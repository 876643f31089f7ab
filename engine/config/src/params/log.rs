//! The log.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{known, params};
use crate::syntax::Nonblank;
use crate::typed::List;

params! {
    /// The log.
    Log;

    /// The file that log lines are added to; standard error where it is empty.
    maillog_file: PathBuf = "";
    /// The name before the slash in log lines. The tools that read mail logs look for this one.
    syslog_name: Box<str> = "${multi_instance_name?{$multi_instance_name}:{postfix}}";
    /// The name of this instance among several.
    multi_instance_name: Box<str> = "";
    /// Digits after the point in delays.
    delay_logging_resolution_limit: u8 = "2", 0..=6;
}

known! {
    /// The file of the log, and who writes it.
    LOG_FILE;

    /// Where maillog_file may be.
    maillog_file_prefixes: List = "/var, /dev/stdout"
        => accepted "the log is wherever maillog_file says";
    /// The file's permissions when it is made: 600, 640 or 644.
    maillog_file_permissions: Nonblank = "0600"
        => accepted "a log file that is made can be read by its owner and group";
    /// The program that makes an old log file smaller.
    maillog_file_compressor: Nonblank = "gzip"
        => accepted "log files are rotated by logrotate or another program";
    /// What is added to the name of an old log file, in the words of strftime.
    maillog_file_rotate_suffix: Nonblank = "%Y%m%d-%H%M%S"
        => accepted "log files are rotated by logrotate or another program";
    /// The service that writes the log.
    postlog_service_name: Nonblank = "postlog"
        => accepted "each process writes its own lines";
    /// How long that service may take for a request.
    postlogd_watchdog_timeout: Duration = "10s", 10..=u64::MAX
        => accepted "each process writes its own lines";
}
