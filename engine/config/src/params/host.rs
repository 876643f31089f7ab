//! Directories, accounts and instances: where things are that are not mail.

use std::path::PathBuf;

use crate::row::{INT_MAX, known};
use crate::settings::Facts;
use crate::syntax::{NameList, Nonblank, Words};
use crate::typed::List;

known! {
    /// Where commands, manuals and state are.
    HOST;

    /// The directory with main.cf and master.cf: what -c or MAIL_CONFIG says.
    config_directory: Nonblank = "/etc/ringpost";
    /// Directories that set-gid commands may be given with -c.
    alternate_config_directories: List = "";
    /// Where commands for the administrator are; sendmail looks for postdrop beside itself first.
    command_directory: Nonblank = "/usr/sbin";
    /// Where daemons are.
    daemon_directory: Nonblank = "/usr/libexec/ringpost"
        => accepted "the programs are one, and know where it is";
    /// Where files are that instances share.
    meta_directory: Nonblank = "/etc/ringpost"
        => accepted "instances share no files";
    /// Where libraries and table types are loaded from.
    shlib_directory: Nonblank = "no"
        => accepted "all table types are built in";
    /// The file that sendmail is.
    sendmail_path: Nonblank = "/usr/sbin/sendmail"
        => accepted "only an installation needs to know it";
    /// The file that newaliases is.
    newaliases_path: Nonblank = "/usr/bin/newaliases"
        => accepted "only an installation needs to know it";
    /// The file that mailq is.
    mailq_path: Nonblank = "/usr/bin/mailq"
        => accepted "only an installation needs to know it";
    /// Where manual pages are.
    manpage_directory: Nonblank = "/usr/local/man"
        => accepted "only an installation needs to know it";
    /// Where the documentation is as web pages; no where it is not.
    html_directory: Nonblank = "no"
        => accepted "only an installation needs to know it";
    /// Where the documentation is as text; no where it is not.
    readme_directory: Nonblank = "no"
        => accepted "only an installation needs to know it";
    /// Where examples of configuration files were once.
    sample_directory: Nonblank = "/etc/ringpost"
        => accepted "there are no files of examples";
    /// Where process ids are, below queue_directory.
    process_id_directory: PathBuf = "pid"
        => accepted "the files of process ids that others read have fixed names";
    /// The group of commands that may write into the queue.
    setgid_group: Nonblank = "postdrop";
    /// The account that delivers on behalf of nobody in particular.
    default_privs: Nonblank = "nobody"
        => unsupported "there are no programs or files to deliver to yet";
    /// The release's date.
    mail_release_date: Box<str> = ""
        => accepted "releases are told apart by mail_version";
    /// How overloaded the SMTP server is: yes, or empty where it is not.
    stress: Box<str> = ""
        => accepted "it is a server's own state, whatever main.cf says";
    /// The service's name in master.cf.
    service_name: Box<str> = "";
    /// The program of the service.
    process_name: Box<str> = "";
    /// The id of the process.
    process_id: u32 = [process_id];
    /// Environment variables, names or name=value, that daemons take over from who starts them.
    import_environment: List = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME XDG_RUNTIME_DIR"
        => accepted "no variable but MAIL_CONFIG and TZ means anything here";
    /// Environment variables, names or name=value, that programs are given.
    export_environment: List = "TZ MAIL_CONFIG LANG"
        => unsupported "there are no programs to run yet";
}

known! {
    /// Several configurations on one host: postmulti.
    INSTANCES;

    /// Has the postfix command start and stop the other instances, too.
    multi_instance_wrapper: Box<str> = ""
        => unsupported "instances are started and stopped one by one";
    /// The configuration directories of the other instances.
    multi_instance_directories: List = ""
        => unsupported "instances are started and stopped one by one";
    /// The group of instances that this one belongs to.
    multi_instance_group: Box<str> = ""
        => accepted "instances are started and stopped one by one";
    /// Lets the instance be started together with others.
    multi_instance_enable: bool = "no"
        => accepted "instances are started and stopped one by one";
    /// Commands of postfix that postmulti treats as a start.
    postmulti_start_commands: List = "start"
        => accepted "instances are started and stopped one by one";
    /// Commands of postfix that postmulti treats as a stop.
    postmulti_stop_commands: List = "stop abort drain quick-stop"
        => accepted "instances are started and stopped one by one";
    /// Other commands of postfix that postmulti gives to running instances only.
    postmulti_control_commands: List = "reload flush"
        => accepted "instances are started and stopped one by one";
}

known! {
    /// Help for those who look for faults.
    DEBUGGING;

    /// The shell command that a daemon with -D runs on itself.
    debugger_command: Box<str> = ""
        => accepted "no daemon runs a debugger on itself";
    /// How many times more verbose the log is for a peer of debug_peer_list.
    debug_peer_level: u32 = "2", 1..=INT_MAX
        => accepted "the log has one level of detail";
    /// Peers whose sessions are logged with more detail.
    debug_peer_list: NameList = ""
        => accepted "the log has one level of detail";
    /// Queue files that are kept after their mail is delivered.
    dont_remove: u32 = "0"
        => accepted "what is delivered is not in a file of its own";
    /// Has some functions fail, for tests.
    fault_injection_code: u32 = "0"
        => accepted "the tests have faults of their own";
    /// Which problems the postmaster is told of.
    notify_classes: Words = "resource, software"
        in ["bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"]
        => unsupported "the postmaster is not told; the log is";
    /// Who is told of problems with software, resources, policies and protocols.
    error_notice_recipient: Nonblank = "postmaster"
        => unsupported "the postmaster is not told; the log is";
    /// The words of the log for lists of who may and who may not.
    respectful_logging: bool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}"
        => accepted "the log has the newer words";
}

fn process_id(_: &Facts) -> String {
    std::process::id().to_string()
}
