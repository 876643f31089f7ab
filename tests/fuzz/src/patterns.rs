//! `regexp:`, `pcre:` and `cidr:` tables: no rule and no key makes anything panic, what a table is refused
//! or warned about has a line, and the same table answers the same twice.

use table::{Memory, Table, block_on};

/// The first line is looked up, the rest is the table.
pub(crate) fn run(input: &[u8]) {
    let at = input.iter().position(|&b| b == b'\n').unwrap_or(input.len());
    let (key, text) = input.split_at(at);
    let key = String::from_utf8_lossy(key);
    for kind in ["regexp", "pcre", "cidr"] {
        let files = Memory::default().with("/t", text.get(1..).unwrap_or_default());
        let table = Table::open(&format!("{kind}:/t"), &files);
        for note in table.notes() {
            assert!(note.position.line > 0, "{note}");
        }
        let [first, second] = [(); 2].map(|()| block_on(table.lookup(&key).answer()));
        assert_eq!(first, second, "{key}");
    }
}
