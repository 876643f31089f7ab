//! What postconf says about a configuration and about its command line, beside Debian's: output, messages, exit
//! code. What Debian's 3.7 does not say yet is written down as 3.12 says it.

use std::thread;

use tests::peer::Ran;

use crate::postconf::{MAIN_CF, MASTER_CF, Place};

const SMTP: &str = "smtp inet n - y - - smtpd\n";

/// main.cf, master.cf, and the arguments that are tried with them.
type Case = (&'static str, &'static str, &'static [&'static [&'static str]]);

/// A mistake in a file is told whatever is asked for.
const SHOW: &[&[&str]] = &[&["-n"], &["-x", "biff"], &["-M"], &["-P"], &["-F", "smtp/inet/chroot"]];

/// Postfix 3.7 and 3.12 say the same.
const BOTH: &[Case] = &[
    // Lines that define nothing.
    ("biff = no\nfoo\n", SMTP, SHOW),
    ("= x\n", SMTP, &[&["-n"]]),
    (" a = b\nbiff = no\n", SMTP, &[&["-n"], &["biff"]]),
    (" a = b, and so on, and so on, and on\n# no\n  on\nbiff = no\n", SMTP, &[&["-n"]]),
    // Definitions in the place of others.
    ("biff = no\nx = 1\nbiff = yes\n", SMTP, SHOW),
    ("biff = no\nbiff = no\n", SMTP, &[&["-n"]]),
    ("biff = no\n", "smtp inet n - y - - smtpd -o biff=1 -o biff=2\n", &[&["-P"], &["-n"]]),
    // Names that nobody uses, or that nobody knows.
    ("my_own = 1\nbiff = $theirs\n", SMTP, &[&["-n"], &["-M"], &["my_own", "theirs", "biff"]]),
    (
        "a = 1\nb = $a\nc = $b\nbiff = $c\nd = $c\n",
        SMTP,
        &[&["-n"], &["-C", "user"], &["-x", "d", "biff"]],
    ),
    ("UPPER = x\nbiff = $UPPER ${lower?{$a-b}:$c.d}\n", SMTP, &[&["-n"], &["-x", "biff"]]),
    (
        "forward_path = $home/.forward\ndefault_rbl_reply = $rbl_code ${\n",
        SMTP,
        &[&["-n"], &["-nx"]],
    ),
    (
        "smtpd_restriction_classes = a, b {c d}\na = permit\nx = smtpd_restriction_classes\n",
        "smtp inet n - y - - smtpd -o smtpd_restriction_classes=e,f -o e=permit -o a=reject -o g=1\n",
        &[&["-n"], &["-P"], &["-C", "user"]],
    ),
    (
        "x = 1\n",
        "smtp inet n - y - - smtpd\n -o biff=$x -o y=$z -o header_checks=$y -o w=1\n",
        &[&["-n"], &["-P"], &["-Px"], &["-Mx"], &["-P", "smtp/inet/w"]],
    ),
    (
        "smtp_destination_recipient_limit = 4\nno_destination_recipient_limit = 3\nslow_time_limit = 3\n",
        "smtp inet n - y - - smtpd\nslow unix - n n - - pipe\n",
        &[&["-n"], &["-C", "service"]],
    ),
    // What nobody can set.
    (
        "process_id = 1\nservice_name = x\nprocess_name = $x\n",
        "smtp inet n - y - - smtpd\n -o process_name=1 -o service_name=2 -o biff=$process_name/$service_name\n",
        &[&["-n"], &["process_name", "service_name"], &["-P"], &["-Px"], &["-M"]],
    ),
    (
        "biff = no\n",
        SMTP,
        &[&["-o", "process_id=1", "-n"], &["-o", "mail_version=1", "mail_version"]],
    ),
    // Braces that do not pair, in values and in master.cf.
    ("my_own = {a\nbiff = $my_own }\n", SMTP, &[&["-n"], &["-nf"], &["-nx"]]),
    (
        "",
        "smtp inet n - y - - smtpd -o {x\nsmtps inet n - y - - smtpd -o {y} -o {a = b}c\n",
        &[&["-M"], &["-P"], &["-n"]],
    ),
    // Tables that have parameters of their own, or a file.
    (
        "header_checks = ldap:one proxy:mysql:two\none_server_host = x\none_junk = y\ntwo_user = z\nfoo = ldap:three\n\
         three_domain = x\n",
        SMTP,
        &[&["-n"], &["-C", "user"]],
    ),
    (
        "body_checks = ldap:/no/file, debug:proxy:sqlite:/dev/null memcache:PLACE/master.cf\nbiff = no\n",
        SMTP,
        &[&["-n"]],
    ),
    // master.cf that is none.
    ("", "smtp inet n - y - -\n", SHOW),
    ("", "smtp inet x - y - - smtpd\n", SHOW),
    ("", "smtp xnet n - y - - smtpd\n", &[&["-M"]]),
    ("", "smtp inet n - y 1x - smtpd\n  -o a=b\n", &[&["-M"]]),
    ("", "smtp inet n - y - x smtpd\n", &[&["-M"], &["-e", "biff=1"]]),
    ("", " smtp inet n - y - - smtpd\nx unix - - - - - y\n", &[&["-M"], &["-n"]]),
    // Values of every shape.
    (
        "biff = a\t\tb\n   c\n # d\n\n  e\nempty =\nmynetworks = $biff$empty ${empty?no}${empty:yes} $$x\n",
        SMTP,
        &[
            &["-n"],
            &["-nf"],
            &["-nx"],
            &["-nh"],
            &["-nH"],
            &["-h", "empty", "biff"],
            &["-H", "empty"],
            &["empty"],
        ],
    ),
    // What is asked for and is not there, or is nothing that can be asked for.
    (
        MAIN_CF,
        MASTER_CF,
        &[
            &["nosuch", "biff", "", "a b"],
            &["-n", "nosuch", "relayhost", "inet_interfaces"],
            &["-M", "nosuch", "smtp/unix", "*/pass"],
            &["-M", "*/*", "smtp"],
            &["-M", "a/b/c"],
            &["-M", "sm*/inet"],
            &["-F", "nosuch/inet", "*/inet/command", "dovecot"],
            &["-F", "smtp/inet/bogus"],
            &["-F", "a/b/c/d"],
            &["-P", "nosuch", "smtp/inet", "*/*/syslog_name", "*/unix/nosuch"],
            &["-P", "/smtp"],
            &["-P", "smtp//inet", "cleanup/"],
            &["-C", "user"],
            &["-nC", "USER, builtin"],
            &["-C", "user,bogus"],
            &["-C", ""],
            &["-T", "bogus"],
            &["-T"],
            &["-T", "run-version", "-T", "run-version"],
            &["-y"],
            &["-c"],
            &["-o", "biff", "-n"],
            &["-o", "=x", "-n"],
            &["-o", "unused=x", "-o", "relayhost=$biff", "-n"],
        ],
    ),
    // Options that do not go together.
    (
        "biff = no\n",
        SMTP,
        &[
            &["-n", "-d"],
            &["-h", "-H", "biff"],
            &["-m", "-l"],
            &["-M", "-F"],
            &["-M", "-n"],
            &["-M", "-H"],
            &["-F", "-X", "smtp/inet/chroot"],
            &["-F", "-#", "smtp/inet/chroot"],
            &["-P", "-#", "smtp/inet/a"],
            &["-n", "biff=yes"],
            &["-x", "-e", "biff=yes"],
            &["-f", "-X", "biff"],
            &["-d", "-o", "biff=yes"],
            &["-o", "a=b", "-e", "biff=yes"],
            &["-e", "-X", "biff"],
            &["-l", "-h"],
            &["-bt"],
            &["-b", "one", "two"],
            &["-e"],
            &["-X"],
            &["-#"],
            &["-Me"],
        ],
    ),
    // Edits that cannot be made, and those that are odd.
    (
        "biff = no\nx = 1\nbiff = maybe\n",
        "smtp inet n - y - - smtpd\nqmgr unix n - n 300 1 qmgr\n",
        &[
            &["-e", "biff"],
            &["-e", "=x"],
            &["-e", ""],
            &["-e", "  #biff = 1"],
            &["-e", "biff = a\n b"],
            &["-e", "y = 2", "biff"],
            &["-e", "biff = 1"],
            &["-e", "new = 1", "new = 2"],
            &["-e", "a b = c"],
            &["-e", "process_id=1"],
            &["-e", "$a = b"],
            &["-X", "x = 1"],
            &["-X", " "],
            &["-X", "#x"],
            &["-X", "nosuch", "biff"],
            &["-#", "nosuch", "biff"],
            &["-#", "x="],
            &["-M", "-e", "smtp/inet"],
            &["-M", "-e", "smtp/inet="],
            &["-M", "-e", "smtp=smtp inet n - n - - x"],
            &["-M", "-e", "smtp/inet=smtp inet n"],
            &["-M", "-e", "smtp/inet=smtp xnet n - n - - x"],
            &["-M", "-e", "smtp/inet=smtp inet n - n - - x\n"],
            &["-M", "-e", "#smtp/inet=smtp inet n - n - - x"],
            &["-MX", "nosuch/inet", "smtp/*"],
            &["-MX", "smtp"],
            &["-M#", "smtp/inet=x"],
            &["-F", "-e", "smtp/inet/chroot=x"],
            &["-F", "-e", "smtp/inet/wakeup=1 2"],
            &["-F", "-e", "smtp/inet/*=x"],
            &["-F", "-e", "smtp/inet/bogus=x"],
            &["-F", "-e", "smtp/inet=x"],
            &["-F", "-e", "nosuch/inet/chroot=y", "smtp/inet/chroot=n"],
            &["-F", "-e", "smtp/inet/command=x -o {a"],
            &["-P", "-e", "smtp/inet=x"],
            &["-P", "-e", "smtp/inet/*=x"],
            &["-P", "-e", "nosuch/inet/a=x"],
            &["-PX", "smtp/inet/nosuch", "nosuch/unix/x"],
            &["-PX", "smtp/inet/a=1"],
        ],
    ),
    // Edits of a master.cf that has something odd in it.
    ("", "smtp\n inet n - y - - smtpd\n", &[&["-F", "-e", "smtp/inet/chroot=n"], &["-MX", "a/b"]]),
    ("", "a=b inet n - y - - smtpd\n", &[&["-F", "-e", "smtp/inet/chroot=n"]]),
    ("", "a b/c n - y - - smtpd\n", &[&["-MX", "a/b"]]),
    ("", "smtp inet n - y - -\n", &[&["-P", "-e", "smtp/inet/a=b"], &["-MX", "smtp/inet"]]),
    ("", "smtp inet n - y - 1x smtpd\n", &[&["-P", "-e", "smtp/inet/a=b"]]),
];

#[test]
fn messages_are_those_of_postfix() {
    let each = BOTH.iter().flat_map(|(main_cf, master_cf, all)| {
        all.iter().map(move |arguments| (*main_cf, *master_cf, *arguments))
    });
    let all: Vec<_> = each.collect();
    // Postfix waits for a second before it ends with a message, and so does nothing for most of the time.
    const AT_A_TIME: usize = 40;
    let mut differ = String::new();
    for some in all.chunks(AT_A_TIME) {
        let compared: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> =
                some.iter().map(|case| scope.spawn(move || compared(case))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a comparison")).collect()
        });
        differ.extend(compared);
    }
    assert!(differ.is_empty(), "{differ}");
}

/// What differs between ours and theirs, or nothing.
fn compared(&(main_cf, master_cf, arguments): &(&str, &str, &[&str])) -> String {
    let [ours, theirs] = [(); 2].map(|()| Place::new(main_cf, master_cf));
    let said = [said(ours.ours(arguments)), said(theirs.theirs(arguments))];
    let files = |place: &Place| ["main.cf", "master.cf"].map(|name| place.read(name));
    if said[0] == said[1] && files(&ours) == files(&theirs) {
        return String::new();
    }
    let [ours, theirs] = [files(&ours), files(&theirs)];
    let [our_words, their_words] = said;
    format!(
        "{main_cf:?}\n{master_cf:?}\n{arguments:?}\n{our_words:#?}\n{ours:?}\nPostfix: {their_words:#?}\n{theirs:?}\n\n"
    )
}

/// Exit, output, and messages: in an order of their own, and each once (Postfix has the order of a hash table).
fn said(ran: Ran) -> (bool, Vec<String>, Vec<String>) {
    let line = |line: &str| {
        let line = line.replace("/usr/sbin/postconf", "postconf");
        // 3.7 has no -j yet, and no commas here.
        let line = line.replace(" [-j (streaming JSON) ]", "");
        if line.contains("specify one of -") || line.contains("do not specify -") {
            line.replace(", -", " -")
        } else {
            line
        }
    };
    let mut messages: Vec<String> = ran.err.lines().map(line).collect();
    messages.sort();
    messages.dedup();
    (ran.ok, ran.out.lines().map(str::to_owned).collect(), messages)
}

type Lines = &'static [&'static str];

/// main.cf, master.cf, arguments, and what Postfix 3.12 says: messages, then output.
const NEWER: &[(&str, &str, Lines, Lines, Lines)] = &[
    (
        "disable_dns_lookups = no\nsmtpd_tls_dh1024_param_file = auto\nlmtp_cname_overrides_servername = x\n\
         smtp_tls_cipherlist = x\ntlsproxy_client_loglevel_parameter = x\n",
        "smtp inet n - y - - smtpd -o smtp_enforce_tls=yes\n",
        &["-n"],
        &[
            "warning: PLACE/main.cf: support for parameter \"disable_dns_lookups\" will be removed; instead, specify \
             \"smtp_dns_support_level\"",
            "warning: PLACE/main.cf: support for parameter \"lmtp_cname_overrides_servername\" will be removed; \
             instead, do not specify",
            "warning: PLACE/main.cf: unused parameter: smtp_tls_cipherlist=x",
            "warning: PLACE/main.cf: support for parameter \"smtpd_tls_dh1024_param_file\" will be removed; instead, \
             do not specify (leave at default)",
            "warning: PLACE/main.cf: support for parameter tlsproxy_client_loglevel_parameter has been removed; \
             instead, do not specify",
            "warning: PLACE/master.cf: support for parameter \"smtp_enforce_tls\" will be removed; instead, specify \
             \"smtp_tls_security_level\"",
            "warning: See https://www.postfix.org/DEPRECATION_README.html for details",
        ],
        &[
            "config_directory = PLACE",
            "disable_dns_lookups = no",
            "lmtp_cname_overrides_servername = x",
            "smtpd_tls_dh1024_param_file = auto",
        ],
    ),
    (
        "smtp_use_tls = no\nunused = x\n",
        SMTP,
        &["-nq"],
        &[],
        &["config_directory = PLACE", "smtp_use_tls = no"],
    ),
    // Older names that newer ones have in their defaults: nobody lists them unless they are set.
    (
        "virtual_maps = x\n",
        SMTP,
        &["-C", "user"],
        &[
            "warning: PLACE/main.cf: support for parameter \"virtual_maps\" will be removed; instead, specify \
             \"virtual_alias_maps\"",
            "warning: See https://www.postfix.org/DEPRECATION_README.html for details",
        ],
        &["virtual_maps = x"],
    ),
    (
        "",
        SMTP,
        &["virtual_maps", "enable_errors_to"],
        &["warning: enable_errors_to: unknown parameter"],
        &["virtual_maps ="],
    ),
    // A comment behind a value.
    (
        "mydestination = a, #b, c\n d\nheader_checks = pcre:{ {/a #b/ c} }\nmy_own = a #b\nbiff = $my_own\n",
        SMTP,
        &["-qh", "mydestination"],
        &[
            "warning: PLACE/main.cf: #comment after other text is not allowed: #b ...",
            "warning: PLACE/main.cf: #comment after other text is not allowed: #b  c d...",
        ],
        &["a, #b, c d"],
    ),
    // Braces that do not pair.
    (
        "mydestination = a pipemap:{x}y randmap:{z\n",
        "smtp inet n - y - - smtpd -o { mydestination = a:{z}y }\n",
        &["-M", "*/unix"],
        &[
            "warning: PLACE/master.cf:smtp/inet: syntax error after '}' in \"{z}y\"",
            "warning: PLACE/main.cf: syntax error after '}' in \"{x}y\"",
            "warning: PLACE/main.cf: missing '}' in \"{z\"",
            "warning: unmatched request: \"*/unix\"",
        ],
        &[],
    ),
    // Names in the file of a table that mean nothing there.
    (
        "body_checks = proxy:pgsql:PLACE/main.cf\nquery = x\nquery = y\n",
        SMTP,
        &["-q", "-x", "body_checks"],
        &[
            "warning: PLACE/main.cf, line 3: overriding earlier entry: query=x",
            "warning: PLACE/main.cf, line 3: overriding earlier entry: query=x",
        ],
        &["body_checks = proxy:pgsql:PLACE/main.cf"],
    ),
    (
        "body_checks = proxy:pgsql:PLACE/main.cf\nquery = x\n",
        SMTP,
        &["biff"],
        &[
            "warning: pgsql:PLACE/main.cf: unused parameter: body_checks=proxy:pgsql:PLACE/main.cf",
            "warning: PLACE/main.cf: unused parameter: query=x",
        ],
        &["biff = yes"],
    ),
    // With -PP, all that holds for a service.
    (
        "mine = 1\nbiff = $mine\n",
        "smtp inet n - y - - smtpd -o biff=$theirs -o theirs=2\n",
        &["-PPx", "*/*/biff", "smtp/inet/mine", "smtp/inet/nosuch"],
        &["warning: unmatched request: \"smtp/inet/nosuch\""],
        &["smtp/inet/biff = 2", "smtp/inet/mine = 1"],
    ),
    (
        "mine = 1\nbiff = $mine\n",
        "smtp inet n - y - - smtpd -o biff=$theirs -o theirs=2\n",
        &["-PP", "-C", "user"],
        &[],
        &["smtp/inet/biff = $theirs", "smtp/inet/mine = 1", "smtp/inet/theirs = 2"],
    ),
    ("biff = no\n", SMTP, &["-hH", "biff"], &["fatal: specify one of -h, -H"], &[]),
];

#[test]
fn newer_messages_are_those_of_the_newest_postfix() {
    for (main_cf, master_cf, arguments, messages, out) in NEWER {
        let ran = Place::new(main_cf, master_cf).ours(arguments);
        let expected: Vec<String> =
            messages.iter().map(|line| format!("postconf: {line}")).collect();
        assert_eq!(ran.err.lines().collect::<Vec<_>>(), expected, "{arguments:?}");
        assert_eq!(ran.out.lines().collect::<Vec<_>>(), *out, "{arguments:?}");
    }
}

#[test]
fn what_is_built_in_is_listed_one_a_line() {
    let place = Place::new("", "");
    let lines = |arguments: &[&str]| -> Vec<String> {
        place.ours(arguments).expect_ok().lines().map(str::to_owned).collect()
    };
    // The same three, in the same order.
    assert_eq!(lines(&["-l"]).join("\n"), place.theirs(&["-l"]).expect_ok().trim_end());
    // There is no SASL yet; Postfix without it lists nothing either.
    assert_eq!(lines(&["-a"]), [""; 0]);
    assert_eq!(lines(&["-A"]), [""; 0]);
    let version = lines(&["-T", "run-version"]);
    assert!(version.len() == 1 && version[0].starts_with("rustls 0."), "{version:?}");
    assert_eq!(lines(&["-T", "compile-version"]), version);
    assert_eq!(lines(&["-T", "public-key-algorithms"]), ["ecdsa", "ed25519", "rsa"]);
}
