//! What every kind of table answers to the same questions.

use crate::trial::{KEY, NO_KEY, Trial, VALUE};

/// A key made of everything that ends a quote or begins something else. Lower case, as keys are asked.
pub(crate) const AWKWARD: &str = r#"o'neil\' or "1"="1' -- `*)(uid=*))%00;#@example.com"#;

/// Templates, domains and lists, over the table that `open` gives with these lines added.
pub(crate) fn common(open: impl Fn(&str) -> Trial) {
    let trial = open("");
    trial.assert_works();
    assert_eq!(trial.found("USER@Example.COM"), VALUE, "keys are asked in lower case");
    trial.assert_not_found("");
    trial.assert_not_found("user\0@example.com");

    assert_eq!(open("result_format = <%s|%S|%U>").found(KEY), format!("<{VALUE}|{KEY}|user>"));
    let parts = open("result_format = %D,%2.%1,%%,[%s]");
    assert_eq!(parts.found(KEY), format!("example.com,example.com,%,[{VALUE}]"));
    open("result_format = %9%s").assert_not_found(KEY);
    open("domain = example.org, example.net").assert_not_found(KEY);
    assert_eq!(open("domain = example.org, example.com").found(KEY), VALUE);
    open("domain = example.com").assert_not_found("user");
    let away = open("domain = texthash:/nonexistent");
    let table::Answer::Unavailable(trouble) = away.ask(KEY) else {
        panic!("the list was not asked")
    };
    assert_eq!(&*trouble.table, "texthash:/nonexistent");
}

/// Rows and columns, over tables with this query.
pub(crate) fn sql(open: &impl Fn(&str) -> Trial) {
    let users = |what: &str| format!("query = SELECT {what} FROM users WHERE address = '%s'");
    let trial = open(&users("home"));
    trial.assert_not_found("null@example.com");
    trial.assert_not_found("empty@example.com");
    let list = "query = SELECT member FROM lists WHERE address = '%s' ORDER BY member";
    assert_eq!(open(list).found("list@example.com"), "a@x,b@y", "NULL is passed over");
    assert_eq!(open(&format!("{list}\nresult_format = %u")).found("list@example.com"), "a,b");
    let limited = open(&format!("{list}\nexpansion_limit = 1"));
    let answer = limited.ask("list@example.com");
    assert!(limited.cause(answer, "too many results").contains("expansion_limit"));
    let fits = open(&format!("{list}\nexpansion_limit = 2"));
    assert_eq!(fits.found("list@example.com"), "a@x,b@y");

    let whole = "query = SELECT '%u|%d|%2.%1|%S|%U|%D|%%' FROM users WHERE address = '%s'";
    assert_eq!(
        open(whole).found(KEY),
        format!("user|example.com|example.com|{KEY}|user|example.com|%")
    );
    let derived = "query = SELECT home FROM (SELECT home, address FROM users) AS t \
                   WHERE address = '%u@%d'";
    assert_eq!(open(derived).found(KEY), VALUE);
    let legacy = "table = users\nselect_field = home\nwhere_field = address";
    assert_eq!(open(legacy).found(KEY), VALUE);
    open(&format!("{legacy}\nadditional_conditions = and home is null")).assert_not_found(KEY);

    let parts =
        open("query = SELECT '%u' || '' FROM users WHERE address = '%s' AND '%d' = 'example.com'");
    parts.assert_not_found("user@example.org");
    open("query = SELECT '%2.%1' FROM users WHERE '%3' <> ''").assert_not_found(KEY);
    let broken = open("query = SELECT nothing FROM nowhere WHERE a = '%s'");
    broken.assert_unavailable("no such table");
}

/// No key ends its quotes. `users` looks keys up, `echo` gives them back.
pub(crate) fn awkward_keys(users: &Trial, echo: &Trial) {
    assert_eq!(users.found(AWKWARD), "quoted");
    users.assert_not_found("' or '1'='1");
    users.assert_not_found("\\' or 1=1 -- ");
    users.assert_not_found(NO_KEY);
    for key in [
        AWKWARD,
        "'",
        "''",
        "\\",
        "\\'",
        "'\\",
        "\\\\'",
        "\"",
        "$1",
        "%s%d",
        "a'b\"c\\d`e;f--g/*h*/i#j",
        "\u{e9}\u{4f60}\u{1f600}",
        "\u{bf}'\u{bf}\\",
    ] {
        assert_eq!(echo.found(key), key);
    }
}
