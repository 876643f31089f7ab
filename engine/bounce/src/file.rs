//! The file: `name = <<EOF`, lines, `EOF` (bounce(5); postfix `src/bounce/bounce_templates.c`).
//!
//! A template with a mistake in its headers is left out, and the built-in one is in its place; what makes
//! the file itself unreadable is an error.

use std::fmt;

use crate::template::{Kind, Template, Templates};

/// Bytes of a file of templates. Every notice carries one of them.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// One for each notice.
    pub templates: Templates,
    /// What the admin should know.
    pub notes: Vec<Note>,
}

/// Something odd in a file that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file and, where there is one, the line.
    pub place: String,
    /// What it is.
    pub cause: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)
    }
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file as it was named.
    pub file: String,
    /// The line, 0 for the file.
    pub line: u32,
    /// Why.
    pub cause: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.cause),
            line => write!(f, "{}, line {line}: {}", self.file, self.cause),
        }
    }
}

impl std::error::Error for FileError {}

impl Templates {
    /// Reads a file, `file` is what messages call it. What it does not have is built in.
    pub fn parse(file: &str, text: &[u8]) -> Result<Loaded, FileError> {
        let error = |line, cause: String| FileError { file: file.to_owned(), line, cause };
        if text.len() > TEMPLATE_BYTES_MAX {
            let cause = format!("is larger than {TEMPLATE_BYTES_MAX} bytes");
            return Err(error(0, cause));
        }
        if text.contains(&0) {
            return Err(error(0, "holds a NUL byte".to_owned()));
        }
        let text = std::str::from_utf8(text).map_err(|_| {
            error(0, "is not valid UTF-8; a template in another charset is not read".to_owned())
        })?;
        let mut reading = Loaded { templates: Self::default(), notes: Vec::new() };
        let mut lines = (1u32..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            if cf::is_nothing(line.as_bytes()) {
                continue;
            }
            let (name, value) = cf::split_definition(line)
                .map_err(|why| error(number, format!("this line {why}")))?;
            let value = match value.strip_prefix("<<") {
                None => value.to_owned(),
                Some(marker) => {
                    let marker = marker.trim_start();
                    if !marker.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                        let what = if marker.is_empty() { "missing" } else { "malformed" };
                        return Err(error(number, format!("{what} end marker after <<")));
                    }
                    let mut body = Vec::new();
                    let mut ended = false;
                    for (_, line) in lines.by_ref() {
                        ended = line == marker;
                        if ended {
                            break;
                        }
                        body.push(line);
                    }
                    if !ended {
                        reading.note(
                            format!("{file}, line {number}"),
                            format!("missing \"{marker}\" end marker"),
                        );
                    }
                    body.join("\n")
                }
            };
            let Some(kind) = Kind::of_template(name) else {
                reading.note(
                    format!("{file}, line {number}"),
                    format!("unknown template name: {name} -- ignoring this template"),
                );
                continue;
            };
            match template(kind, file, &value) {
                Ok(template) => reading.templates.set(template),
                Err(cause) => {
                    reading.templates.set(Template::built_in(kind));
                    reading.note(file.to_owned(), format!("{cause} -- ignoring this template"));
                }
            }
        }
        Ok(reading)
    }
}

impl Loaded {
    fn note(&mut self, place: String, cause: String) {
        self.notes.push(Note { place, cause });
    }
}

/// Headers, blank lines, text (postfix `src/bounce/bounce_template.c`). The error is what is wrong.
fn template(kind: Kind, file: &str, text: &str) -> Result<Template, String> {
    let class = kind.name();
    let mut template = Template { origin: file.into(), ..Template::built_in(kind) };
    let mut lines = text.split('\n').peekable();
    while let Some((label, value)) = lines.peek().and_then(|line| header(line)) {
        lines.next();
        if value.is_empty() {
            return Err(format!("empty \"{label}\" header value in {class} template"));
        }
        if !value.is_ascii() {
            return Err(format!("non-ASCII \"{label}\" header value in {class} template"));
        }
        match label.to_ascii_lowercase().as_str() {
            "charset" => template.charset = value.into(),
            "from" => template.from = value.into(),
            "subject" => template.subject = value.into(),
            "postmaster-subject" if template.postmaster_subject.is_some() => {
                template.postmaster_subject = Some(value.into());
            }
            "postmaster-subject" => {
                return Err(format!("inapplicable \"{label}\" header label in {class} template"));
            }
            _ => return Err(format!("unknown \"{label}\" header label in {class} template")),
        }
    }
    let text: Vec<Box<str>> =
        lines.skip_while(|line| line.trim().is_empty()).map(Into::into).collect();
    if text.is_empty() {
        return Err(format!("missing message text in {class} template"));
    }
    template.lines = text;
    if template.is_8bit() && template.charset.eq_ignore_ascii_case("us-ascii") {
        return Err(format!(
            "8-bit message text in {class} template; please specify a charset other than us-ascii"
        ));
    }
    Ok(template)
}

/// `Label: value`; white space may stand before the colon (postfix `src/global/is_header.c`).
fn header(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once(':')?;
    let label = label.trim_end_matches([' ', '\t']);
    let is_label = !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic());
    is_label.then(|| (label, value.trim_start_matches([':', ' ', '\t', '\r']).trim_end()))
}
