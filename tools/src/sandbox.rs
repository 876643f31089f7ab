//! What the engine may still do once it talks to strangers.
//!
//! Landlock leaves it the queue (and what was open before); seccomp refuses the calls that no mail server
//! makes, first of all running a program. Both are best effort by design: a kernel without them runs
//! the same engine, and `ringpost check` tells which of them there are.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Leaves the calling thread, and those it starts, the files below `queue`. True where the kernel does it.
pub(crate) fn restrict_files(queue: &Path) -> io::Result<bool> {
    let abi = ABI::V3;
    let restrict = || -> Result<RulesetStatus, landlock::RulesetError> {
        Ok(Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules([queue], AccessFs::from_all(abi)))?
            .restrict_self()?
            .ruleset)
    };
    match restrict() {
        Ok(status) => Ok(status != RulesetStatus::NotEnforced),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Takes from the calling thread, and those it starts, the right to write anywhere but below
/// `directories`. True where the kernel does it.
pub(crate) fn restrict_writing(directories: &[PathBuf]) -> io::Result<bool> {
    let writing = AccessFs::from_write(ABI::V3);
    let restrict = || -> Result<RulesetStatus, landlock::RulesetError> {
        Ok(Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(writing)?
            .create()?
            .add_rules(path_beneath_rules(directories, writing))?
            .restrict_self()?
            .ruleset)
    };
    match restrict() {
        Ok(status) => Ok(status != RulesetStatus::NotEnforced),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Refuses, with EPERM, what a mail server never asks for.
pub(crate) fn restrict_calls() -> io::Result<()> {
    let refused = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_personality,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
    ];
    let rules: BTreeMap<i64, Vec<_>> = refused.into_iter().map(|call| (call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        std::env::consts::ARCH.try_into().map_err(io::Error::other)?,
    )
    .map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}
