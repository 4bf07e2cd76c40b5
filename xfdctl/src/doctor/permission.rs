// SPDX-License-Identifier: GPL-2.0
//! Whether a process started like this one may use tiles. The only way to know is to ask, in a child.

use super::finding::Finding;
use super::trial::{self, Answer};
use super::{cure, kernel};
use crate::proc;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::path::Path;
use xcomp::Error;

/// Checks permissions on a machine whose kernel grants tiles.
pub fn check() -> Vec<Finding> {
    let mut findings = vec![own(trial::request(false))];
    if findings.iter().all(|finding| finding.cure.is_none()) {
        findings.push(in_use(trial::first_use()));
    }
    findings.push(guests(trial::request(true), &proc::kernel_release(Path::new("/"))));
    findings
}

fn own(asked: nix::Result<Answer>) -> Finding {
    const ABOUT: &str = "permission";
    match asked {
        Err(error) => Finding::unknown(ABOUT, format!("cannot create a process to ask for it: {error}")),
        Ok(Answer::Yes | Answer::No) => {
            Finding::ok(ABOUT, "a process that asks gets it (arch_prctl, ARCH_REQ_XCOMP_PERM)")
        }
        // The kernel's reasons do not apply: after exec there are no alternate stacks, virtual CPUs or permissions, and
        // our child creates none.
        Ok(other) => Finding::wrong(ABOUT, kernel::not_the_kernels(other), cure::FILTER),
    }
}

fn in_use(end: nix::Result<WaitStatus>) -> Finding {
    const ABOUT: &str = "first use";
    match end {
        Ok(WaitStatus::Exited(_, 0)) => Finding::ok(ABOUT, "a test process that asked has used a tile"),
        Ok(WaitStatus::Signaled(_, Signal::SIGSEGV, _)) => Finding::wrong(
            ABOUT,
            "a test process with permission died of SIGSEGV at its first tile: the kernel had no memory for its buffer",
            "free memory: the kernel takes 12 KiB for each thread that uses tiles (/proc/meminfo: MemAvailable)",
        ),
        Ok(WaitStatus::Signaled(_, signal, _)) => Finding::wrong(
            ABOUT,
            format!(
                "a test process with permission died of {signal} at its first tile: neither memory nor permission is \
                 the reason"
            ),
            "look for #NM, AMX and x86/fpu in the kernel log; in a virtual machine, try the same on its host",
        ),
        Ok(other) => Finding::unknown(ABOUT, format!("a test process that uses a tile ended unexpectedly: {other:?}")),
        Err(error) => Finding::unknown(ABOUT, format!("cannot create a process to try it: {error}")),
    }
}

fn guests(asked: nix::Result<Answer>, release: &str) -> Finding {
    const ABOUT: &str = "guests";
    match asked {
        Err(error) => Finding::unknown(ABOUT, format!("cannot create a process to ask for them: {error}")),
        Ok(Answer::Yes | Answer::No) => {
            Finding::ok(ABOUT, "a hypervisor that asks before its first virtual CPU may give tiles to its guests")
        }
        Ok(Answer::Refused(Error::NotKnown)) if !kernel::is_from(release, (5, 17)) => {
            Finding::note(ABOUT, format!("Linux {release} grants no tiles to virtual machines: this needs 5.17"))
        }
        Ok(other) => Finding::wrong(ABOUT, kernel::not_the_kernels(other), cure::FILTER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use nix::unistd::Pid;

    #[test]
    fn each_refusal_has_a_remedy() {
        assert_eq!(own(Ok(Answer::Yes)).state, State::Ok);
        let filtered = own(Ok(Answer::Refused(Error::Other(1))));
        assert!(filtered.what.contains("EPERM") && filtered.cure.unwrap().contains("seccomp"));
        assert!(own(Ok(Answer::Killed(Signal::SIGSYS))).what.contains("killed by SIGSYS"));
        assert_eq!(own(Err(nix::Error::EAGAIN)).state, State::Unknown);
    }

    #[test]
    fn old_kernels_have_no_guests_with_tiles() {
        let asked = |answer, release| guests(Ok(answer), release).state;
        assert_eq!(asked(Answer::Yes, "7.3"), State::Ok);
        assert_eq!(asked(Answer::Refused(Error::NotKnown), "5.16.9"), State::Note);
        assert_eq!(asked(Answer::Refused(Error::NotKnown), "5.17.0"), State::Wrong);
    }

    #[test]
    fn each_end_is_explained() {
        let pid = Pid::from_raw(1);
        assert_eq!(in_use(Ok(WaitStatus::Exited(pid, 0))).state, State::Ok);
        assert!(in_use(Ok(WaitStatus::Signaled(pid, Signal::SIGSEGV, false))).what.contains("memory"));
        assert_eq!(in_use(Ok(WaitStatus::Signaled(pid, Signal::SIGILL, false))).state, State::Wrong);
    }
}
