//! Messages that are made from their number alone, so that they can be made again to compare.

use tests::random::Random;

/// The user whose mailbox cannot be written until the end.
pub(crate) const BLOCKED: &str = "blocked";
/// How many other users there are.
const USERS: u64 = 40;

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    number: u64,
}

impl Message {
    /// Each number is used once.
    pub(crate) fn new(number: u64) -> Self {
        Self { number }
    }

    /// One to four users; some messages also go where nothing can be delivered yet.
    pub(crate) fn recipients(self) -> Vec<String> {
        let mut random = Random::new(self.number);
        let mut users: Vec<String> = Vec::new();
        for _ in 0..=random.below(3) {
            let user = format!("user{}", random.below(USERS));
            if !users.contains(&user) {
                users.push(user);
            }
        }
        if random.below(50) == 0 {
            users.push(BLOCKED.to_owned());
        }
        users
    }

    /// As it is sent, with CR LF.
    pub(crate) fn content(self) -> Vec<u8> {
        let body = self.lines().join("\r\n");
        format!(
            "Subject: crash {number}\r\nMessage-ID: <{number}@crash.example>\r\n\
             X-Crash: {number}\r\n\r\n{body}\r\n",
            number = self.number
        )
        .into_bytes()
    }

    /// The body as a mailbox holds it.
    pub(crate) fn body_as_stored(self) -> Vec<u8> {
        format!("{}\n", self.lines().join("\n")).into_bytes()
    }

    /// Most are small; one in a hundred is too large for the log and gets a file of its own.
    fn lines(self) -> Vec<String> {
        let mut random = Random::new(!self.number);
        let count = match random.below(100) {
            0 => 18_000 + random.below(6000),
            1..20 => random.below(600),
            _ => random.below(60),
        };
        let line = |place| format!(".{place} of {} {:016x} {:016x}", self.number, count, !count);
        (0..=count).map(line).collect()
    }
}
