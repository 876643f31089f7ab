//! The configuration on its way from the files to the processes.
//!
//! Master reads the files once. What it read travels to its children as a descriptor, so that all of
//! them have the same settings whatever becomes of the files, and a child needs no right to read them.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::master::{self, MasterCf, Ports};
use config::{Configuration, Hosts, Interface, Machine, Problem, Snapshot, Sources};
use remote::Remote;
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};
use table::{Catalog, Tables};

use crate::cli;
use crate::hosts;
use crate::interfaces;
use crate::places::DATA_DIRECTORY;
use crate::swap::Settled;

/// What the snapshot is built from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    host_name: String,
    /// Addresses of the machine's network interfaces and the lengths of their netmasks, or why there are none.
    interfaces: Result<Vec<(IpAddr, u8)>, String>,
    /// Names of hosts that were looked up, where they were.
    hosts: Option<Hosts>,
    kind: Kind,
    overrides: Vec<String>,
    /// Where the service `smtp` listens, instead of where master.cf says.
    listen: Vec<SocketAddr>,
    /// `/etc/services`, for the names of ports.
    ports: String,
}

/// The SMTP server of a mail system without a configuration.
const TRIAL_ADDRESS: &str = "127.0.0.1:2525";
/// The service that `--listen` is about.
const LISTENING_SERVICE: &str = "smtp";

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kind {
    /// No configuration directory: everything below `data`.
    Trial { data: PathBuf, domains: Vec<String> },
    /// A configuration directory.
    Directory {
        main_cf: PathBuf,
        text: Vec<u8>,
        /// `None` where there is none: then the stock services run.
        master_cf: Option<(PathBuf, Vec<u8>)>,
    },
}

impl Kind {
    fn directory(main_cf: PathBuf) -> Result<Self, String> {
        let cannot = |path: &Path, error| format!("cannot read {}: {error}", path.display());
        let text = std::fs::read(&main_cf).map_err(|error| cannot(&main_cf, error))?;
        let path = main_cf.with_file_name("master.cf");
        let master_cf = match std::fs::read(&path) {
            Ok(text) => Some((path, text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(&path, error)),
        };
        Ok(Self::Directory { main_cf, text, master_cf })
    }
}

impl Settings {
    /// Reads what the command line names, or where it names nothing the host's own configuration, if there
    /// is one.
    pub(crate) fn of_host(configuration: &cli::Configuration) -> Result<Self, String> {
        Self::read(&configuration.clone().or_of_host(Path::new(cli::CONFIG_DIRECTORY)))
    }

    /// Reads what the command line names, and else the built-in settings.
    pub(crate) fn read(configuration: &cli::Configuration) -> Result<Self, String> {
        let kind = match &configuration.config {
            Some(directory) => Kind::directory(directory.join("main.cf"))?,
            None => {
                let data = configuration.data.as_deref().unwrap_or(Path::new(DATA_DIRECTORY));
                let data = std::path::absolute(data)
                    .map_err(|error| format!("{}: {error}", data.display()))?;
                Kind::Trial { data, domains: configuration.domain.clone() }
            }
        };
        let mut listen = configuration.listen.clone();
        if listen.is_empty() && matches!(kind, Kind::Trial { .. }) {
            listen.extend(TRIAL_ADDRESS.parse::<SocketAddr>());
        }
        Ok(Self::here(kind, configuration.set.clone(), listen))
    }

    /// The same configuration as its files say it now.
    pub(crate) fn renewed(&self) -> Result<Self, String> {
        let kind = match &self.kind {
            Kind::Directory { main_cf, .. } => Kind::directory(main_cf.clone())?,
            trial @ Kind::Trial { .. } => trial.clone(),
        };
        Ok(Self::here(kind, self.overrides.clone(), self.listen.clone()))
    }

    /// With what the machine says about itself now.
    fn here(kind: Kind, overrides: Vec<String>, listen: Vec<SocketAddr>) -> Self {
        let interfaces = interfaces::read();
        let interfaces =
            interfaces.map(|all| all.iter().map(|it| (it.address, it.prefix)).collect());
        let (host_name, ports) = (host_name(), ports());
        Self { host_name, interfaces, hosts: None, kind, overrides, listen, ports }
    }

    /// Looks up the names of hosts, which count from then on. For whoever is to run the configuration or says
    /// whether it is right; others have no need to wait for a name server.
    #[must_use]
    pub(crate) fn with_hosts(self) -> Self {
        let (sources, machine) = self.sources();
        let names = Configuration::host_names(&sources, &self.master_cf(), &machine);
        Self { hosts: Some(hosts::look_up(names)), ..self }
    }

    /// Sets what the command line does not.
    pub(crate) fn set_weakly(&mut self, name: &str, value: &str) {
        self.overrides.insert(0, format!("{name}={value}"));
    }

    /// Without a configuration and as root, mail belongs to the user that the engine runs as.
    pub(crate) fn set_trial_mailbox_owner(&mut self, (uid, gid): (u32, u32)) {
        if self.trial_directory().is_some() {
            self.set_weakly("virtual_uid_maps", &format!("static:{uid}"));
            self.set_weakly("virtual_gid_maps", &format!("static:{gid}"));
        }
    }

    /// Where everything is kept, when there is no configuration directory.
    pub(crate) fn trial_directory(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Trial { data, .. } => Some(data),
            Kind::Directory { .. } => None,
        }
    }

    /// What the log calls the configuration.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Trial { .. } => "built-in".to_owned(),
            Kind::Directory { main_cf, .. } => {
                main_cf.parent().unwrap_or(Path::new("")).display().to_string()
            }
        }
    }

    /// Builds what holds for all services, or says everything that is wrong.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, Vec<Problem>> {
        self.open(&Remote::new()).map(|(all, _)| all.base)
    }

    /// The configuration, and what was opened for it from files that may change. Tables of other servers
    /// are asked by `remote`.
    pub(crate) fn open(&self, remote: &Remote) -> Result<(Configuration, Catalog), Vec<Problem>> {
        let tables = Tables::new(&Settled).with_types(remote.types());
        Ok((self.build(&tables)?, Catalog::new(tables)))
    }

    /// The configuration, with these tables.
    pub(crate) fn build(&self, tables: &Tables<'_>) -> Result<Configuration, Vec<Problem>> {
        let (sources, machine) = self.sources();
        Configuration::build(&sources, &self.master_cf(), &machine, tables)
    }

    fn master_cf(&self) -> MasterCf {
        let ports = Ports::with_services(&self.ports);
        match &self.kind {
            Kind::Directory { master_cf: Some((path, text)), .. } => {
                master::parse(&path.display().to_string(), text, &ports)
            }
            Kind::Directory { master_cf: None, .. } | Kind::Trial { .. } => master::stock(&ports),
        }
    }

    /// Where a service listens that the command line has an opinion on.
    pub(crate) fn listen(&self, service: &str) -> Option<&[SocketAddr]> {
        (service == LISTENING_SERVICE && !self.listen.is_empty()).then_some(&self.listen[..])
    }

    /// The values alone, for commands that need some of them and no table opened. A line that cannot be
    /// read is an error.
    pub(crate) fn values(&self) -> Result<config::Settings, String> {
        let (sources, machine) = self.sources();
        let (values, problems) = config::Settings::read(&sources, &machine);
        match problems.iter().find(|problem| problem.severity == config::Severity::Error) {
            Some(problem) => Err(problem.to_string()),
            None => Ok(values),
        }
    }

    fn sources(&self) -> (Sources, Machine) {
        let sources = match &self.kind {
            Kind::Trial { data, domains } => Sources::new().serve(data, domains),
            Kind::Directory { main_cf, text, .. } => {
                let directory = main_cf.parent().unwrap_or(Path::new("."));
                Sources::new().directory(directory).main_cf(&main_cf.display().to_string(), text)
            }
        };
        let sources = sources.overrides(self.overrides.iter().map(String::as_str));
        let interface = |&(address, prefix): &(IpAddr, u8)| Interface { address, prefix };
        let interfaces = self.interfaces.as_ref().map(|all| all.iter().map(interface).collect());
        let interfaces = interfaces.map_err(String::clone);
        let (name, hosts) = (self.host_name.clone(), self.hosts.clone());
        (sources, Machine { name, interfaces, hosts })
    }

    /// The settings as a file without a name, to be sent to a child.
    pub(crate) fn to_file(&self) -> io::Result<File> {
        let memory = rustix::fs::memfd_create("ringpost-settings", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(file)
    }

    /// Reads them there, without moving the file's position: all children share it.
    pub(crate) fn from_file(file: File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut text = vec![0; len];
        file.read_exact_at(&mut text, 0)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// The names of ports; where there is no list of them, numbers are left.
fn ports() -> String {
    std::fs::read_to_string("/etc/services").unwrap_or_default()
}

/// What the machine calls itself; a name without a dot gets the domain that Postfix would give it.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_the_networks_that_master_found() {
        let configuration = cli::Configuration::of(None);
        let mut settings = Settings::read(&configuration).expect("built-in settings");
        settings.interfaces = Ok(vec![(IpAddr::from([192, 0, 2, 9]), 24)]);
        settings.overrides.push("mynetworks_style=subnet".to_owned());
        let file = settings.to_file().expect("a file");
        let child = Settings::from_file(file).expect("the same settings");
        assert_eq!(child.values().unwrap().text("mynetworks").unwrap(), "192.0.2.0/24");
    }
}
