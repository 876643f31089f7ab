//! Why a measurement could not be made: what was being done, and the cause.
//!
//! A measuring tool has one reader of errors, the person at the terminal, and nothing branches on
//! the cause; so one type with good sentences serves better here than an enum for every module.

use std::fmt;

/// A sentence for the person who started the measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Puts what was being done in front of the cause.
pub(crate) trait Doing<T> {
    fn doing<S: fmt::Display>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing<S: fmt::Display>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Failure(format!("{}: {cause}", what())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_being_done_and_why_it_failed() {
        let cause: std::result::Result<(), &str> = Err("no such device");
        let failure = cause.doing(|| "mounting /dev/loop7").unwrap_err();
        assert_eq!(failure.to_string(), "mounting /dev/loop7: no such device");
    }
}
