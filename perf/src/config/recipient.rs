//! What rewriting and resolving a recipient costs.
//!
//! Five compiled tables of 100,000 entries: canonical, virtual alias, transport, relocated, and the domains of
//! virtual mailboxes. None of them has the first recipient; the other one is an alias. Then no table at all.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use config::{Machine, Snapshot, Sources};
use mail::Address;
use rewrite::{Mapping, Purpose, Rewriter, Temporary, Unwatched};
use table::compiled::Builder;
use table::{AtHand, Disk, Format, Tables, block_on};

use super::Figure;
use crate::failure::{Doing, Failure, Result};

const ENTRIES: u32 = 100_000;
const RECIPIENTS: u32 = 50_000;
const ROUNDS: u32 = 10;

/// What a recipient may take, in microseconds.
const RECIPIENT_US: f64 = 3.0;

/// Makes the tables in the directory.
pub(super) fn figures(place: &Path) -> Result<Vec<Figure>> {
    let table = |name: &str, entry: &dyn Fn(u32) -> (String, String)| -> Result<String> {
        let path = place.join(name);
        let doing = || format!("making {}", path.display());
        let mut builder = Builder::new(Format::Native, &path);
        for number in 0..ENTRIES {
            let (key, value) = entry(number);
            builder.add(&key, &value, number).doing(doing)?;
        }
        builder.finish().doing(doing)?;
        Ok(format!("hash:{}", path.display()))
    };
    let tables = [
        (
            "canonical_maps",
            table("canonical", &|n| (format!("old{n}@a.example"), "new@a.example".into()))?,
        ),
        (
            "virtual_alias_maps",
            table("virtual", &|n| (format!("alias{n}@mx.example"), format!("user{n}@mx.example")))?,
        ),
        ("transport_maps", table("transport", &|n| (format!("host{n}.example"), "slow:".into()))?),
        (
            "relocated_maps",
            table("relocated", &|n| (format!("gone{n}@mx.example"), "there".into()))?,
        ),
        (
            "virtual_mailbox_domains",
            table("domains", &|n| {
                (if n == 0 { "mx.example".into() } else { format!("mx{n}.example") }, "x".into())
            })?,
        ),
    ];
    let main_cf: String =
        tables.iter().map(|(name, table)| format!("{name} = {table}\n")).collect();
    // As a shard does.
    let _at_hand = AtHand::new();
    let mut figures = Vec::new();
    for (name, main_cf, user, target) in [
        ("a recipient through five tables, in none of them", &*main_cf, "user", Some(RECIPIENT_US)),
        ("a recipient through five tables, an alias", &*main_cf, "alias", Some(RECIPIENT_US)),
        ("a recipient, no table", "virtual_mailbox_domains = mx.example\n", "user", None),
    ] {
        let rewriter = rewriter(main_cf)?;
        let recipients = (0..RECIPIENTS).map(|n| {
            let text = format!("{user}{n}@mx.example");
            Address::parse(text.as_bytes()).doing(|| text.clone())
        });
        let recipients = recipients.collect::<Result<Vec<Address>>>()?;
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for recipient in &recipients {
                block_on(work(&rewriter, recipient)).doing(|| name)?;
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(RECIPIENTS));
        }
        let figure = Figure::new(name, best, "us");
        figures.push(Figure { target, ..figure });
    }
    Ok(figures)
}

async fn work(rewriter: &Rewriter, recipient: &Address) -> Result<(), Temporary> {
    let nobody = &mut Unwatched;
    let recipient = rewriter.recipient(recipient, Mapping::On, nobody).await?;
    for recipient in &rewriter.expand(&recipient, Mapping::On, nobody).await? {
        let route = rewriter.resolve(Purpose::Delivery, None, recipient, nobody).await;
        black_box(route?);
    }
    Ok(())
}

fn rewriter(main_cf: &str) -> Result<Rewriter> {
    let base = "myhostname = host.example\nlocal_recipient_maps =\nrelay_domains =\nrecipient_delimiter = +\n\
                virtual_alias_domains =\n";
    let sources = Sources::new().main_cf("main.cf", [base, main_cf].concat().as_bytes());
    let machine = Machine::named("host.example");
    let settings = Snapshot::build(&sources, &machine, &Tables::new(&Disk))
        .map_err(|problems| Failure::new(format!("{problems:?}")))?;
    match settings.warnings() {
        [] => Ok(Rewriter::new(settings)),
        warnings => Err(Failure::new(format!("{warnings:?}"))),
    }
}
