//! Who may send what to whom: the answers to the dialogue's questions.

use std::sync::Arc;

use config::Snapshot;
use mail::{Address, Status};
use table::Trouble;
use wire::{Refusal, Verdict};

/// The address that mail for `address` goes to: one without a domain is at `myorigin`
/// (RFC 5321 section 4.1.1.3: postmaster).
pub(crate) fn complete(address: &Address, settings: &Snapshot) -> Option<Address> {
    if !address.domain().is_empty() {
        return None;
    }
    let completed = format!("{}@{}", address.as_str(), settings.site.myorigin);
    Address::parse(completed.as_bytes()).ok()
}

/// May mail for `recipient` be accepted?
///
/// The address is quoted as the client gave it; what is looked up is the completed one. A table that
/// cannot be asked is an error: the client is told to come back, and the log why.
pub(crate) async fn recipient(
    recipient: &Address,
    settings: &Snapshot,
) -> Result<Verdict, Arc<Trouble>> {
    let completed = complete(recipient, settings);
    let address = completed.as_ref().unwrap_or(recipient);
    let mailbox = &settings.mailbox;
    // A trailing dot makes no other domain (RFC 1034 section 3.1).
    let domain = address.domain().trim_end_matches('.');
    if !mailbox.virtual_mailbox_domains.has(domain).await.known()? {
        return foreign(recipient, domain, settings).await;
    }
    if settings.content.receive_override_options.no_unknown_recipient_checks {
        return Ok(Verdict::Accept);
    }
    // user%other@here, "user@other"@here and user!other@here ask us to send mail on to `other`: with
    // nobody of that name here they are unknown users like any other.
    if mailbox.virtual_mailbox_maps.is_empty() {
        let (template, delimiters) =
            (&mailbox.virtual_mailbox_template, &mailbox.recipient_delimiter);
        // Postfix too: without a list of users, virtual(8) is the one who finds out.
        let accepts = template.is_empty() || template.path(address, delimiters).is_ok();
        return Ok(if accepts { Verdict::Accept } else { unknown_user(recipient, settings) });
    }
    let delimiters = &mailbox.recipient_delimiter;
    let users = &mailbox.virtual_mailbox_maps;
    let found = users.find(table::order::VIRTUAL, address.as_str(), delimiters).await.found()?;
    Ok(if found.is_some() { Verdict::Accept } else { unknown_user(recipient, settings) })
}

fn unknown_user(recipient: &Address, settings: &Snapshot) -> Verdict {
    let code = settings.smtpd.unknown_virtual_mailbox_reject_code.0;
    let text =
        format!("<{recipient}>: Recipient address rejected: User unknown in virtual mailbox table");
    Verdict::Refuse(Refusal::new(code, Status(class(code), 1, 1), text))
}

/// A domain that is not a virtual one.
async fn foreign(
    recipient: &Address,
    domain: &str,
    settings: &Snapshot,
) -> Result<Verdict, Arc<Trouble>> {
    if settings.site.mydestination.has(domain).await.known()? {
        // It is ours, and there is no agent yet that could deliver it. That is no reason to turn mail
        // away for good.
        let text =
            format!("<{recipient}>: Recipient address rejected: local delivery is not available");
        return Ok(Verdict::Refuse(Refusal::new(451, Status(4, 3, 5), text)));
    }
    let code = settings.smtpd.relay_domains_reject_code.0;
    let text = format!("<{recipient}>: Relay access denied");
    Ok(Verdict::Refuse(Refusal::new(code, Status(class(code), 7, 1), text)))
}

/// The class of an enhanced status follows that of the reply code (RFC 3463 section 2).
fn class(code: u16) -> u8 {
    if code >= 500 { 5 } else { 4 }
}
