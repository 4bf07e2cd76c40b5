// SPDX-License-Identifier: GPL-2.0
//! Whether this process, and others that are started as it was, may use tiles.

use super::cure;
use super::finding::Finding;
use super::trial;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use xcomp::{Error, Feature, FeatureSet};

/// All about it, where the kernel gives tiles.
pub fn look() -> Vec<Finding> {
    let mut findings = vec![own(xcomp::permitted(), trial::request(false))];
    if findings.iter().all(|finding| finding.cure.is_none()) {
        findings.push(in_use(trial::first_use()));
    }
    findings.push(guests(xcomp::guest_permitted(), trial::request(true)));
    findings
}

fn own(now: Result<FeatureSet, Error>, asked: nix::Result<Result<(), Error>>) -> Finding {
    const ABOUT: &str = "permission";
    let has = now.is_ok_and(|now| now.contains(Feature::TILE_DATA));
    match asked {
        Err(error) => Finding::unknown(ABOUT, format!("no child can be made to ask for it: {error}")),
        Ok(Ok(())) if has => {
            Finding::ok(ABOUT, "this process has it from whoever started it; programs it executes do not")
        }
        Ok(Ok(())) => Finding::ok(ABOUT, "granted when it is asked for (ARCH_REQ_XCOMP_PERM)"),
        Ok(Err(Error::AltStackTooSmall)) => {
            Finding::wrong(ABOUT, "refused: an alternate signal stack is too small (ENOSPC)", cure::ALT_STACK)
        }
        Ok(Err(error)) => Finding::wrong(ABOUT, format!("refused: {error}"), cure::FILTER),
    }
}

fn in_use(end: nix::Result<WaitStatus>) -> Finding {
    const ABOUT: &str = "first use";
    match end {
        Ok(WaitStatus::Exited(_, 0)) => Finding::ok(ABOUT, "a child used a tile"),
        Ok(WaitStatus::Signaled(_, Signal::SIGSEGV, _)) => Finding::wrong(
            ABOUT,
            "a child with permission died of SIGSEGV at its first tile: the kernel had no memory for its buffer",
            "free memory: the buffer takes 12 KiB of vmalloc space (/proc/meminfo: MemAvailable)",
        ),
        Ok(WaitStatus::Signaled(_, signal, _)) => Finding::wrong(
            ABOUT,
            format!("a child with permission died of {signal} at its first tile"),
            "the kernel's own handling of #NM is broken, or a hypervisor's: see the kernel log",
        ),
        Ok(other) => Finding::unknown(ABOUT, format!("a child that uses a tile ended unexpectedly: {other:?}")),
        Err(error) => Finding::unknown(ABOUT, format!("no child can be made to try it: {error}")),
    }
}

fn guests(now: Result<FeatureSet, Error>, asked: nix::Result<Result<(), Error>>) -> Finding {
    const ABOUT: &str = "guests";
    let has = now.is_ok_and(|now| now.contains(Feature::TILE_DATA));
    match asked {
        Err(error) => Finding::unknown(ABOUT, format!("no child can be made to ask for them: {error}")),
        Ok(Ok(())) if has => Finding::ok(ABOUT, "this process may give tiles to its virtual CPUs"),
        Ok(Ok(())) => Finding::ok(ABOUT, "a hypervisor may give them tiles, if it asks before its first virtual CPU"),
        Ok(Err(Error::VcpuExists)) => Finding::wrong(
            ABOUT,
            "refused: this process has, or had, a virtual CPU, which settled it (EBUSY)",
            cure::VCPU,
        ),
        Ok(Err(Error::NotKnown)) => Finding::note(ABOUT, "the kernel gives none to guests: it is older than 5.17"),
        Ok(Err(error)) => Finding::wrong(ABOUT, format!("refused: {error}"), cure::FILTER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use nix::unistd::Pid;

    const NONE: Result<FeatureSet, Error> = Err(Error::NotKnown);

    #[test]
    fn each_refusal_has_its_cure() {
        assert_eq!(own(NONE, Ok(Ok(()))).state, State::Ok);
        assert!(own(NONE, Ok(Err(Error::AltStackTooSmall))).cure.unwrap().contains("AT_MINSIGSTKSZ"));
        assert!(own(NONE, Ok(Err(Error::Other(1)))).cure.unwrap().contains("seccomp"));
        assert!(guests(NONE, Ok(Err(Error::VcpuExists))).cure.unwrap().contains("KVM_CREATE_VCPU"));
        assert_eq!(guests(NONE, Ok(Err(Error::NotKnown))).state, State::Note);
        assert_eq!(own(NONE, Err(nix::Error::EAGAIN)).state, State::Unknown);
    }

    #[test]
    fn each_end_is_explained() {
        let pid = Pid::from_raw(1);
        assert_eq!(in_use(Ok(WaitStatus::Exited(pid, 0))).state, State::Ok);
        assert!(in_use(Ok(WaitStatus::Signaled(pid, Signal::SIGSEGV, false))).what.contains("memory"));
        assert_eq!(in_use(Ok(WaitStatus::Signaled(pid, Signal::SIGILL, false))).state, State::Wrong);
    }
}
