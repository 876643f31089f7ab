//! Tests that look at ringpost from outside; see tests/run.
