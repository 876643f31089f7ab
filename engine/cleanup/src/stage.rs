//! What goes before the rest of the pass: characters are refused or stripped, and 8bit text becomes
//! quoted-printable.
//!
//! Characters are looked at line by line, and a line has gone all the way before the next one is looked at: it
//! may say that there are to be no more checks, and this is one of them (postfix
//! `src/cleanup/cleanup_message.c`). Where a table has to be waited for, what comes meanwhile waits in front of
//! here.

use mail::{Sink, Status};

use crate::action::{Action, Part, Refusal};
use crate::characters::{CharacterFilter, Line};
use crate::cleanup::Cleanup;
use crate::downgrade::Downgrade;
use crate::mime::MimeError;
use crate::rules::Rules;

/// See the module.
pub(crate) struct Stage {
    characters: Option<CharacterFilter>,
    downgrade: Option<Downgrade>,
    /// What has to wait.
    waiting: Vec<u8>,
    /// Where the rest of it begins that still waits.
    waiting_at: usize,
}

impl Stage {
    /// `None` where nothing goes before.
    pub(crate) fn of(rules: &Rules, characters: bool, downgrades: bool) -> Option<Self> {
        let filter = || {
            let (reject, strip) = (rules.reject_characters, rules.strip_characters);
            CharacterFilter::new(reject, strip, rules.line_length_limit_bytes)
        };
        let downgrade = || Downgrade::new(rules.mime_limits, rules.header_size_limit_bytes);
        (characters || downgrades).then(|| Self {
            characters: characters.then(filter),
            downgrade: downgrades.then(downgrade),
            waiting: Vec::new(),
            waiting_at: 0,
        })
    }
}

impl Cleanup {
    #[cold]
    pub(crate) fn put_filtered<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        if self.stage().is_none() {
            return self.take(bytes, sink);
        }
        let used = self.feed_stage(bytes, sink);
        let is_over = self.is_over();
        if let Some(stage) = self.stage()
            && !is_over
        {
            stage.waiting.extend_from_slice(&bytes[used..]);
        }
    }

    /// What has waited goes on.
    pub(crate) fn take_waiting<S: Sink>(&mut self, sink: &mut S) {
        let Some(stage) = self.stage() else { return };
        let at = stage.waiting_at;
        let mut waiting = std::mem::take(&mut stage.waiting);
        let used = self.feed_stage(&waiting[at..], sink);
        let is_over = self.is_over();
        let Some(stage) = self.stage() else { return };
        stage.waiting_at = at + used;
        if stage.waiting_at == waiting.len() || is_over {
            waiting.clear();
            stage.waiting_at = 0;
        }
        stage.waiting = waiting;
    }

    /// Before the rest of the message is ended.
    #[cold]
    pub(crate) fn close_filter<S: Sink>(&mut self, sink: &mut S) {
        let Some(filter) = &mut self.filter else { return };
        // Where a table has yet to answer, the end waits, too.
        if filter.closing || filter.pending.is_some() {
            return;
        }
        filter.closing = true;
        let checks = filter.checks;
        if let Some(characters) = self.stage().and_then(|stage| stage.characters.take()) {
            let line = match checks {
                true => characters.last(),
                false => Line::Passed(characters.begun().into()),
            };
            match line {
                Line::Passed(line) => self.convert(&line, sink),
                Line::Refused(line) => self.refuse_characters(&line, sink),
            }
        }
        let Some(downgrade) = self.stage().and_then(|stage| stage.downgrade.as_mut()) else {
            return;
        };
        let mut converted = Vec::new();
        let too_deep = downgrade.end(&mut converted).is_err();
        self.take(&converted, sink);
        if too_deep {
            self.broke(MimeError::Nesting, b"");
        }
    }

    fn stage(&mut self) -> Option<&mut Stage> {
        self.filter.as_mut()?.stage.as_mut()
    }

    /// Returns how many bytes were taken: not all where a table has to be waited for.
    fn feed_stage<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.is_paused() {
            let checks = self.filter.as_ref().is_some_and(|filter| filter.checks);
            let Some(stage) = self.stage() else { break };
            if !checks && let Some(characters) = stage.characters.take() {
                self.convert(&characters.begun(), sink);
                continue;
            }
            let rest = &bytes[at..];
            let Some(characters) = &mut stage.characters else {
                self.convert(rest, sink);
                return bytes.len();
            };
            let (used, line) = characters.next(rest);
            at += used;
            match line {
                None => {}
                Some(Line::Passed(line)) => self.convert(&line, sink),
                Some(Line::Refused(line)) => self.refuse_characters(&line, sink),
            }
        }
        at
    }

    fn convert<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        match self.stage().and_then(|stage| stage.downgrade.as_mut()) {
            None => self.take(bytes, sink),
            Some(downgrade) => {
                let mut converted = Vec::new();
                downgrade.put(bytes, &mut converted);
                self.take(&converted, sink);
            }
        }
    }

    fn refuse_characters<S: Sink>(&mut self, line: &[u8], sink: &mut S) {
        let refusal = Refusal::new(550, Status(5, 7, 1), "disallowed character");
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        self.obey(Action::Reject(refusal), Part::Content, text, sink);
    }
}
