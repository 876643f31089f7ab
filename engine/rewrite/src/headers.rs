//! Addresses in headers (postfix `src/cleanup/cleanup_message.c`).

use std::borrow::Cow;

use config::AddressKind;
use mail::rfc5322::AddressList;

use crate::rewriter::{Mapping, Rewriter};
use crate::temporary::Temporary;
use crate::trace::Trace;
use crate::trivial::{Origin, completed};

/// Whose addresses a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRole {
    /// Addresses that something comes from, or replies go to.
    Sender,
    /// Addresses that something goes to.
    Recipient,
}

/// postfix `src/global/header_opts.c`
const SENDERS: [&str; 10] = [
    "Disposition-Notification-To",
    "Errors-To",
    "From",
    "Mail-Followup-To",
    "Reply-To",
    "Resent-From",
    "Resent-Sender",
    "Return-Path",
    "Return-Receipt-To",
    "Sender",
];

/// The same file; Resent-Reply-To is among them there, too.
const RECIPIENTS: [&str; 8] =
    ["Apparently-To", "Bcc", "Cc", "Resent-Bcc", "Resent-Cc", "Resent-Reply-To", "Resent-To", "To"];

impl HeaderRole {
    /// Of a header's name; `None` where it has no addresses that are rewritten.
    pub fn of(name: &[u8]) -> Option<Self> {
        let has = |names: &[&str]| names.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()));
        match name {
            _ if has(&SENDERS) => Some(Self::Sender),
            _ if has(&RECIPIENTS) => Some(Self::Recipient),
            _ => None,
        }
    }
}

/// Whether a message's headers are ours to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderContext {
    /// As those of local mail, see [`Rewriter::rewrites_headers_of`].
    Local,
    /// With `remote_header_rewrite_domain`, and not at all where it is empty.
    Remote,
}

impl Rewriter {
    /// Whether [`Self::header`] changes anything in such a message, so that headers need not be taken apart
    /// for nothing.
    pub fn rewrites_headers(&self, context: HeaderContext) -> bool {
        self.origin(context).is_some()
    }

    /// One address in external form, completed and nothing else.
    pub fn completed<'t, T: Trace>(
        &self,
        context: HeaderContext,
        external: &'t [u8],
        trace: &mut T,
    ) -> Cow<'t, [u8]> {
        match self.origin(context) {
            Some(origin) => completed(origin, external, trace),
            None => Cow::Borrowed(external),
        }
    }

    /// The whole header with its addresses rewritten: name, colon, value, lines ended by LF but for the last
    /// one. `value` is what follows the colon, with its continuation lines. `None` where it stays as it is.
    ///
    /// An address that is not UTF-8 is completed, but no table is asked for it.
    pub async fn header<T: Trace>(
        &self,
        role: HeaderRole,
        context: HeaderContext,
        mapping: Mapping,
        name: &[u8],
        value: &[u8],
        trace: &mut T,
    ) -> Result<Option<Vec<u8>>, Temporary> {
        let Some(origin) = self.origin(context) else { return Ok(None) };
        let kind = match role {
            HeaderRole::Sender => AddressKind::HeaderSender,
            HeaderRole::Recipient => AddressKind::HeaderRecipient,
        };
        let rules = &self.settings.rewriting;
        rewritten(name, value, rules.header_address_token_limit, async |external: &[u8]| {
            let completed = completed(origin, external, trace);
            let Ok(text) = std::str::from_utf8(&completed) else {
                return Ok(Some(completed.into_owned()));
            };
            let canonical = self.canonical(Cow::Borrowed(text), kind, mapping, trace).await?;
            Ok((canonical.as_bytes() != external).then(|| canonical.as_bytes().to_vec()))
        })
        .await
    }

    fn origin(&self, context: HeaderContext) -> Option<Origin<'_>> {
        match context {
            HeaderContext::Local => Some(self.trivial().local_origin()),
            // Whether at all is this service's to say (postfix `src/cleanup/cleanup_envelope.c`).
            HeaderContext::Remote => {
                self.remote_origin().and_then(|_| self.trivial().remote_origin())
            }
        }
    }
}

/// A header in which each address was replaced by what `new` gives for it; `None` where none was.
pub(crate) async fn rewritten(
    name: &[u8],
    value: &[u8],
    tokens_max: usize,
    mut new: impl AsyncFnMut(&[u8]) -> Result<Option<Vec<u8>>, Temporary>,
) -> Result<Option<Vec<u8>>, Temporary> {
    let mut list = AddressList::parse(value, tokens_max);
    for number in 0..list.len() {
        let external = list.external(number);
        if let Some(new) = new(&external).await?
            && new != external
        {
            list.replace(number, &new);
        }
    }
    Ok(list.is_changed().then(|| list.header(name)))
}

#[cfg(test)]
mod tests {
    use table::block_on;

    use super::*;
    use crate::testing::{address, rewriter};
    use crate::{Client, Unwatched};

    const RULES: &str = "canonical_maps = inline:{ old@x.example=new@x.example }\n\
                         masquerade_domains = x.example\nremote_header_rewrite_domain = domain.invalid\n\
                         header_address_token_limit = 40\n";

    fn header(context: HeaderContext, name: &str, value: &str) -> Option<String> {
        let rewriter = rewriter(RULES);
        let role = HeaderRole::of(name.as_bytes()).expect("a header with addresses");
        let (name, value) = (name.as_bytes(), value.as_bytes());
        let nobody = &mut Unwatched;
        let new = rewriter.header(role, context, Mapping::On, name, value, nobody);
        block_on(new).unwrap().map(|it| String::from_utf8(it).unwrap())
    }

    #[test]
    fn a_header_changes_only_where_an_address_does() {
        for (value, whole) in [
            (" User <user@x.example>", None),
            (
                " Old   Name <old@x.example>\n (at home)",
                Some("From: Old Name <new@x.example>(at home)"),
            ),
            (" \"Me, Myself\" <me>", Some("From: \"Me, Myself\" <me@mx.example.com>")),
            (" user@host.x.example (x)", Some("From: user@x.example (x)")),
            (
                " friends: a@b.example, old@x.example;",
                Some("From: friends: a@b.example, new@x.example;"),
            ),
            (" undisclosed-recipients:;", None),
            (" j\u{f6} <old@x.example>", Some("From: j\u{f6} <new@x.example>")),
        ] {
            assert_eq!(header(HeaderContext::Local, "From", value).as_deref(), whole, "{value}");
        }
    }

    #[test]
    fn headers_of_others_are_completed_with_a_domain_of_their_own() {
        let whole = header(HeaderContext::Remote, "To", " me, you@host");
        assert_eq!(whole.as_deref(), Some("To: me@domain.invalid, you@host"));
        let plain = rewriter("");
        let nobody = &mut Unwatched;
        let (role, context) = (HeaderRole::Sender, HeaderContext::Remote);
        let new = plain.header(role, context, Mapping::On, b"From", b" me", nobody);
        assert_eq!(block_on(new), Ok(None));
    }

    #[test]
    fn what_is_beyond_the_limit_is_kept() {
        let many: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
        let whole = header(HeaderContext::Local, "Cc", &many.join(", ")).expect("a new header");
        assert!(whole.contains("u19@") && !whole.contains("u20"), "{whole}");
        let many = format!("old@x.example, {}", many.join(", ").repeat(20));
        let whole = header(HeaderContext::Local, "Cc", &many).expect("a new header");
        assert_eq!(whole.matches("u19").count(), 20);
        assert!(whole.split('\n').skip(1).all(|line| line.starts_with('\t')), "{whole}");
    }

    #[test]
    fn an_address_that_is_no_text_is_completed_and_no_table_asked() {
        let rewriter = rewriter("canonical_maps = texthash:/none\n");
        let nobody = &mut Unwatched;
        let (role, context) = (HeaderRole::Sender, HeaderContext::Local);
        let new = rewriter.header(role, context, Mapping::On, b"From", b" \xff", nobody);
        assert_eq!(block_on(new).unwrap().as_deref(), Some(&b"From: \xff@mx.example.com"[..]));
        let new = rewriter.header(role, context, Mapping::On, b"From", b" a", nobody);
        assert!(block_on(new).is_err());
    }

    #[test]
    fn clients_are_told_apart_by_the_list() {
        let rewrites = |list: &str, client: Client<'_>| {
            let rewriter = rewriter(&format!("local_header_rewrite_clients = {list}\n"));
            block_on(rewriter.rewrites_headers_of(&client))
        };
        let client = |address: &str| Client {
            name: "unknown",
            address: Some(address.parse().unwrap()),
            ..Client::default()
        };
        assert_eq!(rewrites("", Client::default()), Ok(true), "mail from this host itself");
        assert_eq!(rewrites("permit_inet_interfaces", client("192.0.2.1")), Ok(true));
        assert_eq!(rewrites("permit_inet_interfaces", client("192.0.2.2")), Ok(false));
        assert_eq!(rewrites("permit_mynetworks", client("192.0.2.1")), Ok(true));
        let table = "check_address_map inline:{ 192.0.2.7=x }";
        assert_eq!(rewrites(table, client("192.0.2.7")), Ok(true));
        assert_eq!(rewrites(table, client("192.0.2.8")), Ok(false));
        let known = Client { authenticated: true, ..client("192.0.2.8") };
        assert_eq!(rewrites("permit_sasl_authenticated", known), Ok(true));
        assert!(rewrites("texthash:/none", client("192.0.2.8")).is_err());
    }

    #[test]
    fn generic_tables_are_asked_once() {
        let main_cf = "smtp_generic_maps = inline:{ a@in.example=b@out.example, \
                       b@out.example=c@out.example, @in.example=all@out.example }\n";
        let rewriter = rewriter(main_cf);
        let maps = &rewriter.settings().rewriting.smtp_generic_maps;
        let nobody = &mut Unwatched;
        for (from, to) in [
            ("a@in.example", "b@out.example"),
            ("a+ext@in.example", "b@out.example"),
            ("x@in.example", "all@out.example"),
            ("x@other.example", "x@other.example"),
        ] {
            let new = block_on(rewriter.generic("smtp_generic_maps", maps, &address(from), nobody));
            assert_eq!(new, Ok(address(to)), "{from}");
        }
        let value = b" A <a@in.example>, x@other.example";
        let new = rewriter.generic_header("smtp_generic_maps", maps, b"To", value, nobody);
        let whole = b"To: A <b@out.example>, x@other.example";
        assert_eq!(block_on(new).unwrap().as_deref(), Some(&whole[..]));
    }

    #[test]
    fn copies_are_for_rewritten_recipients() {
        let main_cf = "sender_bcc_maps = inline:{ @x.example=log }\nalways_bcc = all\n\
                       recipient_bcc_maps = inline:{ { r@x.example = \"the log\"@y.example } }\n";
        let rewriter = rewriter(main_cf);
        let nobody = &mut Unwatched;
        let of_sender = block_on(rewriter.bcc_of_sender(&address("s@x.example"), nobody));
        assert_eq!(of_sender, Ok(Some(address("log@mx.example.com"))));
        let of_recipient = block_on(rewriter.bcc_of_recipient(&address("r+x@x.example"), nobody));
        assert_eq!(of_recipient, Ok(Some(address("\"the log\"@y.example"))));
        let other = block_on(rewriter.bcc_of_recipient(&address("q@x.example"), nobody));
        assert_eq!(other, Ok(None));
        let always = block_on(rewriter.always_bcc(nobody));
        assert_eq!(always, Ok(Some(address("all@mx.example.com"))));
    }
}
