//! The log.

use std::path::PathBuf;

use crate::row::params;

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
