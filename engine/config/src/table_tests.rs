//! The table itself, and what is made of rows without fields.

use std::time::Duration;

use crate::row::known;
use crate::syntax::{NameList, Raw, Restrictions, TableList, Word, Words};
use crate::tests::{built, built_from};
use crate::*;

known! {
    /// One row of each kind that the table has.
    KINDS;

    /// A name that is no identifier.
    "2nd_name": Nonblank = "x";
    /// Numbers below zero.
    kinds_negative: i32 = "-1";
    /// A word.
    kinds_word: Word = "may" in ["", "may", "must"];
    /// Words.
    kinds_words: Words = "a, b" in ["a", "b", "c"];
    /// Tables.
    kinds_tables: TableList = "";
    /// Names.
    kinds_names: NameList = "";
    /// Restrictions.
    kinds_restrictions: Restrictions = "";
    /// As it is written.
    kinds_raw: Raw = "$unknown";
    /// A time.
    kinds_time: Duration = "$default_destination_rate_delay", 0..=10 => accepted "why";
    /// A time in days.
    kinds_days: Duration = "5d" => unsupported "what";
}

fn check(name: &str, text: &str) -> Result<(), String> {
    let row = KINDS.iter().find(|row| row.name == name).unwrap();
    (row.check)(text, row)
}

fn said(problems: &[Problem], severity: Severity) -> Vec<String> {
    let chosen = problems.iter().filter(|problem| problem.severity == severity);
    chosen.map(ToString::to_string).collect()
}

#[test]
fn the_table_is_sound() {
    let mut names: Vec<&str> = rows().chain(service_rows()).map(|row| row.name).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1], "a parameter with two rows");
    }
    for row in rows().chain(service_rows()) {
        let manual = row.manual.join("");
        assert!(manual.ends_with('.'), "{}: manual text is sentences", row.name);
        assert!(!manual.contains("  "), "{}", row.name);
        if let Status::Accepted(why) | Status::Unsupported(why) = row.status {
            assert!(!why.is_empty() && !why.ends_with('.'), "{}: a clause says why", row.name);
        }
    }
}

#[test]
fn every_default_is_a_value_of_its_row() {
    let none = Sources::new();
    let machine = Machine::named("mx.example.com");
    let (settings, problems) = Settings::read(&none, &machine);
    assert_eq!(problems, []);
    for row in rows().chain(service_rows()) {
        for stress in [false, true] {
            let text = settings.expanded(row.name, row, stress).unwrap();
            assert_eq!((row.check)(&text, row), Ok(()), "{}: {text}", row.name);
        }
    }
}

#[test]
fn every_name_in_a_default_has_a_row() {
    let (settings, _) = Settings::read(&Sources::new(), &Machine::named("mx"));
    let mut missing = Vec::new();
    for row in rows().chain(service_rows()).filter(|row| !row.raw) {
        let default = settings.default_of(row);
        cf::Template::parse(&default).unwrap().names(&mut |name| {
            if settings.row(name).is_none() {
                missing.push(format!("{} mentions {name}", row.name));
            }
        });
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn each_kind_of_row_says_what_it_allows() {
    for (name, good, bad) in [
        ("2nd_name", &["x"][..], &[("", "a text")][..]),
        ("kinds_negative", &["-5", "0"], &[("a", "a whole number, -2147483648 to 2147483647")]),
        ("kinds_word", &["", "MAY"], &[("perhaps", "nothing or may or must")]),
        (
            "kinds_words",
            &["", "c,a b"],
            &[("d", "a, b, c, or some of them"), ("a d", "a, b, c, or some of them, not \"d\"")],
        ),
        (
            "kinds_tables",
            &["", "hash:/x, pcre:{ {/a b/ c} } proxy:mysql:/y"],
            &[
                ("/etc/x", "type:table, any number of them"),
                (":x", "type:table, any number of them"),
            ],
        ),
        (
            "kinds_names",
            &["", "!a, 10.0.0.0/8 [::1] /f cidr:/f"],
            &[("a !", "something to leave out after \"!\"")],
        ),
        ("kinds_restrictions", &["my_class, check_x hash:/x, { a b }"], &[]),
        ("kinds_raw", &["${"], &[]),
        (
            "kinds_time",
            &["10s"],
            &[("11", "a number with one of the letters s, m, h, d, w; in seconds 0 to 10")],
        ),
    ] {
        for text in good {
            assert_eq!(check(name, text), Ok(()), "{name} = {text}");
        }
        for (text, allowed) in bad {
            assert_eq!(check(name, text), Err((*allowed).to_owned()), "{name} = {text}");
        }
    }
}

#[test]
fn an_entry_s_words_become_its_row() {
    let status = |row: &Row| row.status;
    assert_eq!(KINDS[0].name, "2nd_name");
    assert_eq!(KINDS.iter().map(|row| row.raw).filter(|raw| *raw).count(), 1);
    assert_eq!(status(&KINDS[0]), Status::Acts);
    assert_eq!(status(&KINDS[8]), Status::Accepted("why"));
    assert_eq!(status(&KINDS[9]), Status::Unsupported("what"));
    assert!(KINDS.iter().all(|row| !row.has_field));
    let of = |name: &str| rows().find(|row| row.name == name).unwrap();
    assert_eq!(status(of("fork_attempts")), Status::Accepted("the engine does not fork"));
    assert_eq!(
        status(of("delay_warning_time")),
        Status::Unsupported("senders are not told that a message is late")
    );
    assert!(of("delay_warning_time").has_field);
}

#[test]
fn the_unit_of_a_time_is_that_of_its_default() {
    let days = KINDS.iter().find(|row| row.name == "kinds_days").unwrap();
    assert_eq!(Duration::from_text("2", days), Ok(Duration::from_secs(2 * 86_400)));
    // `...rate_delays` would not count seconds for its last letter, nor `..._width` hours.
    let named = KINDS.iter().find(|row| row.name == "kinds_time").unwrap();
    assert_eq!(Duration::from_text("2", named), Ok(Duration::from_secs(2)));
}

#[test]
fn rows_without_fields_are_checked_like_the_others() {
    let problems = built(
        "default_delivery_slot_discount = 101\n\
         default_destination_concurrency_positive_feedback =\n\
         smtp_destination_rate_delay = soon\n\
         default_recipient_limit = ${\n",
    )
    .unwrap_err();
    for expected in [
        "main.cf:1: default_delivery_slot_discount: found \"101\", expected a whole number, 0 to 100",
        "main.cf:2: default_destination_concurrency_positive_feedback: found \"\", expected a text",
        "main.cf:3: smtp_destination_rate_delay: found \"soon\", expected a number with one of the \
         letters s, m, h, d, w; in seconds 0 to 2147483647",
        "main.cf:4: default_recipient_limit: found \"${\", no closing bracket for \"${\"",
    ] {
        assert!(problems.iter().any(|said| said == expected), "{expected}\nnot in {problems:#?}");
    }
}

#[test]
fn what_is_not_supported_is_said_where_it_would_make_a_difference() {
    let snapshot = built(
        "default_transport_rate_delay = 5s\n\
         default_destination_rate_delay = $zero\nzero = 0s\n\
         fork_attempts = 5\n",
    )
    .unwrap();
    assert_eq!(
        said(snapshot.warnings(), Severity::Differs),
        ["main.cf:1: default_transport_rate_delay: not supported: there is no pause between \
          deliveries by one transport"]
    );
    assert_eq!(
        said(snapshot.warnings(), Severity::Note),
        ["main.cf:4: fork_attempts: accepted, without effect: the engine does not fork"]
    );
    assert_eq!(snapshot.warnings()[0].severity, Severity::Differs, "worst first");
}

#[test]
fn a_parameter_of_a_service_falls_back_to_that_of_all() {
    let main_cf = "default_destination_concurrency_limit = 7\n\
                   smtp-amavis_destination_concurrency_limit = 2\n\
                   relay_destination_concurrency_limit = $smtp-amavis_destination_concurrency_limit\n\
                   bad_destination_concurrency_limit = many\n";
    let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
    let (settings, _) = Settings::read(&sources, &Machine::named("mx"));
    let limit = |service| settings.of_service::<usize>(service, "_destination_concurrency_limit");
    assert_eq!(limit("smtp"), Ok(7));
    assert_eq!(limit("smtp-amavis"), Ok(2));
    assert_eq!(
        limit("bad").unwrap_err(),
        "main.cf:4: bad_destination_concurrency_limit: found \"many\", expected a whole number, 0 or more"
    );
    assert_eq!(settings.of_service("x", "_time_limit"), Ok(Duration::from_secs(1000)));
    assert_eq!(
        settings.of_service::<usize>("x", "_no_such").unwrap_err(),
        "x_no_such: no such parameter"
    );
}

#[test]
fn a_parameter_of_a_service_that_is_not_there_is_not_used() {
    let main_cf = "relay_destination_recipient_limit = 1\n\
                   gone_destination_recipient_limit = 1\n\
                   x_extra_recipient_limit = 1\n\
                   mine_recipient_limit = 1\nsoft_bounce = ${mine_recipient_limit?no}\n";
    let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
    let told = built_from(&sources.clone().services(["smtp", "relay"])).unwrap();
    assert_eq!(
        said(told.warnings(), Severity::Warning),
        [
            "main.cf:2: gone_destination_recipient_limit: there is no service gone in master.cf to use this",
            "main.cf:3: x_extra_recipient_limit: there is no service x in master.cf to use this",
        ]
    );
    let untold = built_from(&sources).unwrap();
    assert_eq!(said(untold.warnings(), Severity::Warning), [""; 0]);
}

#[test]
fn guesses_at_unknown_names_have_a_limit() {
    let main_cf: String = (10..90).map(|n| format!("smtpd_timeou{n} = 1\n")).collect();
    let snapshot = built(&main_cf).unwrap();
    let guesses = snapshot.warnings().iter().filter(|p| p.cause.contains("did you mean")).count();
    assert_eq!((snapshot.warnings().len(), guesses), (80, 20));
}

#[test]
fn all_settings_share_one_table() {
    // Each service of master.cf has a snapshot of its own, which must not cost what the table has rows.
    let settings = |name| Settings::read(&Sources::new(), &Machine::named(name)).0;
    let (one, other) = (settings("a"), settings("b"));
    let row = |settings: &Settings| std::ptr::from_ref(settings.row("myhostname").unwrap());
    assert_eq!(row(&one), row(&other));
}
