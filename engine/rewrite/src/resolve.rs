//! Where a recipient goes: class, transport, next hop (postfix `src/trivial-rewrite/resolve.c`).

use std::borrow::Cow;

use config::Transport;
use mail::rfc5322::{Kind, Tokens, quote_local};
use mail::{Address, Status, domain};
use table::order::VIRTUAL;

use crate::canonical::same_text;
use crate::class::Class;
use crate::find::{Maps, Quoting, requoted};
use crate::rewriter::{Rewriter, known};
use crate::temporary::Temporary;
use crate::trace::{Step, Trace, Warning};
use crate::trivial::{complete, is_plain_as_it_is, noted};

/// What a recipient is resolved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Mail.
    Delivery,
    /// A probe: the `address_verify_` parameters say where it goes.
    Verification,
}

/// Where a recipient goes. Nearly always that is in main.cf and in the recipient, and nothing is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The class of its domain.
    pub class: Class,
    /// The service that delivers.
    pub transport: Cow<'a, str>,
    /// What it delivers to: a domain, `[host]:port`, a socket; a reason, where the transport is `error` or
    /// `retry`.
    pub nexthop: Cow<'a, str>,
    /// The recipient with a domain, routes through this host taken off.
    pub recipient: Cow<'a, Address>,
    /// There is more than a name before the domain: `user%there@here`, `there!user@here`. From a client
    /// that is not trusted, such mail is for nobody (`allow_untrusted_routing`).
    pub routed: bool,
    /// It is no address that mail can be sent to; the transport is `error`.
    pub invalid: bool,
}

impl Route<'_> {
    /// For whoever keeps it.
    pub fn into_owned(self) -> Route<'static> {
        Route {
            class: self.class,
            transport: Cow::Owned(self.transport.into_owned()),
            nexthop: Cow::Owned(self.nexthop.into_owned()),
            recipient: Cow::Owned(self.recipient.into_owned()),
            routed: self.routed,
            invalid: self.invalid,
        }
    }

    /// What `error` and `retry` say: a status, and a text.
    pub fn failure(&self) -> Option<(Status, &str)> {
        let status = match &*self.transport {
            "error" => Status(5, 0, 0),
            "retry" => Status(4, 0, 0),
            _ => return None,
        };
        Some(Status::leading(&self.nexthop).unwrap_or((status, self.nexthop.trim_start())))
    }
}

/// A way out that can still change.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) transport: Cow<'a, str>,
    pub(crate) nexthop: Cow<'a, str>,
}

impl<'a> Way<'a> {
    /// A transport of main.cf; what it names as its next hop counts more than `nexthop`.
    fn of(transport: &'a Transport, nexthop: Cow<'a, str>) -> Self {
        let nexthop = transport.nexthop.as_deref().map_or(nexthop, Cow::Borrowed);
        Self { transport: Cow::Borrowed(&transport.name), nexthop }
    }

    /// A transport that a table has.
    fn of_table(transport: Transport, nexthop: Cow<'a, str>) -> Self {
        let own = |text: Box<str>| Cow::Owned(text.into_string());
        Self { transport: own(transport.name), nexthop: transport.nexthop.map_or(nexthop, own) }
    }

    pub(crate) fn seen<T: Trace>(&self, rule: &'static str, trace: &mut T) {
        if T::STEPS {
            trace.step(Step::Way { rule, transport: &self.transport, nexthop: &self.nexthop });
        }
    }
}

/// The parameters of a [`Purpose`].
struct Ways<'a> {
    local: (&'static str, &'a Transport),
    virtual_mailbox: (&'static str, &'a Transport),
    relay: (&'static str, &'a Transport),
    default: (&'static str, &'a Transport),
    default_maps: Maps<'a>,
    relayhost: (&'static str, &'a str),
    relayhost_maps: Maps<'a>,
    transport_maps: Maps<'a>,
}

/// A recipient that ends in a domain.
struct Ended<'a> {
    /// In internal form.
    internal: Cow<'a, str>,
    local: bool,
}

impl Rewriter {
    /// Where mail of this sender to this recipient goes. Both are rewritten, see [`Self::recipient`] and
    /// [`Self::expand`].
    pub async fn resolve<'a, T: Trace>(
        &'a self,
        purpose: Purpose,
        sender: Option<&Address>,
        recipient: &'a Address,
        trace: &mut T,
    ) -> Result<Route<'a>, Temporary> {
        self.trivial().route(purpose, sender, recipient, trace).await
    }

    async fn route<'a, T: Trace>(
        &'a self,
        purpose: Purpose,
        sender: Option<&Address>,
        recipient: &'a Address,
        trace: &mut T,
    ) -> Result<Route<'a>, Temporary> {
        let external = recipient.as_str();
        let plain = is_plain_as_it_is(external.as_bytes());
        let ended = match plain {
            true => {
                let matched = self.is_local(recipient.domain(), trace).await;
                let local = known("mydestination", matched)?;
                Ended { internal: Cow::Borrowed(external), local }
            }
            false => self.without_own_domains(external, trace).await?,
        };
        let Some(ended) = self.with_valid_domain(ended, trace).await? else {
            return Ok(invalid(Cow::Borrowed(recipient)));
        };
        let internal = &*ended.internal;
        let (user, domain) = internal.rsplit_once('@').unwrap_or((internal, ""));
        let nexthop = match &ended.internal {
            Cow::Borrowed(_) => Cow::Borrowed(recipient.domain()),
            Cow::Owned(_) => Cow::Owned(domain.to_owned()),
        };
        // Routing operators are looked for even where they mean nothing here: what the next host makes of
        // them is unknown.
        let routed = user.contains(['@', '!', '%']);
        let end = match *internal == *external {
            true => Cow::Borrowed(recipient),
            false => match Address::parse(requoted(internal).as_bytes()) {
                Ok(address) => Cow::Owned(address),
                Err(_) => return Ok(invalid(Cow::Borrowed(recipient))),
            },
        };
        let class = match ended.local {
            true => Class::Local,
            false => self.class_elsewhere(domain, trace).await?,
        };
        self.warn_of_overlaps(class, domain, trace).await;
        let ways = self.ways(purpose);
        let mut way = self.way(&ways, class, sender, &nexthop, trace).await?;
        if class != Class::VirtualAlias && !ways.transport_maps.list.is_empty() {
            let maps = ways.transport_maps;
            self.look_up_transport(maps, end.as_str(), nexthop, &mut way, trace).await?;
        }
        self.look_up_relocated(&end, &mut way, trace).await?;
        // A program may take such a name for an option; here nobody gets around it.
        if internal.starts_with('-') && !self.settings.routing.allow_min_user {
            return Ok(invalid(end));
        }
        let Way { transport, nexthop } = way;
        Ok(Route { class, transport, nexthop, recipient: end, routed, invalid: false })
    }

    fn ways(&self, purpose: Purpose) -> Ways<'_> {
        let all = &self.settings.routing;
        let maps = |parameter, list| Maps { parameter, list };
        match purpose {
            Purpose::Delivery => Ways {
                local: ("local_transport", &all.local_transport),
                virtual_mailbox: ("virtual_transport", &all.virtual_transport),
                relay: ("relay_transport", &all.relay_transport),
                default: ("default_transport", &all.default_transport),
                default_maps: maps(
                    "sender_dependent_default_transport_maps",
                    &all.sender_dependent_default_transport_maps,
                ),
                relayhost: ("relayhost", &all.relayhost),
                relayhost_maps: maps(
                    "sender_dependent_relayhost_maps",
                    &all.sender_dependent_relayhost_maps,
                ),
                transport_maps: maps("transport_maps", &all.transport_maps),
            },
            Purpose::Verification => Ways {
                local: ("address_verify_local_transport", &all.address_verify_local_transport),
                virtual_mailbox: (
                    "address_verify_virtual_transport",
                    &all.address_verify_virtual_transport,
                ),
                relay: ("address_verify_relay_transport", &all.address_verify_relay_transport),
                default: (
                    "address_verify_default_transport",
                    &all.address_verify_default_transport,
                ),
                default_maps: maps(
                    "address_verify_sender_dependent_default_transport_maps",
                    &all.address_verify_sender_dependent_default_transport_maps,
                ),
                relayhost: ("address_verify_relayhost", &all.address_verify_relayhost),
                relayhost_maps: maps(
                    "address_verify_sender_dependent_relayhost_maps",
                    &all.address_verify_sender_dependent_relayhost_maps,
                ),
                transport_maps: maps(
                    "address_verify_transport_maps",
                    &all.address_verify_transport_maps,
                ),
            },
        }
    }

    /// What main.cf says of a class.
    async fn way<'a, T: Trace>(
        &self,
        ways: &Ways<'a>,
        class: Class,
        sender: Option<&Address>,
        domain: &Cow<'a, str>,
        trace: &mut T,
    ) -> Result<Way<'a>, Temporary> {
        let (rule, way) = match class {
            Class::Local => (ways.local.0, Way::of(ways.local.1, domain.clone())),
            Class::VirtualMailbox => {
                (ways.virtual_mailbox.0, Way::of(ways.virtual_mailbox.1, domain.clone()))
            }
            Class::VirtualAlias => {
                let table = match self.settings.classes.show_user_unknown_table_name {
                    true => " in virtual alias table",
                    false => "",
                };
                let nexthop = Cow::Owned(format!("5.1.1 User unknown{table}"));
                ("virtual_alias_domains", Way { transport: "error".into(), nexthop })
            }
            Class::Relay | Class::Default => {
                let (relay_rule, nexthop) = self.nexthop(ways, sender, domain, trace).await?;
                let way = match class {
                    Class::Relay => (ways.relay.0, Way::of(ways.relay.1, nexthop)),
                    _ => self.default_way(ways, sender, nexthop, trace).await?,
                };
                if T::STEPS && relay_rule != "domain" {
                    way.1.seen(relay_rule, trace);
                }
                way
            }
        };
        way.seen(rule, trace);
        Ok(way)
    }

    /// A sender's relayhost, the relayhost, the domain.
    async fn nexthop<'a, T: Trace>(
        &self,
        ways: &Ways<'a>,
        sender: Option<&Address>,
        domain: &Cow<'a, str>,
        trace: &mut T,
    ) -> Result<(&'static str, Cow<'a, str>), Temporary> {
        let maps = ways.relayhost_maps;
        let null = &self.settings.routing.empty_address_relayhost_maps_lookup_key;
        if let Some(relay) = self.of_sender(maps, sender, null, trace).await? {
            return Ok((maps.parameter, Cow::Owned(relay)));
        }
        match ways.relayhost {
            (_, "") => Ok(("domain", domain.clone())),
            (rule, relayhost) => Ok((rule, Cow::Borrowed(relayhost))),
        }
    }

    /// A sender's transport, or that of all.
    async fn default_way<'a, T: Trace>(
        &self,
        ways: &Ways<'a>,
        sender: Option<&Address>,
        nexthop: Cow<'a, str>,
        trace: &mut T,
    ) -> Result<(&'static str, Way<'a>), Temporary> {
        let maps = ways.default_maps;
        let null = &self.settings.routing.empty_address_default_transport_maps_lookup_key;
        let Some(text) = self.of_sender(maps, sender, null, trace).await? else {
            return Ok((ways.default.0, Way::of(ways.default.1, nexthop)));
        };
        match Transport::parse(&text) {
            Some(transport) => Ok((maps.parameter, Way::of_table(transport, nexthop))),
            // `:nexthop` names no transport, and none is not a way to send mail.
            None => Err(Temporary::NoAddress {
                parameter: maps.parameter,
                address: sender.map_or(&**null, Address::as_str).into(),
                result: text.into(),
            }),
        }
    }

    /// What a table has for a sender; nothing where it says so.
    async fn of_sender<T: Trace>(
        &self,
        maps: Maps<'_>,
        sender: Option<&Address>,
        null: &str,
        trace: &mut T,
    ) -> Result<Option<String>, Temporary> {
        let key = sender.map_or(null, Address::as_str);
        let found = self.find(maps, VIRTUAL, Quoting::ExternalFirst, key, trace).await?;
        let Some(found) = found else { return Ok(None) };
        if found.value.is_empty() {
            if T::WARNINGS {
                let parameter = maps.parameter;
                trace.warning(Warning::NullResult { parameter, key: key.into() });
            }
            return Ok(None);
        }
        Ok((!same_text(&found.value, "DUNNO")).then(|| found.value.to_string()))
    }

    /// relocated(5): whoever has moved gets no mail here, whatever the class.
    async fn look_up_relocated<T: Trace>(
        &self,
        recipient: &Address,
        way: &mut Way<'_>,
        trace: &mut T,
    ) -> Result<(), Temporary> {
        let routing = &self.settings.routing;
        let maps = Maps { parameter: "relocated_maps", list: &routing.relocated_maps };
        let address = recipient.as_str();
        let found = self.find(maps, VIRTUAL, Quoting::ExternalFirst, address, trace).await?;
        let Some(found) = found else { return Ok(()) };
        let said = Status::leading(&found.value).filter(|(_, text)| !text.is_empty());
        let nexthop = match (routing.relocated_prefix_enable, said) {
            (true, _) => format!("5.1.6 User has moved to {}", &*found.value),
            (false, Some((status, text))) => format!("{status} {text}"),
            (false, None) => {
                if T::WARNINGS {
                    trace.warning(Warning::RelocatedText((*found.value).into()));
                }
                "5.2.0 Mailbox is unavailable".to_owned()
            }
        };
        *way = Way { transport: "error".into(), nexthop: Cow::Owned(nexthop) };
        way.seen("relocated_maps", trace);
        Ok(())
    }

    /// Takes domains of this host off an address until one is left that is somebody else's, or none.
    async fn without_own_domains<'a, T: Trace>(
        &self,
        external: &str,
        trace: &mut T,
    ) -> Result<Ended<'a>, Temporary> {
        let origin = self.local_origin();
        let rules = origin.rules;
        let mut tokens = Tokens::scan(external.as_bytes());
        // The latest `@domain` that was taken off.
        let mut taken: Option<Vec<u8>> = None;
        for _ in 0..external.len() + 100 {
            self.strip_ends(&mut tokens, trace);
            if let Some(at) = tokens.rfind(b'@') {
                let domain = text(tokens.internal_from(at + 1));
                let has_domain = at + 1 < tokens.list().len();
                if has_domain && !known("mydestination", self.is_local(&domain, trace).await)? {
                    return Ok(Ended {
                        internal: Cow::Owned(text(tokens.internal())),
                        local: false,
                    });
                }
                taken = Some(tokens.internal_from(at));
                tokens.truncate(at);
            }
            let routes = tokens.rfind(b'@').is_some()
                || rules.swap_bangpath && tokens.rfind(b'!').is_some()
                || rules.allow_percent_hack && tokens.rfind(b'%').is_some();
            if routes {
                complete(origin, &mut tokens, trace);
                continue;
            }
            if let Some(opened) = self.opened(&tokens) {
                noted("resolve_dequoted_address", &mut tokens, trace, |tokens| *tokens = opened);
                complete(origin, &mut tokens, trace);
                continue;
            }
            let empty = match tokens.list() {
                [] => true,
                [only] => only.kind == Kind::Quoted && tokens.text(only).is_empty(),
                _ => false,
            };
            if empty {
                // The null address, as our own headers name it.
                let name = self.settings.site.empty_address_recipient.as_bytes();
                noted("empty_address_recipient", &mut tokens, trace, |it| *it = Tokens::scan(name));
                continue;
            }
            match taken {
                Some(domain) => {
                    tokens.push_scanned(&domain);
                    return Ok(Ended {
                        internal: Cow::Owned(text(tokens.internal())),
                        local: true,
                    });
                }
                None => noted("myhostname", &mut tokens, trace, |tokens| {
                    tokens.push_operator(b'@');
                    tokens.push_scanned(self.settings.site.myhostname.as_bytes());
                }),
            }
        }
        Err(Temporary::Rounds { address: external.into() })
    }

    /// Takes the dot after a domain away, and the `@` before none.
    fn strip_ends<T: Trace>(&self, tokens: &mut Tokens, trace: &mut T) {
        if let [.., before, last] = tokens.list()
            && last.kind == Kind::Operator(b'.')
            && !matches!(before.kind, Kind::Operator(b'.' | b'@'))
            && tokens.rfind(b'@').is_some()
        {
            let len = tokens.list().len() - 1;
            noted("trailing dot", tokens, trace, |tokens| tokens.truncate(len));
        }
        if self.settings.routing.resolve_null_domain
            && let [.., last] = tokens.list()
            && last.kind == Kind::Operator(b'@')
        {
            let len = tokens.list().len() - 1;
            noted("resolve_null_domain", tokens, trace, |tokens| tokens.truncate(len));
        }
    }

    /// A quoted local part with an operator in it, read again without its quotes: Sendmail hosts behind us
    /// would read it so.
    fn opened(&self, tokens: &Tokens) -> Option<Tokens> {
        let [only] = tokens.list() else { return None };
        if only.kind != Kind::Quoted || !self.settings.routing.resolve_dequoted_address {
            return None;
        }
        let rules = &self.settings.rewriting;
        let mut local = tokens.text(only).to_vec();
        let last = |byte: u8, wanted: bool| {
            wanted.then(|| local.iter().rposition(|&it| it == byte)).flatten()
        };
        let place = last(b'@', true)
            .or_else(|| last(b'%', rules.allow_percent_hack))
            .or_else(|| last(b'!', rules.swap_bangpath))?;
        if local[place] == b'%' {
            local[place] = b'@';
        }
        Some(match local[place] {
            b'@' => Tokens::scan(&quote_local(&local)),
            _ => Tokens::scan(&local),
        })
    }

    /// `None` where mail cannot be sent to the domain.
    async fn with_valid_domain<'a, T: Trace>(
        &self,
        ended: Ended<'a>,
        trace: &mut T,
    ) -> Result<Option<Ended<'a>>, Temporary> {
        let Some((user, domain)) = ended.internal.rsplit_once('@') else { return Ok(None) };
        let utf8 = self.settings.smtpd.smtputf8_enable;
        let valid = match domain.starts_with('[') {
            true => domain::literal(domain).is_some(),
            false => (utf8 || domain.is_ascii()) && domain::is_host_name(domain),
        };
        if valid {
            return Ok(Some(ended));
        }
        if !self.settings.routing.resolve_numeric_domain || domain::host_address(domain).is_none() {
            return Ok(None);
        }
        let literal = format!("[{domain}]");
        let local = known("mydestination", self.is_local(&literal, trace).await)?;
        let internal = format!("{user}@{literal}");
        if T::STEPS {
            let rule = "resolve_numeric_domain";
            trace.step(Step::Rewritten { rule, from: &ended.internal, to: &internal });
        }
        Ok(Some(Ended { internal: Cow::Owned(internal), local: ended.local || local }))
    }
}

/// postfix `src/qmgr/qmgr_message.c`
fn invalid(recipient: Cow<'_, Address>) -> Route<'_> {
    Route {
        class: Class::Default,
        transport: "error".into(),
        nexthop: "5.1.3 bad address syntax".into(),
        recipient,
        routed: false,
        invalid: true,
    }
}

/// Tokens of text are text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use table::block_on;

    use super::*;
    use crate::Unwatched;
    use crate::testing::{Notes, address, rewriter};

    const CLASSES: &str = "mydestination = mx.example.com, local.example\nrelay_domains = relay.example\n\
                           virtual_alias_domains = alias.example\nvirtual_mailbox_domains = mbox.example\n";

    fn resolved(main_cf: &str, recipient: &str) -> Route<'static> {
        let rewriter = rewriter(&[CLASSES, main_cf].concat());
        let sender = address("s@sender.example");
        let recipient = address(recipient);
        let route = block_on(rewriter.resolve(
            Purpose::Delivery,
            Some(&sender),
            &recipient,
            &mut Unwatched,
        ));
        route.unwrap().into_owned()
    }

    fn way(main_cf: &str, recipient: &str) -> String {
        let route = resolved(main_cf, recipient);
        format!("{}: {}:{} {}", route.class, route.transport, route.nexthop, route.recipient)
    }

    #[test]
    fn each_class_has_its_way() {
        for (recipient, expected) in [
            ("u@mx.example.com", "local: local:mx.example.com u@mx.example.com"),
            ("u@Local.example.", "local: local:mx.example.com u@Local.example"),
            ("u@[192.0.2.1]", "local: local:mx.example.com u@[192.0.2.1]"),
            ("u@[IPv6:::1]", "local: local:mx.example.com u@[IPv6:::1]"),
            ("u@[192.0.2.2]", "default: smtp:[192.0.2.2] u@[192.0.2.2]"),
            ("u@mbox.example", "virtual mailbox: virtual:mbox.example u@mbox.example"),
            ("u@relay.example", "relay: relay:relay.example u@relay.example"),
            ("u@a.b.relay.example", "relay: relay:a.b.relay.example u@a.b.relay.example"),
            (
                "u@alias.example",
                "virtual alias: error:5.1.1 User unknown in virtual alias table u@alias.example",
            ),
            ("u@other.example", "default: smtp:other.example u@other.example"),
            ("postmaster", "local: local:mx.example.com postmaster@mx.example.com"),
        ] {
            assert_eq!(way("", recipient), expected);
        }
    }

    #[test]
    fn no_way_of_writing_an_address_hides_that_it_is_for_elsewhere() {
        for recipient in [
            "u%other.example@mx.example.com",
            "\"u@other.example\"@mx.example.com",
            "other.example!u@mx.example.com",
            "\"u%other.example\"@[192.0.2.1]",
            "\"other.example!u\"@local.example.",
            "\"u@other.example@mx.example.com\"@local.example",
        ] {
            let route = resolved("", recipient);
            assert_eq!(route.class, Class::Default, "{recipient}");
            assert_eq!(*route.recipient, address("u@other.example"), "{recipient}");
        }
        // Not for us to open, but the next host may.
        for recipient in [
            "u%other.example@relay.example",
            "\"u@other.example\"@relay.example",
            "a!b@relay.example",
        ] {
            let route = resolved("", recipient);
            assert!(route.class == Class::Relay && route.routed, "{recipient}: {route:?}");
        }
    }

    #[test]
    fn what_is_no_address_goes_nowhere() {
        for recipient in
            ["u@1.2.3.4", "u@[1.2.3]", "u@-bad.example", "-u@other.example", "u@a..", "!u"]
        {
            let Ok(recipient) = Address::parse(recipient.as_bytes()) else { continue };
            let route = resolved("", recipient.as_str());
            assert!(route.invalid, "{route:?}");
            assert_eq!(route.failure(), Some((Status(5, 1, 3), "bad address syntax")));
        }
        let numeric = "resolve_numeric_domain = yes\nallow_min_user = yes\n";
        assert_eq!(way(numeric, "u@192.0.2.1"), "local: local:mx.example.com u@[192.0.2.1]");
        assert_eq!(
            way(numeric, "-u@other.example"),
            "default: smtp:other.example -u@other.example"
        );
        let ascii = "smtputf8_enable = no\n";
        assert!(resolved(ascii, "u@\u{fc}.example").invalid);
        assert!(!resolved("smtputf8_enable = yes\n", "u@\u{fc}.example").invalid);
    }

    #[test]
    fn relayhosts_and_transports_of_senders_count_before_those_of_all() {
        let all = "relayhost = [r.example]:587\n";
        assert_eq!(way(all, "u@other.example"), "default: smtp:[r.example]:587 u@other.example");
        assert_eq!(way(all, "u@relay.example"), "relay: relay:[r.example]:587 u@relay.example");
        assert_eq!(
            way(all, "u@mbox.example"),
            "virtual mailbox: virtual:mbox.example u@mbox.example"
        );
        let of_sender = "relayhost = r.example\nsender_dependent_relayhost_maps = \
                         inline:{ @sender.example=[s.example] }\nsender_dependent_default_transport_maps \
                         = inline:{ s@sender.example=out }\n";
        assert_eq!(way(of_sender, "u@other.example"), "default: out:[s.example] u@other.example");
        assert_eq!(way(of_sender, "u@relay.example"), "relay: relay:[s.example] u@relay.example");
    }

    #[test]
    fn a_transport_table_changes_what_it_names() {
        let table = "relayhost = r.example\ntransport_maps = inline:{ other.example=slow:, \
                     .other.example=:[hop]:26, { u@mbox.example = error:5.7.1 not here }, \
                     nohow.example=error, local.example=lmtp:unix:private/lmtp, alias.example=smtp: }\n";
        for (recipient, expected) in [
            ("u@other.example", "default: slow:other.example u@other.example"),
            ("u@www.other.example", "default: smtp:[hop]:26 u@www.other.example"),
            ("u+x@mbox.example", "virtual mailbox: error:5.7.1 not here u+x@mbox.example"),
            ("u@nohow.example", "default: error:Address is undeliverable u@nohow.example"),
            ("u@local.example", "local: lmtp:unix:private/lmtp u@local.example"),
            (
                "u@alias.example",
                "virtual alias: error:5.1.1 User unknown in virtual alias table u@alias.example",
            ),
        ] {
            assert_eq!(way(table, recipient), expected);
        }
        let failure = resolved(table, "u@mbox.example");
        assert_eq!(failure.failure(), Some((Status(5, 7, 1), "not here")));
    }

    #[test]
    fn who_has_moved_gets_no_mail_here() {
        let table =
            "relocated_maps = inline:{ { u@mbox.example = new@x.example }, { v = 5.1.6 gone } }\n";
        let moved = "virtual mailbox: error:5.1.6 User has moved to new@x.example u+x@mbox.example";
        assert_eq!(way(table, "u+x@mbox.example"), moved);
        let plain = format!("{table}relocated_prefix_enable = no\n");
        assert_eq!(way(&plain, "v@local.example"), "local: error:5.1.6 gone v@local.example");
        let none = "virtual mailbox: error:5.2.0 Mailbox is unavailable u@mbox.example";
        assert_eq!(way(&plain, "u@mbox.example"), none);
    }

    #[test]
    fn probes_can_go_another_way() {
        let main_cf = "address_verify_relayhost =\nrelayhost = r.example\n";
        let rewriter = rewriter(main_cf);
        for (purpose, nexthop) in
            [(Purpose::Delivery, "r.example"), (Purpose::Verification, "other.example")]
        {
            let recipient = address("u@other.example");
            let route = block_on(rewriter.resolve(purpose, None, &recipient, &mut Unwatched));
            assert_eq!(&*route.unwrap().nexthop, nexthop);
        }
    }

    #[test]
    fn domains_in_two_classes_are_warned_of() {
        let rewriter = rewriter(
            "mydestination = twice.example\nvirtual_mailbox_domains = twice.example, both.example\n\
             relay_domains = both.example\n",
        );
        let mut notes = Notes::default();
        for recipient in ["u@twice.example", "u@both.example"] {
            let recipient = address(recipient);
            block_on(rewriter.resolve(Purpose::Delivery, None, &recipient, &mut notes)).unwrap();
        }
        assert_eq!(
            notes.warnings,
            [
                "do not list domain twice.example in BOTH mydestination and virtual_mailbox_domains",
                "do not list domain both.example in BOTH virtual_mailbox_domains and relay_domains",
            ]
        );
    }

    #[test]
    fn no_mail_waits_for_a_warning() {
        let rewriter = rewriter("virtual_mailbox_domains = texthash:/none\n");
        let (mut notes, recipient) = (Notes::default(), address("u@mx.example.com"));
        let route = block_on(rewriter.resolve(Purpose::Delivery, None, &recipient, &mut notes));
        assert_eq!(route.unwrap().class, Class::Local);
        assert_eq!(notes.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_table_or_list_that_is_away_is_temporary_wherever_it_is() {
        for parameter in [
            "mydestination",
            "virtual_alias_domains",
            "virtual_mailbox_domains",
            "relay_domains",
            "transport_maps",
            "sender_dependent_relayhost_maps",
            "sender_dependent_default_transport_maps",
            "relocated_maps",
        ] {
            let rewriter = rewriter(&format!("{parameter} = texthash:/none\n"));
            let recipient = address("u@other.example");
            let route =
                block_on(rewriter.resolve(Purpose::Delivery, None, &recipient, &mut Unwatched));
            let why = route.unwrap_err().to_string();
            assert!(why.starts_with(&format!("{parameter}: table ")), "{why}");
        }
    }
}
