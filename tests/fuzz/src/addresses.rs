//! Addresses in headers and envelopes: any bytes are read, a header stays one header, and no way of writing a
//! recipient makes it one of ours while it asks for another domain.

use std::sync::{Arc, LazyLock};

use config::{Machine, Snapshot, Sources};
use mail::Address;
use mail::rfc5322::{AddressList, Tokens, quote_local, unquote_local};
use rewrite::{Class, HeaderContext, HeaderRole, Mapping, Purpose, Rewriter, Role, Unwatched};
use table::{Memory, Tables, block_on};

const MAIN_CF: &str = "compatibility_level = 3.6
myhostname = mx.example.com
mydestination = mx.example.com, a
virtual_mailbox_domains = b.example
virtual_alias_maps = inline:{ @a.example=@a, { a@a = b, a@a } } pcre:{ {/^(.)x@/ $$1@a, a@$$1} }
canonical_maps = inline:{ a@b=b@a, a=c@b.example } pcre:{ {/^(y.*)@b$$/ $$1@c} }
transport_maps = inline:{ .c=:d, a@c=error: }
relocated_maps = inline:{ b=there }
local_recipient_maps = static:all
append_dot_mydomain = yes
masquerade_domains = a
recipient_delimiter = +-
";

static REWRITER: LazyLock<Rewriter> = LazyLock::new(|| {
    let sources = Sources::new().main_cf("main.cf", MAIN_CF.as_bytes());
    let files = Memory::default();
    let settings: Arc<Snapshot> =
        Snapshot::build(&sources, &Machine::named("mx"), &Tables::new(&files)).expect("good");
    Rewriter::new(settings)
});

pub(crate) fn run(bytes: &[u8]) {
    header(bytes);
    forms(bytes);
    if let Ok(address) = Address::parse(bytes) {
        envelope(&address);
    }
}

fn header(value: &[u8]) {
    let mut list = AddressList::parse(value, 1000);
    for number in 0..list.len() {
        let external = list.external(number);
        list.replace(number, &external);
    }
    let whole = list.header(b"To");
    for line in whole.split(|&byte| byte == b'\n').skip(1) {
        assert!(line.is_empty() || matches!(line[0], b' ' | b'\t'), "{}", whole.escape_ascii());
    }
    // Quotes and backslashes are added, and a comma and a tab for each address: no more.
    assert!(whole.len() <= 4 * value.len() + 16, "{}", whole.escape_ascii());
    for (role, context) in
        [(HeaderRole::Sender, HeaderContext::Local), (HeaderRole::Recipient, HeaderContext::Remote)]
    {
        let nobody = &mut Unwatched;
        let new = REWRITER.header(role, context, Mapping::On, b"X", value, nobody);
        if let Ok(Some(new)) = block_on(new) {
            assert!(new.starts_with(b"X: "));
        }
    }
}

fn forms(bytes: &[u8]) {
    let external = quote_local(bytes);
    if !bytes.contains(&b'"') && !bytes.contains(&b'\\') && !bytes.starts_with(b"@") {
        assert_eq!(&*unquote_local(&external), bytes);
    }
    let tokens = Tokens::scan(bytes);
    assert!(tokens.internal().len() <= 2 * bytes.len());
}

fn envelope(address: &Address) {
    let again = Address::parse(address.as_str().as_bytes());
    assert_eq!(again.as_ref(), Ok(address), "an address is read as it is written");
    let nobody = &mut Unwatched;
    let _ = block_on(REWRITER.sender(Some(address), Mapping::On, nobody));
    let _ = block_on(REWRITER.listed(Some(address), address, Role::Recipient, nobody));
    let Ok(recipient) = block_on(REWRITER.recipient(address, Mapping::On, nobody)) else { return };
    let Ok(recipients) = block_on(REWRITER.expand(&recipient, Mapping::On, nobody)) else { return };
    assert!(!recipients.is_empty());
    for recipient in &recipients {
        let route = REWRITER.resolve(Purpose::Delivery, Some(address), recipient, nobody);
        let Ok(route) = block_on(route) else { continue };
        // Behind one of these an operator is part of a word, for Postfix as well; `routed` tells of it, and
        // no stranger may send such mail.
        let hidden = route.recipient.local().trim_matches('"').contains(['(', '[', '"', '\\']);
        assert!(
            route.class != Class::Local || route.invalid || !route.routed || hidden,
            "{recipient} is taken for ours: {route:?}"
        );
    }
}
