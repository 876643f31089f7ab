//! What entries of master.cf are read as, print as, and are told to be wrong with.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> MasterCf {
    parse("master.cf", text.as_bytes(), &Ports::default())
}

fn one(text: &str) -> Service {
    let all = parsed(text);
    assert!(!all.problems.iter().any(|problem| problem.severity.is_error()), "{:?}", all.problems);
    all.services.into_iter().next().unwrap()
}

fn problems(text: &str) -> Vec<String> {
    parsed(text).problems.iter().map(ToString::to_string).collect()
}

/// As `postconf -M` or, folded, `postconf -Mf` prints it.
fn printed(text: &str, fold: bool) -> String {
    let mut out = String::new();
    for entry in entries("master.cf", text.as_bytes()) {
        out.push_str(&entry.unwrap().entry.print(Style::plain(fold)));
        out.push('\n');
    }
    out
}

#[test]
fn the_defaults_of_the_fields_are_postfixs() {
    let service = one("smtp unix - - - - - smtp");
    assert_eq!(service.kind, Kind::Unix);
    assert!(service.private && service.unprivileged && !service.chroot);
    assert_eq!(service.wakeup, Wakeup::default());
    assert_eq!(service.process_limit, ProcessLimit::Default);
    assert_eq!(service.process_limit.or_default(100), Some(100));
    assert_eq!(service.command, Command::Smtp);
    assert_eq!(service.socket().as_deref(), Some("private/smtp"));
}

#[test]
fn every_field_is_read() {
    let service = one("flush unix n n y 1000? 7 flush -v -vD");
    assert!(!service.private && !service.unprivileged && service.chroot);
    assert_eq!(
        service.wakeup,
        Wakeup { every: Some(Duration::from_secs(1000)), after_first_use: true }
    );
    assert_eq!(service.process_limit, ProcessLimit::Most(NonZeroU32::new(7).unwrap()));
    assert_eq!((service.verbose, service.debug), (2, true));
    assert_eq!(service.socket().as_deref(), Some("public/flush"));
    let service = one("cleanup unix n - n 0? 0 cleanup");
    assert_eq!(service.wakeup, Wakeup::default());
    assert_eq!(service.process_limit.or_default(100), None);
    assert_eq!(one("smtpd pass - - n - - smtpd").kind, Kind::Pass);
    assert_eq!(one("postlog unix-dgram n - n - 1 postlogd").kind, Kind::UnixDatagram);
}

#[test]
fn options_are_read_in_each_of_their_forms_and_know_their_lines() {
    let service = one("\
submission inet n - n - - smtpd -vosyslog_name=postfix/submission
  # a comment
  -o smtpd_sasl_auth_enable=yes -o { smtpd_client_restrictions = permit_sasl_authenticated, reject }

  -o{ mua = { a b } } -o smtpd_helo_restrictions=
  -o x={ a b }
");
    let overrides: Vec<(&str, &str, u32)> =
        service.overrides.iter().map(|one| (&*one.name, &*one.value, one.position.line)).collect();
    assert_eq!(
        overrides,
        [
            ("syslog_name", "postfix/submission", 1),
            ("smtpd_sasl_auth_enable", "yes", 3),
            ("smtpd_client_restrictions", "permit_sasl_authenticated, reject", 3),
            ("mua", "{ a b }", 5),
            ("smtpd_helo_restrictions", "", 5),
            ("x", "{ a b }", 6),
        ]
    );
    assert_eq!(service.verbose, 1);
    assert_eq!(service.position.line, 1);
}

#[test]
fn arguments_of_pipe_and_spawn_are_kept_and_braces_make_one_of_many_words() {
    let service = one("\
dovecot unix - n n - - pipe -o soft_bounce=yes
  flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/deliver
  {-a two words} -f ${sender} {} -- { { x } }
");
    let arguments: Vec<&str> = service.arguments.iter().map(|word| &**word).collect();
    assert_eq!(
        arguments,
        [
            "flags=DRhu",
            "user=vmail:vmail",
            "argv=/usr/lib/dovecot/deliver",
            "-a two words",
            "-f",
            "${sender}",
            "",
            "--",
            "{ x }"
        ]
    );
    let service = one("policy unix - n n - 0 spawn -- user=nobody argv=/usr/bin/policy");
    assert_eq!(service.arguments.len(), 2, "-- ends the options");
}

#[test]
fn the_retry_service_defers_what_error_bounces() {
    assert_eq!(one("retry unix - - n - - error").command, Command::Retry);
    assert_eq!(one("error unix - - n - - error").command, Command::Error);
    assert_eq!(Command::Retry.name(), "error");
    assert_eq!(one("x unix - - n - - /usr/lib/postfix/smtp").command, Command::Smtp);
}

#[test]
fn of_two_entries_for_one_service_the_last_counts() {
    let all = parsed(
        "25 inet n - n - - smtpd\nsmtp unix - - n - - smtp\nsmtp inet n - n - 3 smtpd\n\
         smtp unix n - n - - smtp\n",
    );
    let names: Vec<String> = all.services.iter().map(Service::name_space).collect();
    assert_eq!(names, ["smtp/unix", "smtp/inet", "smtp/unix"], "public/smtp is another socket");
    assert_eq!(
        all.problems[0].to_string(),
        "master.cf:3: smtp/inet: overrides the earlier entry for this service at master.cf:1"
    );
    assert_eq!(all.problems.len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_line_service_field_and_what_is_allowed() {
    for (entry, said) in [
        (
            "smtp inet n - n - smtpd",
            ":2: smtp/inet: this entry has 7 fields; expected 8: service type private unprivileged \
             chroot wakeup process_limit command",
        ),
        (
            "smtp tcp n - n - - smtpd",
            ":2: smtp/tcp: type: found \"tcp\", expected inet, unix, unix-dgram, fifo or pass",
        ),
        ("smtp unix yes - n - - smtp", ":2: smtp/unix: private: found \"yes\", expected y, n or -"),
        (
            "a unix n - n 5m - smtp",
            ":2: a/unix: wakeup: found \"5m\", expected a number of seconds, with ? behind it if it \
             counts from the first use, or -",
        ),
        (
            "a unix n - n - -1 smtp",
            ":2: a/unix: process_limit: found \"-1\", expected a number, 0 for no limit, or -",
        ),
        (
            "a unix n - n - 5000000000 smtp",
            ":2: a/unix: found \"5000000000\", process_limit: expected at most 4294967295",
        ),
        (
            "smtp inet - - n - - smtpd",
            ":2: smtp/inet: found \"-\", private: a service of type inet cannot be private; expected n",
        ),
        (
            "fax inet n - n - - smtpd",
            ":2: fax/inet: found \"fax\", service: \"fax\" is no port; expected a number, or a name \
             that /etc/services has for tcp",
        ),
        (
            "../x unix n - n - - smtp",
            ":2: ../x/unix: found \"../x\", service: expected a name of a file, without \"/\"",
        ),
        ("a unix - - n - - smtp -o", ":2: a/unix: found \"-o\", expected name=value after -o"),
        ("a unix - - n - - smtp -o x", ":2: a/unix: found \"x\", expected name=value after -o"),
        ("a unix - - n - - smtp -o {x}", ":2: a/unix: found \"x\", expected name=value after -o"),
        ("a unix - - n - - smtp\n -o {x=y", ":3: a/unix: found \"{x=y\", missing '}' in \"{x=y\""),
        (
            "a unix - - n - - pipe {x}y",
            ":2: a/unix: found \"{x}y\", syntax error after '}' in \"{x}y\"",
        ),
        (
            "a unix - - n - - smtp -q",
            ":2: a/unix: found \"-q\", expected -o name=value, -v or -D among the options",
        ),
        (
            "a unix - - n - - smtp x",
            ":2: a/unix: found \"x\", smtp takes options, but no arguments",
        ),
    ] {
        let all = parsed(&format!("ok unix - - n - - smtp\n{entry}\n"));
        assert_eq!(all.services.len(), 1, "{entry}");
        assert_eq!(all.problems[0].to_string(), format!("master.cf{said}"), "{entry}");
        assert!(all.problems[0].severity.is_error(), "{entry}");
    }
}

#[test]
fn every_mistake_of_a_file_is_reported() {
    let found = problems("a unix - - n - - smtp x y -o z\n b\nc inet - - n - 5000000000 smtpd\n");
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn what_means_nothing_here_is_said_once_and_does_no_harm() {
    let found = problems(
        "a fifo n - y - - pickup\nb unix - - y - - smtp\nc unix - - y - - mydaemon -x y\n\
         26 inet n - n - - qmgr\n25 inet n - n - - smptd\n",
    );
    assert_eq!(
        found,
        [
            "master.cf:3: c/unix: not supported: there is no program \"mydaemon\" here, so this \
             service does not run",
            "master.cf:4: 26/inet: not supported: qmgr serves this host only, so it does not listen on a \
             port",
            "master.cf:5: 25/inet: not supported: there is no program \"smptd\" here, so this service \
             does not run; did you mean smtpd?",
            "master.cf:1: a/fifo: accepted: the service has a socket, not a fifo",
            "master.cf:1: chroot: y for a, b, c: accepted, without effect: what serves the network \
             sees only its own directories in any case",
        ],
    );
}

#[test]
fn a_file_without_a_service_and_one_with_too_many_are_refused() {
    assert_eq!(
        problems("# nothing\n"),
        ["master.cf: there is no service in this file, so there is nothing to do"]
    );
    let many: String = (0..=SERVICES_MAX).map(|n| format!("s{n} unix - - n - - smtp\n")).collect();
    let all = parsed(&many);
    assert_eq!(all.services.len(), SERVICES_MAX);
    assert_eq!(
        all.problems[0].to_string(),
        "master.cf:10001: more than 10000 services; the rest is not read"
    );
}

#[test]
fn the_stock_services_are_right_and_are_those_of_postfix() {
    let all = stock(&Ports::default());
    assert_eq!(all.problems, []);
    let names: Vec<String> = all.services.iter().map(Service::name_space).collect();
    assert_eq!(
        names.join(" "),
        "smtp/inet pickup/unix cleanup/unix qmgr/unix tlsmgr/unix rewrite/unix bounce/unix defer/unix \
         trace/unix verify/unix flush/unix proxymap/unix proxywrite/unix smtp/unix relay/unix \
         showq/unix error/unix retry/unix discard/unix local/unix virtual/unix lmtp/unix anvil/unix \
         scache/unix postlog/unix-dgram"
    );
    let relay = all.services.iter().find(|service| &*service.name == "relay").unwrap();
    assert_eq!(relay.command, Command::Smtp);
    assert_eq!(
        &*relay.overrides[0].value,
        "${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name"
    );
}

#[test]
fn an_entry_prints_as_postconf_prints_it() {
    let text = "\
relay unix - - n - - smtp -v
        -o syslog_name=postfix/$service_name
# comment
        -o { smtp_helo_timeout = 5 s }
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient} {a b}
127.0.0.1:10025-and-more inet n - n - - smtpd
";
    assert_eq!(
        printed(text, false),
        "\
relay      unix  -       -       n       -       -       smtp -v -o syslog_name=postfix/$service_name -o {smtp_helo_timeout=5 s}
maildrop   unix  -       n       n       -       -       pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient} {a b}
127.0.0.1:10025-and-more inet n - n      -       -       smtpd
"
    );
    assert_eq!(
        printed(text, true),
        "\
relay      unix  -       -       n       -       -       smtp -v
    -o syslog_name=postfix/$service_name
    -o {smtp_helo_timeout=5 s}
maildrop   unix  -       n       n       -       -       pipe flags=DRXhu
    user=vmail argv=/usr/bin/maildrop -d ${recipient} {a b}
127.0.0.1:10025-and-more inet n - n      -       -       smtpd
"
    );
}

#[test]
fn fields_and_overrides_are_edited_in_place() {
    let (mut entry, _) =
        Entry::parse("a unix - - n - - smtp -v -o x=1 -o y=2 -D -o x=3", 1).unwrap();
    entry.set_override("x", "9");
    entry.set_override("z", "");
    let arguments = |entry: &Entry| entry.print_field_plainly(Field::Command, Style::plain(false));
    assert_eq!(arguments(&entry), "smtp -v -o x=9 -o y=2 -D -o x=9 -o z=");
    assert!(entry.remove_override("x"));
    assert!(!entry.remove_override("w"));
    assert_eq!(arguments(&entry), "smtp -v -o y=2 -D -o z=");
    entry.set_field(Field::Chroot, "y").unwrap();
    let before = entry.clone();
    assert!(entry.set_field(Field::Private, "x").is_err());
    assert!(entry.set_field(Field::Command, " ").is_err());
    assert_eq!(entry, before);
    entry.set_field(Field::Command, "pipe -ox=1 {a b}").unwrap();
    entry.set_override("y", "2");
    assert_eq!(
        entry.print_plainly(Style::plain(false)),
        "a unix - - y - - pipe -o x=1 -o y=2 {a b}"
    );
}

proptest! {
    #[test]
    fn what_was_parsed_prints_as_itself(
        words in prop::collection::vec(
            "-v|-D|-o|-vo|--|-oa=b|a=b|\\{a = b\\}|\\{ a = \\{b c\\} \\}|\\{a b\\}|\\{\\{x\\}\\}|\\{-v\\}|x|\\{\\}|a\\{b c\\}|-",
            0..12,
        ),
        fold in any::<bool>(),
    ) {
        let text = format!("name unix - - n 60? 0 pipe {}", words.join(" "));
        let (entry, notes) = Entry::parse(&text, 1).unwrap();
        prop_assume!(notes.is_empty());
        let printed = entry.print(Style::plain(fold));
        let again = entries("master.cf", printed.as_bytes());
        prop_assert_eq!(&again[0].as_ref().unwrap().entry, &entry, "{}", printed);
        prop_assert_eq!(&Entry::parse(&entry.print_plainly(Style::plain(false)), 1).unwrap().0, &entry);
    }
}
