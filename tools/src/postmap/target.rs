//! A table as the command line names it: `type:name`, or a name whose type is the default one.

use table::{Format, Nature, Tables, Type};

/// One table of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `hash`
    pub(crate) kind: String,
    /// `/etc/postfix/virtual`
    pub(crate) name: String,
}

impl Target {
    /// Reads an argument.
    pub(crate) fn parse(argument: &str, default: &str) -> Result<Self, String> {
        let (kind, name) = argument.split_once(':').unwrap_or((default, argument));
        if kind.is_empty() || name.is_empty() {
            return Err(format!(
                "open dictionary: expecting \"type:name\" form instead of \"{kind}:{name}\""
            ));
        }
        Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
    }

    /// `type:name`
    pub(crate) fn spec(&self) -> String {
        format!("{}:{}", self.kind, self.name)
    }

    /// What is known about its type.
    pub(crate) fn kind<'a>(&self, tables: &'a Tables<'_>) -> Option<&'a Type> {
        tables.types().find(|kind| kind.name == self.kind)
    }

    /// The file format that its table is made in.
    pub(crate) fn format(&self, tables: &Tables<'_>) -> Result<Format, String> {
        if self.kind == "proxy" {
            return Err("can't create maps via the proxy service".to_owned());
        }
        let kind = &self.kind;
        let row = self.kind(tables).ok_or_else(|| format!("unsupported map type: {kind}"))?;
        row.format.ok_or_else(|| format!("no 'map create' support for this type: {kind}"))
    }

    /// The file format of a table that is to be changed in one of its entries.
    pub(crate) fn format_to_change(
        &self,
        tables: &Tables<'_>,
        change: &str,
    ) -> Result<Format, String> {
        let Self { kind, name } = self;
        let row =
            self.kind(tables).ok_or_else(|| format!("unsupported dictionary type: {kind}"))?;
        row.format.ok_or_else(|| match row.nature {
            Nature::Linear => format!("{kind}:{name} map requires O_RDONLY access mode"),
            _ => format!("table {kind}:{name}: {change} operation is not supported"),
        })
    }

    /// The same table without `proxy:` in front, which says only how Postfix would reach it.
    pub(crate) fn direct(self) -> Self {
        match self.name.split_once(':') {
            Some((kind, name)) if self.kind == "proxy" && !kind.is_empty() && !name.is_empty() => {
                Self { kind: kind.to_owned(), name: name.to_owned() }
            }
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_type_has_the_default_one() {
        let it = Target::parse("/etc/a", "hash").unwrap();
        assert_eq!((&*it.kind, &*it.name), ("hash", "/etc/a"));
        assert_eq!(Target::parse("inline:{a=b:c}", "hash").unwrap().name, "{a=b:c}");
        for argument in ["hash:", ":a", ":"] {
            assert!(Target::parse(argument, "hash").unwrap_err().contains("\"type:name\""));
        }
    }

    #[test]
    fn a_table_that_cannot_be_made_is_refused_in_postfix_s_words() {
        let tables = Tables::new(&table::Disk);
        let refused =
            |spec: &str| Target::parse(spec, "hash").unwrap().format(&tables).unwrap_err();
        assert_eq!(refused("nosuch:a"), "unsupported map type: nosuch");
        assert_eq!(refused("texthash:a"), "no 'map create' support for this type: texthash");
        assert_eq!(refused("proxy:hash:a"), "can't create maps via the proxy service");
        let change = |spec: &str| {
            let target = Target::parse(spec, "hash").unwrap().direct();
            target.format_to_change(&tables, "delete").map_err(|why| why.to_string())
        };
        assert_eq!(change("proxy:hash:a"), Ok(Format::Native));
        assert_eq!(
            change("static:s").unwrap_err(),
            "table static:s: delete operation is not supported"
        );
        assert_eq!(
            change("texthash:s").unwrap_err(),
            "texthash:s map requires O_RDONLY access mode"
        );
    }
}
