//! What a log line costs: `cargo bench -p mail --bench log_line`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use mail::log::{Delays, Delivery, Event, Formatter, Peer, Record, Style};
use mail::{Address, QueueId, Status, Time};

const LINES: u64 = 2_000_000;

fn main() {
    let to = Address::parse(b"recipient@mx.example.com").expect("an address");
    let id = QueueId::from_u64(0x00C6_5A1F_3B2D_9103);
    let delivery = Event::Delivery(Delivery {
        id,
        to: &to,
        orig_to: None,
        relay: "virtual",
        connection_use: 1,
        delays: Delays {
            total: Duration::from_micros(3_580),
            before: Duration::from_micros(1_200),
            active: Duration::from_micros(40),
            connecting: Duration::ZERO,
            delivering: Duration::from_micros(2_340),
        },
        dsn: Status(2, 0, 0),
        status: "sent",
        text: "delivered to maildir",
    });
    let address = Some("192.0.2.25".parse().expect("an IP address"));
    let client = Peer { name: "client.example.org", address, port: None };
    for (name, event) in [("delivery", delivery), ("connect", Event::Connect { client })] {
        for style in [Style::Postfix, Style::Json] {
            let mut formatter = Formatter::new(style, "mx", "postfix", TimeZone::UTC, 2);
            let mut out = Vec::with_capacity(1 << 16);
            let start = Instant::now();
            for number in 0..LINES {
                // 20,000 lines a second: the second's text is made as often as under load.
                let time = Time(1_700_000_000_000_000 + number * 50);
                formatter.write(
                    &Record { time, name: None, service: "virtual", session: 7, event },
                    &mut out,
                );
                if out.len() > 60_000 {
                    black_box(&out);
                    out.clear();
                }
            }
            let each = start.elapsed().as_nanos() as u64 / LINES;
            println!("{name:>10} {style:?}: {each} ns a line");
        }
    }
}
