// SPDX-License-Identifier: GPL-2.0
//! How a boot can end, and the exit statuses for that.

use crate::boot::klog::{Kind, Problem};

/// Passed.
pub const PASS: u8 = 0;
/// A test failed.
pub const FAIL: u8 = 1;
/// The command line is wrong, or names a program that cannot run in the machine.
pub const USAGE: u8 = 2;
/// The kernel reported a WARN, BUG, Oops or panic, or the machine stopped by itself.
pub const KERNEL: u8 = 3;
/// The machine printed nothing for too long, or took too long altogether.
pub const HANG: u8 = 4;
/// A component could not be prepared, or the machine did not start.
pub const NO_START: u8 = 5;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Added by `run` and `shell` to the statuses about the machine, because they exit with the program's own status.
pub const RUN_SHIFT: u8 = 200;

/// How the emulator's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest finished its job and powered off.
    Orderly,
    /// The kernel panicked.
    Panic,
    /// The watchdog killed it, with the reason.
    Hang(String),
    /// It stopped on its own before the end, with its last words.
    Died(String),
    /// The guest did not start, with the reason.
    NoStart(String),
}

/// The exit status for an end and the problems in the kernel log; `None` if all is well.
pub fn status(end: &End, problems: &[Problem]) -> Option<u8> {
    match end {
        End::NoStart(_) => Some(NO_START),
        _ if problems.iter().any(|p| p.kind >= Kind::Oops) => Some(KERNEL),
        End::Hang(_) => Some(HANG),
        End::Panic | End::Died(_) => Some(KERNEL),
        End::Orderly if !problems.is_empty() => Some(KERNEL),
        End::Orderly => None,
    }
}

/// The reason, in one line; `None` if all is well.
pub fn reason(end: &End, problems: &[Problem]) -> Option<String> {
    let first = problems.first().map(|p| format!("kernel log: {}", p.line));
    match end {
        End::Orderly => first,
        End::Panic => first.or_else(|| Some("kernel panic".into())),
        End::Hang(why) => Some(first.map_or(why.clone(), |f| format!("{why}; {f}"))),
        End::Died(why) => Some(first.unwrap_or_else(|| format!("the machine stopped by itself: {why}"))),
        End::NoStart(why) => Some(format!("the machine did not start: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: Kind) -> Vec<Problem> {
        vec![Problem { kind, line: "WARNING: x".into() }]
    }

    #[test]
    fn each_end_has_its_status() {
        let hang = End::Hang("quiet".into());
        assert_eq!(status(&End::Orderly, &[]), None);
        assert_eq!(status(&End::Orderly, &problem(Kind::Warn)), Some(KERNEL));
        assert_eq!(status(&End::Panic, &[]), Some(KERNEL));
        assert_eq!(status(&hang, &[]), Some(HANG));
        assert_eq!(status(&hang, &problem(Kind::Warn)), Some(HANG));
        assert_eq!(status(&hang, &problem(Kind::Oops)), Some(KERNEL));
        assert_eq!(status(&End::NoStart("x".into()), &[]), Some(NO_START));
        assert_eq!(status(&End::Died("x".into()), &[]), Some(KERNEL));
    }

    #[test]
    fn the_reason_shows_the_kernels_line() {
        assert_eq!(reason(&End::Orderly, &[]), None);
        assert_eq!(reason(&End::Orderly, &problem(Kind::Warn)).unwrap(), "kernel log: WARNING: x");
        assert_eq!(
            reason(&End::Hang("quiet".into()), &problem(Kind::Warn)).unwrap(),
            "quiet; kernel log: WARNING: x"
        );
    }
}
