//! The program as a whole, from outside: real clients, real files, faults and attacks.
//!
//! `tests/run` builds what these need and runs them on both back-ends.
