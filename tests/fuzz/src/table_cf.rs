//! Configuration files of remote tables: read or refused with their place, never with their password.

use remote::Remote;
use table::{Memory, Tables};

const KINDS: [&str; 6] = ["ldap", "memcache", "mysql", "pgsql", "redis", "sqlite"];
const PASSWORD: &str = "s3cr3t-p4ssw0rd";

pub(crate) fn run(text: &[u8]) {
    let common = format!("dbname = d\ndbpath = /d\npassword = {PASSWORD}\nbind_pw = {PASSWORD}\n");
    let file = [common.as_bytes(), text].concat();
    let files = Memory::default().with("/t.cf", file);
    let tables = Tables::new(&files).with_types(Remote::new().types());
    for kind in KINDS {
        let table = tables.open(&format!("{kind}:/t.cf"));
        let notes = table.notes().into_iter().map(|note| note.to_string());
        let trouble = table.trouble().map(|trouble| trouble.to_string());
        for said in notes.chain(trouble) {
            assert!(said.contains("/t.cf"), "{said}");
            assert!(!said.contains(PASSWORD), "{said}");
        }
    }
}
