//! Waiting for what another process does: on a condition, with a deadline, never for a length of time.

use std::time::{Duration, Instant};

/// How long anything may take that normally takes milliseconds. Generous, because the machine may be
/// busy with other things; it is only used up when a test fails.
pub const SOON: Duration = Duration::from_secs(30);

/// Between two looks at the condition.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// Looks until `condition` yields a value.
///
/// # Panics
/// When [`SOON`] has passed; `what` says what was waited for.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(SOON, condition).unwrap_or_else(|| panic!("waited {SOON:?} in vain: {what}"))
}

/// Looks until `condition` yields a value, or `limit` has passed.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// [`until`] for a condition that is either true or not.
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}
