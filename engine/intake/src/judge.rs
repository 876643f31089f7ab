//! Who may send what to whom: the answers to the dialogue's questions.

use config::Snapshot;
use mail::{Address, Status};
use rewrite::{Class, Listing, Rewriter, Role, Route, Temporary, Unwatched};
use wire::{Refusal, Verdict};

/// What a service knows of recipients.
pub(crate) struct Recipients<'a> {
    pub(crate) rewriter: &'a Rewriter,
    pub(crate) transports: &'a Transports,
}

/// The services that deliver.
#[derive(Clone, Debug, Default)]
pub struct Transports {
    names: Box<[Box<str>]>,
}

impl Transports {
    /// Those that have an agent here.
    pub fn new(names: impl IntoIterator<Item = Box<str>>) -> Self {
        Self { names: names.into_iter().collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|it| **it == *name)
    }
}

impl Recipients<'_> {
    /// May mail for `recipient` be accepted?
    ///
    /// The address is quoted as the client gave it; what is looked up is what it becomes. A table that
    /// cannot be asked is an error: the client is told to come back, and the log why.
    pub(crate) async fn judge(
        &self,
        sender: Option<&Address>,
        recipient: &Address,
    ) -> Result<Verdict, Temporary> {
        let settings = &**self.rewriter.settings();
        let listing =
            self.rewriter.listed(sender, recipient, Role::Recipient, &mut Unwatched).await?;
        let route = match listing {
            Listing::Invalid => {
                let text = format!("<{recipient}>: Recipient address rejected: Bad address syntax");
                return Ok(refuse(501, Status(5, 1, 3), text));
            }
            Listing::Waiting { route, status, text } => {
                if self.is_foreign(&route) {
                    return Ok(foreign(recipient, settings));
                }
                if self.asks_for_unknown(settings) {
                    let text = format!("<{recipient}>: Recipient address rejected: {text}");
                    return Ok(refuse(450, status, text));
                }
                route
            }
            Listing::Unlisted { route, status, text } => {
                if self.is_foreign(&route) {
                    return Ok(foreign(recipient, settings));
                }
                if self.asks_for_unknown(settings) {
                    return Ok(unknown(recipient, &route, status, &text, settings));
                }
                route
            }
            // It goes where the other address goes, which is not known yet.
            Listing::Replaced(route)
                if !settings.content.receive_override_options.no_address_mappings =>
            {
                return Ok(match self.is_foreign(&route) {
                    true => foreign(recipient, settings),
                    false => Verdict::Accept,
                });
            }
            Listing::Replaced(route) | Listing::Listed(route) => route,
        };
        if self.is_foreign(&route) {
            return Ok(foreign(recipient, settings));
        }
        if self.asks_for_unknown(settings) && is_without_mailbox(&route, settings) {
            let (status, text) = (Status(5, 1, 1), "User unknown in virtual mailbox table");
            return Ok(unknown(recipient, &route, status, text, settings));
        }
        // It is ours, and there is no agent that could deliver it. That is no reason to turn mail away for
        // good. Who is an alias may have gone elsewhere by then.
        if route.class != Class::VirtualAlias && !self.transports.has(&route.transport) {
            let transport = &route.transport;
            let text = format!(
                "<{recipient}>: Recipient address rejected: mail transport \"{transport}\" is not available"
            );
            return Ok(refuse(451, Status(4, 3, 5), text));
        }
        Ok(Verdict::Accept)
    }

    /// Mail for others (postfix `src/smtpd/smtpd_check.c`, `permit_auth_destination`): their domain is none
    /// of ours, or the address asks us to send it on.
    fn is_foreign(&self, route: &Route<'_>) -> bool {
        let routes = route.routed && !self.rewriter.settings().routing.allow_untrusted_routing;
        route.class == Class::Default || routes
    }

    fn asks_for_unknown(&self, settings: &Snapshot) -> bool {
        settings.smtpd.smtpd_reject_unlisted_recipient
            && !settings.content.receive_override_options.no_unknown_recipient_checks
    }
}

/// Without a table of users the template says who has a mailbox; without either, as in Postfix, virtual(8) is
/// the one who finds out.
fn is_without_mailbox(route: &Route<'_>, settings: &Snapshot) -> bool {
    let mailbox = &settings.mailbox;
    let template = &mailbox.virtual_mailbox_template;
    route.class == Class::VirtualMailbox
        && mailbox.virtual_mailbox_maps.is_empty()
        && !template.is_empty()
        && template.path(&route.recipient, &mailbox.recipient_delimiter).is_err()
}

fn foreign(recipient: &Address, settings: &Snapshot) -> Verdict {
    let code = settings.smtpd.relay_domains_reject_code.0;
    refuse(code, Status(5, 7, 1), format!("<{recipient}>: Relay access denied"))
}

fn unknown(
    recipient: &Address,
    route: &Route<'_>,
    status: Status,
    text: &str,
    settings: &Snapshot,
) -> Verdict {
    let smtpd = &settings.smtpd;
    let code = match route.class {
        // Whoever has moved, or whose mail a table sends to `error`, is not unknown, and the codes for those
        // who are do not hold (postfix `src/smtpd/smtpd_check.c`, `check_rcpt_maps`).
        class if &*route.transport == "error" && class != Class::VirtualAlias => 550,
        Class::Local => smtpd.unknown_local_recipient_reject_code.0,
        Class::VirtualAlias => smtpd.unknown_virtual_alias_reject_code.0,
        Class::VirtualMailbox => smtpd.unknown_virtual_mailbox_reject_code.0,
        Class::Relay => smtpd.unknown_relay_recipient_reject_code.0,
        Class::Default => 550,
    };
    refuse(code, status, format!("<{recipient}>: Recipient address rejected: {text}"))
}

/// The class of an enhanced status follows that of the reply code (RFC 3463 section 2).
fn refuse(code: u16, status: Status, text: String) -> Verdict {
    let class = if code >= 500 { 5 } else { 4 };
    Verdict::Refuse(Refusal::new(code, Status(class, status.1, status.2), text))
}
