//! The agents that deliver nothing: error, retry and discard. What they answer stands in their next hop,
//! so they need no process and no content (postfix `src/error/error.c`, `src/discard/discard.c`).

use mail::{Outcome, Status, Verdict};

/// `error:5.1.1 text`: the recipient fails, now and for ever. A text without a status is a 5.0.0.
///
/// With `soft_bounce` nothing is for ever.
pub fn error(tag: u64, next_hop: &str, soft_bounce: bool) -> Outcome {
    let (status, text) = split(next_hop, Status(5, 0, 0));
    let (verdict, class) = match soft_bounce {
        true => (Verdict::Deferred, 4),
        false => (Verdict::Failed, 5),
    };
    Outcome { tag, verdict, status: Status(class, status.1, status.2), text: text.into() }
}

/// `retry:4.3.0 text`: not now. A text without a status is a 4.0.0.
pub fn retry(tag: u64, next_hop: &str) -> Outcome {
    let (status, text) = split(next_hop, Status(4, 0, 0));
    Outcome { tag, verdict: Verdict::Deferred, status: status.softened(), text: text.into() }
}

/// `discard:text`: it counts as delivered, and is nowhere.
pub fn discard(tag: u64, next_hop: &str) -> Outcome {
    let (status, text) = split(next_hop, Status(2, 0, 0));
    let status = Status(2, status.1, status.2);
    Outcome { tag, verdict: Verdict::Delivered, status, text: text.into() }
}

/// A text's own status, or the agent's.
fn split(text: &str, default: Status) -> (Status, &str) {
    let text = text.trim();
    Status::leading(text).unwrap_or((default, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(outcome: Outcome) -> (Verdict, String, String) {
        (outcome.verdict, outcome.status.to_string(), outcome.text.into())
    }

    fn is(verdict: Verdict, status: &str, text: &str) -> (Verdict, String, String) {
        (verdict, status.to_owned(), text.to_owned())
    }

    #[test]
    fn an_error_fails_the_recipient_with_the_text_of_its_next_hop() {
        let no = |text| told(error(1, text, false));
        assert_eq!(no("5.1.1 no such user"), is(Verdict::Failed, "5.1.1", "no such user"));
        assert_eq!(no("mail is off"), is(Verdict::Failed, "5.0.0", "mail is off"));
        assert_eq!(no("5.1.1"), is(Verdict::Failed, "5.1.1", ""));
        // The service decides, not its text.
        assert_eq!(no("4.2.1 later"), is(Verdict::Failed, "5.2.1", "later"));
    }

    #[test]
    fn nothing_fails_for_ever_under_soft_bounce() {
        let outcome = told(error(1, "5.1.1 no such user", true));
        assert_eq!(outcome, is(Verdict::Deferred, "4.1.1", "no such user"));
    }

    #[test]
    fn a_retry_defers_whatever_its_text_says() {
        let later = |text| told(retry(1, text));
        assert_eq!(
            later("4.3.2 deferred transport"),
            is(Verdict::Deferred, "4.3.2", "deferred transport")
        );
        assert_eq!(later("5.1.1 no"), is(Verdict::Deferred, "4.1.1", "no"));
        assert_eq!(later("not today"), is(Verdict::Deferred, "4.0.0", "not today"));
    }

    #[test]
    fn what_is_discarded_counts_as_delivered() {
        let gone = |text| told(discard(1, text));
        assert_eq!(gone("silently"), is(Verdict::Delivered, "2.0.0", "silently"));
        assert_eq!(gone("5.7.1 spam"), is(Verdict::Delivered, "2.7.1", "spam"));
    }
}
