//! Transports that entries of tables name and nobody is behind.

use std::collections::{BTreeMap, BTreeSet};

use config::{Configuration, Severity, Snapshot, Transport};
use table::compiled::Stored;
use table::{MapList, TYPES, Table};

use super::Findings;
use super::transports::missing;

/// Entries of one table that are looked at: enough for what people write, and a second at most for what is
/// written by programs.
const ENTRIES_MAX: usize = 1_000_000;

impl Findings {
    /// Mail for such an entry waits, as it does for a parameter. Tables of patterns and of databases are not read
    /// through: nobody knows what they would answer.
    pub(super) fn transport_tables(&mut self, all: &Configuration) {
        let mut seen = BTreeSet::new();
        let snapshots = all.services.iter().map(|one| &*one.snapshot);
        for snapshot in std::iter::once(&*all.base).chain(snapshots) {
            for (parameter, list) in lists(snapshot) {
                for table in list.tables() {
                    if seen.insert((parameter, table.name().to_owned())) {
                        self.entries(all, snapshot, parameter, table);
                    }
                }
            }
        }
    }

    fn entries(
        &mut self,
        all: &Configuration,
        snapshot: &Snapshot,
        parameter: &str,
        table: &Table,
    ) {
        let mut waiting = BTreeMap::new();
        for_each_entry(table, |key, value| {
            let Some(transport) = Transport::parse(value) else { return };
            let (count, _) =
                waiting.entry(transport.name).or_insert_with(|| (0_usize, key.to_owned()));
            *count += 1;
        });
        let Some(place) = snapshot.settings().defined(parameter) else { return };
        let place = &place.position;
        for (name, (count, key)) in waiting {
            let Some(why) = missing(all, &name) else { continue };
            let others = match count {
                1 => String::new(),
                2 => " and another entry".to_owned(),
                _ => format!(" and {} other entries", count - 1),
            };
            self.add(
                Severity::Error,
                format_args!(
                    "{place}: {parameter}: {}: {key}{others}: {why}; mail for it is deferred (451)",
                    table.name()
                ),
            );
        }
    }
}

fn lists(snapshot: &Snapshot) -> [(&'static str, &MapList); 2] {
    let routing = &snapshot.routing;
    [
        ("transport_maps", &routing.transport_maps),
        (
            "sender_dependent_default_transport_maps",
            &routing.sender_dependent_default_transport_maps,
        ),
    ]
}

/// Goes through the entries of a table that has any; what cannot be read is told of elsewhere.
fn for_each_entry(table: &Table, mut entry: impl FnMut(&str, &str)) {
    if let Some(entries) = table.entries() {
        return entries.iter().take(ENTRIES_MAX).for_each(|(key, value)| entry(key, value));
    }
    let Some((kind, path)) = table.name().split_once(':') else { return };
    let Some(format) = TYPES.iter().find(|it| it.name == kind).and_then(|it| it.format) else {
        return;
    };
    let Ok(stored) = Stored::open(format, &format.path(path)) else { return };
    for found in stored.entries().take(ENTRIES_MAX) {
        let Ok((key, value)) = found else { return };
        let text = |bytes| std::str::from_utf8(bytes).map(|text| text.trim_end_matches('\0'));
        if let (Ok(key), Ok(value)) = (text(&key), text(&value)) {
            entry(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use table::Format;
    use table::compiled::Builder;
    use tempfile::TempDir;

    use super::super::tests::read;
    use super::*;

    const MASTER_CF: &str = "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\n\
                             virtual unix - n n - - virtual\nerror unix - - n - - error\n";

    fn said(main_cf: &str) -> Vec<String> {
        let (all, _, place) = read(main_cf, MASTER_CF);
        let mut findings = Findings::default();
        findings.transport_tables(&all);
        let place = format!("{}/", place.path().display());
        let texts = findings.0.into_values().flatten();
        texts.map(|text| text.replace(&place, "")).collect()
    }

    #[test]
    fn entries_are_said_once_for_each_transport_that_is_not_there() {
        let found = said(
            "transport_maps = inline:{a.example=lmpt:unix:x, b.example=lmpt:unix:y, c.example=error:no, \
             d.example=:[d.example], e.example=lmpt:}\n\
             sender_dependent_default_transport_maps = inline:{ { me@a.example = smtp:[x] } }\n",
        );
        let [first, second] = &found[..] else { panic!("{found:#?}") };
        assert!(first.starts_with("main.cf:4: transport_maps: inline:{a.example="), "{first}");
        assert!(
            first.ends_with(
                ".example and 2 other entries: master.cf has no service lmpt of type unix; mail for it is \
                 deferred (451)"
            ),
            "{first}"
        );
        let expected = ": me@a.example: smtp in master.cf is served by smtp, which is not there yet; mail \
                        for it is deferred (451)";
        assert!(second.ends_with(expected), "{second}");
    }

    #[test]
    fn compiled_tables_are_read_through() {
        let place = TempDir::new().expect("a directory");
        for (kind, format) in
            [("hash", Format::Native), ("cdb", Format::Cdb), ("lmdb", Format::Lmdb)]
        {
            let source = place.path().join(kind);
            let mut builder = Builder::new(format, &source);
            builder.add("a.example", "lmpt:x", 1).expect("an entry");
            builder.add("b.example", "virtual:", 2).expect("an entry");
            builder.finish().expect("a table");
            let found = said(&format!("transport_maps = {kind}:{}\n", source.display()));
            let [only] = &found[..] else { panic!("{kind}: {found:#?}") };
            assert!(only.contains(": a.example: master.cf has no service lmpt "), "{kind}: {only}");
        }
    }
}
