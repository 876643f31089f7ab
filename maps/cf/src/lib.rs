//! main.cf syntax and `$`-expansion.
