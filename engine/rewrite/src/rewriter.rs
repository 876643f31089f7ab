//! What all questions are answered from.

use std::net::IpAddr;
use std::sync::Arc;

use config::{RewriteClient, Snapshot};
use table::{Answer, Matched, Parents, Trouble};

use crate::temporary::Temporary;
use crate::trivial::Origin;

/// One service's view of addresses.
#[derive(Clone, Debug)]
pub struct Rewriter {
    pub(crate) settings: Arc<Snapshot>,
    pub(crate) relay_parents: Parents,
    pub(crate) transport_parents: Parents,
    /// Whom this service asks to complete and resolve addresses, where that is another.
    pub(crate) trivial: Option<Arc<Rewriter>>,
}

/// Whether addresses are replaced by tables: `receive_override_options` may say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// As configured.
    On,
    /// Addresses are completed, and that is all.
    Off,
}

/// What is known of a client when it is decided whether its headers are rewritten as local mail is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    /// Its verified name, or `unknown`.
    pub name: &'a str,
    /// Its address; mail without one was submitted on this host.
    pub address: Option<IpAddr>,
    /// It has logged in.
    pub authenticated: bool,
    /// It has a TLS certificate that could be verified.
    pub certificate_verified: bool,
    /// Its TLS certificate is in `relay_clientcerts`.
    pub certificate_listed: bool,
}

impl Rewriter {
    /// What these settings make of addresses.
    pub fn new(settings: Arc<Snapshot>) -> Self {
        let has = |parameter| match settings.classes.parent_domain_matches_subdomains.has(parameter)
        {
            true => Parents::Plain,
            false => Parents::Dotted,
        };
        Self {
            relay_parents: has("relay_domains"),
            transport_parents: has("transport_maps"),
            settings,
            trivial: None,
        }
    }

    /// Has addresses completed and resolved by another service: `rewrite_service_name`. Tables of addresses,
    /// copies and lists of users stay this one's.
    #[must_use]
    pub fn with_trivial(self, trivial: Arc<Self>) -> Self {
        Self { trivial: Some(trivial), ..self }
    }

    /// Who completes and resolves.
    pub(crate) fn trivial(&self) -> &Self {
        self.trivial.as_deref().unwrap_or(self)
    }

    /// Whether a domain without a dot gets one: `append_dot_mydomain`.
    pub fn completes_domains(&self) -> bool {
        self.trivial().settings.rewriting.append_dot_mydomain
    }

    /// The configuration.
    pub fn settings(&self) -> &Arc<Snapshot> {
        &self.settings
    }

    /// What envelope addresses and headers of local mail are completed with.
    pub(crate) fn local_origin(&self) -> Origin<'_> {
        let (rules, site) = (&self.settings.rewriting, &self.settings.site);
        let names = ["append_at_myorigin", "append_dot_mydomain"];
        Origin { rules, domain: &site.myorigin, parent: &site.mydomain, names }
    }

    /// What headers of other mail are completed with; `None` where they stay as they are.
    pub(crate) fn remote_origin(&self) -> Option<Origin<'_>> {
        let rules = &self.settings.rewriting;
        let domain = &*rules.remote_header_rewrite_domain;
        let names = ["remote_header_rewrite_domain"; 2];
        (!domain.is_empty()).then_some(Origin { rules, domain, parent: domain, names })
    }

    /// `local_header_rewrite_clients`: whether headers of mail from this client are rewritten as those of
    /// local mail (postfix `src/smtpd/smtpd_check.c`, `smtpd_check_rewrite`).
    pub async fn rewrites_headers_of(&self, client: &Client<'_>) -> Result<bool, Temporary> {
        let Some(address) = client.address.map(|it| it.to_canonical()) else { return Ok(true) };
        let unavailable = |trouble: Arc<Trouble>| Temporary::Unavailable {
            parameter: "local_header_rewrite_clients",
            trouble,
        };
        let clients = &self.settings.rewriting.local_header_rewrite_clients;
        for reason in clients.list() {
            let holds = match reason {
                RewriteClient::InetInterfaces => self.settings.own.is_interface(address),
                RewriteClient::Mynetworks => {
                    let classes = &self.settings.classes;
                    let parents = match classes.parent_domain_matches_subdomains.has("mynetworks") {
                        true => Parents::Plain,
                        false => Parents::Dotted,
                    };
                    let networks = &self.settings.site.mynetworks;
                    let matched = networks.has_client(client.name, address, parents).await;
                    matched.known().map_err(unavailable)?
                }
                RewriteClient::SaslAuthenticated => client.authenticated,
                RewriteClient::TlsClientcerts => client.certificate_listed,
                RewriteClient::TlsAllClientcerts => client.certificate_verified,
                RewriteClient::AddressMap(table) => {
                    match table.lookup(&address.to_string()).answer().await {
                        Answer::Found(_) => true,
                        Answer::NotFound => false,
                        Answer::Unavailable(trouble) => return Err(unavailable(trouble)),
                    }
                }
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A list that cannot tell.
pub(crate) fn known(parameter: &'static str, matched: Matched) -> Result<bool, Temporary> {
    matched.known().map_err(|trouble| Temporary::Unavailable { parameter, trouble })
}

#[cfg(test)]
mod tests {
    use table::block_on;

    use super::*;
    use crate::testing::{address, rewriter};
    use crate::{Class, HeaderContext, Listing, Purpose, Role, Unwatched};

    #[test]
    fn what_completes_and_resolves_has_settings_of_its_own() {
        let own = "myorigin = own.example\nvirtual_mailbox_domains = mbox.example\n\
                   virtual_mailbox_maps = inline:{ u@mbox.example=x }\nvirtual_transport = own\n\
                   canonical_maps = inline:{ c@other.example=u@mbox.example }\n";
        let other = "myorigin = other.example\nvirtual_mailbox_domains = mbox.example\n\
                     virtual_mailbox_maps =\nvirtual_transport = other\nappend_dot_mydomain = yes\n\
                     canonical_maps = inline:{ u@mbox.example=v@mbox.example }\n";
        let both = rewriter(own).with_trivial(Arc::new(rewriter(other)));
        let nobody = &mut Unwatched;
        // Completed by the other one, replaced by its own table.
        let sender = block_on(both.sender(Some(&address("c")), crate::Mapping::On, nobody));
        assert_eq!(sender.unwrap(), Some(address("u@mbox.example")));
        assert!(both.completes_domains());
        let local = both.completed(HeaderContext::Local, b"x", nobody);
        assert_eq!(&*local, b"x@other.example");
        // The way is the other one's, the list of users its own.
        let recipient = address("u@mbox.example");
        let route = block_on(both.resolve(Purpose::Delivery, None, &recipient, nobody));
        let route = route.unwrap();
        assert_eq!((route.class, &*route.transport), (Class::VirtualMailbox, "other"));
        for (user, is_listed) in [("u@mbox.example", true), ("v@mbox.example", false)] {
            let user = address(user);
            let listing = block_on(both.listed(None, &user, Role::Recipient, nobody));
            assert_eq!(matches!(listing, Ok(Listing::Listed(_))), is_listed, "{user}");
        }
    }

    #[test]
    fn whether_headers_of_strangers_are_completed_at_all_is_not_for_the_other_to_say() {
        let with = "remote_header_rewrite_domain = domain.invalid\n";
        for (own, other, done) in
            [(with, with, "x@domain.invalid"), ("", with, "x"), (with, "", "x")]
        {
            let both = rewriter(own).with_trivial(Arc::new(rewriter(other)));
            let headers = both.completed(HeaderContext::Remote, b"x", &mut Unwatched);
            assert_eq!(&*headers, done.as_bytes());
        }
    }
}
