//! The few values of main.cf that a submission depends on, from a directory that the caller may name.

use std::path::{Path, PathBuf};

use config::{Machine, Severity, Sources};
use nix::errno::Errno;
use nix::unistd::User;
use rustix::process::{Uid, getegid, geteuid, getgid, getuid};
use table::{MatchList, Matched, Tables, block_on};

use crate::login_senders::{self, LoginSenders};
use crate::places::{CONFIG_DIRECTORY, DATA_DIRECTORY};
use crate::sysexits::{EX_TEMPFAIL, Failure};

/// Not allowed (sysexits.h).
pub(crate) const EX_NOPERM: u8 = 77;
/// Who may submit mail.
const SUBMIT_USERS: &str = "authorized_submit_users";

/// The values.
pub(crate) struct Settings {
    pub(crate) queue: PathBuf,
    /// 0 is no limit.
    pub(crate) message_size_limit: u64,
    /// The name of the pickup service, and of its socket.
    pub(crate) pickup: String,
    submit_users: String,
    pub(crate) login_senders: LoginSenders,
}

impl Settings {
    /// Those of the directory that the caller names, if he may name one, or of the host.
    pub(crate) fn read(named: Option<PathBuf>) -> Result<Self, Failure> {
        let directory = named.unwrap_or_else(|| CONFIG_DIRECTORY.into());
        let is_default = directory == Path::new(CONFIG_DIRECTORY);
        if !is_default && has_more_rights_than_caller() {
            authorize(&directory)?;
        }
        // A mail system for trying things out, which only whoever runs it can write to.
        let is_trial =
            is_default && !has_more_rights_than_caller() && !directory.join("main.cf").exists();
        let sources = match is_trial {
            true => {
                let data = std::path::absolute(DATA_DIRECTORY).unwrap_or(DATA_DIRECTORY.into());
                Sources::new().serve(&data, &[])
            }
            false => sources(&directory)?,
        };
        let values = values(&sources)?;
        let text = |name: &str| values.text(name).map_err(unusable);
        let limit = text("message_size_limit")?;
        Ok(Self {
            queue: text("queue_directory")?.into(),
            message_size_limit: limit
                .parse()
                .map_err(|_| unusable(format!("message_size_limit: found \"{limit}\"")))?,
            pickup: text("pickup_service_name")?,
            submit_users: text(SUBMIT_USERS)?,
            login_senders: LoginSenders {
                maps: text(login_senders::MAPS)?,
                null_sender_key: text(login_senders::NULL_SENDER_KEY)?,
                delimiters: text("recipient_delimiter")?,
            },
        })
    }

    /// Whether this user may submit mail (postfix `src/global/user_acl.c`).
    pub(crate) fn admit(&self, uid: Uid) -> Result<(), Failure> {
        // Whoever is meant by it: nobody has to be looked up.
        if self.submit_users.starts_with("static:") {
            return Ok(());
        }
        let name = login(uid)?.unwrap_or_else(|| "unknown".to_owned());
        let list = MatchList::open(SUBMIT_USERS, &self.submit_users, &Tables::new(&table::Disk));
        match block_on(list.has(&name)) {
            Matched::Yes => Ok(()),
            Matched::No => {
                let text = format!("User {name}({}) is not allowed to submit mail", uid.as_raw());
                Err(Failure::new(EX_NOPERM, text))
            }
            Matched::Unavailable(trouble) => {
                Err(Failure::new(EX_TEMPFAIL, format!("{SUBMIT_USERS}: {trouble}")))
            }
        }
    }
}

/// The caller's login name, if he has one. Where the user database cannot be asked, nobody is refused for good.
pub(crate) fn login(uid: Uid) -> Result<Option<String>, Failure> {
    match User::from_uid(uid.as_raw().into()) {
        Ok(user) => Ok(user.map(|user| user.name)),
        // getpwuid(3) says so, too, where there is none.
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(why) => {
            let text = format!("the name of user {} cannot be looked up: {why}", uid.as_raw());
            Err(Failure::new(EX_TEMPFAIL, text))
        }
    }
}

/// Set-gid, or set-uid: then whatever the caller names is named by somebody who could not do it himself
/// (postfix `src/util/unsafe.c`).
fn has_more_rights_than_caller() -> bool {
    let is_root = getuid().is_root() && geteuid().is_root();
    !is_root && (getuid() != geteuid() || getgid() != getegid())
}

/// Another directory than the host's has to be named in the host's (postfix `src/global/mail_conf.c`).
fn authorize(directory: &Path) -> Result<(), Failure> {
    let values = values(&sources(Path::new(CONFIG_DIRECTORY))?)?;
    for name in ["alternate_config_directories", "multi_instance_directories"] {
        let text = values.text(name).map_err(unusable)?;
        if cf::items(&text).any(|it| Path::new(it) == directory) {
            return Ok(());
        }
    }
    let directory = directory.display();
    let text = format!(
        "unauthorized configuration directory name: {directory}\nspecify \
         \"alternate_config_directories = {directory}\" or \"multi_instance_directories = {directory}\" in \
         {CONFIG_DIRECTORY}/main.cf"
    );
    Err(Failure::new(EX_NOPERM, text))
}

fn sources(directory: &Path) -> Result<Sources, Failure> {
    let path = directory.join("main.cf");
    let text = std::fs::read(&path)
        .map_err(|error| unusable(format!("open {}: {error}", path.display())))?;
    Ok(Sources::new().directory(directory).main_cf(&path.display().to_string(), &text))
}

fn values(sources: &Sources) -> Result<config::Settings, Failure> {
    let machine = Machine::named(rustix::system::uname().nodename().to_string_lossy());
    let (values, problems) = config::Settings::read(sources, &machine);
    match problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(unusable(problem.to_string())),
        None => Ok(values),
    }
}

/// An administrator who is writing main.cf at this moment is no reason to give mail up.
fn unusable(text: String) -> Failure {
    Failure::new(EX_TEMPFAIL, text)
}
