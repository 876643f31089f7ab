//! Warnings about tables that cannot answer, each of them said once a minute.
//!
//! A table that is away is asked with each connection; a line for each of them would be all there is in the
//! log.

use std::cell::RefCell;

use hashbrown::HashMap;
use mail::Time;
use table::Trouble;

/// Seconds in which the same is not said again.
const QUIET_SECS: u64 = 60;

/// Tables that are remembered. Their names are in the configuration; one that has more of them repeats itself.
const TABLES_MAX: usize = 1000;

/// When something was last said about which table.
#[derive(Debug, Default)]
pub(crate) struct Warned(RefCell<HashMap<Box<str>, u64>>);

impl Warned {
    /// Gives the line to be logged, if it is time for one.
    pub(crate) fn about(&self, trouble: &Trouble, now: Time, warn: impl FnOnce(&str)) {
        let now_secs = now.secs();
        let mut said = self.0.borrow_mut();
        if said.get(&trouble.table).is_some_and(|&at| now_secs.abs_diff(at) < QUIET_SECS) {
            return;
        }
        if said.len() >= TABLES_MAX {
            said.clear();
        }
        said.insert(trouble.table.clone(), now_secs);
        warn(&trouble.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(table: &str) -> Trouble {
        Trouble { table: table.into(), cause: "connection refused".into() }
    }

    #[test]
    fn each_table_is_named_with_its_cause_once_a_minute() {
        let (warned, said) = (Warned::default(), RefCell::new(Vec::new()));
        for (table, secs) in [("tcp:a", 100), ("tcp:a", 101), ("tcp:b", 101), ("tcp:a", 159)] {
            let now = Time::from_secs(secs);
            warned.about(&trouble(table), now, |text| said.borrow_mut().push(text.to_owned()));
        }
        let both = ["table tcp:a: connection refused", "table tcp:b: connection refused"];
        assert_eq!(said.take(), both);
        let now = Time::from_secs(160);
        warned.about(&trouble("tcp:a"), now, |text| said.borrow_mut().push(text.to_owned()));
        assert_eq!(said.take(), &both[..1]);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let warned = Warned::default();
        for n in 0..3 * TABLES_MAX {
            warned.about(&trouble(&format!("tcp:{n}")), Time::from_secs(1), |_| {});
        }
        assert!(warned.0.borrow().len() <= TABLES_MAX);
    }
}
