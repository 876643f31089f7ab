//! ringpost: every command, by its first argument or by the name it was called with.

fn main() {}
