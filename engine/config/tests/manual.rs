//! docs/parameters.md is the parameter table, printed.

use std::path::Path;

const HEADER: &str = "# Parameters

Every parameter that this version knows. This page is printed from the table in `engine/config`;
`UPDATE_DOCS=1 cargo test -p config --test manual` writes it anew. Where a meaning or a default is not
Postfix's, docs/postfix-differences.md says so.

";

#[test]
fn the_page_of_parameters_is_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parameters.md");
    let printed = format!("{HEADER}{}", config::markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &printed).expect("docs/parameters.md can be written");
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == printed,
        "docs/parameters.md is out of date: UPDATE_DOCS=1 cargo test -p config --test manual"
    );
}
