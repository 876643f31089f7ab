//! Tables in databases, whose parameters are in main.cf or in files of their own.

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

/// The tables of these types in a value, also those in other tables: `proxy:mysql:x`, `unionmap:{ldap:y}`.
pub(super) fn tables(value: &str) -> impl Iterator<Item = (&'static str, &str)> {
    value.split([',', ' ', '\t', '\r', '\n', '{', '}']).filter_map(|mut item| {
        while let Some((kind, name)) = item.split_once(':') {
            if let Some((kind, _)) = KINDS.iter().find(|(known, _)| *known == kind) {
                return (!name.is_empty()).then_some((*kind, name));
            }
            if !matches!(kind, "proxy" | "debug") {
                break;
            }
            item = name;
        }
        None
    })
}

/// Warnings about names in the file of a table that mean nothing to its type.
pub(super) fn unknown_in_file(kind: &str, file: &str) -> Vec<String> {
    let Ok(text) = std::fs::read(file) else { return Vec::new() };
    let known = suffixes(kind);
    let all = cf::parse(file, &text).list;
    let unknown = all.into_iter().filter(|one| !known.contains(&&*one.name));
    unknown
        .map(|one| format!("{kind}:{file}: unused parameter: {}={}", one.name, one.value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_in_tables() {
        let value =
            "hash:/a, proxy:mysql:b unionmap:{ldap:c, debug:proxy:pgsql:/d} x:sqlite:e mysql:";
        let found: Vec<_> = tables(value).collect();
        assert_eq!(found, [("mysql", "b"), ("ldap", "c"), ("pgsql", "/d")]);
    }
}
