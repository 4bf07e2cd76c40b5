// SPDX-License-Identifier: GPL-2.0
//! What in the kernel log fails a run.

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// WARN, lockdep, RCU stall, hung task, sanitizer: the kernel goes on.
    Warn,
    /// BUG or Oops.
    Oops,
    /// The kernel has stopped.
    Panic,
}

/// A line that fails the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub line: String,
}

const PANIC: [&str; 1] = ["Kernel panic - not syncing"];
const OOPS: [&str; 5] = ["Oops: ", "Oops - ", "kernel BUG at ", "BUG: ", "Missing ENDBR"];
const WARN: [&str; 12] = [
    "WARNING: ",
    "INFO: possible ",
    "INFO: trying to register non-static key",
    "INFO: task ",
    "rcu: INFO: ",
    "INFO: rcu_",
    "UBSAN: ",
    "KASAN: ",
    "unchecked MSR access error",
    "Bad page ",
    "DEBUG_LOCKS_WARN_ON",
    "Bad FPU state detected",
];

/// Judges one line of the console; `None` is harmless.
pub fn classify(line: &str) -> Option<Problem> {
    let message = message(line);
    let hit = |patterns: &[&str]| patterns.iter().any(|p| message.contains(p));
    let kind = if hit(&PANIC) {
        Kind::Panic
    } else if hit(&OOPS) {
        Kind::Oops
    } else if hit(&WARN) {
        Kind::Warn
    } else {
        return None;
    };
    Some(Problem { kind, line: message.to_owned() })
}

/// Whether the kernel has said all that it will say after a panic.
pub fn is_end_of_panic(line: &str) -> bool {
    line.contains("end Kernel panic")
}

/// The line without time stamp, caller and carriage return.
fn message(line: &str) -> &str {
    let mut rest = line.trim();
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((stamp, after)) = inner.split_once(']') else { break };
        let is_stamp = stamp.trim().starts_with(|c: char| c.is_ascii_digit() || c == 'T' || c == 'C')
            && stamp.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        if !is_stamp {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<Kind> {
        classify(line).map(|p| p.kind)
    }

    #[test]
    fn what_fails_a_run() {
        assert_eq!(kind("[    1.2] WARNING: CPU: 0 PID: 1 at kernel/x.c:3 f+0x1/0x2"), Some(Kind::Warn));
        assert_eq!(
            kind("[    1.2] WARNING: arch/x86/kernel/fpu/xstate.h:1 at f+0x1/0x2, CPU#0: a/1"),
            Some(Kind::Warn)
        );
        assert_eq!(
            kind("[    1.2][    T1] WARNING: possible circular locking dependency detected"),
            Some(Kind::Warn)
        );
        assert_eq!(kind("[    1.2] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"), Some(Kind::Warn));
        assert_eq!(kind("[   91.2] INFO: task kworker:4 blocked for more than 120 seconds."), Some(Kind::Warn));
        assert_eq!(kind("unchecked MSR access error: WRMSR to 0x1c4"), Some(Kind::Warn));
        assert_eq!(kind("[    1.2] BUG: KASAN: use-after-free in f+0x1"), Some(Kind::Oops));
        assert_eq!(kind("[    1.2] BUG: unable to handle page fault for address: 0"), Some(Kind::Oops));
        assert_eq!(kind("[    1.2] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!"), Some(Kind::Oops));
        assert_eq!(
            kind("[    1.2] Oops: general protection fault, maybe for address 0x1: 0000 [#1] SMP"),
            Some(Kind::Oops)
        );
        assert_eq!(kind("[    1.2] kernel BUG at arch/x86/kernel/alternative.c:1!\r"), Some(Kind::Oops));
        assert_eq!(kind("[    1.2] Kernel panic - not syncing: Fatal exception"), Some(Kind::Panic));
    }

    #[test]
    fn what_does_not() {
        assert_eq!(kind("[    0.0] [Firmware Bug]: the BIOS has corrupted hw-PMU resources"), None);
        assert_eq!(kind("[    0.0] ACPI BIOS Warning (bug): 32/64X length mismatch"), None);
        assert_eq!(kind("[    2.0] traps: a.out[61] general protection fault ip:40 sp:7f error:0"), None);
        assert_eq!(kind("[    2.0] xfd: loading out-of-tree module taints kernel."), None);
        assert_eq!(kind(""), None);
        assert_eq!(kind("["), None);
    }

    #[test]
    fn the_line_is_shown_without_its_stamp() {
        let problem = classify("[   12.345678][  T61] WARNING: x\r").unwrap();
        assert_eq!(problem.line, "WARNING: x");
        assert!(is_end_of_panic("[ 1.0] ---[ end Kernel panic - not syncing: x ]---"));
    }

    #[test]
    fn kinds_are_ordered_by_weight() {
        assert!(Kind::Warn < Kind::Oops && Kind::Oops < Kind::Panic);
    }
}
