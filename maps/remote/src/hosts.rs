//! The servers of one table, and which of them to ask next.
//!
//! As Postfix does it (`src/global/dict_mysql.c`): local sockets first, otherwise in random order, and a
//! server that failed is left alone for `retry_interval`. A single server is never left alone: it may be
//! a load balancer, and there is nobody else.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where a server listens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A local socket.
    Unix(PathBuf),
    /// A name or address and a port.
    Inet {
        /// As it is written, brackets of an IPv6 address removed.
        name: String,
        /// 1 to 65535.
        port: u16,
        /// In the clear, or TLS from the first byte on.
        cover: Cover,
    },
    /// A connection string of a driver. It may hold a password, so it is never printed.
    Uri(String),
}

/// What a connection is wrapped in before anything is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    Clear,
    Tls,
}

impl Host {
    /// A name or address, and a port.
    pub(crate) fn inet(name: &str, port: u16) -> Self {
        Self::Inet { name: name.to_owned(), port, cover: Cover::Clear }
    }

    /// The same server, spoken to in TLS from the start; a local socket needs none.
    pub(crate) fn covered(self) -> Self {
        match self {
            Self::Inet { name, port, .. } => Self::Inet { name, port, cover: Cover::Tls },
            host => host,
        }
    }

    /// True where TLS is spoken from the start.
    pub(crate) fn is_covered(&self) -> bool {
        matches!(self, Self::Inet { cover: Cover::Tls, .. })
    }

    /// The name that a certificate has to be for. On a local socket it is this host.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Inet { name, .. } => name,
            Self::Unix(_) | Self::Uri(_) => "localhost",
        }
    }

    /// Reads `unix:/path`, `inet:host:port`, `host:port` or `host`.
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(format!("\"{text}\": expected unix:/path")),
            };
        }
        let text = text.strip_prefix("inet:").unwrap_or(text);
        let wrong = || format!("\"{text}\": expected host, host:port or unix:/path");
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']').ok_or_else(wrong)?;
                (name, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or_else(wrong)?)
            }
            // More than one colon: an IPv6 address without brackets, and no port.
            None if text.matches(':').count() > 1 => (text, ""),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        let port = match port {
            "" => default_port,
            port => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| format!("\"{text}\": the port must be a number, 1 to 65535"))?,
        };
        Ok(Self::inet(name, port))
    }

    fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet { name, port, .. } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Inet { name, port, .. } => write!(f, "{name}:{port}"),
            Self::Uri(uri) => {
                let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
                let place = rest.split(['/', '?']).next().unwrap_or_default();
                let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
                write!(f, "{scheme}://{place}")
            }
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The servers of a table and what is known of them.
#[derive(Debug)]
pub(crate) struct Hosts {
    all: Vec<Host>,
    /// Until when each is left alone.
    aside: Vec<Option<Instant>>,
    retry_interval: Duration,
    draw: u64,
}

impl Hosts {
    /// `all` must not be empty.
    pub(crate) fn new(all: Vec<Host>, retry_interval: Duration) -> Self {
        let aside = vec![None; all.len()];
        Self { all, aside, retry_interval, draw: RandomState::new().hash_one(0) | 1 }
    }

    pub(crate) fn get(&self, index: usize) -> &Host {
        &self.all[index]
    }

    /// Those to try now, in order; none where all are left alone.
    pub(crate) fn candidates(&mut self, now: Instant) -> Vec<usize> {
        if self.all.len() == 1 {
            return vec![0];
        }
        let usable = |until: &Option<Instant>| until.is_none_or(|until| until <= now);
        let mut order: Vec<usize> =
            (0..self.all.len()).filter(|&index| usable(&self.aside[index])).collect();
        for last in (1..order.len()).rev() {
            let other = self.next_draw() % (last as u64 + 1);
            order.swap(last, usize::try_from(other).unwrap_or(0));
        }
        order.sort_by_key(|&index| !self.all[index].is_local());
        order
    }

    /// Leaves a server alone for a while.
    pub(crate) fn failed(&mut self, index: usize, now: Instant) {
        self.aside[index] = Some(now + self.retry_interval);
    }

    pub(crate) fn works(&mut self, index: usize) {
        self.aside[index] = None;
    }

    /// xorshift: who asks which replica first is no secret.
    fn next_draw(&mut self) -> u64 {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        self.draw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> Hosts {
        let all = list.iter().map(|host| Host::parse(host, 3306).unwrap()).collect();
        Hosts::new(all, Duration::from_secs(60))
    }

    #[test]
    fn a_host_is_read_in_every_form_that_postfix_has() {
        for (text, wanted) in [
            ("db.example.com", "db.example.com:3306"),
            ("127.0.0.1:3307", "127.0.0.1:3307"),
            ("inet:db:3307", "db:3307"),
            ("unix:/run/mysqld/mysqld.sock", "unix:/run/mysqld/mysqld.sock"),
            ("[::1]:3307", "[::1]:3307"),
            ("inet:[::1]", "[::1]:3306"),
            ("::1", "[::1]:3306"),
        ] {
            assert_eq!(Host::parse(text, 3306).unwrap().to_string(), wanted, "{text}");
        }
        for text in ["", "unix:relative", "db:0", "db:66000", "db:mysql", ":3306", "[::1", "[::1]x"]
        {
            assert!(Host::parse(text, 3306).is_err(), "{text}");
        }
    }

    #[test]
    fn a_connection_string_is_shown_without_its_password() {
        for uri in [
            "postgresql://user:secret@db.example.com:5432/mail?password=secret",
            "postgresql://db.example.com:5432?password=secret",
            "postgresql://a@b:secret@db.example.com:5432",
        ] {
            let shown = Host::Uri(uri.to_owned()).to_string();
            assert_eq!(shown, "postgresql://db.example.com:5432");
        }
    }

    #[test]
    fn local_sockets_come_first_and_the_others_in_any_order() {
        let mut hosts = hosts(&["a", "b", "unix:/s", "c"]);
        let now = Instant::now();
        let mut seconds = std::collections::HashSet::new();
        for _ in 0..200 {
            let order = hosts.candidates(now);
            assert_eq!((order.len(), order[0]), (4, 2));
            seconds.insert(order[1]);
        }
        assert_eq!(seconds, [0, 1, 3].into());
    }

    #[test]
    fn a_host_that_failed_is_left_alone_for_a_minute_unless_it_is_the_only_one() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut two = hosts(&["a", "b"]);
        two.failed(0, now);
        assert_eq!(two.candidates(later(59)), [1]);
        two.failed(1, now);
        assert_eq!(two.candidates(later(59)), [0; 0]);
        assert_eq!(two.candidates(later(60)).len(), 2);
        two.works(0);
        assert_eq!(two.candidates(later(1)), [0]);

        let mut one = hosts(&["a"]);
        one.failed(0, now);
        assert_eq!(one.candidates(now), [0]);
    }
}
