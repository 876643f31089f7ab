//! Parameters of main.cf, printed.

use std::io::Write;

use super::options::{Classes, Mode, Options};
use super::space::{Class, Space};
use super::{Ended, print, warning};

/// All of the wanted classes, or those that are named.
pub(crate) fn parameters(
    space: &Space,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    if options.arguments.is_empty() {
        for (name, class) in space.names() {
            if options.classes.has(class) {
                one(space, options, &name, out)?;
            }
        }
        return Ok(());
    }
    for name in &options.arguments {
        if space.is_known(name) {
            one(space, options, name, out)?;
        } else {
            out.flush()?;
            warning(format_args!("{name}: unknown parameter"));
        }
    }
    Ok(())
}

impl Classes {
    pub(super) fn has(self, class: Class) -> bool {
        match class {
            Class::Builtin => self.builtin,
            Class::Service => self.service,
            Class::User => self.user,
        }
    }
}

fn one(space: &Space, options: &Options, name: &str, out: &mut dyn Write) -> Result<(), Ended> {
    let mode = options.mode;
    let value = match mode.has(Mode::SET) {
        true => space.set(name).map(Into::into),
        false => space.value(name, None),
    };
    space.all_told()?;
    let Some(value) = value else { return Ok(()) };
    if mode.has(Mode::NO_VALUE) {
        return Ok(out.write_all(print::line(name, mode.has(Mode::FOLD)).as_bytes())?);
    }
    let value = match mode.has(Mode::EXPAND) {
        true => space.expanded(name, &value, None)?.into(),
        false => value,
    };
    let text = if mode.has(Mode::JSON) {
        print::json(name, &value)
    } else if mode.has(Mode::NO_NAME) {
        print::line(&value, mode.has(Mode::FOLD))
    } else {
        print::line(&format!("{name} = {value}"), mode.has(Mode::FOLD))
    };
    Ok(out.write_all(text.as_bytes())?)
}
