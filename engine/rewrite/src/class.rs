//! Which class a domain is in (postfix `ADDRESS_CLASS_README`, `src/trivial-rewrite/resolve.c`).

use std::fmt;

use mail::domain;
use table::{MatchList, Matched};

use crate::rewriter::{Rewriter, known};
use crate::temporary::Temporary;
use crate::trace::{Step, Trace, Warning};

/// The classes, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `mydestination`, or an address of the host in brackets.
    Local,
    /// `virtual_alias_domains`
    VirtualAlias,
    /// `virtual_mailbox_domains`
    VirtualMailbox,
    /// `relay_domains`
    Relay,
    /// All other domains.
    Default,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::VirtualAlias => "virtual alias",
            Self::VirtualMailbox => "virtual mailbox",
            Self::Relay => "relay",
            Self::Default => "default",
        })
    }
}

/// A domain that two parameters have. Which of them counts is an accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The domain.
    pub domain: Box<str>,
    /// The parameter that counts.
    pub counts: &'static str,
    /// The other one.
    pub other: &'static str,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, counts, other } = self;
        write!(f, "do not list domain {domain} in BOTH {counts} and {other}")
    }
}

impl Rewriter {
    /// The class of a domain, without brackets or a dot at its end.
    pub async fn class<T: Trace>(&self, domain: &str, trace: &mut T) -> Result<Class, Temporary> {
        if known("mydestination", self.is_local(domain, trace).await)? {
            return Ok(Class::Local);
        }
        self.class_elsewhere(domain, trace).await
    }

    /// The same for a domain that is known not to be local.
    pub(crate) async fn class_elsewhere<T: Trace>(
        &self,
        domain: &str,
        trace: &mut T,
    ) -> Result<Class, Temporary> {
        for class in [Class::VirtualAlias, Class::VirtualMailbox, Class::Relay] {
            if self.has(class, domain, trace).await? {
                return Ok(class);
            }
        }
        Ok(Class::Default)
    }

    /// `$mydestination`, or one of the host's addresses in brackets (postfix
    /// `src/global/resolve_local.c`).
    pub(crate) async fn is_local<T: Trace>(&self, domain: &str, trace: &mut T) -> Matched {
        let name = domain.strip_suffix('.').unwrap_or(domain);
        if name.is_empty() || name.ends_with('.') {
            return Matched::No;
        }
        let matched = self.settings.site.mydestination.has(name).await;
        seen("mydestination", name, &matched, trace);
        if matched != Matched::No {
            return matched;
        }
        let Some(address) = domain::literal(name) else { return Matched::No };
        let own = self.settings.own.leads_here(address);
        let matched = if own { Matched::Yes } else { Matched::No };
        seen("inet_interfaces, proxy_interfaces", name, &matched, trace);
        matched
    }

    /// Warns of the classes after its own that a domain is in, too. A list that cannot tell costs a warning,
    /// and mail does not wait for it.
    pub(crate) async fn warn_of_overlaps<T: Trace>(
        &self,
        class: Class,
        domain: &str,
        trace: &mut T,
    ) {
        if !T::WARNINGS || !self.settings.classes.helpful_warnings {
            return;
        }
        let others: &[Class] = match class {
            Class::Local => &[Class::VirtualAlias, Class::VirtualMailbox],
            Class::VirtualAlias => &[Class::VirtualMailbox, Class::Relay],
            Class::VirtualMailbox => &[Class::Relay],
            Class::Relay | Class::Default => &[],
        };
        for &other in others {
            let (parameter, list) = self.list(other);
            if !list.is_empty() && self.matches(other, domain).await == Matched::Yes {
                trace.warning(Warning::Overlap(Overlap {
                    domain: domain.into(),
                    counts: self.list(class).0,
                    other: parameter,
                }));
            }
        }
    }

    async fn has<T: Trace>(
        &self,
        class: Class,
        domain: &str,
        trace: &mut T,
    ) -> Result<bool, Temporary> {
        let (parameter, list) = self.list(class);
        if list.is_empty() {
            return Ok(false);
        }
        let matched = self.matches(class, domain).await;
        seen(parameter, domain, &matched, trace);
        known(parameter, matched)
    }

    async fn matches(&self, class: Class, domain: &str) -> Matched {
        let (_, list) = self.list(class);
        match class {
            Class::Relay => list.has_host(domain, self.relay_parents).await,
            _ => list.has(domain).await,
        }
    }

    fn list(&self, class: Class) -> (&'static str, &MatchList) {
        let settings = &self.settings;
        match class {
            Class::VirtualAlias => {
                ("virtual_alias_domains", &settings.classes.virtual_alias_domains)
            }
            Class::VirtualMailbox => {
                ("virtual_mailbox_domains", &settings.mailbox.virtual_mailbox_domains)
            }
            Class::Relay | Class::Default => ("relay_domains", &settings.classes.relay_domains),
            Class::Local => ("mydestination", &settings.site.mydestination),
        }
    }
}

fn seen<T: Trace>(parameter: &'static str, name: &str, matched: &Matched, trace: &mut T) {
    if T::STEPS {
        trace.step(Step::Listed { parameter, name, matched });
    }
}
