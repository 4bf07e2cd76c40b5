// SPDX-License-Identifier: GPL-2.0
//! Runs a test in a separate process, since permission cannot be given back.

use crate::sys::{self, End};
use crate::{cpus, ktap};
use anyhow::{bail, Context};
use rustix::process::{waitid, Pid, WaitId, WaitIdOptions};
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use std::io::{stdout, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Forks, and runs `work` in the child, which exits with 0 on success and otherwise prints the error.
/// Returns the child's PID.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn begin(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<i32> {
    stdout().flush()?;
    let pid = sys::fork().context("fork")?;
    if pid != 0 {
        return Ok(pid);
    }
    let status = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            ktap::remark(format!("{error:#}"));
            1
        }
        Err(_) => 101,
    };
    let _ = stdout().flush();
    sys::exit_now(status);
}

/// [`begin`] for a process that may run only on `cpu` and has never run elsewhere, so its TLB flushes do not wait for
/// another CPU. The caller's own affinity does not change.
///
/// # Errors
///
/// EAGAIN, ENOMEM; EINVAL if there is no such CPU.
pub fn begin_on(cpu: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<i32> {
    let here = sched_getaffinity(None)?;
    cpus::pin_to(cpu)?;
    let pid = begin(work)?;
    sched_setaffinity(None, &here)?;
    Ok(pid)
}

/// Whether a child has exited and has not been waited for; false if there is no such child.
#[must_use]
pub fn has_ended(pid: i32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let child = Pid::from_raw(pid).map(WaitId::Pid);
    child.is_some_and(|child| waitid(child, options).is_ok_and(|end| end.is_some()))
}

/// [`begin`], then waits for it to exit.
///
/// # Errors
///
/// The child failed.
pub fn passes(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let pid = begin(work)?;
    match sys::wait(pid, 0).context("waitpid")? {
        (_, End::Exit(0)) => Ok(()),
        (_, End::Exit(1)) => bail!("in a separate process: see above"),
        (_, end) => bail!("a separate process ended with {end:?}"),
    }
}
