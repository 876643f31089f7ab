//! Tables in databases, whose parameters are in main.cf or in files of their own.

use std::{fs, io};

use super::{Ended, definitions, plain, warning};

/// What each type of table can be told: ldap_table(5) and so on. In main.cf the name of the table and `_`
/// stand before it (postfix `src/postconf/postconf_dbms.c`).
const KINDS: &[(&str, &[&str])] = &[
    (
        "ldap",
        &[
            "bind",
            "bind_dn",
            "bind_pw",
            "cache",
            "cache_expiry",
            "cache_size",
            "chase_referrals",
            "debuglevel",
            "dereference",
            "domain",
            "expansion_limit",
            "leaf_result_attribute",
            "query_filter",
            "recursion_limit",
            "result_attribute",
            "result_filter",
            "result_format",
            "sasl_authz_id",
            "sasl_mechs",
            "sasl_minssf",
            "sasl_realm",
            "scope",
            "search_base",
            "server_host",
            "server_port",
            "size_limit",
            "special_result_attribute",
            "start_tls",
            "terminal_result_attribute",
            "timeout",
            "tls_ca_cert_dir",
            "tls_ca_cert_file",
            "tls_cert",
            "tls_cipher_suite",
            "tls_key",
            "tls_random_file",
            "tls_require_cert",
            "version",
        ],
    ),
    (
        "mysql",
        &[
            "additional_conditions",
            "charset",
            "dbname",
            "domain",
            "expansion_limit",
            "hosts",
            "idle_interval",
            "option_file",
            "option_group",
            "password",
            "query",
            "require_result_set",
            "result_format",
            "retry_interval",
            "select_field",
            "table",
            "tls_CAfile",
            "tls_CApath",
            "tls_cert_file",
            "tls_ciphers",
            "tls_key_file",
            "tls_verify_cert",
            "user",
            "where_field",
        ],
    ),
    (
        "pgsql",
        &[
            "additional_conditions",
            "dbname",
            "domain",
            "encoding",
            "expansion_limit",
            "hosts",
            "idle_interval",
            "password",
            "query",
            "result_format",
            "retry_interval",
            "select_field",
            "select_function",
            "table",
            "user",
            "where_field",
        ],
    ),
    (
        "sqlite",
        &[
            "additional_conditions",
            "dbpath",
            "domain",
            "expansion_limit",
            "query",
            "result_format",
            "select_field",
            "table",
            "where_field",
        ],
    ),
    (
        "memcache",
        &[
            "backup",
            "data_size_limit",
            "domain",
            "flags",
            "key_format",
            "line_size_limit",
            "max_try",
            "memcache",
            "retry_pause",
            "timeout",
            "ttl",
        ],
    ),
    (
        "mongodb",
        &[
            "collection",
            "dbname",
            "domain",
            "expansion_limit",
            "options",
            "projection",
            "query_filter",
            "result_attribute",
            "result_format",
            "search_base",
            "uri",
        ],
    ),
];

/// What a type of table can be told.
pub(super) fn suffixes(kind: &str) -> &'static [&'static str] {
    KINDS.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, suffixes)| suffixes)
}

/// Tables within each other. Each level is read once for every level around it.
const DEPTH_MAX: usize = 100;

/// What looks like a table in a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// Tables whose parameters are in main.cf or master.cf: type and name.
    pub(super) tables: Vec<(&'static str, &'a str)>,
    /// Tables with files of their own: type and path.
    pub(super) files: Vec<(&'static str, &'a str)>,
    /// What is odd about the value.
    pub(super) odd: Vec<String>,
}

/// Looks for tables in an expanded value, also within others: `proxy:mysql:x`, `unionmap:{ldap:y}`. What the
/// value is for nobody asks; much of what is found is no table.
pub(super) fn find(value: &str) -> Found<'_> {
    let mut found = Found::default();
    found.look(value, true, 0);
    found
}

impl<'a> Found<'a> {
    /// With `enters`, items in braces are looked through.
    fn look(&mut self, text: &'a str, enters: bool, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let mut items = cf::items(text);
        while let Some(item) = items.next() {
            if item.starts_with('#') {
                // Nobody reads on, so neither does this.
                let behind = items.rest().get(1..).unwrap_or_default();
                let behind: String = behind.chars().take(20).collect();
                self.odd
                    .push(format!("#comment after other text is not allowed: {item} {behind}..."));
                return;
            }
            if item.starts_with('{') {
                let inner = self.unbraced(item);
                if enters {
                    self.look(inner, enters, depth + 1);
                }
                continue;
            }
            let mut table = item.split_once(':');
            while let Some(("proxy" | "debug" | "snapshot", within)) = table {
                table = within.split_once(':');
            }
            let Some((kind, name)) = table else { continue };
            if name.starts_with('{') {
                let inner = self.unbraced(name);
                // A `#` in a pattern is no comment.
                let enters = enters && !matches!(kind, "regexp" | "pcre");
                self.look(inner, enters, depth + 1);
            } else if let Some((kind, _)) = KINDS.iter().find(|(known, _)| *known == kind) {
                match name.as_bytes().first() {
                    Some(b'/') => self.files.push((kind, name)),
                    Some(b'.') | None => {}
                    Some(_) => self.tables.push((kind, name)),
                }
            }
        }
    }

    /// What is in the braces that an item starts with (postfix `src/util/extpar.c`).
    fn unbraced(&mut self, item: &'a str) -> &'a str {
        let mut depth = 0usize;
        let end = item.bytes().position(|b| {
            match b {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        match end {
            None => self.odd.push(format!("missing '}}' in \"{item}\"")),
            Some(end) if end + 1 < item.len() => {
                self.odd.push(format!("syntax error after '}}' in \"{item}\""));
            }
            Some(_) => {}
        }
        &item[1..end.unwrap_or(item.len())]
    }
}

/// Reads the file of a table, and gives warnings about it; with `names`, also about names that mean nothing to
/// its type. It may hold passwords, so that it is no surprise where it cannot be read.
pub(super) fn check_file(kind: &str, file: &str, names: bool) -> Result<(), Ended> {
    let open = |why: &dyn std::fmt::Display| {
        warning(format_args!("open \"{kind}\" configuration \"{file}\": {why}"));
    };
    // Opening a FIFO would wait.
    let text = match fs::metadata(file) {
        Ok(what) if !what.is_file() => {
            open(&"not a regular file");
            return Ok(());
        }
        Ok(_) => fs::read(file),
        Err(error) => Err(error),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => {
            open(&plain(&error));
            return Ok(());
        }
    };
    let known = suffixes(kind);
    for (name, value) in definitions::read(file, &text)? {
        if names && !known.contains(&name.as_str()) {
            warning(format_args!("{kind}:{file}: unused parameter: {name}={value}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_in_tables() {
        let value = "hash:/a, proxy:mysql:b unionmap:{ldap:c, debug:proxy:pgsql:/d} x:sqlite:e mysql: \
                     ldap:./f snapshot:mysql:/g {randmap:{pgsql:h}}";
        let found = find(value);
        assert_eq!(found.tables, [("mysql", "b"), ("ldap", "c"), ("pgsql", "h")]);
        assert_eq!(found.files, [("pgsql", "/d"), ("mysql", "/g")]);
        assert_eq!(found.odd, [""; 0]);
    }

    #[test]
    fn what_is_odd_has_postfixs_words() {
        for (value, odd) in [
            ("pipemap:{ldap:x}y", &["syntax error after '}' in \"{ldap:x}y\""][..]),
            ("a randmap:{xx", &["missing '}' in \"{xx\""]),
            ("a {b {c}", &["missing '}' in \"{b {c}\""]),
            ("a #b c", &["#comment after other text is not allowed: #b c..."]),
            (
                "inline:{ { a = #b } #c }",
                &[
                    "#comment after other text is not allowed: #b ...",
                    "#comment after other text is not allowed: #c ...",
                ],
            ),
            ("pcre:{ { /a #b/ } #c }", &["#comment after other text is not allowed: #c ..."]),
            ("a#b, c", &[]),
        ] {
            assert_eq!(find(value).odd, odd, "{value}");
        }
    }

    #[test]
    fn braces_without_end_do_not_use_up_the_stack() {
        assert_eq!(find(&"{".repeat(100_000)).odd.len(), DEPTH_MAX + 1);
    }
}
