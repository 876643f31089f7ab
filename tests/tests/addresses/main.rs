//! What becomes of an address, beside what a running Postfix makes of it.
//!
//! A Postfix of the test's own (its configuration and queue are in the test's place) runs trivial-rewrite; the
//! test asks it what cleanup and the queue manager would ask. The same main.cf is given to `rewrite`.

/// Postfix is started by root alone.
mod as_root {
    mod peer;
    mod same;
}
