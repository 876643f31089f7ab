//! `-b` and `-t`: the templates of notices, with their names replaced or not.

use std::borrow::Cow;
use std::io::Write;

use bounce::{Templates, Values};

use super::options::{Mode, Options};
use super::space::Space;
use super::{Ended, fatal, plain, warning};

/// Those of the file that is named, or of `bounce_template_file`, or the built-in ones.
pub(crate) fn print(options: &Options, out: &mut dyn Write) -> Result<(), Ended> {
    let space = Space::read(options, false, false)?;
    let file = match options.arguments.first() {
        Some(file) => file.clone(),
        None => space.text("bounce_template_file")?,
    };
    let templates = if file.is_empty() {
        Templates::default()
    } else {
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) => return fatal(format!("open {file}: {}", plain(&error))),
        };
        let loaded = Templates::parse(&file, &text).map_err(|why| Ended::Fatal(why.to_string()))?;
        loaded.notes.iter().for_each(warning);
        loaded.templates
    };
    if options.mode.has(Mode::BOUNCE_RAW) {
        return Ok(out.write_all(templates.print().as_bytes())?);
    }
    let host = Host {
        warning: seconds(&space, "delay_warning_time", cf::Unit::Hour)?,
        lifetime: seconds(&space, "maximal_queue_lifetime", cf::Unit::Day)?,
        utf8: space.text("smtputf8_enable")? == "yes",
        space: &space,
    };
    let all = templates.print_expanded(&host).map_err(|why| Ended::Fatal(why.to_string()))?;
    all.notes.iter().for_each(warning);
    Ok(out.write_all(all.text.as_bytes())?)
}

fn seconds(space: &Space, name: &str, unit: cf::Unit) -> Result<u64, Ended> {
    let text = space.text(name)?;
    let range = cf::Range { min: 0, max: i32::MAX as u64 };
    cf::seconds(&text, unit, range)
        .map_err(|why| Ended::Fatal(format!("{name}: found \"{text}\", expected {why}")))
}

struct Host<'a> {
    space: &'a Space,
    warning: u64,
    lifetime: u64,
    utf8: bool,
}

impl Values for Host<'_> {
    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.space.value(name, None)
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
