//! What the mail system would do, said step by step by the code that does it.

pub(crate) mod address;
pub(crate) mod map;
