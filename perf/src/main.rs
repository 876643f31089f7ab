//! Measurements: load, floor, comparisons.

fn main() {}
