//! The record reader of the queue: whatever a disk gives back, it is read or it is not, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use queue::{is_readable, survey};

fuzz_target!(|bytes: &[u8]| {
    let _ = survey(bytes);
    // A checksum keeps the fuzzer out, and in life it keeps no one in: payloads are tried without.
    if let [kind, payload @ ..] = bytes {
        let _ = is_readable(*kind, payload);
    }
});
