//! `ringpost explain`: what becomes of a recipient, from RCPT to the transport that delivers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use config::Configuration;
use config::master::Command;
use mail::Address;
use remote::Remote;
use rewrite::{
    Client, HeaderContext, Listing, Mapping, Purpose, Rewriter, Role, Route, Step, Temporary,
    Trace, Warning,
};
use table::{Answer, Matched, block_on};

use crate::cli::ExplainAddress;
use crate::rewriters::rewriter;
use crate::settings::Settings;

/// sysexits.h: nobody knows, try again.
const EX_TEMPFAIL: u8 = 75;

/// Prints the way. Exit code 0 where there is one, 1 where the recipient is refused or fails, 75 where a
/// table is away.
pub(crate) fn run(options: &ExplainAddress) -> ExitCode {
    let settings = Settings::of_host(&options.configuration).map(Settings::with_hosts);
    match settings.and_then(|settings| explain(options, &settings)) {
        Ok((text, ending)) => {
            // Whoever reads no further has seen enough.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            match ending {
                Ending::Way => ExitCode::SUCCESS,
                Ending::NoWay => ExitCode::FAILURE,
                Ending::Temporary => ExitCode::from(EX_TEMPFAIL),
            }
        }
        Err(why) => {
            eprintln!("ringpost: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Way,
    NoWay,
    Temporary,
}

fn explain(options: &ExplainAddress, settings: &Settings) -> Result<(String, Ending), String> {
    let (all, catalog) = settings.open(&Remote::new()).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("\n")
    })?;
    let rewriter = rewriter(&all, &all.base);
    let mut page = Page::default();
    let asked = &*all.base.rewriting.rewrite_service_name;
    if let Some(one) = all.find(asked).filter(|one| !one.service.overrides.is_empty()) {
        let place = &one.service.position;
        page.line(0, &format!("addresses are completed and resolved as {asked} at {place} says"));
    }
    for (_, trouble) in catalog.troubles() {
        page.line(0, &format!("note: {trouble}"));
    }
    let outside = Outside { all: &all };
    let ending = match block_on(way(&rewriter, &outside, options, &mut page)) {
        Ok(ending) => ending,
        Err(Failed::Temporary(why)) => {
            let (status, reply) = (why.status(), why.reply());
            page.line(0, &format!("put off: {status} {reply}"));
            page.line(1, &why.to_string());
            Ending::Temporary
        }
        Err(Failed::Address(what)) => return Err(what),
    };
    Ok((page.text, ending))
}

enum Failed {
    Temporary(Temporary),
    Address(String),
}

impl From<Temporary> for Failed {
    fn from(why: Temporary) -> Self {
        Self::Temporary(why)
    }
}

async fn way(
    rewriter: &Rewriter,
    outside: &Outside<'_>,
    options: &ExplainAddress,
    page: &mut Page,
) -> Result<Ending, Failed> {
    let parsed = |what: &str, text: &str| {
        Address::parse(text.as_bytes())
            .map_err(|error| Failed::Address(format!("{what} <{text}>: {error}")))
    };
    let given_sender = match options.from.as_deref().map(|it| it.trim_matches(['<', '>'])) {
        None | Some("") => None,
        Some(text) => Some(parsed("sender", text)?),
    };
    let recipient = parsed("recipient", options.recipient.trim_matches(['<', '>']))?;

    if let Some(address) = options.client {
        page.line(0, &format!("client {address}"));
        let client = Client { name: "unknown", address: Some(address), ..Client::default() };
        let context = match rewriter.rewrites_headers_of(&client).await? {
            true => HeaderContext::Local,
            false => HeaderContext::Remote,
        };
        page.line(
            1,
            match (context, rewriter.rewrites_headers(context)) {
                (HeaderContext::Local, _) => "headers are rewritten as those of local mail",
                (HeaderContext::Remote, true) => "headers get remote_header_rewrite_domain",
                (HeaderContext::Remote, false) => "headers stay as they are",
            },
        );
    }

    page.line(0, &format!("sender <{}>", given_sender.as_ref().map_or("", Address::as_str)));
    let sender = rewriter.sender(given_sender.as_ref(), Mapping::On, page).await?;
    page.line(1, &format!("= <{}>", sender.as_ref().map_or("", Address::as_str)));
    if let Some(sender) = &sender
        && let Some(copy) = rewriter.bcc_of_sender(sender, page).await?
    {
        page.line(1, &format!("sender_bcc_maps: a copy for <{copy}>"));
    }

    page.line(0, &format!("may <{recipient}> get mail?"));
    let listing = rewriter.listed(given_sender.as_ref(), &recipient, Role::Recipient, page).await?;
    let refused = match listing {
        Listing::Listed(route) | Listing::Replaced(route) => {
            page.line(1, &format!("= yes, class {}", route.class));
            false
        }
        Listing::Unlisted { status, text, route } => {
            page.line(1, &format!("= no, class {}: {status} {text}", route.class));
            true
        }
        Listing::Waiting { status, text, .. } => {
            page.line(1, &format!("= not now: {status} {text}"));
            true
        }
        Listing::Invalid => {
            page.line(1, "= no: 5.1.3 bad address syntax");
            true
        }
    };

    page.line(0, &format!("recipient <{recipient}>"));
    let canonical = rewriter.recipient(&recipient, Mapping::On, page).await?;
    page.line(1, &format!("= <{canonical}>"));
    let mut all = vec![canonical.clone()];
    if let Some(copy) = rewriter.bcc_of_recipient(&canonical, page).await? {
        page.line(1, &format!("recipient_bcc_maps: a copy for <{copy}>"));
        all.push(copy);
    }
    if let Some(copy) = rewriter.always_bcc(page).await? {
        page.line(1, &format!("always_bcc: a copy for <{copy}>"));
        all.push(copy);
    }

    let mut last: Vec<Address> = Vec::new();
    for recipient in &all {
        page.line(0, &format!("aliases of <{recipient}>"));
        for alias in rewriter.expand(recipient, Mapping::On, page).await? {
            page.line(1, &format!("= <{alias}>"));
            if !last.contains(&alias) {
                last.push(alias);
            }
        }
    }
    let mut failed = false;
    for recipient in &last {
        page.line(0, &format!("way of <{recipient}>"));
        let route = rewriter.resolve(Purpose::Delivery, sender.as_ref(), recipient, page).await?;
        page.line(1, &format!("= class {}", route.class));
        page.line(1, &format!("= transport {}", route.transport));
        page.line(1, &format!("= next hop {}", route.nexthop));
        page.line(1, &format!("= recipient <{}>", route.recipient));
        outside.names(&route, sender.as_ref(), page).await?;
        failed |= route.failure().is_some();
    }
    Ok(if refused || failed { Ending::NoWay } else { Ending::Way })
}

/// What the next host is told: addresses as the client of a transport, with what master.cf sets for it, writes
/// them.
struct Outside<'a> {
    all: &'a Configuration,
}

impl Outside<'_> {
    /// Prints both addresses where the transport is a client that has tables for them.
    async fn names(
        &self,
        route: &Route<'_>,
        sender: Option<&Address>,
        page: &mut Page,
    ) -> Result<(), Temporary> {
        let Some(client) = self.all.find(&route.transport) else { return Ok(()) };
        let rewriting = &client.snapshot.rewriting;
        let (parameter, maps) = match client.service.command {
            Command::Smtp => ("smtp_generic_maps", &rewriting.smtp_generic_maps),
            Command::Lmtp => ("lmtp_generic_maps", &rewriting.lmtp_generic_maps),
            _ => return Ok(()),
        };
        if maps.is_empty() {
            return Ok(());
        }
        let rewriter = rewriter(self.all, &client.snapshot);
        let mut named = String::new();
        if let Some(sender) = sender {
            let sender = rewriter.generic(parameter, maps, sender, page).await?;
            named = format!("from <{sender}> ");
        }
        let recipient = rewriter.generic(parameter, maps, &route.recipient, page).await?;
        page.line(1, &format!("= sent {named}to <{recipient}>"));
        Ok(())
    }
}

/// What is printed.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, depth: usize, line: &str) {
        let indent = depth * 2;
        // A table's value or an address never begins a line of its own.
        let line: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }
}

impl Trace for Page {
    fn step(&mut self, step: Step<'_>) {
        let line = match step {
            Step::Rewritten { rule, from, to } => format!("{rule}: {from} -> {to}"),
            Step::Asked { parameter, key, table, answer } => {
                let said = match answer {
                    None => "not asked, takes whole addresses only".to_owned(),
                    Some(Answer::Found(value)) => format!("found \"{}\"", &**value),
                    Some(Answer::NotFound) => "not found".to_owned(),
                    Some(Answer::Unavailable(trouble)) => format!("unavailable: {}", trouble.cause),
                };
                format!("{parameter}: {key} in {table}: {said}")
            }
            Step::Listed { parameter, name, matched } => {
                let said = match matched {
                    Matched::Yes => "yes".to_owned(),
                    Matched::No => "no".to_owned(),
                    Matched::Unavailable(trouble) => format!("unavailable: {trouble}"),
                };
                format!("{parameter}: {name}: {said}")
            }
            Step::Way { rule, transport, nexthop } => {
                format!("{rule}: transport {transport}, next hop {nexthop}")
            }
        };
        self.line(2, &line);
    }

    fn warning(&mut self, warning: Warning) {
        self.line(1, &format!("warning: {warning}"));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn explained(arguments: &[&str]) -> (String, Ending) {
        let base = ["ringpost", "explain", "-o", "compatibility_level=3.6"];
        let own = ["-o", "myhostname=mx.example.com", "-o", "mydomain=example.com"];
        let arguments = base.iter().chain(&own).chain(arguments);
        let Command::Explain(options) = Cli::parse_from(arguments).command else {
            panic!("another command");
        };
        let settings = Settings::read(&options.configuration).expect("settings");
        explain(&options, &settings).expect("a good configuration")
    }

    #[test]
    fn the_whole_way_is_told() {
        let (text, ending) = explained(&[
            "-o",
            "mydestination=mx.example.com",
            "-o",
            "virtual_mailbox_domains=mbox.example",
            "-o",
            "virtual_mailbox_maps=inline:{user@mbox.example=user/}",
            "-o",
            "virtual_alias_maps=inline:{ { list@mx.example.com = user@mbox.example, far@other.example } }",
            "-o",
            "recipient_canonical_maps=inline:{old=list}",
            "-o",
            "transport_maps=inline:{other.example=smtp:[hop.example]:26}",
            "-o",
            "local_header_rewrite_clients=permit_inet_interfaces",
            "--from",
            "me",
            "--client",
            "192.0.2.9",
            "old",
        ]);
        let list = "inline:{ { list@mx.example.com = user@mbox.example, far@other.example } }";
        let canonical = "inline:{old=list}";
        let expected = format!(
            "client 192.0.2.9
  headers stay as they are
sender <me>
    append_at_myorigin: me -> me@mx.example.com
  = <me@mx.example.com>
may <old> get mail?
    append_at_myorigin: me -> me@mx.example.com
    append_at_myorigin: old -> old@mx.example.com
    mydestination: mx.example.com: yes
    local_transport: transport local, next hop mx.example.com
    transport_maps: old@mx.example.com in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: mx.example.com in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: .example.com in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: .com in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: * in inline:{{other.example=smtp:[hop.example]:26}}: not found
    recipient_canonical_maps: old@mx.example.com in {canonical}: not found
    recipient_canonical_maps: old in {canonical}: found \"list\"
  = yes, class local
recipient <old>
    append_at_myorigin: old -> old@mx.example.com
    recipient_canonical_maps: old@mx.example.com in {canonical}: not found
    recipient_canonical_maps: old in {canonical}: found \"list\"
    recipient_canonical_maps: old@mx.example.com -> list@mx.example.com
    recipient_canonical_maps: list@mx.example.com in {canonical}: not found
    recipient_canonical_maps: list in {canonical}: not found
    recipient_canonical_maps: @mx.example.com in {canonical}: not found
  = <list@mx.example.com>
aliases of <list@mx.example.com>
    virtual_alias_maps: list@mx.example.com in {list}: found \"user@mbox.example, far@other.example\"
    virtual_alias_maps: list@mx.example.com -> user@mbox.example
    virtual_alias_maps: list@mx.example.com -> far@other.example
    virtual_alias_maps: user@mbox.example in {list}: not found
    mydestination: mbox.example: no
    virtual_alias_maps: @mbox.example in {list}: not found
    virtual_alias_maps: far@other.example in {list}: not found
    mydestination: other.example: no
    virtual_alias_maps: @other.example in {list}: not found
  = <user@mbox.example>
  = <far@other.example>
way of <user@mbox.example>
    mydestination: mbox.example: no
    virtual_alias_domains: mbox.example: no
    virtual_mailbox_domains: mbox.example: yes
    virtual_transport: transport virtual, next hop mbox.example
    transport_maps: user@mbox.example in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: mbox.example in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: .example in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: * in inline:{{other.example=smtp:[hop.example]:26}}: not found
  = class virtual mailbox
  = transport virtual
  = next hop mbox.example
  = recipient <user@mbox.example>
way of <far@other.example>
    mydestination: other.example: no
    virtual_alias_domains: other.example: no
    virtual_mailbox_domains: other.example: no
    default_transport: transport smtp, next hop other.example
    transport_maps: far@other.example in inline:{{other.example=smtp:[hop.example]:26}}: not found
    transport_maps: other.example in inline:{{other.example=smtp:[hop.example]:26}}: found \"smtp:[hop.example]:26\"
    transport_maps: transport smtp, next hop [hop.example]:26
  = class default
  = transport smtp
  = next hop [hop.example]:26
  = recipient <far@other.example>
"
        );
        // The mydestination of a virtual table's search for a name without a domain is left out of this
        // where the first key answered.
        assert_eq!(text, expected);
        assert_eq!(ending, Ending::Way);
    }

    #[test]
    fn the_next_host_is_told_what_the_client_has_tables_for() {
        let generic = "inline:{me@mx.example.com=me@example.com}";
        let tables = format!("smtp_generic_maps={generic}");
        let arguments = ["-o", &tables, "--from", "me", "in@other.example"];
        let (text, _) = explained(&arguments);
        let expected = format!(
            "  = recipient <in@other.example>
    smtp_generic_maps: me@mx.example.com in {generic}: found \"me@example.com\"
    smtp_generic_maps: me@mx.example.com -> me@example.com
    smtp_generic_maps: in@other.example in {generic}: not found
    mydestination: other.example: no
    smtp_generic_maps: @other.example in {generic}: not found
  = sent from <me@example.com> to <in@other.example>
"
        );
        assert!(text.ends_with(&expected), "{text}");
        let (text, _) = explained(&["-o", &tables, "in@other.example"]);
        assert!(text.ends_with("  = sent to <in@other.example>\n"), "{text}");
        // Mail that does not leave keeps its names.
        let (text, _) =
            explained(&["-o", &tables, "-o", "mydestination=here.example", "in@here.example"]);
        assert!(text.ends_with("  = recipient <in@here.example>\n"), "{text}");
    }

    #[test]
    fn a_refusal_and_a_table_that_is_away_end_it() {
        let (text, ending) = explained(&[
            "-o",
            "virtual_mailbox_domains=mbox.example",
            "-o",
            "virtual_mailbox_maps=inline:{user@mbox.example=user/}",
            "other@mbox.example",
        ]);
        assert!(text.contains(
            "  = no, class virtual mailbox: 5.1.1 User unknown in virtual mailbox table\n"
        ));
        assert_eq!(ending, Ending::NoWay);
        let (text, ending) =
            explained(&["-o", "canonical_maps=texthash:/none", "user@other.example"]);
        let away =
            "put off: 4.3.0 Temporary lookup failure\n  canonical_maps: table texthash:/none: ";
        assert!(text.contains(away), "{text}");
        assert_eq!(ending, Ending::Temporary);
    }
}
