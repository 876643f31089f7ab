//! What the log says about a message on its way, in the words that log tools look for (pflogsumm,
//! logwatch, the grok patterns). `Display` prints the line after its `ringpost/SERVICE[N]: ` prefix.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use mail::{Address, QueueId, Status};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// A message became active.
    Active {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<Address>,
        /// Of its content, in bytes.
        size: u64,
        /// Recipients to be tried.
        nrcpt: u32,
    },
    /// What became of a recipient.
    Delivery(Delivery),
    /// The message has left the queue.
    Removed {
        /// The message.
        id: QueueId,
    },
    /// The message was tried for as long as the configuration says, and is kept on hold.
    Expired {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<Address>,
    },
    /// A recipient failed for good, and the message is kept on hold.
    Undeliverable {
        /// The message.
        id: QueueId,
        /// `None` is `<>`.
        from: Option<Address>,
    },
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub id: QueueId,
    /// The recipient.
    pub to: Address,
    /// What it was before rewriting.
    pub orig_to: Option<Address>,
    /// The agent that tried; `None` where the scheduler did not even start.
    pub relay: Option<Arc<str>>,
    /// Where the time went.
    pub delays: Delays,
    /// RFC 3463
    pub dsn: Status,
    /// The word after `status=`.
    pub status: &'static str,
    /// What stands in the parentheses.
    pub text: Box<str>,
}

/// Where the time went, from arrival to outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// All of it.
    pub total: Duration,
    /// Before the message became active.
    pub before: Duration,
    /// In the active queue.
    pub active: Duration,
    /// Setting up a connection.
    pub connecting: Duration,
    /// Delivering.
    pub delivering: Duration,
}

impl Log {
    /// The service whose line this is.
    pub fn service(&self) -> &str {
        match self {
            // Postfix lets its `error` agent write down what it did not try.
            Self::Delivery(delivery) => delivery.relay.as_deref().unwrap_or("error"),
            _ => "qmgr",
        }
    }

    /// The message it is about.
    pub fn id(&self) -> QueueId {
        match self {
            Self::Delivery(delivery) => delivery.id,
            Self::Active { id, .. }
            | Self::Removed { id }
            | Self::Expired { id, .. }
            | Self::Undeliverable { id, .. } => *id,
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active { id, from, size, nrcpt } => {
                write!(f, "{id}: from=<{}>, size={size}, nrcpt={nrcpt} (queue active)", name(from))
            }
            Self::Delivery(delivery) => delivery.fmt(f),
            Self::Removed { id } => write!(f, "{id}: removed"),
            Self::Expired { id, from } => {
                write!(f, "{id}: from=<{}>, status=expired, placed on hold", name(from))
            }
            Self::Undeliverable { id, from } => {
                write!(f, "{id}: from=<{}>, status=undeliverable, placed on hold", name(from))
            }
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: to=<{}>", self.id, self.to)?;
        if let Some(original) = &self.orig_to
            && !original.as_str().eq_ignore_ascii_case(self.to.as_str())
        {
            write!(f, ", orig_to=<{original}>")?;
        }
        let relay = self.relay.as_deref().unwrap_or("none");
        write!(f, ", relay={relay}, {}, dsn={}, status={} (", self.delays, self.dsn, self.status)?;
        // The text may come from another host: it must not start a line of its own.
        for c in self.text.chars() {
            f.write_char(if c.is_control() { '?' } else { c })?;
        }
        f.write_char(')')
    }
}

fn name(from: &Option<Address>) -> &str {
    from.as_ref().map_or("", Address::as_str)
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("delay=")?;
        seconds(f, self.total)?;
        f.write_str(", delays=")?;
        seconds(f, self.before)?;
        for part in [self.active, self.connecting, self.delivering] {
            f.write_char('/')?;
            seconds(f, part)?;
        }
        Ok(())
    }
}

/// Decimals that a delay is printed with at most (`delay_logging_resolution_limit`).
const DECIMALS_MAX: u32 = 2;

/// Seconds with two significant digits; whole ones from ten seconds on. Rounds and drops zeros as
/// Postfix's `src/util/format_tv.c`, so that graphs do not shift with a change of mail system.
fn seconds(f: &mut fmt::Formatter<'_>, delay: Duration) -> fmt::Result {
    const SECOND: u64 = 1_000_000;
    let (mut whole, mut micros) = (delay.as_secs(), u64::from(delay.subsec_micros()));
    let mut step = SECOND / 10_u64.pow(DECIMALS_MAX);
    if whole >= 10 {
        step = SECOND;
    } else if whole > 0 {
        step = SECOND / 10;
    } else {
        while micros >= 100 * step {
            step *= 10;
        }
    }
    micros += step / 2;
    if micros >= SECOND {
        whole += 1;
        micros -= SECOND;
    }
    write!(f, "{whole}")?;
    if micros < step {
        return Ok(());
    }
    f.write_char('.')?;
    let mut digit = SECOND / 10;
    while micros >= step && digit > 0 {
        write!(f, "{}", micros / digit)?;
        micros %= digit;
        digit /= 10;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(micros: u64) -> String {
        let delays = Delays { total: Duration::from_micros(micros), ..Delays::default() };
        let line = delays.to_string();
        let (total, parts) = line.split_once(", ").unwrap();
        assert_eq!(parts, "delays=0/0/0/0");
        total.strip_prefix("delay=").unwrap().to_owned()
    }

    #[test]
    fn delays_have_two_significant_digits_and_no_idle_zeros() {
        for (micros, text) in [
            (0, "0"),
            (4_999, "0"),
            (5_000, "0.01"),
            (20_000, "0.02"),
            (123_456, "0.12"),
            (999_999, "1"),
            (1_040_000, "1"),
            (1_050_000, "1.1"),
            (3_600_000, "3.6"),
            (9_949_999, "9.9"),
            (9_960_000, "10"),
            (10_400_000, "10"),
            (10_500_000, "11"),
            (86_400_000_000, "86400"),
        ] {
            assert_eq!(printed(micros), text, "{micros} us");
        }
    }

    #[test]
    fn lines_have_the_shape_that_log_tools_parse() {
        let id = QueueId::from_u64(0x000F_5383_D123_4567);
        let address = |text: &str| Address::parse(text.as_bytes()).unwrap();
        let from = Some(address("s@x.example"));
        let lines = [
            Log::Active { id, from: from.clone(), size: 5360, nrcpt: 1 },
            Log::Active { id, from: None, size: 0, nrcpt: 2 },
            Log::Delivery(Delivery {
                id,
                to: address("u@d.example"),
                orig_to: Some(address("a@d.example")),
                relay: Some("virtual".into()),
                delays: Delays {
                    total: Duration::from_millis(3_580),
                    before: Duration::from_millis(200),
                    active: Duration::from_millis(20),
                    connecting: Duration::from_millis(40),
                    delivering: Duration::from_millis(3_320),
                },
                dsn: Status(2, 0, 0),
                status: "sent",
                text: "delivered to maildir".into(),
            }),
            Log::Delivery(Delivery {
                id,
                to: address("u@d.example"),
                orig_to: Some(address("U@d.example")),
                relay: None,
                delays: Delays::default(),
                dsn: Status(4, 4, 1),
                status: "deferred",
                text: "a\nb: removed".into(),
            }),
            Log::Expired { id, from },
            Log::Removed { id },
        ]
        .map(|line| format!("{}: {line}\n", line.service()))
        .concat();
        assert_eq!(
            lines,
            "\
qmgr: F5383D1234567: from=<s@x.example>, size=5360, nrcpt=1 (queue active)
qmgr: F5383D1234567: from=<>, size=0, nrcpt=2 (queue active)
virtual: F5383D1234567: to=<u@d.example>, orig_to=<a@d.example>, relay=virtual, delay=3.6, \
delays=0.2/0.02/0.04/3.3, dsn=2.0.0, status=sent (delivered to maildir)
error: F5383D1234567: to=<u@d.example>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, \
status=deferred (a?b: removed)
qmgr: F5383D1234567: from=<s@x.example>, status=expired, placed on hold
qmgr: F5383D1234567: removed
"
        );
    }
}
