//! What a snapshot makes of whole configurations.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use table::{Answer, Matched, Memory, Tables, block_on};

use crate::*;

fn machine() -> Machine {
    Machine::named("mx.example.com")
}

pub(crate) fn built(main_cf: &str) -> Result<std::sync::Arc<Snapshot>, Vec<String>> {
    built_from(&Sources::new().main_cf("main.cf", main_cf.as_bytes()))
}

pub(crate) fn built_from(sources: &Sources) -> Result<std::sync::Arc<Snapshot>, Vec<String>> {
    Snapshot::build(sources, &machine(), &Tables::new(&Memory::default()))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn warnings(main_cf: &str) -> Vec<String> {
    built(main_cf).unwrap().warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_configuration_has_every_default() {
    let snapshot = built("").unwrap();
    assert_eq!(snapshot.warnings(), []);
    assert_eq!(&*snapshot.site.myhostname, "mx.example.com");
    assert_eq!(&*snapshot.site.mydomain, "example.com");
    assert_eq!(&*snapshot.smtpd.smtpd_banner, "mx.example.com ESMTP ringpost");
    assert_eq!(snapshot.smtpd.smtpd_timeout.under(false), Duration::from_secs(300));
    assert_eq!(snapshot.smtpd.smtpd_timeout.under(true), Duration::from_secs(10));
    assert_eq!(snapshot.smtpd.smtpd_hard_error_limit.under(true), 1);
    assert_eq!(snapshot.smtpd.smtpd_forbid_bare_newline, BareNewline::Normalize);
    assert!(!snapshot.smtpd.smtputf8_enable);
    assert_eq!(snapshot.content.message_size_limit, 10_240_000);
    assert_eq!(snapshot.queue.maximal_queue_lifetime, Duration::from_secs(5 * 86_400));
    assert_eq!(&*snapshot.log.syslog_name, "postfix");
    assert_eq!(block_on(snapshot.site.mydestination.has("localhost.example.com")), Matched::Yes);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    assert_eq!(block_on(snapshot.site.mynetworks.has_address(loopback)), Matched::Yes);
    assert_eq!(
        snapshot.mailbox.virtual_mailbox_lock,
        Locks { fcntl: true, flock: false, dotlock: true }
    );
}

#[test]
fn serve_without_a_configuration_is_a_working_mail_host() {
    let sources = Sources::new().serve(Path::new("/data"), &["example.org".to_owned()]);
    let snapshot = Snapshot::build(&sources, &machine(), &Tables::new(&Memory::default())).unwrap();
    for domain in ["localhost", "mx.example.com", "example.org"] {
        assert_eq!(
            block_on(snapshot.mailbox.virtual_mailbox_domains.has(domain)),
            Matched::Yes,
            "{domain}"
        );
    }
    assert_eq!(block_on(snapshot.mailbox.virtual_mailbox_domains.has("example.net")), Matched::No);
    assert_eq!(snapshot.site.queue_directory, Path::new("/data/queue"));
    assert_eq!(snapshot.mailbox.virtual_mailbox_base, Path::new("/data/mail"));
    assert_eq!(&*snapshot.mailbox.virtual_mailbox_template, "%d/%u/");
    assert!(snapshot.smtpd.smtputf8_enable);
    assert!(snapshot.settings().print_set().is_empty());
}

#[test]
fn the_configuration_directory_is_the_one_that_is_read() {
    let sources = Sources::new()
        .directory(Path::new("/etc/postfix"))
        .main_cf("main.cf", b"bounce_template_file = $config_directory/bounce.cf\n");
    let (settings, _) = Settings::read(&sources, &machine());
    assert_eq!(settings.text("bounce_template_file").as_deref(), Ok("/etc/postfix/bounce.cf"));
    let shown: Vec<&str> = settings.print_set().iter().map(|line| line.name).collect();
    assert_eq!(shown, ["bounce_template_file"]);
}

#[test]
fn a_short_machine_name_is_completed_with_mydomain() {
    let name_of = |machine: &str, main_cf: &str| {
        let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
        Settings::read(&sources, &Machine::named(machine)).0.text("myhostname").unwrap()
    };
    assert_eq!(name_of("mx", "mydomain = example.net"), "mx.example.net");
    assert_eq!(name_of("mx", ""), "mx.localdomain");
    // mydomain follows from myhostname then, and cannot tell it.
    assert_eq!(name_of("mx", "mydomain = $myhostname"), "mx.localdomain");
    assert_eq!(name_of("mx.example.com", "mydomain = example.net"), "mx.example.com");
    assert_eq!(name_of("mx", "mydomain = example.net\nmyhostname = a.b"), "a.b");
}

#[test]
fn the_command_line_overrides_main_cf_and_that_overrides_serve() {
    let sources = Sources::new()
        .serve(Path::new("/data"), &[])
        .main_cf("main.cf", b"queue_directory = /queue\nmyhostname = a.example.net\n")
        .overrides(["myhostname=b.example.net", "smtpd_timeout = 5m"]);
    let snapshot = Snapshot::build(&sources, &machine(), &Tables::new(&Memory::default())).unwrap();
    assert_eq!(&*snapshot.site.myhostname, "b.example.net");
    assert_eq!(&*snapshot.site.mydomain, "example.net");
    assert_eq!(snapshot.site.queue_directory, Path::new("/queue"));
    assert_eq!(snapshot.smtpd.smtpd_timeout.under(true), Duration::from_secs(300));
    assert_eq!(snapshot.settings().origin("myhostname"), Some(Origin::CommandLine));
    assert_eq!(snapshot.warnings(), []);
}

#[test]
fn every_mistake_is_reported_at_once_with_file_line_value_and_what_is_allowed() {
    let problems = built(
        "smtpd_timeout = soon\n\
         smtpd_helo_required = true\n\
         smtpd_forbid_bare_newline =\n  perhaps\n\
         unknown_virtual_mailbox_reject_code = 250\n\
         myorigin = $mydomain\nmydomain = $myorigin\n\
         message_size_limit = 10M\n\
         hopcount_limit = 0\n\
         virtual_mailbox_lock = fcntl lockf\n\
         smtpd_banner = $myhostname ${\n\
         what is this\n\
         receive_override_options = no_milters, no_header_checks\n",
    )
    .unwrap_err();
    for expected in [
        "main.cf:1: smtpd_timeout: found \"soon\", expected a number with one of the letters s, m, h, d, w; in seconds 1 to 86400",
        "main.cf:2: smtpd_helo_required: found \"true\", expected yes or no",
        "main.cf:3: smtpd_forbid_bare_newline: found \"perhaps\", expected normalize or reject or note or no",
        "main.cf:5: unknown_virtual_mailbox_reject_code: found \"250\", expected a reply code, 400 to 599",
        "main.cf:6: myorigin: found \"$mydomain\", needs itself: myorigin -> mydomain -> myorigin",
        "main.cf:8: message_size_limit: found \"10M\", expected a whole number, 0 or more",
        "main.cf:9: hopcount_limit: found \"0\", expected a whole number, 1 to 1000000",
        "main.cf:10: virtual_mailbox_lock: found \"fcntl lockf\", expected fcntl, flock and dotlock, or some of them, not \"lockf\"",
        "main.cf:11: smtpd_banner: found \"$myhostname ${\", no closing bracket for \"${\"",
        "main.cf:12: this line has no \"=\" after \"what\"; expected \"name = value\"",
        "main.cf:13: receive_override_options: found \"no_milters, no_header_checks\", expected no_unknown_recipient_checks, no_address_mappings, no_header_body_checks, no_milters, not \"no_header_checks\"",
    ] {
        assert!(problems.iter().any(|said| said == expected), "{expected}\nnot in {problems:#?}");
    }
}

#[test]
fn a_message_limit_above_the_mailbox_limit_is_warned_of() {
    assert_eq!(
        warnings("message_size_limit = 104857600\n"),
        ["main.cf:1: message_size_limit: 104857600 is more than virtual_mailbox_limit, which is \
          51200000: what is larger than that is accepted and then fits into no virtual mailbox"]
    );
    assert_eq!(warnings("message_size_limit = 0\n").len(), 1);
    assert!(warnings("message_size_limit = 0\nvirtual_mailbox_limit = 0\n").is_empty());
}

#[test]
fn a_compatibility_level_has_up_to_three_numbers() {
    for good in ["0", "2", "3.6", "3.11.1"] {
        assert!(built(&format!("compatibility_level = {good}\n")).is_ok(), "{good}");
    }
    for bad in ["", "3.6.1.2", "new", "3.", "-1", "3.x"] {
        let problems = built(&format!("compatibility_level = {bad}\n")).unwrap_err();
        assert!(problems[0].contains("expected a release such as 3.6"), "{bad}: {problems:?}");
        assert_eq!(problems.len(), 1, "{bad}: not said again of each default that depends on it");
    }
}

#[test]
fn a_mailbox_template_cannot_lead_out_of_the_mailbox_base() {
    for good in ["", "%d/%u/", "%u", "mail/%d-%u/", "100%%/%u", "%%%u"] {
        assert!(built(&format!("virtual_mailbox_template = {good}\n")).is_ok(), "{good}");
    }
    for bad in ["/%d/%u", "../%u", "%d/../%u", "%d/.", "%x", "%", "%u%", "%%%"] {
        let problems = built(&format!("virtual_mailbox_template = {bad}\n")).unwrap_err();
        assert!(problems[0].contains("expected a path that does not start with /"), "{bad}");
    }
}

#[test]
fn names_that_nothing_knows_are_warned_of_with_the_nearest_one() {
    assert_eq!(
        warnings(
            "mybase = /srv\nvirtual_mailbox_base = $mybase/mail\nsmtpd_timeuot = 5s\nzzz = 1\n"
        ),
        [
            "main.cf:3: smtpd_timeuot: no such parameter, and no other value mentions it; did you \
             mean smtpd_timeout?",
            "main.cf:4: zzz: no such parameter, and no other value mentions it",
        ]
    );
}

#[test]
fn classes_of_restrictions_are_names_of_the_admins_own() {
    let mine = "mine = permit\nother = reject\nname = other\n";
    let told = warnings(&format!("smtpd_restriction_classes = mine, $name\n{mine}"));
    assert!(!told.iter().any(|it| it.contains("no such parameter")), "{told:?}");
    let told = warnings(mine);
    assert_eq!(told.iter().filter(|it| it.contains("no such parameter")).count(), 3, "{told:?}");
}

#[test]
fn names_that_postfix_gives_up_are_warned_of_with_what_to_set_instead() {
    let told = warnings("virtual_maps = hash:/x\ntlsproxy_client_per_site = hash:/x\n");
    for expected in [
        "main.cf:1: virtual_maps: support for it will be removed; instead, specify \"virtual_alias_maps\"",
        "main.cf:2: tlsproxy_client_per_site: ",
        "instead, specify \"tlsproxy_client_policy_maps\"",
    ] {
        assert!(told.iter().any(|it| it.contains(expected)), "{expected}: {told:?}");
    }
}

#[test]
fn a_list_with_a_comment_in_it_is_warned_of_where_it_stands() {
    assert_eq!(
        warnings("myhostname = x\nmydestination = a # b\n"),
        [
            "main.cf:2: mydestination: no comment is allowed behind other text: \"#\" and what follows \
          it is not on the list"
        ]
    );
}

#[test]
fn a_second_definition_names_the_first() {
    assert_eq!(
        warnings("myhostname = a\nmyhostname = b\n"),
        ["main.cf:2: myhostname: overrides the earlier definition at main.cf:1"]
    );
    assert_eq!(warnings("myhostname = a\nmyhostname = a\n"), [""; 0], "the same twice");
}

#[test]
fn a_name_that_nothing_defines_is_warned_of() {
    assert_eq!(
        warnings("mydestination = $myhostnam, ${my_own?x}, $stress\nforward_path = $home\n")
            .iter()
            .filter(|warning| warning.contains("nothing defines"))
            .collect::<Vec<_>>(),
        [
            "main.cf:1: mydestination: nothing defines $my_own, so it is empty",
            "main.cf:1: mydestination: nothing defines $myhostnam, so it is empty",
        ]
    );
    let many: String = (0..200).map(|n| format!("$a{n} ")).collect();
    let warnings = warnings(&format!("smtpd_banner = {many}\n"));
    assert_eq!(warnings.iter().filter(|it| it.contains("nothing defines")).count(), 100);
}

#[test]
fn domains_are_converted_by_functions() {
    let banner = |value: &str| {
        built(&format!("smtpd_banner = {value}\n")).map(|it| it.smtpd.smtpd_banner.to_string())
    };
    for (value, expanded) in [
        ("${domain_to_ascii{Bücher.example}}", "xn--bcher-kva.example"),
        ("${domain_to_ascii{Mx.$mydomain}}", "Mx.example.com"),
        ("${domain_to_ascii{no domain}}", "no domain"),
        ("${domain_to_utf8{xn--bcher-kva.example}}", "bücher.example"),
        ("${domain_to_utf8{bücher.example}}", "bücher.example"),
        ("${domain_to_utf8{${domain_to_ascii{ñ.example}}}}", "ñ.example"),
    ] {
        assert_eq!(banner(value).as_deref(), Ok(expanded), "{value}");
    }
    for (value, why) in [
        ("${domain_to_ascii{bücher..example}}", "is no domain name that has an ASCII form"),
        ("${domain_to_utf8{no domain}}", "is no domain name that has a Unicode form"),
        ("${domain_to_x{a}}", "there is no function \"domain_to_x\""),
    ] {
        let problems = banner(value).unwrap_err();
        assert!(problems[0].contains(why), "{value}: {problems:?}");
    }
}

#[test]
fn a_first_line_that_continues_nothing_is_passed_over_as_postfix_does() {
    assert_eq!(
        warnings("  myhostname = a\nmyorigin = b\n"),
        [
            "main.cf:1: this line starts with white space, but there is no line before it to continue; \
          ignored"
        ]
    );
}

#[test]
fn what_does_nothing_here_says_so() {
    assert_eq!(
        warnings("enable_long_queue_ids = yes\n"),
        [
            "main.cf:1: enable_long_queue_ids: accepted, without effect: queue ids are hexadecimal and \
          never used again"
        ]
    );
}

#[test]
fn a_table_that_is_away_is_a_warning_and_answers_unavailable() {
    let snapshot = built("virtual_mailbox_maps = texthash:/none, hash:/users\n").unwrap();
    let said: Vec<String> = snapshot.warnings().iter().map(ToString::to_string).collect();
    assert!(
        said.contains(
            &"main.cf:1: virtual_mailbox_maps: table texthash:/none: open /none: entity not found"
                .to_owned()
        ),
        "{said:#?}"
    );
    assert!(matches!(
        block_on(snapshot.mailbox.virtual_mailbox_maps.lookup("a@b")),
        Answer::Unavailable(_)
    ));
}

#[test]
fn compatibility_level_moves_defaults() {
    assert!(!built("").unwrap().smtpd.smtputf8_enable);
    assert!(built("compatibility_level = 3.6\n").unwrap().smtpd.smtputf8_enable);
    assert_eq!(built("").unwrap().site.mynetworks_style, NetworksStyle::Subnet);
    assert_eq!(
        built("compatibility_level = 2\n").unwrap().site.mynetworks_style,
        NetworksStyle::Host
    );
}

#[test]
fn the_deadline_of_a_request_comes_with_stress_or_under_its_older_name() {
    for (main_cf, calm, stressed) in [
        ("", false, true),
        ("smtpd_per_record_deadline = yes\n", true, true),
        ("smtpd_per_record_deadline = no\n", false, false),
        ("smtpd_per_record_deadline = no\nsmtpd_per_request_deadline = yes\n", true, true),
    ] {
        let deadline = built(main_cf).unwrap().smtpd.smtpd_per_request_deadline;
        assert_eq!((deadline.under(false), deadline.under(true)), (calm, stressed), "{main_cf}");
    }
}

#[test]
fn values_print_as_postconf_prints_them() {
    let snapshot =
        built("smtpd_banner = $myhostname\nmy_own =\nvirtual_uid_maps = $my_own\n").unwrap();
    let lines =
        |printed: Vec<Printed<'_>>| printed.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        lines(snapshot.settings().print_set()),
        ["my_own =", "smtpd_banner = $myhostname", "virtual_uid_maps = $my_own"]
    );
    let defaults = lines(snapshot.settings().print_defaults());
    assert!(defaults.contains(&"smtpd_timeout = ${stress?{10}:{300}}s".to_owned()));
    assert!(defaults.contains(&"myhostname = mx.example.com".to_owned()));
    assert!(defaults.is_sorted());
    let all = lines(snapshot.settings().print_all());
    assert_eq!(all.len(), defaults.len());
    assert!(all.contains(&"smtpd_banner = $myhostname".to_owned()));
}
