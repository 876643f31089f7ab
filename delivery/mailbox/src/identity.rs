//! Acting with a mailbox owner's rights, on one thread.
//!
//! Linux keeps credentials per thread; the effective user, group and supplementary groups of the
//! calling thread are changed, and no other thread notices. The effective user id, not only the one
//! for file access (setfsuid), because quotas and the blocks that ext4 reserves for root are
//! checked against capabilities that only a change of the effective id takes away.
//!
//! While a thread acts as an owner it has no capabilities. The saved ids stay root's: that is the
//! way back, and what runs here is our own code, never the owner's.

use std::fmt;
use std::marker::PhantomData;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::MailboxError;

/// Whom a mailbox belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Who this thread is when it acts for nobody.
#[derive(Clone, Debug)]
pub struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    /// Another thread may be somebody else.
    thread: PhantomData<*const ()>,
}

impl Identity {
    /// The calling thread's own.
    pub fn of_this_thread() -> Result<Self, Errno> {
        let (uid, gid) = (geteuid(), getegid());
        Ok(Self { uid, gid, groups: getgroups()?, thread: PhantomData })
    }

    /// True where this thread may act for others.
    pub fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// The user and group that files are created with where nothing is changed.
    pub fn owner(&self) -> Owner {
        Owner { uid: self.uid.as_raw(), gid: self.gid.as_raw() }
    }

    /// Nothing changes yet; see [`Acting::become_owner`].
    pub fn act(&self) -> Acting<'_> {
        Acting { identity: self, owner: None }
    }
}

/// The time in which a thread acts for mailbox owners. It ends, on every path, with the thread's
/// own identity.
#[derive(Debug)]
pub struct Acting<'a> {
    identity: &'a Identity,
    owner: Option<Owner>,
}

impl Acting<'_> {
    /// Acts as `owner` from now on; `None` is the thread's own identity. Costs nothing where that
    /// is so already, so callers sort their work by owner.
    ///
    /// Without root's rights the only owner is the process's own user, and no call is made. Nobody
    /// acts as root for a mailbox.
    pub fn become_owner(&mut self, owner: Option<Owner>) -> Result<(), MailboxError> {
        if owner == self.owner {
            return Ok(());
        }
        let Some(owner) = owner else {
            self.restore();
            return Ok(());
        };
        let refused = |why, source| Err(MailboxError::Identity { owner, why, source });
        if !self.identity.is_root() {
            return if owner == self.identity.owner() {
                self.owner = Some(owner);
                Ok(())
            } else {
                refused("not running as root, mail can be delivered for the own user only", None)
            };
        }
        if owner.uid == 0 || owner.gid == 0 || owner.uid == u32::MAX || owner.gid == u32::MAX {
            return refused("mailboxes are not written with root's rights", None);
        }
        self.restore();
        match assume(owner) {
            Ok(()) => {
                self.owner = Some(owner);
                Ok(())
            }
            Err(error) => {
                // Part of it may have been done.
                return_to(self.identity);
                refused("credentials cannot be changed", Some(error))
            }
        }
    }

    /// Back to the thread's own identity.
    pub fn restore(&mut self) {
        if self.owner.take().is_some() && self.identity.is_root() {
            return_to(self.identity);
        }
    }
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.restore();
    }
}

/// The user id last: it takes away the right to change the others.
fn assume(owner: Owner) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    set_thread_groups(&[gid])?;
    set_thread_res_gid(None::<Gid>, gid, None::<Gid>)?;
    set_thread_res_uid(None::<Uid>, uid, None::<Uid>)
}

/// The user id first: it gives back the right to change the others.
fn return_to(identity: &Identity) {
    let back = set_thread_res_uid(None::<Uid>, identity.uid, None::<Uid>)
        .and_then(|()| set_thread_res_gid(None::<Gid>, identity.gid, None::<Gid>))
        .and_then(|()| set_thread_groups(&identity.groups));
    if back.is_err() {
        // The next mailbox would be written with this owner's rights. Not unwinding: nothing may
        // run with credentials that nobody knows.
        std::process::abort();
    }
}
