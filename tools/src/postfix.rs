//! Starting, stopping and renewing the mail system: `ringpost start`, `stop` and `reload`, and the command
//! `postfix`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use config::Severity;
use jiff::Zoned;
use remote::Remote;
use rustix::process::Signal;

use crate::background;
use crate::cli::{CONFIG_DIRECTORY, Configuration, LogForm, Place, Serve};
use crate::listening::Endpoint;
use crate::logrotate::Rotation;
use crate::master::STOP_SECS_MAX;
use crate::pid_file::Master;
use crate::settings::Settings;
use crate::{serve, stdout};

/// How long the end of master may take beyond that of what it waits for.
const END_MARGIN_SECS: u64 = 5;
/// How long one waits before the user is told so.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// Who is speaking, and so where to: scripts that call `postfix` expect its words on standard error.
#[derive(Clone, Copy)]
enum Voice {
    Ringpost,
    Postfix,
}

impl Voice {
    fn info(self, text: &str) {
        match self {
            Self::Ringpost => stdout::print(format_args!("ringpost: {text}\n")),
            Self::Postfix => eprintln!("postfix/postfix-script: {text}"),
        }
    }

    fn fatal(self, text: &str) -> ExitCode {
        for line in text.lines() {
            match self {
                Self::Ringpost => eprintln!("ringpost: fatal: {line}"),
                Self::Postfix => eprintln!("postfix/postfix-script: fatal: {line}"),
            }
        }
        ExitCode::FAILURE
    }
}

const NOT_RUNNING: &str = "the mail system is not running";

/// `ringpost start`
pub(crate) fn start(options: &Serve) -> ExitCode {
    if options.detached {
        return serve::run(options);
    }
    background::start()
        .unwrap_or_else(|error| Voice::Ringpost.fatal(&format!("cannot start: {error}")))
}

/// `ringpost stop`
pub(crate) fn stop(place: &Place, now: bool) -> ExitCode {
    end(place, now, Voice::Ringpost)
}

/// `ringpost reload`
pub(crate) fn reload(place: &Place) -> ExitCode {
    renew(place, Voice::Ringpost)
}

/// Where the queue is. Needs no more of the configuration than that: what is wrong elsewhere must not be in
/// the way of stopping.
fn queue(settings: &Settings) -> Result<PathBuf, String> {
    settings.values()?.text("queue_directory").map(PathBuf::from)
}

/// Who is master there.
pub(crate) fn master(queue: &Path) -> Result<Option<Master>, String> {
    Master::of(queue).map_err(|error| format!("{}: {error}", queue.display()))
}

fn end(place: &Place, now: bool, voice: Voice) -> ExitCode {
    let found = Settings::of_host(&place.configuration)
        .and_then(|settings| queue(&settings))
        .and_then(|queue| master(&queue));
    let master = match found {
        Ok(Some(master)) => master,
        Ok(None) => return voice.fatal(NOT_RUNNING),
        Err(why) => return voice.fatal(&why),
    };
    voice.info(if now { "aborting the mail system" } else { "stopping the mail system" });
    let signal = if now { Signal::QUIT } else { Signal::TERM };
    let limit = Duration::from_secs(STOP_SECS_MAX + END_MARGIN_SECS);
    let ended = master.signal(signal).and_then(|()| {
        if master.ends_within(SAY_AFTER)? {
            return Ok(true);
        }
        voice.info("waiting for the mail system to terminate");
        master.ends_within(limit)
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => voice.fatal(&format!(
            "process {} has not ended after {} seconds; its log says what it waits for, and ringpost stop \
             --now ends it without waiting",
            master.pid,
            limit.as_secs()
        )),
        Err(error) => voice.fatal(&format!("process {}: {error}", master.pid)),
    }
}

/// Nothing is sent where the new configuration is no good: whoever asks for it is still there to be told.
fn renew(place: &Place, voice: Voice) -> ExitCode {
    let found = Settings::of_host(&place.configuration)
        .and_then(|settings| Ok((master(&queue(&settings)?)?, settings)));
    let (master, settings) = match found {
        Ok((Some(master), settings)) => (master, settings),
        Ok((None, _)) => return voice.fatal(NOT_RUNNING),
        Err(why) => return voice.fatal(&why),
    };
    if !is_usable(settings) {
        return voice.fatal("the configuration in use stays: the new one cannot be");
    }
    voice.info("refreshing the mail system");
    match master.signal(Signal::HUP) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => voice.fatal(&format!("process {}: {error}", master.pid)),
    }
}

/// Says what is worth knowing about a configuration, and whether the mail system can have it.
fn is_usable(settings: Settings) -> bool {
    let settings = settings.with_hosts();
    let opened = settings.open(&Remote::new());
    let problems = match &opened {
        Ok((all, _)) => all.problems(),
        Err(problems) => problems,
    };
    for problem in problems.iter().filter(|it| it.severity != Severity::Note) {
        eprintln!("ringpost: {}: {problem}", problem.severity.word());
    }
    match opened.map(|(all, _)| Endpoint::all(&settings, &all)) {
        Ok(Ok(_)) => true,
        Ok(Err(why)) => {
            eprintln!("ringpost: error: {why}");
            false
        }
        Err(_) => false,
    }
}

/// postfix(1)
#[derive(Debug, Parser)]
#[command(name = "postfix", about = "Starts, stops and renews the mail system", version)]
struct Postfix {
    /// The directory with main.cf and master.cf; /etc/ringpost without it
    #[arg(short = 'c', value_name = "DIR", env = "MAIL_CONFIG")]
    config: Option<PathBuf>,
    /// Accepted, and has no effect
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Accepted, and has no effect
    #[arg(short = 'D')]
    debugger: bool,
    #[arg(long, hide = true)]
    detached: bool,
    /// start, start-fg, stop, abort, reload, status, check or logrotate
    command: String,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

/// Acts as `postfix`. `arguments` come with the name.
pub(crate) fn by_name(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Postfix::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Nothing is to be done where this cannot be printed.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            };
        }
    };
    let voice = Voice::Postfix;
    let directory = options.config.clone().unwrap_or_else(|| CONFIG_DIRECTORY.into());
    if !directory.join("main.cf").exists() {
        return voice.fatal(&format!(
            "there is no {}; ringpost init {} writes a first one, -c names another directory",
            directory.join("main.cf").display(),
            directory.display()
        ));
    }
    let configuration = Configuration::of(Some(directory));
    let place = Place { configuration: configuration.clone() };
    match options.command.as_str() {
        "start" if !options.detached => {
            voice.info("starting the mail system");
            background::start()
                .unwrap_or_else(|error| voice.fatal(&format!("cannot start: {error}")))
        }
        "start" | "start-fg" => serve::run(&Serve {
            configuration,
            backend: crate::cli::BackendChoice::Auto,
            shards: None,
            log: LogForm::Text,
            detached: options.detached,
        }),
        "stop" => end(&place, false, voice),
        "abort" => end(&place, true, voice),
        "reload" => renew(&place, voice),
        "status" => status(&place, voice),
        "logrotate" => rotate_log(&configuration, voice),
        // What works differently here is no fault of the files; ringpost check has that, too.
        "check" => match Settings::of_host(&configuration) {
            Ok(settings) => match is_usable(settings) {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            },
            Err(why) => voice.fatal(&why),
        },
        // Directories are made at the start, with the owners that they need; the formats of files are known
        // by their versions.
        "set-permissions" | "upgrade-configuration" => ExitCode::SUCCESS,
        other => voice.fatal(&format!(
            "\"{other}\": expected one of start, start-fg, stop, abort, reload, status, check, \
             logrotate, set-permissions, upgrade-configuration"
        )),
    }
}

fn status(place: &Place, voice: Voice) -> ExitCode {
    let found = Settings::of_host(&place.configuration)
        .and_then(|settings| queue(&settings))
        .and_then(|queue| master(&queue));
    match found {
        Ok(Some(master)) => {
            voice.info(&format!("the mail system is running: PID: {}", master.pid));
            ExitCode::SUCCESS
        }
        Ok(None) => {
            voice.info(NOT_RUNNING);
            ExitCode::FAILURE
        }
        Err(why) => voice.fatal(&why),
    }
}

fn rotate_log(configuration: &Configuration, voice: Voice) -> ExitCode {
    let found = Settings::of_host(configuration).and_then(|settings| {
        let values = settings.values()?;
        let rotation = Rotation {
            log: values.text("maillog_file")?.into(),
            suffix: values.text("maillog_file_rotate_suffix")?,
            compressor: values.text("maillog_file_compressor")?,
        };
        Ok((rotation, master(&queue(&settings)?)?))
    });
    let rotated = found.and_then(|(rotation, master)| rotation.run(master.as_ref(), &Zoned::now()));
    match rotated {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => voice.fatal(&why),
    }
}
