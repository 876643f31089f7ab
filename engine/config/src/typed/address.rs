//! Types of the parameters that say what becomes of an address.

use table::{Table, Tables};

use super::{FromText, Typed};
use crate::reader::Reader;
use crate::row::Row;

/// Where an address stands, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// MAIL FROM.
    EnvelopeSender,
    /// RCPT TO.
    EnvelopeRecipient,
    /// From, Sender, Reply-To and the like.
    HeaderSender,
    /// To, Cc and the like.
    HeaderRecipient,
}

impl AddressKind {
    const ALL: [(&'static str, Self); 4] = [
        ("envelope_sender", Self::EnvelopeSender),
        ("envelope_recipient", Self::EnvelopeRecipient),
        ("header_sender", Self::HeaderSender),
        ("header_recipient", Self::HeaderRecipient),
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const SENDERS: u8 = AddressKind::EnvelopeSender.bit() | AddressKind::HeaderSender.bit();
const RECIPIENTS: u8 = AddressKind::EnvelopeRecipient.bit() | AddressKind::HeaderRecipient.bit();

/// A set of [`AddressKind`]s, of those that `ALLOWED` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds<const ALLOWED: u8>(u8);

/// `canonical_classes`: any kinds.
pub type AddressKinds = Kinds<{ SENDERS | RECIPIENTS }>;

/// `sender_canonical_classes`: kinds of senders.
pub type SenderKinds = Kinds<SENDERS>;

/// `recipient_canonical_classes`: kinds of recipients.
pub type RecipientKinds = Kinds<RECIPIENTS>;

impl<const ALLOWED: u8> Kinds<ALLOWED> {
    /// Whether this kind is in the set.
    pub const fn has(self, kind: AddressKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

impl<const ALLOWED: u8> FromText for Kinds<ALLOWED> {
    const KIND: &'static str = "list of address kinds";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let allowed = || AddressKind::ALL.iter().filter(|(_, kind)| kind.bit() & ALLOWED != 0);
        set(text, &|item| {
            allowed().find(|(name, _)| name.eq_ignore_ascii_case(item)).map(|(_, kind)| kind.bit())
        })
        .map(Self)
        .ok_or_else(|| one_of(allowed().map(|(name, _)| *name)))
    }
}

/// What passes an extension on to what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// canonical_maps and its like.
    Canonical,
    /// virtual_alias_maps.
    Virtual,
    /// alias_maps.
    Alias,
    /// `.forward` files.
    Forward,
    /// `:include:` files.
    Include,
    /// smtp_generic_maps.
    Generic,
}

/// `propagate_unmatched_extensions`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions(u8);

impl Extensions {
    const ALL: [(&'static str, Extension); 6] = [
        ("canonical", Extension::Canonical),
        ("virtual", Extension::Virtual),
        ("alias", Extension::Alias),
        ("forward", Extension::Forward),
        ("include", Extension::Include),
        ("generic", Extension::Generic),
    ];

    /// Whether this one passes extensions on.
    pub const fn has(self, extension: Extension) -> bool {
        self.0 & (1 << extension as u8) != 0
    }
}

impl FromText for Extensions {
    const KIND: &'static str = "list of canonical, virtual, alias, forward, include, generic";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        set(text, &|item| {
            let found = Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(item));
            found.map(|(_, extension)| 1 << *extension as u8)
        })
        .map(Self)
        .ok_or_else(|| one_of(Self::ALL.iter().map(|(name, _)| *name)))
    }
}

pub(super) fn set(text: &str, bit: &dyn Fn(&str) -> Option<u8>) -> Option<u8> {
    cf::items(text).try_fold(0, |set, item| Some(set | bit(item)?))
}

pub(super) fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = names.collect();
    format!("a list of {}", names.join(", "))
}

/// `transport`, or `transport:nexthop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The service of master.cf that delivers.
    pub name: Box<str>,
    /// Where it delivers to, instead of what follows from the recipient.
    pub nexthop: Option<Box<str>>,
}

impl Transport {
    /// Splits at the first colon; `None` where there is no transport.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, nexthop) = text.split_once(':').unwrap_or((text, ""));
        let nexthop = (!nexthop.is_empty()).then(|| nexthop.into());
        (!name.is_empty()).then(|| Self { name: name.into(), nexthop })
    }
}

impl FromText for Transport {
    const KIND: &'static str = "transport or transport:nexthop";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| "transport or transport:nexthop".to_owned())
    }
}

/// One reason to rewrite a client's headers as those of local mail.
#[derive(Clone, Debug, PartialEq)]
pub enum RewriteClient {
    /// The host's own addresses.
    InetInterfaces,
    /// `mynetworks`
    Mynetworks,
    /// Who has logged in.
    SaslAuthenticated,
    /// Whose TLS certificate is in `relay_clientcerts`.
    TlsClientcerts,
    /// Who has a TLS certificate that can be verified.
    TlsAllClientcerts,
    /// Whose address is a key of this table.
    AddressMap(Table),
}

/// `local_header_rewrite_clients`
#[derive(Clone, Debug, PartialEq)]
pub struct RewriteClients(Box<[RewriteClient]>);

impl RewriteClients {
    /// In their order.
    pub fn list(&self) -> &[RewriteClient] {
        &self.0
    }
}

/// A word of the list, before its table is opened.
enum Word<'a> {
    Known(RewriteClient),
    Table(&'a str),
}

fn words(text: &str) -> Result<Vec<Word<'_>>, String> {
    let mut words = Vec::new();
    let mut items = cf::items(text);
    while let Some(item) = items.next() {
        let is = |name: &str| item.eq_ignore_ascii_case(name);
        words.push(if is("permit_inet_interfaces") {
            Word::Known(RewriteClient::InetInterfaces)
        } else if is("permit_mynetworks") {
            Word::Known(RewriteClient::Mynetworks)
        } else if is("permit_sasl_authenticated") {
            Word::Known(RewriteClient::SaslAuthenticated)
        } else if is("permit_tls_clientcerts") {
            Word::Known(RewriteClient::TlsClientcerts)
        } else if is("permit_tls_all_clientcerts") {
            Word::Known(RewriteClient::TlsAllClientcerts)
        } else if is("check_address_map") {
            Word::Table(items.next().ok_or("type:table after check_address_map")?)
        } else if item.contains(':') {
            Word::Table(item)
        } else {
            return Err("permit_inet_interfaces, permit_mynetworks, permit_sasl_authenticated, \
                        permit_tls_clientcerts, permit_tls_all_clientcerts, \
                        check_address_map type:table or type:table, any number of them"
                .to_owned());
        });
    }
    Ok(words)
}

fn opened(text: &str, tables: &Tables<'_>) -> Result<RewriteClients, String> {
    let open = |word| match word {
        Word::Known(client) => client,
        Word::Table(name) => RewriteClient::AddressMap(tables.open(name)),
    };
    Ok(RewriteClients(words(text)?.into_iter().map(open).collect()))
}

impl Typed for RewriteClients {
    const KIND: &'static str = "list of restrictions";

    fn check(text: &str, _: &Row) -> Result<(), String> {
        words(text).map(drop)
    }

    fn read(reader: &mut Reader<'_>, row: &Row) -> Option<Self> {
        let tables = reader.tables();
        let clients = reader.parse(row, false, |text| opened(text, tables))?;
        for client in clients.list() {
            if let RewriteClient::AddressMap(table) = client {
                let trouble = table.trouble().map(|trouble| trouble.to_string());
                let notes = table.notes().into_iter().map(|note| note.to_string());
                trouble.into_iter().chain(notes).for_each(|note| reader.warn(row, note));
            }
        }
        Some(clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::built;
    use crate::{Severity, rows};

    fn check(name: &str, text: &str) -> Result<(), String> {
        let row = rows().find(|row| row.name == name).expect("a row");
        (row.check)(text, row)
    }

    #[test]
    fn each_list_says_what_may_be_on_it() {
        for (name, good, bad, allowed) in [
            (
                "sender_canonical_classes",
                "envelope_sender",
                "envelope_recipient",
                "a list of envelope_sender, header_sender",
            ),
            (
                "propagate_unmatched_extensions",
                "canonical, INCLUDE",
                "canonicals",
                "a list of canonical, virtual, alias, forward, include, generic",
            ),
            (
                "local_transport",
                "smtp:[mx.example]:25",
                ":mx.example",
                "transport or transport:nexthop",
            ),
            (
                "local_header_rewrite_clients",
                "permit_inet_interfaces, cidr:/x check_address_map hash:/y",
                "check_address_map",
                "type:table after check_address_map",
            ),
        ] {
            assert_eq!(check(name, good), Ok(()), "{name}");
            assert_eq!(check(name, bad), Err(allowed.to_owned()), "{name}");
        }
        assert!(check("local_header_rewrite_clients", "permit").is_err());
    }

    #[test]
    fn sets_and_transports_are_what_is_written() {
        let settings = built(
            "canonical_classes = header_sender\nvirtual_transport = lmtp:unix:private/lmtp\n\
             local_header_rewrite_clients = static:all, permit_mynetworks\n",
        )
        .expect("a good configuration");
        let rewriting = &settings.rewriting;
        assert!(rewriting.canonical_classes.has(AddressKind::HeaderSender));
        assert!(!rewriting.canonical_classes.has(AddressKind::HeaderRecipient));
        assert!(rewriting.propagate_unmatched_extensions.has(Extension::Virtual));
        assert!(!rewriting.propagate_unmatched_extensions.has(Extension::Generic));
        let nexthop = settings.routing.virtual_transport.nexthop.as_deref();
        assert_eq!(
            (&*settings.routing.virtual_transport.name, nexthop),
            ("lmtp", Some("unix:private/lmtp"))
        );
        let clients = rewriting.local_header_rewrite_clients.list();
        assert!(matches!(clients[0], RewriteClient::AddressMap(_)));
        assert_eq!(clients[1], RewriteClient::Mynetworks);
    }

    #[test]
    fn a_broken_table_is_told_of_once_however_many_parameters_have_it() {
        let settings = built("virtual_alias_maps = hash:/none\n").expect("it may come back");
        let of_table = |problem: &&crate::Problem| problem.to_string().contains("/none");
        assert_eq!(settings.warnings().iter().filter(of_table).count(), 1);
        assert_eq!(settings.warnings()[0].severity, Severity::Warning);
    }
}
