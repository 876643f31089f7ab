//! Entries, fields and parameters of master.cf, printed.

use std::collections::BTreeMap;
use std::io::Write;

use config::master::{Field, Style};

use super::options::{Mode, Options};
use super::space::{ServiceSpace, Space};
use super::{Ended, fatal, print, warning};

/// `name/type/what`, each of which may be `*`; what is missing is `*`.
pub(crate) struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    /// `None` where there are fewer than `least` or more than `most` parts, or a `*` in a part.
    pub(crate) fn parse(text: &str, least: usize, most: usize) -> Option<Self> {
        if text.starts_with('/') {
            return None;
        }
        let mut parts: Vec<String> =
            text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let is_odd = |part: &String| part != "*" && part.contains('*');
        if !(least..=most).contains(&parts.len()) || parts.iter().any(is_odd) {
            return None;
        }
        parts.resize(most, "*".to_owned());
        Some(Self { parts })
    }

    pub(crate) fn fits(&self, name: &str, kind: &str) -> bool {
        let fits = |at: usize, text: &str| self.parts[at] == "*" || self.parts[at] == text;
        fits(0, name) && fits(1, kind)
    }

    fn fits_service(&self, service: &ServiceSpace) -> bool {
        self.fits(service.entry.field(Field::Service), service.entry.field(Field::Type))
    }

    /// The first two parts.
    pub(crate) fn service(&self) -> (String, String) {
        (self.parts[0].clone(), self.parts[1].clone())
    }

    /// The third part.
    pub(crate) fn what(&self) -> &str {
        &self.parts[2]
    }
}

/// What the arguments ask for, and whether it was found.
struct Requests<'a>(Vec<(&'a str, Pattern, bool)>);

impl<'a> Requests<'a> {
    fn parse(options: &'a Options, most: usize, usage: &str) -> Result<Self, Ended> {
        let mut all = Vec::new();
        for argument in &options.arguments {
            match Pattern::parse(argument, 1, most) {
                Some(pattern) => all.push((argument.as_str(), pattern, false)),
                None => return fatal(usage),
            }
        }
        Ok(Self(all))
    }

    fn warn_of_unmatched(&self, out: &mut dyn Write) -> Result<(), Ended> {
        out.flush()?;
        for (text, _, found) in &self.0 {
            if !found {
                warning(format_args!("unmatched request: \"{text}\""));
            }
        }
        Ok(())
    }
}

/// `-M`
pub(crate) fn entries(space: &Space, options: &Options, out: &mut dyn Write) -> Result<(), Ended> {
    let mut requests = Requests::parse(options, 2, "-M option requires service_name[/type]")?;
    for service in &space.services {
        if requests.0.is_empty() {
            entry(space, options, service, out)?;
        }
        for (_, pattern, found) in &mut requests.0 {
            if pattern.fits_service(service) {
                *found = true;
                entry(space, options, service, out)?;
            }
        }
    }
    requests.warn_of_unmatched(out)
}

fn entry(
    space: &Space,
    options: &Options,
    service: &ServiceSpace,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let values = Values::of(space, options, service)?;
    let value = |text: &str| values.of_option(text);
    let style = Style { fold: options.mode.has(Mode::FOLD), value: &value };
    let text = if options.mode.has(Mode::JSON) {
        let entry = service.entry.print_plainly(style);
        print::json(&service.entry.name_space(), &entry)
    } else {
        service.entry.print(style) + "\n"
    };
    Ok(out.write_all(text.as_bytes())?)
}

/// `-F`
pub(crate) fn fields(space: &Space, options: &Options, out: &mut dyn Write) -> Result<(), Ended> {
    let usage = "-F option requires service_name[/type[/field]]";
    let mut requests = Requests::parse(options, 3, usage)?;
    for (_, pattern, _) in &requests.0 {
        field_of(pattern.what())?;
    }
    for service in &space.services {
        if requests.0.is_empty() {
            for which in Field::ALL {
                field(space, options, service, which, out)?;
            }
        }
        for (_, pattern, found) in &mut requests.0 {
            if !pattern.fits_service(service) {
                continue;
            }
            *found = true;
            match field_of(pattern.what())? {
                Some(which) => field(space, options, service, which, out)?,
                None => {
                    for which in Field::ALL {
                        field(space, options, service, which, out)?;
                    }
                }
            }
        }
    }
    requests.warn_of_unmatched(out)
}

/// The field of a name; `None` is `*`.
pub(crate) fn field_of(name: &str) -> Result<Option<Field>, Ended> {
    match Field::of(name) {
        None if name == "*" => Ok(None),
        None => fatal(format!("invalid service attribute name: \"{name}\"")),
        found => Ok(found),
    }
}

fn field(
    space: &Space,
    options: &Options,
    service: &ServiceSpace,
    field: Field,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let mode = options.mode;
    let name = format!("{}/{}", service.entry.name_space(), field.name());
    let values = Values::of(space, options, service)?;
    let value = |text: &str| values.of_option(text);
    let style = Style { fold: mode.has(Mode::FOLD), value: &value };
    let text = if mode.has(Mode::NO_VALUE) {
        name + "\n"
    } else if mode.has(Mode::JSON) {
        print::json(&name, &service.entry.print_field_plainly(field, style))
    } else if mode.has(Mode::NO_NAME) {
        service.entry.print_field(field, "", style) + "\n"
    } else {
        service.entry.print_field(field, &format!("{name} = "), style) + "\n"
    };
    Ok(out.write_all(text.as_bytes())?)
}

/// The values of a service's `-o` options, expanded where that is wanted.
struct Values(BTreeMap<String, String>);

impl Values {
    fn of(space: &Space, options: &Options, service: &ServiceSpace) -> Result<Self, Ended> {
        let mut all = BTreeMap::new();
        if options.mode.has(Mode::EXPAND) {
            for text in service.entry.overrides() {
                let Ok((name, value)) = cf::split_definition(text) else { continue };
                let value = space.expanded(name, value, Some(service))?;
                all.insert(text.to_owned(), format!("{name}={value}"));
            }
        }
        Ok(Self(all))
    }

    fn of_option(&self, text: &str) -> String {
        self.0.get(text).cloned().unwrap_or_else(|| text.to_owned())
    }
}

/// `-P`, `-PP`
pub(crate) fn parameters(
    space: &Space,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let usage = "-P option requires service_name[/type[/parameter]]";
    let mut requests = Requests::parse(options, 3, usage)?;
    for service in &space.services {
        let all = parameters_of(space, options, service);
        if requests.0.is_empty() {
            for (name, value) in &all {
                parameter(space, options, service, (name, value), out)?;
            }
        }
        for (_, pattern, found) in &mut requests.0 {
            if !pattern.fits_service(service) {
                continue;
            }
            match pattern.what() {
                // A service without parameters of its own is no match.
                "*" if options.mode.has(Mode::ALL_PARAMETERS) || !all.is_empty() => {
                    *found = true;
                    for (name, value) in &all {
                        parameter(space, options, service, (name, value), out)?;
                    }
                }
                name => {
                    if let Some(value) = all.get(name) {
                        *found = true;
                        parameter(space, options, service, (name, value), out)?;
                    }
                }
            }
        }
    }
    requests.warn_of_unmatched(out)
}

fn parameters_of(
    space: &Space,
    options: &Options,
    service: &ServiceSpace,
) -> BTreeMap<String, String> {
    let mut all = service.parameters.clone();
    if options.mode.has(Mode::ALL_PARAMETERS) {
        // Whoever names what is wanted gets it, whatever its class.
        let all_classes = !options.arguments.is_empty();
        for (name, class) in space.names() {
            if !all_classes && !options.classes.has(class) {
                continue;
            }
            if let Some(value) = space.value(&name, Some(service)) {
                all.insert(name, value.into_owned());
            }
        }
    }
    all
}

fn parameter(
    space: &Space,
    options: &Options,
    service: &ServiceSpace,
    (name, value): (&str, &str),
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let mode = options.mode;
    let path = format!("{}/{name}", service.entry.name_space());
    let fold = mode.has(Mode::FOLD);
    let value = match mode.has(Mode::EXPAND) {
        true => space.expanded(name, value, Some(service))?,
        false => value.to_owned(),
    };
    let text = if mode.has(Mode::NO_VALUE) {
        print::line(&path, fold)
    } else if mode.has(Mode::JSON) {
        print::json(&path, &value)
    } else if mode.has(Mode::NO_NAME) {
        print::line(&value, fold)
    } else {
        print::line(&format!("{path} = {value}"), fold)
    };
    Ok(out.write_all(text.as_bytes())?)
}
