// SPDX-License-Identifier: GPL-2.0
//! Whether the kernel grants tiles on request, or something else answers on its behalf.

use super::cure;
use super::finding::Finding;
use super::trial::{self, Answer};
use crate::proc;
use nix::errno::Errno;
use std::path::Path;
use xcomp::Error;

const ABOUT: &str = "kernel";

/// Checks the kernel. `nothing_is_wrong` refers to the processor.
pub fn check(nothing_is_wrong: bool) -> Vec<Finding> {
    vec![judge(&proc::kernel_release(Path::new("/")), trial::supported(), nothing_is_wrong)]
}

/// Whether `release` is at least `first`. A release that cannot be parsed counts as new.
pub fn is_from(release: &str, first: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= first,
        _ => true,
    }
}

/// Describes an answer to a request for tiles that cannot have come from this kernel.
pub fn not_the_kernels(answer: Answer) -> String {
    match answer {
        Answer::Killed(signal) => format!("a process that asks is killed by {signal}: a seccomp filter does that"),
        Answer::Refused(error) => {
            let errno = Errno::from_raw(error.errno());
            format!("refused with {errno:?}, which this kernel never returns: a seccomp filter does")
        }
        Answer::Yes | Answer::No => "answered".into(),
    }
}

fn judge(release: &str, gives_tiles: nix::Result<Answer>, nothing_is_wrong: bool) -> Finding {
    match gives_tiles {
        Err(error) => Finding::unknown(ABOUT, format!("cannot create a process to ask Linux {release}: {error}")),
        Ok(Answer::Yes) => {
            Finding::ok(ABOUT, format!("Linux {release} grants tiles to processes that ask (ARCH_GET_XCOMP_SUPP)"))
        }
        Ok(Answer::No) if nothing_is_wrong => Finding::wrong(
            ABOUT,
            format!(
                "Linux {release} grants no tiles, though the processor has them (ARCH_GET_XCOMP_SUPP lacks bit 18)"
            ),
            "look for clearcpuid=, noxsave and noxsaves in /proc/cmdline, and for x86/fpu in the kernel log",
        ),
        Ok(Answer::No) => {
            Finding::note(ABOUT, format!("Linux {release} grants no tiles, because of what is wrong above"))
        }
        Ok(Answer::Refused(Error::NotKnown)) if !is_from(release, (5, 16)) => Finding::wrong(
            ABOUT,
            format!("Linux {release} is too old for AMX (ARCH_GET_XCOMP_SUPP: EINVAL)"),
            cure::OLD_KERNEL,
        ),
        Ok(other) => Finding::wrong(
            ABOUT,
            format!("Linux {release} cannot be asked for tiles: {}", not_the_kernels(other)),
            cure::FILTER,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn each_answer_has_a_verdict() {
        let state = |answer, processor| judge("6.1", Ok(answer), processor).state;
        assert_eq!(state(Answer::Yes, true), State::Ok);
        assert_eq!(state(Answer::No, true), State::Wrong);
        assert_eq!(state(Answer::No, false), State::Note);
        assert_eq!(judge("6.1", Err(nix::Error::EAGAIN), true).state, State::Unknown);
    }

    #[test]
    fn an_old_kernel_is_not_a_filter() {
        let cure = |release, error| judge(release, Ok(Answer::Refused(error)), true).cure.unwrap();
        assert!(cure("5.15.0-91-generic", Error::NotKnown).contains("5.16"));
        assert!(cure("5.16.0", Error::NotKnown).contains("seccomp"));
        assert!(cure("4.19", Error::Other(1)).contains("seccomp"));
        let killed = judge("6.1", Ok(Answer::Killed(nix::sys::signal::Signal::SIGSYS)), true);
        assert!(killed.what.contains("killed by SIGSYS"));
    }

    #[test]
    fn releases_are_compared_by_number() {
        assert!(is_from("5.16", (5, 16)) && is_from("10.2-x", (5, 16)) && is_from("who knows", (5, 16)));
        assert!(!is_from("5.4.0", (5, 16)) && !is_from("4.18.0-553.el8", (5, 16)));
    }
}
