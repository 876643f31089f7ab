//! A batch of jobs becomes letters in mailboxes.

use std::io;
use std::sync::Arc;

use agent::{Answer, Attempt, Body, Contents, Deliver};
use config::Snapshot;
use mail::{Job, Outcome, Status, Time};
use mailbox::{
    Creation, Host, Identity, InUse, Letter, LockTimes, Locking, MailboxError, MaildirSettings,
    Maildirs, MboxSettings, Mboxes, SyncMode, Text,
};

use crate::delivered_to::is_loop;
use crate::resolve::{Owners, Target, folded, resolve};

/// Whose rights mailboxes are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The recipients', as the tables say. Without root's rights, and without any table, they are
    /// the process's own.
    Recipients,
    /// The process's own, whoever runs it: a developer's server.
    Own,
}

/// The agent of one shard. It belongs to the thread that made it, because credentials do.
pub struct VirtualAgent {
    config: Arc<Snapshot>,
    owners: Owners,
    identity: Identity,
    maildirs: Maildirs,
    mboxes: Mboxes,
    times: LockTimes,
}

impl VirtualAgent {
    /// An agent that acts with root's rights where the calling thread has them. `in_use` is shared
    /// by all agents of the process.
    pub fn new(config: Arc<Snapshot>, rights: Rights, in_use: InUse) -> io::Result<Self> {
        let identity = Identity::of_this_thread()?;
        let mailbox = &config.mailbox;
        let no_tables = mailbox.virtual_uid_maps.is_empty() && mailbox.virtual_gid_maps.is_empty();
        let owners = match rights {
            Rights::Own => Owners::Own,
            Rights::Recipients if no_tables && !identity.is_root() => Owners::Own,
            Rights::Recipients => Owners::Mapped,
        };
        let times = LockTimes {
            attempts: mailbox.deliver_lock_attempts,
            delay: mailbox.deliver_lock_delay,
            stale: mailbox.stale_lock_time,
        };
        let maildirs = Maildirs::new(MaildirSettings {
            base: mailbox.virtual_mailbox_base.clone(),
            host: Host::new(&config.site.myhostname),
            limit_bytes: mailbox.virtual_mailbox_limit,
            sync: match mailbox.mailbox_sync {
                config::MailboxSync::Batch => SyncMode::Batch,
                config::MailboxSync::File => SyncMode::File,
            },
            creation: Creation::Auto,
        });
        let locks = mailbox.virtual_mailbox_lock;
        let mboxes = Mboxes::new(
            MboxSettings {
                base: mailbox.virtual_mailbox_base.clone(),
                limit_bytes: mailbox.virtual_mailbox_limit,
                locking: Locking { fcntl: locks.fcntl, flock: locks.flock, dotlock: locks.dotlock },
                times,
                strict_owner: true,
            },
            in_use,
        );
        Ok(Self { config, owners, identity, maildirs, mboxes, times })
    }

    /// Decides what needs no mailbox: who is unknown, what goes in circles, what cannot be read.
    fn target(&self, job: &Job, contents: &mut Contents) -> Result<Target, Outcome> {
        let target = resolve(&self.config.mailbox, self.owners, &job.recipient.address)
            .map_err(|unresolved| unresolved.outcome(job.tag))?;
        if job.has_delivered_to {
            let body = contents.body(job).map_err(|error| unreadable(job, &error))?;
            let address = &job.recipient.address;
            let loops = is_loop(body, &folded(address))
                .map_err(|error| unreadable(job, &io::Error::from(error)))?;
            if loops {
                let text = format!("mail forwarding loop for {address}");
                return Err(Outcome::new(job.tag, Status(5, 4, 6), text));
            }
        }
        Ok(target)
    }

    fn deliver_to_maildirs(
        &mut self,
        batch: &[Attempt],
        targets: &[(usize, Target)],
        contents: &mut Contents,
        answers: &mut [Option<Answer>],
    ) {
        let mut letters = self.maildirs.batch(&self.identity);
        for (at, target) in targets.iter().filter(|(_, target)| target.is_maildir()) {
            let job = &batch[*at].job;
            match contents.body(job) {
                Ok(body) => letters.add(*at, &target.path, target.owner, letter(job, body)),
                Err(error) => answers[*at] = Some(Answer::Done(unreadable(job, &error))),
            }
        }
        for (at, result) in letters.finish() {
            let tag = batch[at].job.tag;
            answers[at] = Some(Answer::Done(match result {
                Ok(()) => Outcome::new(tag, Status(2, 0, 0), "delivered to maildir"),
                Err(error) => failure(tag, "maildir delivery failed", &error),
            }));
        }
    }

    fn deliver_to_mbox(
        &self,
        attempt: &Attempt,
        target: &Target,
        contents: &mut Contents,
    ) -> Answer {
        let job = &attempt.job;
        let body = match contents.body(job) {
            Ok(body) => body,
            Err(error) => return Answer::Done(unreadable(job, &error)),
        };
        let mut acting = self.identity.act();
        let (path, owner) = (&target.path, target.owner);
        let delivered =
            self.mboxes.deliver(&mut acting, path, owner, letter(job, body), Time::now());
        match delivered {
            Ok(()) => Answer::Done(Outcome::new(job.tag, Status(2, 0, 0), "delivered to mailbox")),
            Err(MailboxError::Locked { .. }) if attempt.waits + 1 < self.times.attempts => {
                Answer::Wait(self.times.delay)
            }
            Err(error) => {
                let full = self.config.mailbox.virtual_mailbox_base.join(path);
                let what = format!("delivery failed to mailbox {}", full.display());
                Answer::Done(failure(job.tag, &what, &error))
            }
        }
    }
}

impl Deliver for VirtualAgent {
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; batch.len()];
        let mut targets = Vec::with_capacity(batch.len());
        for (at, attempt) in batch.iter().enumerate() {
            match self.target(&attempt.job, contents) {
                Ok(target) => targets.push((at, target)),
                Err(outcome) => answers[at] = Some(Answer::Done(outcome)),
            }
        }
        // One change of credentials for all letters of one owner.
        targets.sort_by_key(|(_, target)| target.owner);
        self.deliver_to_maildirs(batch, &targets, contents, &mut answers);
        for (at, target) in targets.iter().filter(|(_, target)| !target.is_maildir()) {
            answers[*at] = Some(self.deliver_to_mbox(&batch[*at], target, contents));
        }
        answers
            .into_iter()
            .map(|answer| answer.expect("each job has a target or an answer"))
            .collect()
    }
}

fn letter<'a>(job: &'a Job, body: Body<'a>) -> Letter<'a> {
    let text = match body {
        Body::Bytes(bytes) => Text::Bytes(bytes),
        Body::File { file, len } => Text::File { file, len },
    };
    Letter { job, text }
}

/// The content is there for the next attempt, or the queue will find out what is wrong with it.
fn unreadable(job: &Job, error: &dyn std::fmt::Display) -> Outcome {
    Outcome::new(job.tag, Status(4, 3, 0), format!("error reading message: {error}"))
}

fn failure(tag: u64, what: &str, error: &MailboxError) -> Outcome {
    Outcome::new(tag, error.status(), format!("{what}: {error}"))
}
