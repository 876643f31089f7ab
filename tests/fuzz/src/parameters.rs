//! Paths, xtext and the DSN parameters: what is accepted can be put into a line, and holds nothing
//! hidden.

use wire::{parse_envid, parse_notify, parse_orcpt, parse_path, parse_ret, xtext_decode};

pub(crate) fn run(bytes: &[u8]) {
    let is_line = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
    for strict in [false, true] {
        if let Ok(Some(address)) = parse_path(bytes, strict) {
            assert!(is_line(address.as_str()));
            // What was read once is read again as the same.
            let again = parse_path(format!("<{address}>").as_bytes(), true);
            assert_eq!(again, Ok(Some(address)));
        }
    }
    if let Ok(envid) = parse_envid(bytes) {
        assert!(is_line(&envid));
        let decoded = xtext_decode(envid.as_bytes()).expect("it was decoded before");
        assert!(!decoded.iter().any(|b| b.is_ascii_control() && *b != b'\t'));
    }
    if let Ok(orcpt) = parse_orcpt(bytes) {
        assert!(is_line(&orcpt) && orcpt.contains(';'));
    }
    let _ = parse_ret(bytes);
    if let Ok(notify) = parse_notify(bytes) {
        assert!(!(notify.never && (notify.success || notify.failure || notify.delay)));
    }
}
