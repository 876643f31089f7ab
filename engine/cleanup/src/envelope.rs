//! The envelope side of cleanup: from the sender and recipients that a client gave to those that the queue
//! stores.
//!
//! The steps and their order are those of postfix `src/cleanup/cleanup_addr.c` and
//! `cleanup_out_recipient.c`: the sender is rewritten and copied, each recipient is rewritten, expanded and
//! copied, and who is there already is not there twice. What an address becomes, [`Addresses`] knows; a
//! table that cannot say ends it all, and the message is refused for now.

use std::collections::HashSet;
use std::future::Future;

use mail::{Address, Envelope, Notify, Recipient, Time};

use crate::outcome::Orders;
use crate::rules::Receive;

/// Whoever knows what becomes of addresses. Addresses that come out are complete.
pub trait Addresses {
    /// Why it cannot be known now.
    type Trouble;

    /// True where the address stays as it is, whatever it is and whatever it is for. It is only a short cut:
    /// who cannot tell says no.
    fn leaves(&self, address: &Address) -> bool;

    /// A sender, completed and mapped; `None` is the null sender. Without `maps` it is only completed.
    fn sender(
        &self,
        sender: Option<&Address>,
        maps: bool,
    ) -> impl Future<Output = Result<Option<Address>, Self::Trouble>>;

    /// A recipient, likewise, as far as that goes before aliases.
    fn recipient(
        &self,
        recipient: &Address,
        maps: bool,
    ) -> impl Future<Output = Result<Address, Self::Trouble>>;

    /// Those that a recipient stands for: itself, or what `virtual_alias_maps` have.
    fn expand(
        &self,
        recipient: &Address,
    ) -> impl Future<Output = Result<Vec<Address>, Self::Trouble>>;

    /// `sender_bcc_maps`
    fn copy_of_sender(
        &self,
        sender: &Address,
    ) -> impl Future<Output = Result<Option<Address>, Self::Trouble>>;

    /// `recipient_bcc_maps`
    fn copy_of_recipient(
        &self,
        recipient: &Address,
    ) -> impl Future<Output = Result<Option<Address>, Self::Trouble>>;

    /// `always_bcc`
    fn copy_of_all(&self) -> impl Future<Output = Result<Option<Address>, Self::Trouble>>;
}

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeRules {
    /// `duplicate_filter_limit`: recipients that are remembered; 0 is all of them.
    pub duplicate_filter_limit: usize,
    /// `enable_original_recipient`: the same mailbox under two names gets two copies, each with its name.
    pub enable_original_recipient: bool,
}

impl Default for EnvelopeRules {
    fn default() -> Self {
        Self { duplicate_filter_limit: 1000, enable_original_recipient: true }
    }
}

/// An envelope that is another one than was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// What the queue stores.
    pub envelope: Envelope,
    /// Recipients that wanted to hear of success and were replaced by others: their senders are told that
    /// they were expanded (RFC 3461 section 5.2.7.3), and of no success of those.
    pub expanded: Vec<Recipient>,
}

/// What becomes of an envelope; `None` where it stays as it is.
pub async fn envelope<A: Addresses>(
    addresses: &A,
    rules: EnvelopeRules,
    given: &Envelope,
    receive: Receive,
) -> Result<Option<Cleaned>, A::Trouble> {
    let alone = matches!(&*given.recipients, [_]);
    let mut all = given.sender.iter().chain(given.recipients.iter().map(|it| &it.address));
    if alone && all.all(|address| addresses.leaves(address)) {
        return Ok(None);
    }
    let maps = !receive.no_address_mappings;
    let sender = addresses.sender(given.sender.as_ref(), maps).await?;
    let mut list = List::new(addresses, rules, maps, given.recipients.len());
    if maps
        && let Some(sender) = &sender
        && let Some(copy) = addresses.copy_of_sender(sender).await?
    {
        list.copy(copy).await?;
    }
    for recipient in &given.recipients {
        let rewritten = addresses.recipient(&recipient.address, maps).await?;
        list.add(recipient, &rewritten).await?;
        if maps && let Some(copy) = addresses.copy_of_recipient(&rewritten).await? {
            list.copy(copy).await?;
        }
    }
    if maps
        && !given.recipients.is_empty()
        && let Some(copy) = addresses.copy_of_all().await?
    {
        list.copy(copy).await?;
    }
    let List { recipients, expanded, .. } = list;
    if sender == given.sender && recipients == given.recipients && expanded.is_empty() {
        return Ok(None);
    }
    let envelope = Envelope { sender, recipients, ..given.clone() };
    Ok(Some(Cleaned { envelope, expanded }))
}

/// Does what checks of content want of an envelope that has been cleaned and arrives now. HOLD is no part of it.
///
/// Copies (BCC) are recipients like any other. REDIRECT takes the place of the first recipient, and the others
/// are no more; its address is completed, and no table is asked for it (postfix `src/qmgr/qmgr_message.c`).
pub async fn apply_orders<A: Addresses>(
    addresses: &A,
    rules: EnvelopeRules,
    envelope: &mut Envelope,
    orders: &Orders,
    receive: Receive,
    arrival: Time,
) -> Result<(), A::Trouble> {
    if let Some(redirect) = &orders.redirect {
        let address = addresses.recipient(redirect, false).await?;
        envelope.recipients.truncate(1);
        if let Some(only) = envelope.recipients.first_mut() {
            let given = std::mem::replace(&mut only.address, address);
            only.original.get_or_insert(given);
        }
    } else if !orders.bcc.is_empty() {
        add_copies(addresses, rules, envelope, &orders.bcc, receive).await?;
    }
    if let Some(filter) = &orders.filter {
        envelope.filter = Some(filter.clone());
    }
    if let Some(secs) = orders.delay_secs {
        let until = arrival.0.saturating_add(secs.saturating_mul(1_000_000));
        envelope.not_before = Some(Time(until));
    }
    Ok(())
}

async fn add_copies<A: Addresses>(
    addresses: &A,
    rules: EnvelopeRules,
    envelope: &mut Envelope,
    copies: &[Address],
    receive: Receive,
) -> Result<(), A::Trouble> {
    let maps = !receive.no_address_mappings;
    let mut list = List::new(addresses, rules, maps, copies.len());
    for recipient in &envelope.recipients {
        list.known.is_new(recipient);
    }
    for copy in copies {
        let copy = addresses.recipient(copy, maps).await?;
        list.copy(copy).await?;
    }
    envelope.recipients.append(&mut list.recipients);
    Ok(())
}

/// Recipients as they come together.
struct List<'a, A> {
    addresses: &'a A,
    maps: bool,
    known: Known,
    recipients: Vec<Recipient>,
    expanded: Vec<Recipient>,
}

impl<'a, A: Addresses> List<'a, A> {
    fn new(addresses: &'a A, rules: EnvelopeRules, maps: bool, expected: usize) -> Self {
        let known = Known { rules, seen: HashSet::new() };
        let recipients = Vec::with_capacity(expected);
        Self { addresses, maps, known, recipients, expanded: Vec::new() }
    }

    /// A recipient that was given, and has become `rewritten`.
    async fn add(&mut self, given: &Recipient, rewritten: &Address) -> Result<(), A::Trouble> {
        let into = match self.maps {
            true => self.addresses.expand(rewritten).await?,
            false => vec![rewritten.clone()],
        };
        let mut notify = given.notify;
        let replaced = !matches!(&*into, [only] if only == rewritten);
        if replaced && let Some(wanted) = notify.filter(|it| it.success) {
            self.expanded.push(Recipient { address: rewritten.clone(), ..given.clone() });
            let left = Notify { success: false, ..wanted };
            let nothing = left == Notify::default();
            notify = Some(Notify { never: nothing, ..left });
        }
        let original = given.original.as_ref().unwrap_or(&given.address);
        for address in into {
            let original = (*original != address).then(|| original.clone());
            let orcpt = given.orcpt.clone();
            self.push(Recipient { address, original, orcpt, notify });
        }
        Ok(())
    }

    /// A copy, of which nobody is to hear.
    async fn copy(&mut self, address: Address) -> Result<(), A::Trouble> {
        let notify = Some(Notify { never: true, ..Notify::default() });
        let copy = Recipient { notify, ..Recipient::new(address.clone()) };
        self.add(&copy, &address).await
    }

    fn push(&mut self, recipient: Recipient) {
        if self.known.is_new(&recipient) {
            self.recipients.push(recipient);
        }
    }
}

/// Recipients that are there already (postfix `src/global/been_here.c`).
struct Known {
    rules: EnvelopeRules,
    seen: HashSet<Box<str>>,
}

impl Known {
    /// Case makes no difference here. Beyond the limit nothing more is remembered, and a recipient may be
    /// there twice.
    fn is_new(&mut self, recipient: &Recipient) -> bool {
        let address = recipient.address.as_str();
        let key = match self.rules.enable_original_recipient {
            false => address.to_lowercase(),
            true => {
                let original = recipient.original.as_ref().map_or(address, Address::as_str);
                let orcpt = recipient.orcpt.as_deref().unwrap_or_default();
                format!("{orcpt}\n{:?}\n{original}\n{address}", recipient.notify).to_lowercase()
            }
        };
        if self.seen.contains(&*key) {
            return false;
        }
        let limit = self.rules.duplicate_filter_limit;
        if limit == 0 || self.seen.len() < limit {
            self.seen.insert(key.into());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use mail::{Body, Client, Protocol};
    use table::block_on;

    use super::*;

    /// `old` becomes `new`; `list` is `a`, `b` and `a`; `away` cannot be known; `copied` is copied.
    struct Fixed {
        always: Option<&'static str>,
    }

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Away;

    impl Addresses for Fixed {
        type Trouble = Away;

        fn leaves(&self, address: &Address) -> bool {
            self.always.is_none() && address.local() == "plain"
        }

        async fn sender(
            &self,
            sender: Option<&Address>,
            maps: bool,
        ) -> Result<Option<Address>, Away> {
            match sender {
                Some(sender) => self.recipient(sender, maps).await.map(Some),
                None => Ok(None),
            }
        }

        async fn recipient(&self, recipient: &Address, maps: bool) -> Result<Address, Away> {
            Ok(match recipient.as_str() {
                "away@x.example" => return Err(Away),
                "old@x.example" if maps => address("new@x.example"),
                bare if !bare.contains('@') => address(&format!("{bare}@x.example")),
                other => address(other),
            })
        }

        async fn expand(&self, recipient: &Address) -> Result<Vec<Address>, Away> {
            Ok(match recipient.as_str() {
                "list@x.example" => {
                    ["a@x.example", "b@x.example", "A@x.example"].map(address).into()
                }
                other => vec![address(other)],
            })
        }

        async fn copy_of_sender(&self, sender: &Address) -> Result<Option<Address>, Away> {
            self.copy_of_recipient(sender).await
        }

        async fn copy_of_recipient(&self, recipient: &Address) -> Result<Option<Address>, Away> {
            let copied = recipient.local() == "copied";
            Ok(copied.then(|| address("copy@x.example")))
        }

        async fn copy_of_all(&self) -> Result<Option<Address>, Away> {
            Ok(self.always.map(address))
        }
    }

    fn given(sender: &str, recipients: &[&str]) -> Envelope {
        Envelope {
            sender: (!sender.is_empty()).then(|| address(sender)),
            recipients: recipients.iter().map(|it| Recipient::new(address(it))).collect(),
            arrival: Time::default(),
            client: Client {
                name: "localhost".into(),
                address: None,
                helo: "".into(),
                protocol: Protocol::Local,
            },
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            filter: None,
            not_before: None,
        }
    }

    /// `sender: recipient(original) ...`, `=` where nothing changes.
    fn cleaned(given: &Envelope, rules: EnvelopeRules, receive: Receive) -> String {
        let fixed = Fixed { always: None };
        let Ok(cleaned) = block_on(envelope(&fixed, rules, given, receive)) else {
            return "away".to_owned();
        };
        let Some(Cleaned { envelope, expanded }) = cleaned else { return "=".to_owned() };
        let mut text = envelope.sender.as_ref().map_or("<>", Address::as_str).to_owned() + ":";
        for recipient in &envelope.recipients {
            text += &format!(" {}", recipient.address);
            if let Some(original) = &recipient.original {
                text += &format!("({original})");
            }
            if let Some(notify) = recipient.notify {
                text += if notify.never { "-" } else { "+" };
            }
        }
        for recipient in &expanded {
            text += &format!(" expanded {}", recipient.address);
        }
        text.replace("@x.example", "")
    }

    fn check(sender: &str, recipients: &[&str], expected: &str) {
        let given = given(sender, recipients);
        assert_eq!(cleaned(&given, EnvelopeRules::default(), Receive::default()), expected);
    }

    #[test]
    fn recipients_are_rewritten_expanded_and_remembered_by_their_names() {
        check("plain@x.example", &["plain@x.example"], "=");
        check("plain@x.example", &["plain@x.example", "other@x.example"], "=");
        check("old@x.example", &["old@x.example"], "new: new(old)");
        check("", &["bare"], "<>: bare(bare)");
        // The third is the first in another case.
        check("s@x.example", &["list@x.example"], "s: a(list) b(list)");
        // Under another name it is another one.
        check("s@x.example", &["a@x.example", "list@x.example"], "s: a a(list) b(list)");
        check("s@x.example", &["b@x.example", "B@x.example"], "s: b");
        check("s@x.example", &["away@x.example"], "away");
    }

    #[test]
    fn copies_come_in_postfixs_order_and_tell_nobody() {
        check("copied@x.example", &["a@x.example"], "copied: copy- a");
        check("s@x.example", &["copied@x.example", "a@x.example"], "s: copied copy- a");
        let rules = EnvelopeRules::default();
        let given = given("s@x.example", &["a@x.example"]);
        let always = Fixed { always: Some("all@x.example") };
        let cleaned = block_on(envelope(&always, rules, &given, Receive::default()));
        let recipients = cleaned.unwrap().unwrap().envelope.recipients;
        assert_eq!(recipients.len(), 2);
        assert_eq!(recipients[1].address, address("all@x.example"));
    }

    #[test]
    fn without_original_recipients_a_mailbox_gets_one_copy() {
        let rules = EnvelopeRules { enable_original_recipient: false, ..EnvelopeRules::default() };
        let given = given("s@x.example", &["a@x.example", "list@x.example"]);
        assert_eq!(cleaned(&given, rules, Receive::default()), "s: a b(list)");
    }

    #[test]
    fn without_mappings_addresses_are_only_completed() {
        let receive = Receive { no_address_mappings: true, ..Receive::default() };
        let given =
            given("copied@x.example", &["old@x.example", "list@x.example", "copied@x.example"]);
        assert_eq!(cleaned(&given, EnvelopeRules::default(), receive), "=");
    }

    #[test]
    fn who_wants_to_hear_of_success_hears_of_the_expansion() {
        for (notify, left) in [
            (Notify { success: true, ..Notify::default() }, "-"),
            (Notify { success: true, failure: true, ..Notify::default() }, "+"),
        ] {
            let mut given = given("s@x.example", &["list@x.example"]);
            given.recipients[0].notify = Some(notify);
            assert_eq!(
                cleaned(&given, EnvelopeRules::default(), Receive::default()),
                format!("s: a(list){left} b(list){left} expanded list")
            );
        }
    }

    #[test]
    fn so_many_recipients_are_remembered() {
        let names: Vec<String> = (0..10).map(|n| format!("user{n}@x.example")).collect();
        let twice: Vec<&str> = names.iter().chain(&names).map(String::as_str).collect();
        for (limit, stored) in [(0, 10), (10, 10), (4, 16), (1000, 10)] {
            let rules = EnvelopeRules { duplicate_filter_limit: limit, ..EnvelopeRules::default() };
            let given = given("s@x.example", &twice);
            let fixed = Fixed { always: None };
            let cleaned = block_on(envelope(&fixed, rules, &given, Receive::default()));
            assert_eq!(cleaned.unwrap().unwrap().envelope.recipients.len(), stored, "{limit}");
        }
    }

    /// What is left of two recipients when checks want this.
    fn ordered(orders: &Orders, receive: Receive) -> Result<Envelope, Away> {
        let mut envelope = given("s@x.example", &["a@x.example", "c@x.example"]);
        let fixed = Fixed { always: None };
        let rules = EnvelopeRules { enable_original_recipient: false, ..EnvelopeRules::default() };
        let arrival = Time(1_000_000);
        block_on(apply_orders(&fixed, rules, &mut envelope, orders, receive, arrival))?;
        Ok(envelope)
    }

    fn to(envelope: &Envelope) -> Vec<&str> {
        envelope.recipients.iter().map(|it| it.address.as_str()).collect()
    }

    #[test]
    fn copies_that_checks_want_are_recipients_like_any_other_and_added_once() {
        let copies = ["list@x.example", "list@x.example", "old@x.example", "bare"].map(address);
        let orders = Orders { bcc: copies.into(), ..Orders::default() };
        let copied = ordered(&orders, Receive::default()).unwrap();
        assert_eq!(
            to(&copied),
            ["a@x.example", "c@x.example", "b@x.example", "new@x.example", "bare@x.example"]
        );
        assert!(copied.recipients[2..].iter().all(|it| it.notify.is_some_and(|it| it.never)));
        let receive = Receive { no_address_mappings: true, ..Receive::default() };
        let copied = ordered(&orders, receive).unwrap();
        assert_eq!(to(&copied)[2..], ["list@x.example", "old@x.example", "bare@x.example"]);
        let orders = Orders { bcc: vec![address("away@x.example")], ..Orders::default() };
        assert_eq!(ordered(&orders, Receive::default()), Err(Away));
    }

    #[test]
    fn redirected_mail_goes_to_one_completed_address_and_no_alias_of_it() {
        for (redirect, only) in [("bare", "bare@x.example"), ("list@x.example", "list@x.example")] {
            let orders = Orders {
                redirect: Some(address(redirect)),
                bcc: vec![address("copy@x.example")],
                ..Orders::default()
            };
            let redirected = ordered(&orders, Receive::default()).unwrap();
            assert_eq!(to(&redirected), [only]);
            assert_eq!(redirected.recipients[0].original, Some(address("a@x.example")));
        }
    }

    #[test]
    fn delays_and_filters_are_the_envelopes() {
        let filter = Some("smtp:x".into());
        let orders = Orders { filter: filter.clone(), delay_secs: Some(5), ..Orders::default() };
        let changed = ordered(&orders, Receive::default()).unwrap();
        assert_eq!((changed.filter, changed.not_before), (filter, Some(Time(6_000_000))));
    }
}
