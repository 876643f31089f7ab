//! Every parameter of current Postfix is in the table.
//!
//! `postfix-names.txt` has the names of Postfix 3.12: those of its manual (`proto/postconf.proto`) and of
//! the tables that its programs read parameters with. `<service>` stands for the name of a service in
//! master.cf. `domain_to_ascii`, which the manual has among them, is a function.

use std::collections::HashSet;

const NAMES: &str = include_str!("postfix-names.txt");

#[test]
fn every_parameter_of_current_postfix_is_known() {
    let known: HashSet<String> = config::rows()
        .map(|row| row.name.to_owned())
        .chain(config::service_rows().map(|row| format!("<service>{}", row.name)))
        .collect();
    // The manual has some for each of four transports; here they are what they are for all.
    let is_known = |name: &&str| {
        known.contains(*name)
            || ["smtp", "lmtp", "relay", "virtual"].iter().any(|service| {
                name.strip_prefix(service)
                    .is_some_and(|suffix| known.contains(&format!("<service>{suffix}")))
            })
    };
    let all: Vec<&str> = NAMES.lines().collect();
    let unknown: Vec<&str> = all.iter().copied().filter(|name| !is_known(name)).collect();
    println!("{} of {} names are known", all.len() - unknown.len(), all.len());
    assert!(all.len() > 950);
    assert_eq!(unknown, [""; 0]);
}
