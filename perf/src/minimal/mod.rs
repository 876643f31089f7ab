//! The smallest server dialogue that a real client accepts; `sink`, `floor` and `runtimes` share it.

pub(crate) mod dialogue;
pub(crate) mod listen;
