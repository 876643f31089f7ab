//! Is there such a recipient? (postfix `src/smtpd/smtpd_check.c`, `check_rcpt_maps`)

use std::borrow::Cow;

use mail::{Address, Status};
use table::order::VIRTUAL;

use crate::class::Class;
use crate::find::{Maps, Quoting};
use crate::resolve::{Purpose, Route};
use crate::rewriter::{Mapping, Rewriter};
use crate::temporary::Temporary;
use crate::trace::Trace;
use crate::trivial::{is_plain, is_plain_as_it_is};

/// What a recipient or sender is to this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing<'a> {
    /// It may get mail: it is in the table of its class, or its class has no table.
    Listed(Route<'a>),
    /// It may get mail: it is replaced by another address, whose way is another one than this.
    Replaced(Route<'a>),
    /// It is not in the table of its class, or all mail for it fails: `User unknown in local recipient
    /// table`.
    Unlisted {
        /// Where it would have gone.
        route: Route<'a>,
        /// 5.1.1, or what the `error` transport says.
        status: Status,
        /// The reason.
        text: Box<str>,
    },
    /// All mail for it waits: the `retry` transport.
    Waiting {
        /// Where it would have gone.
        route: Route<'a>,
        /// 4.1.1, or what the `retry` transport says.
        status: Status,
        /// The reason.
        text: Box<str>,
    },
    /// It is no address.
    Invalid,
}

/// Who is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `reject_unlisted_recipient`
    Recipient,
    /// `reject_unlisted_sender`
    Sender,
}

/// Addresses that are there in every local domain: bounces come from them and postmaster is the law
/// (RFC 5321 section 4.5.1).
const ALWAYS_THERE: [&str; 2] = ["postmaster", "mailer-daemon"];

impl Rewriter {
    /// Completes, resolves and looks up an address as it was given in MAIL or RCPT. `sender` is the one of
    /// the message, or its recipient where a sender is asked about.
    pub async fn listed<'a, T: Trace>(
        &'a self,
        sender: Option<&Address>,
        address: &'a Address,
        role: Role,
        trace: &mut T,
    ) -> Result<Listing<'a>, Temporary> {
        let sender = match sender {
            Some(sender) if self.stays(sender) => Some(Cow::Borrowed(sender)),
            sender => self.sender(sender, Mapping::Off, trace).await?.map(Cow::Owned),
        };
        let (purpose, sender) = (Purpose::Delivery, sender.as_deref());
        let route = match self.stays(address) {
            true => self.resolve(purpose, sender, address, trace).await?,
            false => {
                let address = self.recipient(address, Mapping::Off, trace).await?;
                self.resolve(purpose, sender, &address, trace).await?.into_owned()
            }
        };
        if route.invalid {
            return Ok(Listing::Invalid);
        }
        if self.is_replaced(&route.recipient, role, trace).await? {
            return Ok(Listing::Replaced(route));
        }
        if let Some((status, text)) = route.failure() {
            // RFC 3463: X.1.0 and X.1.1 where the transport gives no status.
            let detail = if role == Role::Sender { 0 } else { 1 };
            let plain = matches!(status, Status(_, 0, 0));
            let status = if plain { Status(status.0, 1, detail) } else { of_role(status, role) };
            let text = text.into();
            return Ok(match &*route.transport {
                "retry" => Listing::Waiting { route, status, text },
                _ => Listing::Unlisted { route, status, text },
            });
        }
        let (maps, table) = self.recipient_maps(route.class);
        let Some(maps) = maps.filter(|maps| !maps.list.is_empty()) else {
            return Ok(Listing::Listed(route));
        };
        if route.class == Class::Local && self.is_always_there(&route.recipient) {
            return Ok(Listing::Listed(route));
        }
        if self.has_key(maps, &route.recipient, trace).await? {
            return Ok(Listing::Listed(route));
        }
        let table = match self.settings.classes.show_user_unknown_table_name {
            true => format!(" in {table}"),
            false => String::new(),
        };
        let status = Status(5, 1, if role == Role::Sender { 0 } else { 1 });
        Ok(Listing::Unlisted { route, status, text: format!("User unknown{table}").into() })
    }

    /// Nearly every address is complete as it was given.
    fn stays(&self, address: &Address) -> bool {
        let text = address.as_str();
        let plain = match self.completes_domains() {
            true => is_plain(text.as_bytes()),
            false => is_plain_as_it_is(text.as_bytes()),
        };
        plain && !self.is_mailer_daemon(text)
    }

    /// Who is replaced by another address is known, whoever that is.
    async fn is_replaced<T: Trace>(
        &self,
        address: &Address,
        role: Role,
        trace: &mut T,
    ) -> Result<bool, Temporary> {
        let rules = &self.settings.rewriting;
        let of_sender = role == Role::Sender;
        for (asked, parameter, list) in [
            (true, "recipient_canonical_maps", &rules.recipient_canonical_maps),
            (of_sender, "sender_canonical_maps", &rules.sender_canonical_maps),
            (true, "canonical_maps", &rules.canonical_maps),
            (true, "virtual_alias_maps", &rules.virtual_alias_maps),
        ] {
            if asked && self.has_key(Maps { parameter, list }, address, trace).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn recipient_maps(&self, class: Class) -> (Option<Maps<'_>>, &'static str) {
        let classes = &self.settings.classes;
        match class {
            Class::Local => {
                let list = &classes.local_recipient_maps;
                (Some(Maps { parameter: "local_recipient_maps", list }), "local recipient table")
            }
            Class::VirtualMailbox => {
                let list = &self.settings.mailbox.virtual_mailbox_maps;
                (Some(Maps { parameter: "virtual_mailbox_maps", list }), "virtual mailbox table")
            }
            Class::Relay => {
                let list = &classes.relay_recipient_maps;
                (Some(Maps { parameter: "relay_recipient_maps", list }), "relay recipient table")
            }
            Class::VirtualAlias | Class::Default => (None, ""),
        }
    }

    fn is_always_there(&self, address: &Address) -> bool {
        let local = address.local();
        let there = |name: &&str| local.eq_ignore_ascii_case(name);
        ALWAYS_THERE.iter().any(there) || there(&&*self.settings.classes.double_bounce_sender)
    }

    async fn has_key<T: Trace>(
        &self,
        maps: Maps<'_>,
        address: &Address,
        trace: &mut T,
    ) -> Result<bool, Temporary> {
        if maps.list.is_empty() {
            return Ok(false);
        }
        let address = address.as_str();
        let found = self.find(maps, VIRTUAL, Quoting::ExternalFirst, address, trace).await?;
        Ok(found.is_some())
    }
}

/// What is said of an address as a recipient differs from what is said of it as a sender (RFC 3463 section
/// 3.2; postfix `src/smtpd/smtpd_dsn_fix.c`): 5.1.6, a mailbox that has moved, is no word about a sender.
fn of_role(status: Status, role: Role) -> Status {
    let Status(class, 1, detail) = status else { return status };
    let detail = match (role, detail) {
        (Role::Recipient, 1..=6) => detail,
        (Role::Recipient, 7) => 3,
        (Role::Sender, 3 | 7) => 7,
        (Role::Recipient, 8) => 2,
        (Role::Sender, 2 | 8) => 8,
        _ => 0,
    };
    Status(class, 1, detail)
}

#[cfg(test)]
mod tests {
    use table::block_on;

    use super::*;
    use crate::Unwatched;
    use crate::testing::{address, rewriter};

    const TABLES: &str = "mydestination = local.example, mx.example.com\nrelay_domains = relay.example\n\
        virtual_alias_domains = alias.example\nvirtual_mailbox_domains = mbox.example\n\
        local_recipient_maps = inline:{ user=x }\nrelay_recipient_maps = inline:{ user@relay.example=x }\n\
        virtual_mailbox_maps = inline:{ user@mbox.example=x/ }\n\
        virtual_alias_maps = inline:{ user@alias.example=x@y.example, @catch.example=x@y.example }\n\
        recipient_canonical_maps = inline:{ old@relay.example=user@relay.example }\n\
        sender_canonical_maps = inline:{ sender@mbox.example=user@mbox.example }\n\
        transport_maps = inline:{ { w@mbox.example = retry:4.2.0 later } { f@mbox.example = error: } \
        { s@mbox.example = error:5.1.8 no } }\n\
        relocated_maps = inline:{ { moved@local.example = new@y.example } { user@alias.example = z } }\n";

    fn listing(recipient: &str, role: Role) -> String {
        let rewriter = rewriter(TABLES);
        let recipient = address(recipient);
        let listed = block_on(rewriter.listed(None, &recipient, role, &mut Unwatched));
        match listed.unwrap() {
            Listing::Listed(route) => format!("{} listed", route.class),
            Listing::Replaced(route) => format!("{} replaced", route.class),
            Listing::Unlisted { status, text, .. } => format!("{status} {text}"),
            Listing::Waiting { status, text, .. } => format!("{status} {text}"),
            Listing::Invalid => "invalid".to_owned(),
        }
    }

    #[test]
    fn each_class_has_its_table() {
        for (recipient, expected) in [
            ("user", "local listed"),
            ("USER+ext@local.example", "local listed"),
            ("other@local.example", "5.1.1 User unknown in local recipient table"),
            ("other@[192.0.2.1]", "5.1.1 User unknown in local recipient table"),
            ("PostMaster@local.example", "local listed"),
            ("double-bounce@local.example", "local listed"),
            ("user@relay.example", "relay listed"),
            ("old@relay.example", "relay replaced"),
            ("other@relay.example", "5.1.1 User unknown in relay recipient table"),
            ("user@mbox.example", "virtual mailbox listed"),
            ("postmaster@mbox.example", "5.1.1 User unknown in virtual mailbox table"),
            ("user@alias.example", "virtual alias replaced"),
            ("other@alias.example", "5.1.1 User unknown in virtual alias table"),
            ("any@catch.example", "default replaced"),
            ("any@other.example", "default listed"),
            ("w@mbox.example", "4.2.0 later"),
            ("f@mbox.example", "5.1.1 Address is undeliverable"),
            ("s@mbox.example", "5.1.2 no"),
            ("moved@local.example", "5.1.6 User has moved to new@y.example"),
            ("MOVED+ext@local.example", "5.1.6 User has moved to new@y.example"),
            ("u@1.2.3.4", "invalid"),
        ] {
            assert_eq!(listing(recipient, Role::Recipient), expected, "{recipient}");
        }
        assert_eq!(listing("sender@mbox.example", Role::Sender), "virtual mailbox replaced");
        let moved = "5.1.0 User has moved to new@y.example";
        assert_eq!(listing("moved@local.example", Role::Sender), moved);
        assert_eq!(listing("s@mbox.example", Role::Sender), "5.1.8 no");
        let unknown = "5.1.0 User unknown in virtual mailbox table";
        assert_eq!(listing("x@mbox.example", Role::Sender), unknown);
    }

    #[test]
    fn a_table_that_is_away_makes_nobody_unknown() {
        for (parameter, recipient) in [
            ("local_recipient_maps", "other@local.example"),
            ("relay_recipient_maps", "other@relay.example"),
            ("virtual_mailbox_maps", "other@mbox.example"),
            ("virtual_alias_maps", "other@alias.example"),
            ("canonical_maps", "other@alias.example"),
            ("relocated_maps", "user@relay.example"),
        ] {
            let rewriter = rewriter(&format!("{TABLES}{parameter} = texthash:/none\n"));
            let recipient = address(recipient);
            let listed =
                block_on(rewriter.listed(None, &recipient, Role::Recipient, &mut Unwatched));
            assert!(matches!(listed, Err(Temporary::Unavailable { .. })), "{parameter}");
        }
    }
}
