//! From an address to a mailbox and its owner.

use std::fmt;
use std::sync::Arc;

use config::Mailbox;
use mail::{Address, Outcome, Status};
use mailbox::Owner;
use table::{MapList, Trouble, block_on, order};

/// Where to deliver, and with whose rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Below `virtual_mailbox_base`; a Maildir where it ends in a slash.
    pub(crate) path: String,
    /// `None`: the process's own rights.
    pub(crate) owner: Option<Owner>,
}

impl Target {
    pub(crate) fn is_maildir(&self) -> bool {
        self.path.ends_with('/')
    }
}

/// Why an address leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// It has no mailbox.
    Unknown { user: String },
    /// Nobody knows whether it has one.
    Unavailable(Arc<Trouble>),
    /// It has one that cannot be used as it is configured.
    Configuration(String),
}

impl Unresolved {
    pub(crate) fn outcome(&self, tag: u64) -> Outcome {
        let status = match self {
            Self::Unknown { .. } => Status(5, 1, 1),
            Self::Unavailable(_) => Status(4, 3, 0),
            Self::Configuration(_) => Status(4, 3, 5),
        };
        Outcome::new(tag, status, self.to_string())
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { user } => write!(f, "unknown user: \"{user}\""),
            Self::Unavailable(trouble) => write!(f, "{trouble}"),
            Self::Configuration(why) => write!(f, "mail system configuration error: {why}"),
        }
    }
}

/// Whose rights mailboxes are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// As `virtual_uid_maps` and `virtual_gid_maps` say.
    Mapped,
    /// The process's own.
    Own,
}

pub(crate) fn resolve(
    config: &Mailbox,
    owners: Owners,
    address: &Address,
) -> Result<Target, Unresolved> {
    let user = folded(address);
    let path = path(config, address, &user)?;
    let owner = match owners {
        Owners::Own => None,
        Owners::Mapped => Some(Owner { uid: uid(config, &user)?, gid: gid(config, &user)? }),
    };
    Ok(Target { path, owner })
}

/// Addresses are looked up, and compared, in lower case.
pub(crate) fn folded(address: &Address) -> String {
    address.as_str().to_lowercase()
}

fn path(config: &Mailbox, address: &Address, user: &str) -> Result<String, Unresolved> {
    let unknown = || Unresolved::Unknown { user: user.to_owned() };
    let template = &config.virtual_mailbox_template;
    if config.virtual_mailbox_maps.is_empty() && !template.is_empty() {
        return template.path(address, &config.recipient_delimiter).map_err(|_| unknown());
    }
    let path = find(config, &config.virtual_mailbox_maps, user)?.ok_or_else(unknown)?;
    // Postfix looks for the same (src/virtual/mailbox.c): `$1` in a pattern table may be anything.
    if path.is_empty() || path.split('/').any(|step| step == "..") {
        let why = format!("bad mailbox path \"{path}\" of {user} in virtual_mailbox_maps");
        return Err(Unresolved::Configuration(why));
    }
    Ok(path)
}

fn uid(config: &Mailbox, user: &str) -> Result<u32, Unresolved> {
    let maps = ("virtual_uid_maps", &config.virtual_uid_maps);
    number(config, maps, "uid", user, |uid| uid >= config.virtual_minimum_uid)
}

/// Root's group is nobody's (postfix `src/virtual/mailbox.c`).
fn gid(config: &Mailbox, user: &str) -> Result<u32, Unresolved> {
    let maps = ("virtual_gid_maps", &config.virtual_gid_maps);
    number(config, maps, "gid", user, |gid| gid != 0)
}

fn number(
    config: &Mailbox,
    (name, maps): (&str, &MapList),
    what: &str,
    user: &str,
    allowed: impl FnOnce(u32) -> bool,
) -> Result<u32, Unresolved> {
    let Some(text) = find(config, maps, user)? else {
        return Err(Unresolved::Configuration(format!("{user} not found in {name}")));
    };
    // The greatest number means "unchanged" to the system calls.
    match text.parse() {
        Ok(id) if id != u32::MAX && allowed(id) => Ok(id),
        _ => Err(Unresolved::Configuration(format!("bad {what} {text} of {user} in {name}"))),
    }
}

fn find(config: &Mailbox, maps: &MapList, user: &str) -> Result<Option<String>, Unresolved> {
    // A delivery thread has nothing else to do meanwhile.
    let answer = block_on(maps.find(order::VIRTUAL, user, &config.recipient_delimiter));
    let value = answer.found().map_err(Unresolved::Unavailable)?;
    Ok(value.map(|value| value.to_string()))
}
