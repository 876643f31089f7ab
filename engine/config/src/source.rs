//! Where values come from, from the weakest to the strongest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use cf::{Definition, Definitions, LineError, Position, SyntaxError, SyntaxProblem, Template};
use hashbrown::HashSet;

use crate::master::{MasterCf, Service};
use crate::own::Interface;
use crate::problem::Problem;

/// What the machine says about itself; some defaults depend on it. Found out by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What `gethostname` says.
    pub name: String,
    /// Its network interfaces that are up, in the kernel's order; or why nobody can tell.
    pub interfaces: Result<Vec<Interface>, String>,
    /// What the names of hosts that [`crate::Configuration::host_names`] finds mean. Where nobody has looked them
    /// up they do not count.
    pub hosts: Option<Hosts>,
}

/// All addresses of each host, or why it has none.
pub type Hosts = BTreeMap<String, Result<Vec<IpAddr>, String>>;

impl Machine {
    /// What somebody found for a name; `None` where nobody has looked.
    pub fn host(&self, name: &str) -> Option<Result<Vec<IpAddr>, String>> {
        let hosts = self.hosts.as_ref()?;
        let missed = || Err("nobody has looked it up".to_owned());
        Some(hosts.get(name).cloned().unwrap_or_else(missed))
    }

    /// A machine of this name, connected to nothing but itself.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), interfaces: Ok(Interface::LOOPBACK.to_vec()), hosts: None }
    }
}

/// What kind of source a definition is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// What is so without anybody having written it: the configuration directory, or what `ringpost
    /// serve` assumes where it is given none.
    Serve,
    /// main.cf
    MainCf,
    /// `-o name=value` of a command
    CommandLine,
    /// `-o name=value` of an entry in master.cf
    Service,
    /// The entry itself: `$service_name`, `$process_name`
    Entry,
}

/// All definitions, later ones overriding earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(crate) definitions: Vec<(Origin, Definition)>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) services: Option<HashSet<Box<str>>>,
    /// Names that values outside main.cf mention.
    pub(crate) mentioned: HashSet<Box<str>>,
    /// Names that have a value outside main.cf.
    pub(crate) set_elsewhere: HashSet<Box<str>>,
}

impl Sources {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A working mail host without a configuration: mail for any user at `localhost`, this host and
    /// `domains` goes to Maildirs below `data`, the queue beside them.
    #[must_use]
    pub fn serve(mut self, data: &Path, domains: &[String]) -> Self {
        let data = data.display();
        let mut mail_domains = String::from("localhost, $myhostname");
        for domain in domains {
            mail_domains.push_str(", ");
            mail_domains.push_str(domain);
        }
        for (name, value) in [
            ("compatibility_level", "3.11".to_owned()),
            ("queue_directory", format!("{data}/queue")),
            ("data_directory", format!("{data}/state")),
            ("virtual_mailbox_base", format!("{data}/mail")),
            ("virtual_mailbox_template", "%d/%u/".to_owned()),
            ("virtual_mailbox_domains", mail_domains),
            ("mydestination", String::new()),
            ("local_recipient_maps", String::new()),
        ] {
            self.define(Origin::Serve, name, &value, Position::new("serve", 0));
        }
        self
    }

    /// The directory that the configuration is in. What is written in main.cf comes after this.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        let value = directory.display().to_string();
        self.define(Origin::Serve, "config_directory", &value, Position::new("directory", 0));
        self
    }

    /// The text of main.cf; `file` is what messages call it.
    #[must_use]
    pub fn main_cf(mut self, file: &str, text: &[u8]) -> Self {
        let Definitions { list, problems } = cf::parse(file, text);
        self.definitions.extend(list.into_iter().map(|definition| (Origin::MainCf, definition)));
        self.problems.extend(problems.into_iter().map(|SyntaxProblem { position, error }| {
            let cause = format!("this line {error}");
            match error {
                // Postfix passes over these, too (src/util/readlline.c).
                SyntaxError::Line(LineError::NothingToContinue) => {
                    Problem::warning(position, "", format!("{cause}; ignored"))
                }
                _ => Problem::error(position, "", None, cause),
            }
        }));
        self
    }

    /// `name=value` from the command line.
    #[must_use]
    pub fn overrides<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        for option in options {
            let position = Position::new("command line", 0);
            match cf::split_definition(option) {
                Ok((name, value)) => self.define(Origin::CommandLine, name, value, position),
                Err(why) => self.problems.push(Problem::error(
                    position,
                    "",
                    Some(option),
                    format!("this option {why}"),
                )),
            }
        }
        self
    }

    /// The names of the services in master.cf, each of which has parameters of its own. Until they are
    /// told, any name may be that of a service.
    #[must_use]
    pub fn services<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.services.get_or_insert_default().extend(names.into_iter().map(Into::into));
        self
    }

    /// What main.cf must know of master.cf: the names of the services, and the names that their parameters
    /// mention.
    #[must_use]
    pub fn master(mut self, master: &MasterCf) -> Self {
        for definition in master.services.iter().flat_map(|service| &service.overrides) {
            self.set_elsewhere.insert(definition.name.clone());
            if let Ok(template) = Template::parse(&definition.value) {
                template.names(&mut |name| {
                    self.mentioned.insert(name.into());
                });
            }
        }
        self.services(master.services.iter().map(|service| &*service.name))
    }

    /// What an entry of master.cf sets for its service, and the names that are another one's for each
    /// service.
    #[must_use]
    pub fn service(mut self, service: &Service) -> Self {
        let own = service.overrides.iter().cloned();
        self.definitions.extend(own.map(|definition| (Origin::Service, definition)));
        for (name, value) in
            [("service_name", &*service.name), ("process_name", service.command.name())]
        {
            // Last, because nobody can set these (postfix src/postconf/postconf_master.c).
            self.define(Origin::Entry, name, value, service.position.clone());
        }
        self
    }

    fn define(&mut self, origin: Origin, name: &str, value: &str, position: Position) {
        let definition = Definition { name: name.into(), value: value.into(), position };
        self.definitions.push((origin, definition));
    }
}
