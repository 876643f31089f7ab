//! Answers of socketmap, tcp, memcached and Redis servers: cut anywhere they are no answer yet, and what
//! follows them changes nothing.

use std::fmt::Debug;

use remote::protocol::{Step, memcache, redis, socketmap, tcp};

/// Bytes of a value, where the protocol leaves it to the table.
const DATA_BYTES_MAX: usize = 10_000;

pub(crate) fn run(input: &[u8]) {
    let Some((&protocol, answer)) = input.split_first() else { return };
    match protocol % 4 {
        0 => check(answer, socketmap::parse),
        1 => check(answer, tcp::parse),
        2 => check(answer, |bytes| memcache::parse(bytes, "key", 1024, DATA_BYTES_MAX)),
        _ => check(answer, |bytes| redis::parse(bytes, DATA_BYTES_MAX)),
    }
}

fn check<T: PartialEq + Debug>(answer: &[u8], parse: impl Fn(&[u8]) -> Step<T>) {
    let Ok(Some((value, used))) = parse(answer) else { return };
    assert!(0 < used && used <= answer.len());
    assert_eq!(parse(&answer[..used]), Ok(Some((value, used))));
    for cut in [0, used / 3, used / 2, used - 1] {
        assert_eq!(parse(&answer[..cut]), Ok(None), "cut at {cut}");
    }
}
