// SPDX-License-Identifier: GPL-2.0
//! Whether the kernel gives tiles on request.

use super::cure;
use super::finding::Finding;
use xcomp::{Error, Feature};

const ABOUT: &str = "kernel";

/// All about it, on a processor that `has_tiles`, or not.
pub fn look(has_tiles: bool) -> Vec<Finding> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".into());
    let supported = xcomp::supported().map(|all| all.contains(Feature::TILE_DATA));
    vec![judge(release.trim(), supported, has_tiles)]
}

fn judge(release: &str, tiles_supported: Result<bool, Error>, has_tiles: bool) -> Finding {
    match tiles_supported {
        Ok(true) => Finding::ok(ABOUT, format!("Linux {release} gives tiles on request (ARCH_GET_XCOMP_SUPP)")),
        Ok(false) if has_tiles => Finding::wrong(
            ABOUT,
            format!(
                "Linux {release} gives no tiles, though the processor has them (ARCH_GET_XCOMP_SUPP lacks bit 18)"
            ),
            "look for clearcpuid=, noxsave and noxsaves in /proc/cmdline, and for x86/fpu in the kernel log",
        ),
        Ok(false) => Finding::note(ABOUT, format!("Linux {release} would give tiles, if the processor had them")),
        Err(Error::NotKnown) => Finding::wrong(
            ABOUT,
            format!("Linux {release} does not know tiles (ARCH_GET_XCOMP_SUPP: EINVAL)"),
            "use 5.16 or later; for guests 5.17",
        ),
        Err(error) => Finding::wrong(ABOUT, format!("Linux {release} is not asked: {error}"), cure::FILTER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn each_answer_has_its_line() {
        let state = |supported, has_tiles| judge("6.1", supported, has_tiles).state;
        assert_eq!(state(Ok(true), true), State::Ok);
        assert_eq!(state(Ok(false), true), State::Wrong);
        assert_eq!(state(Ok(false), false), State::Note);
        assert_eq!(state(Err(Error::NotKnown), true), State::Wrong);
        assert!(judge("6.1", Err(Error::Other(1)), true).cure.unwrap().contains("seccomp"));
    }
}
