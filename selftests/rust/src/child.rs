// SPDX-License-Identifier: GPL-2.0
//! A test in a process of its own: permissions can not be given back.

use crate::sys::{self, End};
use crate::{cpus, ktap};
use anyhow::{bail, Context};
use rustix::process::{waitid, Pid, WaitId, WaitIdOptions};
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use std::io::{stdout, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Forks; in the child runs `work`, and ends with 0 if it did not fail. What failed is printed there.
/// The child's number.
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

/// [`begin`], of a process that may run on `cpu` only, and never ran elsewhere: a TLB flush of its does not wait for
/// another CPU. The caller may run where it might before.
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

/// Whether a child has ended that nobody has waited for; one that is not there has not.
#[must_use]
pub fn has_ended(pid: i32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let child = Pid::from_raw(pid).map(WaitId::Pid);
    child.is_some_and(|child| waitid(child, options).is_ok_and(|end| end.is_some()))
}

/// [`begin`], and waits for its end.
///
/// # Errors
///
/// The child failed.
pub fn passes(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let pid = begin(work)?;
    match sys::wait(pid, 0).context("waitpid")? {
        (_, End::Exit(0)) => Ok(()),
        (_, End::Exit(1)) => bail!("in a process of its own: see above"),
        (_, end) => bail!("a process of its own ended with {end:?}"),
    }
}
