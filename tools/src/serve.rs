//! `ringpost serve`: everything that has to be right before the first connection.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::{Problem, Severity, Snapshot};
use jiff::tz::TimeZone;
use mail::Time;
use mail::log::{Event, Formatter, Record};
use maillog::Destination;
use remote::Remote;

use crate::background::Background;
use crate::cli::{BackendChoice, LogForm, Serve};
use crate::engine::LOCK_WAIT;
use crate::listening::{Endpoint, Listening};
use crate::master::{self, Failure, LogTo, Plan};
use crate::pid_file::{PidFile, Refused};
use crate::privilege;
use crate::reload::Running;
use crate::settings::Settings;
use crate::start::{Lines, Start};
use crate::submission;
use crate::syslog::{self, Syslog};

/// Where the unprivileged part runs when nobody made a user for it, and no configuration asks for one.
const USER_OF_LAST_RESORT: &str = "nobody";
/// Exit code of a program that is not configured (sysexits.h).
const EX_CONFIG: u8 = 78;
/// Exit code of a service that cannot be had now (sysexits.h).
const EX_UNAVAILABLE: u8 = 69;

/// Runs the mail system: in the foreground, or as one that has been detached from its terminal.
pub(crate) fn run(options: &Serve) -> ExitCode {
    match prepare(options) {
        // The lock is held to the end.
        Ok(Prepared { mut plan, banner, master_log, pid_file: _pid_file }) => {
            let say = |text: &str| master_log.info(text);
            let ready = |background: Option<&Background>| {
                let mut stdout = io::stdout().lock();
                // A closed standard output is no reason not to serve.
                let _ = stdout.write_all(banner.as_bytes()).and_then(|()| stdout.flush());
                if let Some(Err(error)) = background.map(Background::ready) {
                    say(&format!("warning: the terminal is still in use: {error}"));
                }
                master_log.started();
            };
            let code = match master::run(&mut plan, ready, say) {
                Ok(()) => ExitCode::SUCCESS,
                Err(Failure::Refused(why)) => fail(EX_UNAVAILABLE, &why),
                Err(Failure::Io(error)) => fail(EX_UNAVAILABLE, &error.to_string()),
            };
            plan.end_log();
            code
        }
        Err(Trouble { code, text }) => fail(code, &text),
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    for line in text.lines() {
        eprintln!("ringpost: fatal: {line}");
    }
    ExitCode::from(code)
}

struct Trouble {
    code: u8,
    text: String,
}

fn config(text: impl Into<String>) -> Trouble {
    Trouble { code: EX_CONFIG, text: text.into() }
}

fn unavailable(text: impl Into<String>) -> Trouble {
    Trouble { code: EX_UNAVAILABLE, text: text.into() }
}

/// Master's own lines of the log, on standard error.
struct MasterLog {
    formatter: Formatter,
    configuration: String,
}

impl MasterLog {
    fn started(&self) {
        let version = env!("CARGO_PKG_VERSION");
        self.write(Event::Started { version, configuration: &self.configuration });
    }

    fn info(&self, text: &str) {
        match text.strip_prefix("warning: ") {
            Some(text) => self.write(Event::Warning { text }),
            None => self.write(Event::Info { text }),
        }
    }

    fn write(&self, event: Event<'_>) {
        let mut line = Vec::new();
        let record = Record { time: Time::now(), name: None, service: "master", session: 0, event };
        self.formatter.clone().write(&record, &mut line);
        // With nowhere to write to, mail goes on all the same.
        let _ = io::stderr().write_all(&line);
    }
}

/// All that can be had before the mail system runs.
struct Prepared {
    plan: Plan,
    banner: String,
    master_log: MasterLog,
    pid_file: PidFile,
}

fn prepare(options: &Serve) -> Result<Prepared, Trouble> {
    // `start` is about the mail system of this host, as `stop` is.
    let read = if options.detached { Settings::of_host } else { Settings::read };
    let mut settings = read(&options.configuration).map_err(config)?.with_hosts();
    if let Some(data) = settings.trial_directory() {
        // Weaker than what was said on the command line, which comes later.
        let log = data.join("mail.log").display().to_string();
        settings.set_weakly("maillog_file", &log);
    }
    let root = privilege::is_root();
    let user = if root { Some(engine_user(&mut settings)?) } else { None };
    let (all, catalog) =
        settings.open(&Remote::new()).map_err(|problems| misconfigured(&problems))?;
    for problem in all.problems() {
        // `check` has the notes, which nobody needs to read at each start.
        if problem.severity != Severity::Note {
            eprintln!("ringpost: {}: {problem}", problem.severity.word());
        }
    }
    let snapshot = Arc::clone(&all.base);
    make_directories(&settings, &snapshot, user)?;
    let group = snapshot.settings().text("setgid_group").map_err(config)?;
    let queue = &snapshot.site.queue_directory;
    submission::make_directories(queue, user, &group)
        .map_err(|error| unavailable(format!("queue {}: {error}", queue.display())))?;
    let pid_file = claim(&snapshot.site.queue_directory)?;

    let asked = match options.backend {
        BackendChoice::Auto => None,
        BackendChoice::Uring => Some(ring::Backend::Uring),
        BackendChoice::Epoll => Some(ring::Backend::Epoll),
    };
    let (backend, why_not_uring) = ring::select(asked).map_err(unavailable)?;
    let shards = match options.shards.unwrap_or(snapshot.site.shards) {
        0 => ring::cores().map_err(|error| unavailable(error.to_string()))?.len(),
        shards => shards,
    };

    let endpoints = Endpoint::all(&settings, &all).map_err(config)?;
    let mut listening = Vec::new();
    for endpoint in &endpoints {
        let bound = Listening::bind(endpoint.clone(), shards).map_err(|error| {
            let address = endpoint.address;
            unavailable(format!("cannot listen on {address}: {error}{}", hint(&error)))
        })?;
        listening.push(bound);
    }
    let trial = settings.trial_directory().is_some();
    // What runs in the foreground is looked at there.
    let to_syslog = options.detached && snapshot.log.maillog_file.as_os_str().is_empty();
    let lines = match options.log {
        LogForm::Json => Lines::Json,
        LogForm::Text if to_syslog => Lines::Syslog,
        LogForm::Text => Lines::Postfix,
    };
    let start = Start {
        shards,
        backend: backend.to_string(),
        queue: absolute(&snapshot.site.queue_directory),
        become_user: user,
        lines,
        show_deliveries: trial,
    };
    let addresses: Vec<SocketAddr> = listening.iter().map(|it| it.address).collect();
    let stop = if options.detached { "ringpost stop" } else { "Ctrl-C" };
    let banner = banner(&snapshot, &start, &addresses, why_not_uring.as_deref(), stop);
    let file = settings.to_file().map_err(|error| unavailable(format!("settings: {error}")))?;
    let formatter = |lines: Lines| {
        let (style, log) = (lines.style(&snapshot.log), &snapshot.log);
        Formatter::new(style, &snapshot.site.myhostname, &log.syslog_name, TimeZone::system(), 2)
    };
    let master_log = MasterLog { formatter: formatter(lines), configuration: settings.name() };
    let log = match Destination::from_path(&snapshot.log.maillog_file) {
        Destination::File(path) => LogTo::File(absolute(&path)),
        _ if to_syslog => {
            let syslog = Syslog::new(Path::new(syslog::SOCKET), formatter(Lines::Syslog));
            if let Err(error) = syslog.reach() {
                eprintln!(
                    "ringpost: warning: {error}; what would be logged is lost until somebody listens there; \
                     maillog_file names a file instead"
                );
            }
            LogTo::Syslog(syslog)
        }
        _ => LogTo::Streams,
    };
    let sources = catalog.sources();
    let running = Running { settings, all: Arc::new(all), endpoints, shards };
    let mut plan = Plan {
        start,
        running,
        settings: file,
        listening,
        processes: root,
        log,
        background: None,
        sources,
    };
    let log = plan.open_log().map_err(|error| config(error.to_string()))?;
    if options.detached {
        let log = log.ok_or_else(|| {
            config(
                "maillog_file is no file, and what runs in the background has no such stream; set it to a \
                 file, or to nothing for syslog, or run: ringpost serve",
            )
        })?;
        plan.background =
            Some(Background::enter(log).map_err(|error| unavailable(error.to_string()))?);
    }
    Ok(Prepared { plan, banner, master_log, pid_file })
}

/// Becomes the master of this queue. The engine takes the queue itself, which it may still have when its
/// master is gone.
fn claim(queue: &Path) -> Result<PidFile, Trouble> {
    let deadline = Instant::now() + LOCK_WAIT;
    let claimed = loop {
        match PidFile::claim(queue) {
            // A master that was killed may not be all gone yet.
            Err(Refused::Running(_)) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            other => break other,
        }
    };
    claimed.map_err(|refused| match refused {
        Refused::Running(pid) => unavailable(format!(
            "the mail system is already running: queue {} is in use by process {pid}",
            queue.display()
        )),
        Refused::Io(error) => unavailable(format!("{}/pid/master.pid: {error}", queue.display())),
    })
}

fn snapshot(settings: &Settings) -> Result<Arc<Snapshot>, Trouble> {
    settings.snapshot().map_err(|problems| misconfigured(&problems))
}

fn misconfigured(problems: &[Problem]) -> Trouble {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    config(lines.join("\n"))
}

/// The user that the engine becomes where master is root. Without a configuration there may be no such
/// user yet; then mail belongs to the user of last resort as well.
fn engine_user(settings: &mut Settings) -> Result<(u32, u32), Trouble> {
    let snapshot = snapshot(settings)?;
    let name = &snapshot.site.mail_owner;
    match privilege::user(name) {
        Ok((0, _)) => Err(config(format!("mail_owner: \"{name}\" has the rights of root"))),
        Ok(user) => {
            settings.set_trial_mailbox_owner(user);
            Ok(user)
        }
        Err(why) if settings.trial_directory().is_some() => {
            let user = privilege::user(USER_OF_LAST_RESORT).map_err(config)?;
            settings.set_trial_mailbox_owner(user);
            eprintln!(
                "ringpost: warning: {why}: running as \"{USER_OF_LAST_RESORT}\". To change that: \
                 useradd --system --no-create-home {name}"
            );
            Ok(user)
        }
        Err(why) => Err(config(format!(
            "mail_owner: {why}. Make it with: useradd --system --no-create-home {name}"
        ))),
    }
}

fn make_directories(
    settings: &Settings,
    snapshot: &Snapshot,
    user: Option<(u32, u32)>,
) -> Result<(), Trouble> {
    let make = |path: &Path, owner: Option<(u32, u32)>| -> Result<(), Trouble> {
        let cannot = |doing: &str, error: io::Error| {
            unavailable(format!("cannot {doing} {}: {error}", path.display()))
        };
        fs::create_dir_all(path).map_err(|error| cannot("create", error))?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(|error| cannot("give away", error))?;
        }
        Ok(())
    };
    make(&snapshot.site.queue_directory, user)?;
    if settings.trial_directory().is_some() {
        make(&snapshot.mailbox.virtual_mailbox_base, user)?;
    }
    Ok(())
}

/// What to do about the usual reasons why an address cannot be had.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another server listens there; choose one with --listen)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need root)",
        _ => "",
    }
}

/// A new user's first look: where everything is.
fn banner(
    snapshot: &Snapshot,
    start: &Start,
    addresses: &[SocketAddr],
    why_not_uring: Option<&str>,
    stop: &str,
) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let site = &snapshot.site;
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // A String takes everything.
        let _ = writeln!(text, "ringpost: {name} {value}");
    };
    for address in addresses {
        line("listening on", address);
    }
    line("mail goes to", &absolute(&snapshot.mailbox.virtual_mailbox_base).display());
    line("queue is in ", &start.queue.display());
    let log = &snapshot.log.maillog_file;
    if start.lines == Lines::Syslog {
        line("log goes to ", &format_args!("syslog at {}", syslog::SOCKET));
    } else if !log.as_os_str().is_empty() {
        line("log is in   ", &absolute(log).display());
    }
    let backend = match why_not_uring {
        None => start.backend.clone(),
        Some(why) => format!("{} ({why})", start.backend),
    };
    line(
        "runs on     ",
        &format_args!("{} shards, {backend}, as {}", start.shards, site.myhostname),
    );
    if start.show_deliveries {
        line(
            "try it with ",
            &format_args!(
                "swaks --server {} --to me@localhost   ({stop} stops)",
                addresses.first().map_or_else(String::new, ToString::to_string)
            ),
        );
    }
    text
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
