//! What the services of a configuration listen on.

use std::io;
use std::net::{SocketAddr, TcpListener};

use config::master::{Command, Kind};
use config::{Configuration, ServiceConfig};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// An address that a service is to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Name and type of the service in master.cf: `smtp/inet`.
    pub(crate) service: String,
    /// As it was asked for: the port may be 0.
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    /// All of a configuration. The error names the service and what it cannot have.
    pub(crate) fn all(settings: &Settings, all: &Configuration) -> Result<Vec<Self>, String> {
        let mut endpoints = Vec::new();
        for ServiceConfig { service, snapshot } in all.servers() {
            let Kind::Inet(endpoint) = &service.kind else { continue };
            if serving(all, &service.name_space()).is_none() {
                continue;
            }
            let cannot =
                |why: String| format!("{}: {}: {why}", service.position, service.name_space());
            let addresses = match settings.listen(&service.name) {
                Some(addresses) => addresses.to_vec(),
                None => {
                    let site = &snapshot.site;
                    let machine = snapshot.settings().machine();
                    let resolve = |name: &str| machine.host(name).unwrap_or_else(|| Ok(Vec::new()));
                    endpoint
                        .addresses(&snapshot.own.listening, site.inet_protocols, &resolve)
                        .map_err(|why| cannot(why.to_string()))?
                }
            };
            for address in addresses {
                let endpoint = Self { service: service.name_space(), address };
                // localhost may be the same address twice.
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            }
        }
        Ok(endpoints)
    }
}

/// The SMTP server behind a service that listens. Behind postscreen it is the one that postscreen would pass
/// clients on to; until there is a postscreen, they get there directly.
pub(crate) fn serving<'a>(all: &'a Configuration, name_space: &str) -> Option<&'a ServiceConfig> {
    let found = all.servers().find(|it| it.service.name_space() == name_space)?;
    match found.service.command {
        Command::Smtpd => Some(found),
        Command::Postscreen => all
            .servers()
            .find(|it| it.service.kind == Kind::Pass && it.service.command == Command::Smtpd),
        _ => None,
    }
}

/// Sockets that listen on an endpoint, one for each shard.
#[derive(Debug)]
pub(crate) struct Listening {
    /// What was asked for.
    pub(crate) endpoint: Endpoint,
    /// What came of it.
    pub(crate) address: SocketAddr,
    /// One for each shard.
    pub(crate) sockets: Vec<TcpListener>,
}

impl Listening {
    /// Binds the address once for each shard; port 0 becomes one port for all of them.
    pub(crate) fn bind(endpoint: Endpoint, shards: usize) -> io::Result<Self> {
        let first = ring::Listener::bind(endpoint.address)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..shards {
            sockets.push(ring::Listener::bind(address)?);
        }
        Ok(Self { endpoint, address, sockets })
    }
}
