//! What files of templates are read as, and what becomes of their text.

use std::borrow::Cow;

use super::*;

/// Parameters, and the two times.
struct Host {
    parameters: &'static [(&'static str, &'static str)],
    warning: u64,
    lifetime: u64,
    utf8: bool,
}

impl Values for Host {
    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.parameters
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| Cow::Borrowed(*value))
    }

    fn delay_warning_time(&self) -> u64 {
        self.warning
    }

    fn maximal_queue_lifetime(&self) -> u64 {
        self.lifetime
    }

    fn is_utf8(&self) -> bool {
        self.utf8
    }
}

const HOST: Host = Host {
    parameters: &[
        ("myhostname", "mx.xn--mller-kva.example"),
        ("mydomain", "xn--mller-kva.example"),
        ("mail_name", "$own"),
        ("own", "ringpost"),
        ("odd", "a\nb"),
    ],
    warning: 14_400,
    lifetime: 5 * 86_400,
    utf8: false,
};

fn loaded(text: &str) -> Loaded {
    Templates::parse("bounce.cf", text.as_bytes()).unwrap()
}

fn notes(text: &str) -> Vec<String> {
    loaded(text).notes.iter().map(ToString::to_string).collect()
}

fn expanded(line: &str, host: &Host) -> Result<Expanded, String> {
    let text = format!("delay_template = <<X\nSubject: s\n\n{line}\nX\n");
    let templates = loaded(&text).templates;
    templates.get(Kind::Delay).expand(host).map_err(|error| error.to_string())
}

fn text(line: &str) -> String {
    expanded(line, &HOST).unwrap().text
}

#[test]
fn there_are_four_templates_with_postfixs_subjects() {
    let templates = Templates::default();
    let subjects: Vec<(&str, Option<&str>)> = Kind::ALL
        .into_iter()
        .map(|kind| templates.get(kind))
        .map(|template| (&*template.subject, template.postmaster_subject.as_deref()))
        .collect();
    assert_eq!(
        subjects,
        [
            ("Undelivered Mail Returned to Sender", Some("Postmaster Copy: Undelivered Mail")),
            ("Delayed Mail (still being retried)", Some("Postmaster Warning: Delayed Mail")),
            ("Successful Mail Delivery Report", None),
            ("Mail Delivery Status Report", None),
        ]
    );
    assert!(templates.print_expanded(&HOST).unwrap().notes.is_empty());
}

#[test]
fn any_of_them_may_be_given_and_what_is_printed_is_read_back() {
    let given = loaded("# mine\n\nverify_template = <<END\nSubject: tried\n\ntext\nEOF\nEND\n");
    assert_eq!(given.notes, []);
    let verify = given.templates.get(Kind::Verify);
    assert_eq!(&*verify.subject, "tried");
    assert_eq!(verify.lines.len(), 2, "the word at the end is the file's choice");
    assert_eq!(given.templates.get(Kind::Delay), &Template::built_in(Kind::Delay));
    let printed = Templates::default().print();
    let mut again = loaded(&printed).templates;
    for kind in Kind::ALL {
        again.set(Template { origin: "[built-in]".into(), ..again.get(kind).clone() });
    }
    assert_eq!(again, Templates::default());
}

#[test]
fn headers_are_read_in_any_case_and_the_rest_stays_as_built_in() {
    let given = loaded(
        "failure_template = <<EOF\nFROM: me <a@b>\ncharset : utf-8\n\
         POSTMASTER-subject:: copy $x\n\n\n  \\ Grüße\n\nend\nEOF\n",
    );
    let template = given.templates.get(Kind::Failure);
    assert_eq!(&*template.from, "me <a@b>");
    assert_eq!(&*template.charset, "utf-8");
    assert_eq!(template.postmaster_subject.as_deref(), Some("copy $x"), "no $ in headers");
    assert_eq!(&*template.subject, "Undelivered Mail Returned to Sender");
    assert_eq!(&*template.lines[0], "  \\ Grüße", "white space and backslash are text");
    assert!(template.is_8bit());
}

#[test]
fn a_template_with_a_mistake_is_left_out_with_a_warning() {
    for (body, said) in [
        ("Subject:\n\nx", "empty \"Subject\" header value in success template"),
        ("Subject: ü\n\nx", "non-ASCII \"Subject\" header value in success template"),
        ("X-Y: z\n\nx", "unknown \"X-Y\" header label in success template"),
        (
            "Postmaster-Subject: z\n\nx",
            "inapplicable \"Postmaster-Subject\" header label in success template",
        ),
        ("Subject: x\n\n \n", "missing message text in success template"),
        (
            "Subject: x\n\nü",
            "8-bit message text in success template; please specify a charset other than us-ascii",
        ),
    ] {
        let file = format!("success_template = <<EOF\n{body}\nEOF\n");
        assert_eq!(
            notes(&file),
            [format!("bounce.cf: {said} -- ignoring this template")],
            "{body}"
        );
        assert_eq!(loaded(&file).templates.get(Kind::Success), &Template::built_in(Kind::Success));
    }
}

#[test]
fn the_form_of_the_file_is_checked() {
    assert_eq!(
        notes("other_template = x\nverify_template = <<EOF\nSubject: a\n\nb\n"),
        [
            "bounce.cf, line 1: unknown template name: other_template -- ignoring this template",
            "bounce.cf, line 2: missing \"EOF\" end marker",
        ]
    );
    for (file, said) in [
        ("verify_template = <<\n", "bounce.cf, line 1: missing end marker after <<"),
        ("\nverify_template = <<\"EOF\"\n", "bounce.cf, line 2: malformed end marker after <<"),
        (
            "text\n",
            "bounce.cf, line 1: this line has no \"=\" after \"text\"; expected \"name = value\"",
        ),
        ("a\0", "bounce.cf: holds a NUL byte"),
    ] {
        assert_eq!(Templates::parse("bounce.cf", file.as_bytes()).unwrap_err().to_string(), said);
    }
    let large = vec![b'#'; TEMPLATE_BYTES_MAX + 1];
    assert!(Templates::parse("bounce.cf", &large).is_err());
}

#[test]
fn names_in_the_text_are_parameters_and_two_dollars_are_one() {
    assert_eq!(
        text("$myhostname ${mail_name} $(own) $$5"),
        "mx.xn--mller-kva.example ringpost ringpost $5\n"
    );
    assert_eq!(text("$odd"), "a?b\n");
    let utf8 = Host { utf8: true, ..HOST };
    assert_eq!(expanded("$mydomain", &utf8).unwrap().text, "müller.example\n");
    assert_eq!(
        expanded("x $nothing", &HOST).unwrap_err(),
        "bounce.cf: undefined $name in delay template: x $nothing"
    );
    assert_eq!(
        expanded("a $ b", &HOST).unwrap_err(),
        "bounce.cf: bad $name syntax in delay template: a $ b"
    );
}

#[test]
fn two_times_are_counted_in_the_unit_that_is_asked_for() {
    assert_eq!(
        text("$delay_warning_time_minutes $delay_warning_time_hours $maximal_queue_lifetime_days"),
        "240 4 5\n"
    );
    assert_eq!(text("${maximal_queue_lifetime_hours}h"), "120h\n");
    assert_eq!(
        expanded("$delay_warning_time_years", &HOST).unwrap_err(),
        "bounce.cf: unrecognized suffix \"years\" in parameter \"delay_warning_time_years\"; expected \
         seconds, minutes, hours, days or weeks"
    );
}

#[test]
fn a_unit_that_suits_a_time_badly_is_noted() {
    let notes = |line: &str| expanded(line, &HOST).unwrap().notes;
    assert_eq!(
        notes("$delay_warning_time_seconds"),
        ["bounce.cf: excessive result \"14400\" in delay template conversion of parameter \
          \"delay_warning_time_seconds\"; please increase time unit \"seconds\""]
    );
    assert_eq!(
        notes("$delay_warning_time_days"),
        ["bounce.cf: zero result in delay template conversion of parameter \
          \"delay_warning_time_days\"; please reduce time unit \"days\""]
    );
    assert_eq!(notes("$maximal_queue_lifetime_weeks").len(), 1);
    let never = Host { warning: 0, ..HOST };
    assert_eq!(expanded("$delay_warning_time_days", &never).unwrap().notes, [""; 0]);
}
