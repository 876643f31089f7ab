//! The configuration, read once and whole.

use std::sync::Arc;

use hashbrown::HashSet;
use table::Tables;

use crate::nearest::nearest;
use crate::params::{Content, Log, Mailbox, Maps, Queue, Site, Smtpd};
use crate::problem::{Problem, Severity};
use crate::reader::Reader;
use crate::settings::Settings;
use crate::source::{Machine, Sources};

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
    /// The queue and its scheduler.
    pub queue: Queue,
    /// The log.
    pub log: Log,
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
        let queue = Queue::read(&mut reader);
        let log = Log::read(&mut reader);
        problems.extend(reader.into_problems());
        problems.extend(unused(&settings));
        problems.extend(without_effect(&settings));
        if let (Some(content), Some(mailbox)) = (&content, &mailbox) {
            problems.extend(contradictions(&settings, content, mailbox));
        }
        problems.sort_by(|a, b| {
            let key = |problem: &Problem| (problem.severity, problem.position.line);
            key(a).cmp(&key(b))
        });
        let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
        match (site, smtpd, content, mailbox, maps, queue, log) {
            (
                Some(site),
                Some(smtpd),
                Some(content),
                Some(mailbox),
                Some(maps),
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
                    queue,
                    log,
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
fn unused(settings: &Settings) -> Vec<Problem> {
    let mut mentioned: HashSet<String> = HashSet::new();
    for definition in settings.all_defined() {
        if let Ok(template) = cf::Template::parse(&definition.value) {
            template.names(&mut |name| {
                mentioned.insert(name.to_owned());
            });
        }
    }
    settings
        .all_defined()
        .filter(|definition| settings.row(&definition.name).is_none())
        .filter(|definition| {
            !mentioned.contains(&*definition.name) && &*definition.name != "stress"
        })
        .map(|definition| {
            let mut cause = "no such parameter, and no other value mentions it".to_owned();
            if let Some(known) = nearest(&definition.name, crate::rows().map(|row| row.name)) {
                cause.push_str("; did you mean ");
                cause.push_str(known);
                cause.push('?');
            }
            Problem::warning(definition.position.clone(), &definition.name, cause)
        })
        .collect()
}

/// Parameters that are set although they do nothing here.
fn without_effect(settings: &Settings) -> Vec<Problem> {
    let set = |row: &&crate::Row| settings.defined(row.name).is_some();
    crate::rows()
        .filter(set)
        .filter_map(|row| {
            let why = row.without_effect?;
            let cause = format!("accepted, without effect: {why}");
            Some(Problem::warning(settings.position(row.name), row.name, cause))
        })
        .collect()
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
