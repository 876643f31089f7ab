//! master.cf: nothing panics, what is wrong has a place, and an entry without a fault prints as itself.

use config::master::{self, Ports, Style, Written};

pub(crate) fn run(text: &[u8]) {
    let all = master::parse("master.cf", text, &Ports::default());
    assert!(!(all.services.is_empty() && all.problems.is_empty()), "nothing, and nothing said");
    for service in &all.services {
        assert!(service.position.line > 0);
        assert!(service.overrides.iter().all(|one| one.position.line >= service.position.line));
    }
    for Written { entry, notes, .. } in master::entries("master.cf", text).into_iter().flatten() {
        if !notes.is_empty() {
            continue;
        }
        for fold in [false, true] {
            let printed = entry.print(Style::plain(fold));
            let again = master::entries("master.cf", printed.as_bytes());
            match &again[..] {
                [Ok(again)] => assert_eq!(&again.entry, &entry, "{printed}"),
                other => panic!("{other:?}: {printed}"),
            }
        }
    }
}
