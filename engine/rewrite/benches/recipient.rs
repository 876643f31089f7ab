//! What rewriting and resolving a recipient costs: `cargo bench -p rewrite --bench recipient`.
//!
//! Five compiled tables of 100,000 entries: canonical, virtual alias, transport, relocated, and the domains of
//! virtual mailboxes. None of them has the first recipient; the other one is an alias. Then no table at all.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use config::{Machine, Snapshot, Sources};
use mail::Address;
use rewrite::{Mapping, Purpose, Rewriter, Unwatched};
use table::compiled::Builder;
use table::{Disk, Format, Tables, block_on};

const ENTRIES: u32 = 100_000;
const RECIPIENTS: u32 = 50_000;
const ROUNDS: u32 = 10;

fn main() {
    let place = std::env::temp_dir().join(format!("rewrite-bench-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a directory for the tables");
    let table = |name: &str, entry: &dyn Fn(u32) -> (String, String)| {
        let path = place.join(name);
        let mut builder = Builder::new(Format::Native, &path);
        for number in 0..ENTRIES {
            let (key, value) = entry(number);
            builder.add(&key, &value, number).expect("an entry");
        }
        builder.finish().expect("a table");
        format!("hash:{}", path.display())
    };
    let tables = [
        (
            "canonical_maps",
            table("canonical", &|n| (format!("old{n}@a.example"), "new@a.example".into())),
        ),
        (
            "virtual_alias_maps",
            table("virtual", &|n| (format!("alias{n}@mx.example"), format!("user{n}@mx.example"))),
        ),
        ("transport_maps", table("transport", &|n| (format!("host{n}.example"), "slow:".into()))),
        (
            "relocated_maps",
            table("relocated", &|n| (format!("gone{n}@mx.example"), "there".into())),
        ),
        (
            "virtual_mailbox_domains",
            table("domains", &|n| {
                (if n == 0 { "mx.example".into() } else { format!("mx{n}.example") }, "x".into())
            }),
        ),
    ];
    let main_cf: String =
        tables.iter().map(|(name, table)| format!("{name} = {table}\n")).collect();
    for (name, main_cf, user) in [
        ("five tables, in none of them", &*main_cf, "user"),
        ("five tables, an alias", &*main_cf, "alias"),
        ("no table", "virtual_mailbox_domains = mx.example\n", "user"),
    ] {
        let rewriter = rewriter(main_cf);
        let recipients: Vec<Address> = (0..RECIPIENTS)
            .map(|n| {
                Address::parse(format!("{user}{n}@mx.example").as_bytes()).expect("an address")
            })
            .collect();
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for recipient in &recipients {
                block_on(work(&rewriter, recipient));
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(RECIPIENTS));
        }
        println!("{name}: {best:.0} ns a recipient");
    }
    let _ = std::fs::remove_dir_all(&place);
}

async fn work(rewriter: &Rewriter, recipient: &Address) {
    let nobody = &mut Unwatched;
    let recipient = rewriter.recipient(recipient, Mapping::On, nobody).await.expect("tables");
    for recipient in &rewriter.expand(&recipient, Mapping::On, nobody).await.expect("tables") {
        let route = rewriter.resolve(Purpose::Delivery, None, recipient, nobody).await;
        black_box(route.expect("tables"));
    }
}

fn rewriter(main_cf: &str) -> Rewriter {
    let base = "myhostname = host.example\nlocal_recipient_maps =\nrelay_domains =\nrecipient_delimiter = +\n\
                virtual_alias_domains =\n";
    let sources = Sources::new().main_cf("main.cf", [base, main_cf].concat().as_bytes());
    let machine = Machine::named("host.example");
    let settings: Arc<Snapshot> =
        Snapshot::build(&sources, &machine, &Tables::new(&Disk)).expect("a good configuration");
    assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
    Rewriter::new(settings, Vec::new())
}
