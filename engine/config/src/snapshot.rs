//! The configuration, read once and whole.

use std::sync::Arc;

use hashbrown::HashSet;
use table::Tables;

use crate::nearest::nearest;
use crate::obsolete::advice;
use crate::own::Own;
use crate::params::{Classes, Content, Log, Mailbox, Maps, Queue, Rewriting, Routing, Site, Smtpd};
use crate::problem::{Problem, Severity};
use crate::reader::Reader;
use crate::row::{Row, Status};
use crate::settings::Settings;
use crate::source::{Machine, Origin, Sources};
use crate::typed::NetworksStyle;

/// An immutable configuration. Build one, pass it down, replace it whole.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the host is called and where its files are.
    pub site: Site,
    /// The SMTP server.
    pub smtpd: Smtpd,
    /// What a message may look like, and what is added to it.
    pub content: Content,
    /// Mailboxes.
    pub mailbox: Mailbox,
    /// Lookup tables.
    pub maps: Maps,
    /// How addresses are completed and replaced.
    pub rewriting: Rewriting,
    /// Which domains and recipients are known, and how.
    pub classes: Classes,
    /// Where each recipient goes.
    pub routing: Routing,
    /// The queue and its scheduler.
    pub queue: Queue,
    /// The log.
    pub log: Log,
    /// The addresses at which the host is reached.
    pub own: Own,
    settings: Settings,
    warnings: Vec<Problem>,
}

impl Snapshot {
    /// Reads the sources; either everything is right, or every error is in the answer, and the
    /// warnings behind them.
    pub fn build(
        sources: &Sources,
        machine: &Machine,
        tables: &Tables<'_>,
    ) -> Result<Arc<Self>, Vec<Problem>> {
        let mut problems = sources.problems.clone();
        let settings = Settings::new(sources, machine, &mut problems);
        let mut reader = Reader::new(&settings, tables);
        let site = Site::read(&mut reader);
        let smtpd = Smtpd::read(&mut reader);
        let content = Content::read(&mut reader);
        let mailbox = Mailbox::read(&mut reader);
        let maps = Maps::read(&mut reader);
        let rewriting = Rewriting::read(&mut reader);
        let classes = Classes::read(&mut reader);
        let routing = Routing::read(&mut reader);
        let queue = Queue::read(&mut reader);
        let log = Log::read(&mut reader);
        problems.extend(reader.into_problems());
        let (own, found) = settings.own();
        problems.extend(found);
        problems.extend(unused(&settings, &sources.mentioned));
        problems.extend(outdated(&settings));
        problems.extend(undefined(&settings, &sources.set_elsewhere));
        problems.extend(ill_typed(&settings));
        problems.extend(without_effect(&settings));
        if let (Some(content), Some(mailbox)) = (&content, &mailbox) {
            problems.extend(contradictions(&settings, content, mailbox));
        }
        if let Some(site) = &site {
            problems.extend(whole_classes(&settings, site));
        }
        problems.sort_by(|a, b| {
            let key = |problem: &Problem| (problem.severity, problem.position.line);
            key(a).cmp(&key(b))
        });
        let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
        match (site, smtpd, content, mailbox, maps, rewriting, classes, routing, queue, log) {
            (
                Some(site),
                Some(smtpd),
                Some(content),
                Some(mailbox),
                Some(maps),
                Some(rewriting),
                Some(classes),
                Some(routing),
                Some(queue),
                Some(log),
            ) if !failed => {
                let warnings = problems;
                Ok(Arc::new(Self {
                    site,
                    smtpd,
                    content,
                    mailbox,
                    maps,
                    rewriting,
                    classes,
                    routing,
                    queue,
                    log,
                    own,
                    settings,
                    warnings,
                }))
            }
            _ => Err(problems),
        }
    }

    /// What the admin should look at, although it works: worst first.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The values as they are written, for `postconf` and for `check`.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Names that no row has and no value mentions: a misspelling, or left over from something.
fn unused(settings: &Settings, elsewhere: &HashSet<Box<str>>) -> Vec<Problem> {
    let mut mentioned: HashSet<String> = HashSet::new();
    for definition in settings.all_defined() {
        if let Ok(template) = cf::Template::parse(&definition.value) {
            template.names(&mut |name| {
                mentioned.insert(name.to_owned());
            });
        }
    }
    // Names of lists of restrictions that the admin makes up.
    if let Some(row) = settings.row(CLASSES)
        && let Ok(classes) = settings.expanded(CLASSES, row, false)
    {
        mentioned.extend(cf::items(&classes).map(str::to_owned));
    }
    let mut unknown: Vec<&cf::Definition> = settings
        .all_defined()
        .filter(|definition| settings.row(&definition.name).is_none())
        .filter(|definition| {
            !mentioned.contains(&*definition.name)
                && !elsewhere.contains(&definition.name)
                && settings.origin(&definition.name) != Some(Origin::Entry)
        })
        .collect();
    unknown.sort_by_key(|definition| definition.position.line);
    unknown
        .into_iter()
        .enumerate()
        .map(|(place, definition)| {
            let name = &*definition.name;
            let cause = match settings.missing_service(name) {
                Some(service) => format!("there is no service {service} in master.cf to use this"),
                None if place < SUGGESTIONS_MAX => unknown_name(name),
                None => UNKNOWN.to_owned(),
            };
            Problem::warning(definition.position.clone(), name, cause)
        })
        .collect()
}

const CLASSES: &str = "smtpd_restriction_classes";

/// Names that are still parameters, but not for long.
fn outdated(settings: &Settings) -> Vec<Problem> {
    let told = settings.all_defined().filter_map(|definition| {
        let name = &*definition.name;
        let cause = format!("support for it will be removed; instead, {}", advice(name)?);
        Some(Problem::warning(definition.position.clone(), name, cause))
    });
    told.collect()
}

/// Names that have a value only while something happens, or in a service.
const GIVEN: [&str; 4] = ["stress", "service_name", "process_name", "process_id"];

/// Names that values mention and nothing defines: they count as empty, which is seldom meant.
fn undefined(settings: &Settings, elsewhere: &HashSet<Box<str>>) -> Vec<Problem> {
    let mut found = Vec::new();
    for definition in settings.all_defined() {
        if settings.row(&definition.name).is_some_and(|row| row.raw) {
            continue;
        }
        let Ok(template) = cf::Template::parse(&definition.value) else { continue };
        let mut names: Vec<&str> = Vec::new();
        template.names(&mut |name| {
            let known = settings.row(name).is_some()
                || settings.defined(name).is_some()
                || elsewhere.contains(name)
                || GIVEN.contains(&name);
            if !known && !names.contains(&name) {
                names.push(name);
            }
        });
        found.extend(names.into_iter().map(|name| {
            let cause = format!("nothing defines ${name}, so it is empty");
            Problem::warning(definition.position.clone(), &definition.name, cause)
        }));
    }
    found.sort_by(|a, b| a.cause.cmp(&b.cause));
    found.truncate(UNDEFINED_MAX);
    found
}

/// How many names without a value are told of. What follows is more of the same.
const UNDEFINED_MAX: usize = 100;

const UNKNOWN: &str = "no such parameter, and no other value mentions it";

/// How many unknown names get a guess at what was meant: looking for it costs more than all the rest.
const SUGGESTIONS_MAX: usize = 20;

fn unknown_name(name: &str) -> String {
    match nearest(name, crate::rows().map(|row| row.name)) {
        Some(known) => format!("{UNKNOWN}; did you mean {known}?"),
        None => UNKNOWN.to_owned(),
    }
}

/// Values of rows without a field; the groups report on the others as they are read. Defaults are right
/// (a test sees to that), and what their `$` stands for has a row and is checked there.
fn ill_typed(settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    for definition in settings.all_defined() {
        let name = &*definition.name;
        let Some(row) = settings.row(name).filter(|row| !row.has_field) else { continue };
        // A value is one thing under stress and another one otherwise only if it says so.
        let stresses =
            if definition.value.contains("stress") { &[false, true][..] } else { &[false] };
        for &stress in stresses {
            let (value, cause) = match settings.expanded(name, row, stress) {
                Ok(text) => match (row.check)(&text, row) {
                    Ok(()) => continue,
                    Err(allowed) => (text, format!("expected {allowed}")),
                },
                Err(why) => (definition.value.to_string(), why.to_string()),
            };
            found.push(Problem::error(definition.position.clone(), name, Some(&value), cause));
            break;
        }
    }
    found
}

/// Parameters that are set although they do nothing here. One that is not supported makes no difference
/// while it says what it would be without it, or turns off what is not there.
fn without_effect(settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    for definition in settings.all_defined() {
        let name = &*definition.name;
        let Some(row) = settings.row(name) else { continue };
        let (severity, cause) = match row.status {
            Status::Acts => continue,
            Status::Accepted(why) => (Severity::Note, format!("accepted, without effect: {why}")),
            Status::Unsupported(_) if is_default_or_empty(settings, name, row) => continue,
            Status::Unsupported(what) => (Severity::Differs, format!("not supported: {what}")),
        };
        let problem = Problem::warning(definition.position.clone(), name, cause);
        found.push(problem.with_severity(severity));
    }
    found
}

/// Whether a value is empty or means what the default does; commas and white space do not count.
fn is_default_or_empty(settings: &Settings, name: &str, row: &Row) -> bool {
    let Ok(value) = settings.expanded(name, row, false) else { return false };
    let default = settings.expanded_default(name, row);
    cf::items(&value).next().is_none()
        || default.is_ok_and(|default| cf::items(&value).eq(cf::items(&default)))
}

/// Networks of a class are rarely one's own: who has a few addresses of a provider trusts all his customers.
fn whole_classes(settings: &Settings, site: &Site) -> Option<Problem> {
    let (name, trusting) = ("mynetworks_style", site.mynetworks_style == NetworksStyle::Class);
    if !trusting || settings.defined("mynetworks").is_some() {
        return None;
    }
    let networks = settings.text("mynetworks").unwrap_or_default();
    let cause = format!("class trusts strangers, too: {networks}; subnet or host trusts fewer");
    Some(Problem::warning(settings.position(name), name, cause))
}

/// Values that are right by themselves but not together.
fn contradictions(settings: &Settings, content: &Content, mailbox: &Mailbox) -> Vec<Problem> {
    let mut found = Vec::new();
    // virtual(8) refuses to run with these (postfix src/virtual/virtual.c). Many hosts set the one and
    // deliver with another agent, so it is no reason to refuse the whole configuration.
    let (limit, message) = (mailbox.virtual_mailbox_limit, content.message_size_limit);
    if limit != 0 && (message == 0 || limit < message) {
        found.push(Problem::warning(
            settings.position("message_size_limit"),
            "message_size_limit",
            format!(
                "{message} is more than virtual_mailbox_limit, which is {limit}: what is larger than \
                 that is accepted and then fits into no virtual mailbox"
            ),
        ));
    }
    found
}
