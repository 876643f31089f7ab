//! What the services of a configuration listen on.

use std::io;
use std::net::{SocketAddr, TcpListener};

use config::Snapshot;
use serde::{Deserialize, Serialize};

/// An address that a service is to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// What master.cf calls the service.
    pub(crate) service: String,
    /// As it was asked for: the port may be 0.
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    /// All of a configuration.
    pub(crate) fn all(snapshot: &Snapshot) -> Vec<Self> {
        let smtp = |&address| Self { service: "smtp".to_owned(), address };
        snapshot.site.smtp_listen.iter().map(smtp).collect()
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
