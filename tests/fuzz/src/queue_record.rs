//! The record reader of the queue: whatever a disk gives back, it is read or it is not, and nothing panics.

use queue::{is_readable, survey};

pub(crate) fn run(bytes: &[u8]) {
    let _ = survey(bytes);
    // A checksum keeps the fuzzer out, and in life it keeps no one in: payloads are tried without.
    if let [kind, payload @ ..] = bytes {
        let _ = is_readable(*kind, payload);
    }
}
