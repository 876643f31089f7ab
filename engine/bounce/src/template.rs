//! Templates: what each has where nobody wrote another one, and how it is printed.

use std::fmt::Write;

/// Which notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The message is given up.
    Failure,
    /// It is late.
    Delay,
    /// It was delivered, and the sender wanted to know.
    Success,
    /// What became of a trial.
    Verify,
}

impl Kind {
    /// In the order in which they are printed.
    pub const ALL: [Self; 4] = [Self::Failure, Self::Delay, Self::Success, Self::Verify];

    /// Its name: `failure_template` in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Delay => "delay",
            Self::Success => "success",
            Self::Verify => "verify",
        }
    }

    /// The kind whose template has this name in the file.
    pub fn of_template(name: &str) -> Option<Self> {
        let name = name.strip_suffix("_template")?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One notice's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Which notice it is for.
    pub kind: Kind,
    /// The file it is from, for messages.
    pub origin: Box<str>,
    /// Character set of the text.
    pub charset: Box<str>,
    /// `From:`
    pub from: Box<str>,
    /// `Subject:`
    pub subject: Box<str>,
    /// `Subject:` of the postmaster's copy, where there is one.
    pub postmaster_subject: Option<Box<str>>,
    /// The lines, with their `$name`.
    pub lines: Vec<Box<str>>,
}

const FROM: &str = "Mail Delivery System <MAILER-DAEMON>";

const FAILURE: &str = "\
This is the mail system of $myhostname.

The message that is attached to this report has not reached the
recipients named below, and it will not be tried again.

If you need help, please write to postmaster and send this report
along. Your own text need not be part of it.

                   The mail system";

const DELAY: &str = "\
This is the mail system of $myhostname.

*** This is only a warning. There is no need to send it again. ***

For more than $delay_warning_time_hours hour(s) your message has not reached the
recipients named below. It will be tried until it is
$maximal_queue_lifetime_days day(s) old.

If you need help, please write to postmaster and send this report
along. Your own text need not be part of it.

                   The mail system";

const SUCCESS: &str = "\
This is the mail system of $myhostname.

Your message has reached the recipients or the systems named below.
Where that is a mailbox, you hear no more of it. Other systems may
still have to tell you that they could not deliver it.

                   The mail system";

const VERIFY: &str = "\
This is the mail system of $myhostname.

This is the report on the delivery that you asked for.

                   The mail system";

impl Template {
    /// What there is where nobody wrote another one.
    pub fn built_in(kind: Kind) -> Self {
        let (subject, postmaster_subject, text) = match kind {
            Kind::Failure => (
                "Undelivered Mail Returned to Sender",
                Some("Postmaster Copy: Undelivered Mail"),
                FAILURE,
            ),
            Kind::Delay => (
                "Delayed Mail (still being retried)",
                Some("Postmaster Warning: Delayed Mail"),
                DELAY,
            ),
            Kind::Success => ("Successful Mail Delivery Report", None, SUCCESS),
            Kind::Verify => ("Mail Delivery Status Report", None, VERIFY),
        };
        Self {
            kind,
            origin: "[built-in]".into(),
            charset: "us-ascii".into(),
            from: FROM.into(),
            subject: subject.into(),
            postmaster_subject: postmaster_subject.map(Into::into),
            lines: text.split('\n').map(Into::into).collect(),
        }
    }

    /// Whether its text needs eight bits.
    pub fn is_8bit(&self) -> bool {
        !self.lines.iter().all(|line| line.is_ascii())
    }
}

/// One for each notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates([Template; 4]);

impl Default for Templates {
    fn default() -> Self {
        Self(Kind::ALL.map(Template::built_in))
    }
}

impl Templates {
    /// The one for a notice.
    pub fn get(&self, kind: Kind) -> &Template {
        &self.0[kind as usize]
    }

    pub(crate) fn set(&mut self, template: Template) {
        let place = template.kind as usize;
        self.0[place] = template;
    }

    /// `postconf -t`: all of them, as the file would have them.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (place, template) in self.0.iter().enumerate() {
            if place > 0 {
                text.push('\n');
            }
            // A String takes everything.
            let _ = write!(
                text,
                "{}_template = <<EOF\nCharset: {}\nFrom: {}\nSubject: {}\n",
                template.kind.name(),
                template.charset,
                template.from,
                template.subject
            );
            if let Some(subject) = &template.postmaster_subject {
                let _ = writeln!(text, "Postmaster-Subject: {subject}");
            }
            text.push('\n');
            for line in &template.lines {
                let _ = writeln!(text, "{line}");
            }
            text.push_str("EOF\n");
        }
        text
    }
}
