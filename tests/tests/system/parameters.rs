//! The parameter table beside what Postfix itself says: Debian's, a few releases older than the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use config::{Machine, Settings, Sources};
use tests::peer::run;

/// So that there are transports, which have parameters of their own, and a program of spawn.
const MASTER_CF: &str = "smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
local unix - n n - - local
virtual unix - n n - - virtual
error unix - - n - - error
my-pipe unix - n n - - pipe user=nobody argv=/bin/true
my-policy unix - n n - - spawn user=nobody argv=/bin/true
";

/// Where a default is not the one that this Postfix has, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("address_verify_map", "3.11 says $default_cache_db_type"),
    ("alias_database", "3.11 says $default_database_type"),
    ("alias_maps", "3.11 says $default_database_type, and has no NIS"),
    ("config_directory", "the directory that is read"),
    ("daemon_directory", "ringpost's own"),
    ("data_directory", "ringpost's own"),
    ("html_directory", "Debian's"),
    ("import_environment", "3.8 adds XDG_RUNTIME_DIR"),
    ("mail_name", "ringpost's own"),
    ("mail_owner", "ringpost's own"),
    ("mail_release_date", "releases are told apart by mail_version"),
    ("mail_version", "ringpost's own"),
    ("manpage_directory", "Debian's"),
    ("meta_directory", "ringpost's own"),
    ("milter_default_action", "later releases end the session"),
    ("mydomain", "the test's machine has another name"),
    ("myhostname", "the test's machine has another name"),
    ("mynetworks", "the test's machine has no network (networks.rs compares those)"),
    ("postscreen_cache_map", "3.11 says $default_cache_db_type"),
    ("process_id", "another process"),
    ("process_name", "another process"),
    ("proxy_read_maps", "later releases list more tables"),
    ("queue_directory", "ringpost's own"),
    ("readme_directory", "Debian's"),
    ("sample_directory", "ringpost's own"),
    ("shlib_directory", "there are no libraries to load"),
    ("smtp_tls_dane_insecure_mx_policy", "3.9 says dane"),
    ("smtp_tls_security_level", "3.11 uses TLS where it is offered"),
    ("smtpd_forbid_bare_newline", "3.9 normalizes"),
    ("smtpd_forbid_bare_newline_exclusions", "nobody (docs/postfix-differences.md)"),
    ("smtpd_forbid_unauth_pipelining", "3.9 says yes"),
    ("tls_eecdh_auto_curves", "3.11 has hybrid key exchange"),
    ("tls_export_cipherlist", "3.8 has no export ciphers"),
    ("tls_high_cipherlist", "3.9 leaves out old ciphers"),
    ("tls_low_cipherlist", "3.8 has no weak ciphers"),
    ("tls_medium_cipherlist", "3.9 leaves out old ciphers"),
    ("tls_null_cipherlist", "3.9 leaves out old ciphers"),
    ("tlsproxy_client_policy_maps", "later releases write the same otherwise"),
    ("tlsproxy_client_security_level", "later releases write the same otherwise"),
];

/// `postconf -d`
fn defaults() -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("main.cf"), "").expect("a file in it");
    fs::write(directory.path().join("master.cf"), MASTER_CF).expect("a file in it");
    let said = run("postconf", ["-c", &directory.path().to_string_lossy(), "-d"]).expect_ok();
    let line = |line: &str| {
        let (name, value) = line.split_once(" =").expect("name = value");
        (name.to_owned(), value.trim_start().to_owned())
    };
    said.lines().map(line).collect()
}

#[test]
fn every_parameter_that_postfix_prints_is_known_with_its_default() {
    let services = ["smtp", "relay", "lmtp", "local", "virtual", "error", "my-pipe", "my-policy"];
    let sources = Sources::new().services(services);
    let (settings, _) = Settings::read(&sources, &Machine::named("mx.example.com"));
    let printed = defaults();
    assert!(printed.len() > 900, "{}", printed.len());
    let mut unknown = Vec::new();
    let mut differ = BTreeMap::new();
    for (name, theirs) in &printed {
        match settings.row(name).map(|row| settings.default_of(row)) {
            Some(ours) if ours == *theirs => {}
            Some(ours) => {
                differ.insert(name.as_str(), format!("{ours}\n   not {theirs}"));
            }
            None => unknown.push(name),
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
    let named: BTreeSet<&str> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    differ.retain(|name, how| {
        let expected = named.contains(name);
        if !expected {
            println!("{name}: {how}");
        }
        !expected
    });
    assert!(differ.is_empty(), "{:?} differ", differ.keys());
    let alike: Vec<&&str> = named
        .iter()
        .filter(|name| {
            settings.row(name).is_some_and(|row| printed[**name] == settings.default_of(row))
        })
        .collect();
    assert!(alike.is_empty(), "{alike:?} no longer differ");
}
