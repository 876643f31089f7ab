//! `ringpost init`: a first configuration, small and commented.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::master;

use crate::cli::Init;
use crate::{privilege, stdout};

/// sysexits.h: the files cannot be created.
const EX_CANTCREAT: u8 = 73;
/// Who the mail system runs as where root starts it, as `mail_owner` has it by default.
const OWNER: &str = "ringpost";
/// Where mail is kept on a host.
const MAIL_DIRECTORY: &str = "/var/mail/ringpost";
/// A port that anyone can have.
const USER_ADDRESS: &str = "127.0.0.1:2525";
/// The entry of master.cf that `--listen` is about.
const SMTP_ENTRY: &str = "smtp       inet  n       -       n       -       -       smtpd\n";

/// Writes the files, and says what to do next.
pub(crate) fn run(options: &Init) -> ExitCode {
    match write(options) {
        Ok(directory) => {
            let directory = directory.display();
            stdout::print(format_args!(
                "{directory}/main.cf and {directory}/master.cf are written. Next:\n  \
                 ringpost check -c {directory}\n  ringpost serve -c {directory}\n"
            ));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("ringpost: fatal: {why}");
            ExitCode::from(EX_CANTCREAT)
        }
    }
}

fn write(options: &Init) -> Result<PathBuf, String> {
    let directory = std::path::absolute(&options.directory)
        .map_err(|error| format!("{}: {error}", options.directory.display()))?;
    let (main_cf, master_cf) = (directory.join("main.cf"), directory.join("master.cf"));
    for path in [&main_cf, &master_cf] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(is_there(path));
        }
    }
    let plan = Plan::new(options, &directory)?;
    let cannot = |doing: &str, path: &Path, error: &io::Error| {
        format!("cannot {doing} {}: {error}", path.display())
    };
    fs::create_dir_all(&directory).map_err(|error| cannot("create", &directory, &error))?;
    let mail = &plan.mail;
    if !mail.exists() {
        fs::create_dir_all(mail).map_err(|error| cannot("create", mail, &error))?;
        if let Some((_, (uid, gid))) = &plan.owner {
            std::os::unix::fs::chown(mail, Some(*uid), Some(*gid))
                .map_err(|error| cannot("give away", mail, &error))?;
        }
    }
    // main.cf last: with it the directory is a configuration.
    create(&master_cf, &plan.master_cf()).map_err(|error| created(&master_cf, &error))?;
    if let Err(error) = create(&main_cf, &plan.main_cf()) {
        // Half a configuration would only be in the way of the next try.
        let _ = fs::remove_file(&master_cf);
        return Err(created(&main_cf, &error));
    }
    Ok(directory)
}

fn is_there(path: &Path) -> String {
    format!("{} is there already, and nothing was changed; name another directory", path.display())
}

fn created(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(path),
        _ => format!("cannot create {}: {error}", path.display()),
    }
}

/// Creates a file that has all of its text or is not there; one that is there already stays as it is.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
    let made = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        // Unlike a rename, a link never replaces anything.
        .and_then(|()| fs::hard_link(&temporary, path));
    // What is left of it would only be in the way.
    let _ = fs::remove_file(&temporary);
    made?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// What is written.
struct Plan {
    domains: String,
    /// Where everything is kept; `None` is where a host keeps it.
    data: Option<PathBuf>,
    mail: PathBuf,
    /// Where root writes it: who the mail system runs as, and whose the mailboxes are.
    owner: Option<(String, (u32, u32))>,
    listen: Vec<String>,
}

impl Plan {
    fn new(options: &Init, directory: &Path) -> Result<Self, String> {
        let owner = if privilege::is_root() {
            let name = options.user.as_deref().unwrap_or(OWNER);
            match privilege::user(name) {
                Ok((0, _)) => return Err(format!("--user: \"{name}\" has the rights of root")),
                Ok(ids) => Some((name.to_owned(), ids)),
                Err(why) => {
                    return Err(format!(
                        "{why} to run as. Make it with: useradd --system --no-create-home {name}"
                    ));
                }
            }
        } else if options.user.is_some() {
            return Err("--user is for root: everyone else runs it as themselves".to_owned());
        } else {
            None
        };
        let data = match &options.data {
            Some(data) => {
                let absolute = std::path::absolute(data);
                Some(absolute.map_err(|error| format!("{}: {error}", data.display()))?)
            }
            None if owner.is_none() => Some(directory.join("data")),
            None => None,
        };
        if let Some(data) = &data {
            is_writable_value(data)?;
        }
        let mail = match &data {
            Some(data) => data.join("mail"),
            None => MAIL_DIRECTORY.into(),
        };
        let mut listen: Vec<String> = options.listen.iter().map(ToString::to_string).collect();
        if listen.is_empty() && owner.is_none() {
            listen.push(USER_ADDRESS.to_owned());
        }
        let mut domains = "localhost, $myhostname".to_owned();
        for domain in &options.domain {
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            if domain.is_empty() || !domain.chars().all(is_name) {
                return Err(format!("--domain: found \"{domain}\", expected the name of a domain"));
            }
            domains.push_str(", ");
            domains.push_str(domain);
        }
        Ok(Self { domains, data, mail, owner, listen })
    }

    fn main_cf(&self) -> String {
        let mut text = String::from(
            "# What this mail system is. What is not here has its default: \"ringpost postconf -d\" lists\n\
             # them all. After a change: \"ringpost check -c DIRECTORY\", then SIGHUP.\n\
             compatibility_level = 3.11\n\n\
             # The name of this host in its greeting; what the machine calls itself without it.\n\
             #myhostname = mail.example.com\n\n\
             # Domains whose mail is kept here, for every user in them; virtual_mailbox_maps says which users\n\
             # there are. There is no delivery to accounts of this machine yet (mydestination).\n",
        );
        let mut set = |name: &str, value: &str| text.push_str(&format!("{name} = {value}\n"));
        set("virtual_mailbox_domains", &self.domains);
        text.push_str(
            "mydestination =\n\n# Mailboxes: one directory for each, in Maildir format.\n",
        );
        let mut set = |name: &str, value: &str| text.push_str(&format!("{name} = {value}\n"));
        set("virtual_mailbox_base", &value(&self.mail));
        set("virtual_mailbox_template", "%d/%u/");
        if let Some((name, (uid, gid))) = &self.owner {
            set("virtual_uid_maps", &format!("static:{uid}"));
            set("virtual_gid_maps", &format!("static:{gid}"));
            text.push_str("\n# Who talks to the network; never root.\n");
            text.push_str(&format!("mail_owner = {name}\n"));
        }
        if let Some(data) = &self.data {
            text.push_str("\n# Where everything else is kept.\n");
            for (name, place) in [
                ("queue_directory", "queue"),
                ("data_directory", "state"),
                ("maillog_file", "mail.log"),
            ] {
                text.push_str(&format!("{name} = {}\n", value(&data.join(place))));
            }
        }
        text
    }

    fn master_cf(&self) -> String {
        if self.listen.is_empty() {
            return master::STOCK_TEXT.to_owned();
        }
        let entries: Vec<String> = self
            .listen
            .iter()
            .map(|address| SMTP_ENTRY.replacen("smtp      ", &format!("{address:<10}"), 1))
            .collect();
        master::STOCK_TEXT.replacen(SMTP_ENTRY, &entries.concat(), 1)
    }
}

/// A path as a value of main.cf.
fn value(path: &Path) -> String {
    path.to_string_lossy().replace('$', "$$")
}

/// A value is text on one line, without blanks around it.
fn is_writable_value(path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) && text.trim() == text => Ok(()),
        _ => Err(format!(
            "{}: main.cf cannot name this directory; expected UTF-8 without control characters",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(listen: &[&str], data: &str) -> Plan {
        Plan {
            domains: "localhost".to_owned(),
            data: Some(data.into()),
            mail: Path::new(data).join("mail"),
            owner: Some(("someone".to_owned(), (1000, 1000))),
            listen: listen.iter().map(|&address| address.to_owned()).collect(),
        }
    }

    #[test]
    fn addresses_take_the_place_of_the_port() {
        assert_eq!(plan(&[], "/d").master_cf(), master::STOCK_TEXT);
        let text = plan(&["127.0.0.1:2525", "[::1]:2525"], "/d").master_cf();
        let all = master::parse("master.cf", text.as_bytes(), &master::Ports::default());
        assert!(all.problems.is_empty(), "{:?}", all.problems);
        let names: Vec<String> = all.services.iter().take(3).map(|it| it.name_space()).collect();
        assert_eq!(names, ["127.0.0.1:2525/inet", "[::1]:2525/inet", "pickup/unix"]);
    }

    #[test]
    fn odd_names_of_directories_survive() {
        let text = plan(&[], "/d/a $b c").main_cf();
        let sources = config::Sources::new().main_cf("main.cf", text.as_bytes());
        let (settings, problems) =
            config::Settings::read(&sources, &config::Machine::named("mx.example.com"));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(settings.text("virtual_mailbox_base").as_deref(), Ok("/d/a $b c/mail"));
        assert!(is_writable_value(Path::new("/d/a\nb")).is_err());
        assert!(is_writable_value(Path::new("/d/a ")).is_err());
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("main.cf");
        create(&path, "first").expect("a new file");
        let again = create(&path, "second").expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "first");
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1);
    }
}
