//! The same questions to both.

use std::sync::Arc;

use config::{Machine, Snapshot, Sources};
use mail::Address;
use mail::rfc5322::{quote_bare_local, quote_local, unquote_local};
use rewrite::{Class, HeaderContext, HeaderRole, Mapping, Purpose, Rewriter, Unwatched};
use table::{Memory, Tables, block_on};
use tests::random::Random;

use super::peer::{INTERFACES, Postfix, Resolved};

const BASE: &str = "compatibility_level = 3.6
myhostname = mx.example.com
mydomain = example.com
mydestination = $myhostname, localhost.$mydomain, localhost, local.example
relay_domains = relay.example
virtual_alias_domains = alias.example
virtual_mailbox_domains = mbox.example
recipient_delimiter = +
local_recipient_maps =
";

/// postfix `src/global/resolve_clnt.h`
const ROUTED: u32 = 1 << 1;
const ERROR: u32 = 1 << 2;
const LOCAL: u32 = 1 << 8;
const ALIAS: u32 = 1 << 9;
const VIRTUAL: u32 = 1 << 10;
const RELAY: u32 = 1 << 11;
const DEFAULT: u32 = 1 << 12;

/// Addresses in external form that somebody has thought of.
const ADDRESSES: &[&str] = &[
    "user",
    "user@",
    "@",
    "\"\"",
    "user@host",
    "user@host.",
    "user@example.org.",
    "user@example.org..",
    "user@.",
    "a!b",
    "a!b!c",
    "a!",
    "!a",
    "user%host",
    "a%b%c",
    "%host",
    "user%",
    "@a,@b:user@c.d",
    "@a:",
    "@a",
    "\"us er\"@host",
    "us\\ er@host",
    "user@[192.0.2.1]",
    "user@[192.0.2.1",
    "a@b@c",
    "\"a@b\"",
    "\"a!b\"",
    "a..b@c.d",
    ".a@c.d",
    "a.@c.d",
    "(c) user@host",
    "user (c)",
    "<user@host>",
    "user host",
    "a,b",
    "user@ex\u{e4}mple",
    "j\u{f6}@x.y",
    "a|b@c.d",
    "a;b@c",
    "a:b@c.d",
    "\"a\"b@c.d",
    "[192.0.2.1]",
    "\"@\"",
    "a@\"b c\".d",
    ".",
    "a@.b",
    "..",
    "user@(x)",
    "a b@c.d",
    "a [b]@c.d",
    "user@mx.example.com",
    "user@mx.example.com.",
    "user@[127.0.0.1]",
    "user@[127.0.0.2]",
    "user@[IPv6:::1]",
    "user@other.example",
    "user%other.example@mx.example.com",
    "user%other.example@other2.example",
    "other.example!user@mx.example.com",
    "a@b@mx.example.com",
    "\"user@x\"@local.example",
    "u@relay.example",
    "u@sub.relay.example",
    "u@alias.example",
    "u@mbox.example",
    "@mx.example.com",
    "u@",
    "u@.",
    "u@a..b",
    "u@192.0.2.1",
    "u@[1.2.3]",
    "-x@mx.example.com",
    "-x@other.example",
    "\"a b\"@other.example",
    "\"a%b c\"@mx.example.com",
    "user@-bad.example",
    "u@a_b.example",
    "user@ex\u{e4}mple.org",
    "a!@mx.example.com",
    "!a@mx.example.com",
    "%@mx.example.com",
    "MAILER-DAEMON",
    "u@localhost",
    "u@LOCALHOST.",
    "\"q\"@mx.example.com",
    "a%b%c@mx.example.com",
    "a!b%c@mx.example.com",
    "\"x@\"@mx.example.com",
    "u@[127.0.0.1].",
    "u@mx.example.com..",
    "\"a@\"@local.example",
    "@a:u@local.example",
    "u@a:b",
    "user+ext@relay.example",
    "moved@relay.example",
    "moved+x@local.example",
    "fail@other.example",
    "u@www.other.example",
    "u@deep.www.other.example",
    "u@hop.example",
    "u@chan.example",
    "u@retry.example",
    "u@noop.example",
    "USER@RELAY.EXAMPLE",
];

/// What addresses are made of.
const PIECES: &[&str] = &[
    "a",
    "b",
    "user",
    "+ext",
    "-",
    "@",
    "@",
    "%",
    "!",
    ".",
    ".",
    "\"",
    "\\",
    " ",
    ":",
    ",",
    "(",
    ")",
    "<",
    ">",
    ";",
    "[",
    "]",
    "[127.0.0.1]",
    "[192.0.2.1]",
    "mx.example.com",
    "local.example",
    "relay.example",
    "alias.example",
    "mbox.example",
    "other.example",
    "localhost",
    "192.0.2.1",
    "\u{fc}",
];

const RANDOM_ADDRESSES: usize = 1000;

fn addresses(seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut all: Vec<String> = ADDRESSES.iter().map(|&it| it.to_owned()).collect();
    all.extend((0..RANDOM_ADDRESSES).map(|_| {
        let pieces = random.below(9) + 1;
        (0..pieces).map(|_| random.choose(PIECES)).collect::<String>()
    }));
    // Postfix's trivial-rewrite ends itself when it is asked for an address with nothing in it.
    all.retain(|address| !address.trim().is_empty());
    all
}

/// With a domain behind whatever the local part is.
fn recipients(seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut all = addresses(seed);
    for _ in 0..RANDOM_ADDRESSES {
        let pieces = random.below(5) + 1;
        let local: String = (0..pieces).map(|_| random.choose(PIECES)).collect();
        let local = String::from_utf8_lossy(&quote_bare_local(local.as_bytes())).into_owned();
        let domain = random.choose(&[
            "mx.example.com",
            "local.example",
            "[127.0.0.1]",
            "relay.example",
            "www.relay.example",
            "alias.example",
            "mbox.example",
            "other.example",
            "www.other.example",
            "localhost.",
            "a",
        ]);
        all.push(format!("{local}@{domain}"));
    }
    all
}

fn ours(main_cf: &str) -> Rewriter {
    let main_cf = [INTERFACES, main_cf].concat();
    let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
    let files = Memory::default();
    let machine = Machine::named("mx.example.com");
    let settings: Arc<Snapshot> =
        Snapshot::build(&sources, &machine, &Tables::new(&files)).expect("a good configuration");
    Rewriter::new(settings)
}

#[test]
fn addresses_are_completed_as_postfix_completes_them() {
    for (seed, more) in [
        "",
        "append_dot_mydomain = yes\nremote_header_rewrite_domain = remote.invalid\n",
        "swap_bangpath = no\nallow_percent_hack = no\n",
        "append_at_myorigin = no\nappend_dot_mydomain = yes\nremote_header_rewrite_domain = invalid\n",
    ]
    .into_iter()
    .enumerate()
    {
        let main_cf = [BASE, more].concat();
        let mut postfix = Postfix::start(&main_cf);
        let rewriter = ours(&main_cf);
        for address in addresses(seed as u64) {
            // Nobody at nobody: Postfix writes the words of such an address without spaces.
            if address.trim_start().starts_with('!') {
                continue;
            }
            for (name, context) in [("local", HeaderContext::Local), ("remote", HeaderContext::Remote)] {
                // Without the parameter such headers are not touched, and nobody asks.
                if name == "remote" && !rewriter.rewrites_headers(context) {
                    continue;
                }
                let theirs = postfix.rewritten(name, &address);
                let completed = rewriter.completed(context, address.as_bytes(), &mut Unwatched);
                // The identity needs no quotes: Postfix's answer is read again.
                let same = |it: &[u8]| quote_local(&unquote_local(it)).into_owned();
                assert_eq!(
                    String::from_utf8_lossy(&same(&completed)),
                    String::from_utf8_lossy(&same(theirs.as_bytes())),
                    "{address:?} in {name} with {more:?}"
                );
            }
        }
    }
}

#[test]
fn recipients_go_where_postfix_sends_them() {
    for (seed, more) in [
        "",
        "swap_bangpath = no\nallow_percent_hack = no\n",
        "resolve_dequoted_address = no\n",
        "resolve_null_domain = yes\nresolve_numeric_domain = yes\nallow_min_user = yes\n",
        "append_dot_mydomain = yes\nsmtputf8_enable = no\nshow_user_unknown_table_name = no\n\
         parent_domain_matches_subdomains =\nrelayhost = [relay.invalid]:587\n",
        "local_transport = lmtp:unix:/l\nvirtual_transport = v:there\nrelay_transport = relay:[r]\n\
         default_transport = smtp:[out.invalid]:26\nrelayhost = r.invalid\n\
         mydestination = relay.example, mbox.example, .example, !localhost, localhost\n",
        "transport_maps = inline:{ { fail@other.example = error:5.7.1 no }, .other.example=smtp:[w]:2525,\
         user@relay.example=uucp:, hop.example=:[hop], chan.example=slow:, retry.example=retry:,\
         noop.example=:, error.example=error: }\n\
         relocated_maps = inline:{ moved@relay.example=new@x.example, moved=elsewhere }\n\
         relayhost = r.invalid\n",
        "transport_maps = inline:{ *=all: }\nparent_domain_matches_subdomains = transport_maps\n\
         relocated_prefix_enable = no\nsender_dependent_relayhost_maps = inline:{\
         s@sender.example=[s.invalid], @sender.example=DUNNO, <>=n.invalid }\n\
         sender_dependent_default_transport_maps = inline:{ s@sender.example=out:x, <>=dunno }\n\
         relayhost = r.invalid\n",
        "relocated_prefix_enable = yes\nrelocated_maps = static:there\nsender_dependent_relayhost_maps = \
         inline:{ s@sender.example=[s.invalid], @sender.example=DUNNO, <>=n.invalid }\n",
    ]
    .into_iter()
    .enumerate()
    {
        let main_cf = [BASE, more].concat();
        let mut postfix = Postfix::start(&main_cf.replace("relocated_prefix_enable = no\n", ""));
        let rewriter = ours(&main_cf);
        let mut asked = 0;
        for address in recipients(100 + seed as u64) {
            let Ok(address) = Address::parse(address.as_bytes()) else { continue };
            // Without its quotes, "a@b" is another address. Nobody asks: recipients have a domain.
            if address.domain().is_empty() {
                continue;
            }
            asked += 1;
            for sender in ["", "s@sender.example", "other@sender.example"] {
                let sender_address = Address::parse(sender.as_bytes()).ok();
                let internal = internal(&address);
                let theirs = postfix.resolved(sender, &internal);
                let (sender_address, purpose) = (sender_address.as_ref(), Purpose::Delivery);
                let nobody = &mut Unwatched;
                let route = block_on(rewriter.resolve(purpose, sender_address, &address, nobody)).unwrap_or_else(|why| panic!("{address}: {why}"));
                if theirs.flags & ERROR != 0 {
                    assert!(route.invalid, "{address}: {route:?} with {more:?}, not {theirs:?}");
                    continue;
                }
                let class = match route.class {
                    Class::Local => LOCAL,
                    Class::VirtualAlias => ALIAS,
                    Class::VirtualMailbox => VIRTUAL,
                    Class::Relay => RELAY,
                    Class::Default => DEFAULT,
                };
                let ours = Resolved {
                    transport: route.transport.to_string(),
                    nexthop: route.nexthop.to_string(),
                    recipient: self::internal(&route.recipient),
                    flags: class | if route.routed { ROUTED } else { 0 },
                };
                // As above: the words of a name behind "!" and nothing.
                let spaced = |it: Resolved| match address.as_str().contains('!') {
                    true => Resolved { recipient: it.recipient.replace(' ', ""), ..it },
                    false => it,
                };
                let (ours, theirs) = (spaced(ours), spaced(theirs));
                assert_eq!(ours, theirs, "{address} from <{sender}> with {more:?}");
            }
        }
        assert!(asked > 800, "only {asked} addresses");
    }
}

/// Lists of addresses that somebody has thought of.
const LISTS: &[&str] = &[
    "user",
    "User Name <user>",
    "\"Name, User\" <user@host>, b@c",
    "user (a comment)",
    "user (a) @ (b) host",
    "friends: a, b@c;, d",
    "undisclosed-recipients:;",
    "<@a,@b:user@c>, x",
    "a b c",
    "<a> <b>",
    "a, , ,b,",
    "a <b",
    "a b>",
    ":::",
    "<>, a",
    "Johnny B. Goode <johnny@host>",
    "a@b (x (y) z), c",
    "(only)",
    "a;b;c",
    "x: a, b",
    "x: a;y: b;",
    "\"a\"\"b\"@c d",
    "a@[192.0.2.1] b",
    "a\\,b, c",
    "a (unfinished",
    "a \"unfinished",
    "a@b,\n c@d,\n\te (f\n g)",
    "nnnnnnnnnn nnnnnnnnnn <a>, mmmmmmmmmm mmmmmmmmmm <b>, oooooooooo <c>",
];

#[test]
fn headers_are_written_as_postfix_writes_them() {
    let main_cf = [BASE, "append_dot_mydomain = yes\n"].concat();
    let postfix = Postfix::start(&main_cf);
    let rewriter = ours(&main_cf);
    let mut random = Random::new(7);
    let mut lists: Vec<String> = LISTS.iter().map(|&list| list.to_owned()).collect();
    let long = ["n".repeat(260), "o".repeat(100)].map(|name| format!("{name} <a>, ({name}) b"));
    lists.extend(long);
    lists.extend((0..600).map(|_| {
        let words = [
            "a", "b@c", "d e", "<f>", "g <h@i>", "(j)", "k:", "l;", ",", ",", "\"m n\"", "o@",
            "%p", "!q",
        ];
        let count = random.below(12) + 1;
        let list: Vec<&str> = (0..count).map(|_| random.choose(&words)).collect();
        list.join(random.choose(&[" ", " ", "", "\n "]))
    }));
    let headers: String = lists.iter().map(|list| format!("Cc: {list}\n")).collect();
    let theirs = postfix.submitted(&format!("From: s@x.example\nX-First: x\n{headers}X-Last: x\n"));
    let theirs =
        theirs.split_once("X-First: x\n").and_then(|(_, rest)| rest.split_once("X-Last: x\n"));
    let (theirs, _) = theirs.expect("the headers between");
    let ours: Vec<String> = lists
        .iter()
        .map(|list| {
            let value = [" ", list].concat();
            let (name, value) = (b"Cc", value.as_bytes());
            let (role, context, nobody) =
                (HeaderRole::Recipient, HeaderContext::Local, &mut Unwatched);
            let new = rewriter.header(role, context, Mapping::On, name, value, nobody);
            let new = block_on(new).expect("no table is away");
            new.map_or_else(
                || format!("Cc: {list}\n"),
                |new| String::from_utf8_lossy(&new).into_owned() + "\n",
            )
        })
        .collect();
    let mut rest = theirs;
    for (list, ours) in lists.iter().zip(&ours) {
        let Some(behind) = rest.strip_prefix(ours.as_str()) else {
            let shown: String = rest.chars().take(ours.len() + 40).collect();
            panic!("{list:?}\nours:\n{ours}theirs:\n{shown}");
        };
        rest = behind;
    }
    assert_eq!(rest, "");
}

#[test]
fn envelopes_are_rewritten_and_expanded_as_postfix_does_it() {
    let maps = "enable_original_recipient = no
canonical_maps = inline:{ old@x.example=new@x.example, { two@x.example = \"t w o\"@x.example },
    @was.example=@is.example, own=owner@y.example, @deep.example=@was.example }
sender_canonical_maps = inline:{ old@x.example=sender@host.masked.example }
recipient_canonical_maps = inline:{ r@x.example=old@x.example }
masquerade_domains = masked.example
masquerade_classes = envelope_sender, envelope_recipient
virtual_alias_domains = alias.example
virtual_alias_maps = inline:{ { list@alias.example = a, b@x.example, \"c d\"@e.example, list2@alias.example },
    { list2@alias.example = list2@alias.example, old@x.example }, @all.example=one@x.example,
    @move.example=@moved.example, one@x.example=two@x.example, new@x.example=newer@x.example,
    user=somebody@z.example }
sender_bcc_maps = inline:{ @masked.example=log }
recipient_bcc_maps = inline:{ b@x.example=bcc@x.example, new@x.example=list@alias.example }
always_bcc = user
";
    let recipients = [
        "old@x.example",
        "old+ext@x.example",
        "r@x.example",
        "r+e@x.example",
        "two@x.example",
        "u@was.example",
        "u+e@was.example",
        "u+e@deep.example",
        "\"q r\"@was.example",
        "own",
        "own+e",
        "own@local.example",
        "list@alias.example",
        "list+e@alias.example",
        "any@all.example",
        "any+e@all.example",
        "u+e@move.example",
        "\"q r+e\"@move.example",
        "user+e@localhost",
        "user@[127.0.0.1]",
        "b@x.example",
        "h@host.masked.example",
        "nobody@alias.example",
        "LIST2@alias.example",
        "u%v@mx.example.com",
        "postmaster+e",
        "a..b@was.example",
    ]
    .map(str::to_owned);
    for (sender, more) in [
        ("old@x.example", ""),
        ("MAILER-DAEMON", "propagate_unmatched_extensions =\n"),
        (
            "u@host.masked.example",
            "propagate_unmatched_extensions = virtual\nrecipient_delimiter = +-\n",
        ),
    ] {
        let main_cf = [BASE, maps, more].concat();
        let postfix = Postfix::start(&main_cf);
        let rewriter = ours(&main_cf);
        let theirs = postfix.enveloped(sender, &recipients);
        let given = Address::parse(sender.as_bytes()).expect("a sender");
        let ours = block_on(envelope(&rewriter, &given, &recipients));
        let ours = ours.unwrap_or_else(|why| panic!("{why}"));
        assert!(theirs.1.len() > 20, "{theirs:?}");
        assert_eq!(ours.0, theirs.0, "{more:?}");
        assert_eq!(ours.1, theirs.1, "{more:?}");
    }
}

/// As cleanup makes an envelope of one.
async fn envelope(
    rewriter: &Rewriter,
    sender: &Address,
    recipients: &[String],
) -> Result<(String, Vec<String>), rewrite::Temporary> {
    let nobody = &mut Unwatched;
    let mut all = Vec::new();
    let sender = rewriter.sender(Some(sender), Mapping::On, nobody).await?;
    if let Some(sender) = &sender {
        all.extend(rewriter.bcc_of_sender(sender, nobody).await?);
    }
    for recipient in recipients {
        let given = Address::parse(recipient.as_bytes()).expect("a recipient");
        let recipient = rewriter.recipient(&given, Mapping::On, nobody).await?;
        all.push(recipient.clone());
        all.extend(rewriter.bcc_of_recipient(&recipient, nobody).await?);
    }
    all.extend(rewriter.always_bcc(nobody).await?);
    let mut last: Vec<String> = Vec::new();
    for recipient in &all {
        for alias in rewriter.expand(recipient, Mapping::On, nobody).await? {
            let alias = internal(&alias);
            if !last.iter().any(|known| known.eq_ignore_ascii_case(&alias)) {
                last.push(alias);
            }
        }
    }
    Ok((sender.map_or(String::new(), |it| internal(&it)), last))
}

fn internal(address: &Address) -> String {
    String::from_utf8_lossy(&unquote_local(address.as_str().as_bytes())).into_owned()
}
